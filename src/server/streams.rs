use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
};

use polyperf_transport::{self as transport, Mark, Stream, Tuning, Verdict};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::shared::lock;
use crate::{
    engine::Answering,
    measure::FlowId,
    protocol::{
        iperf3::{Cookie, udp::Connect},
        native::{Hello, Opening, Token},
    },
};

/// The streams that running tests expect, and from whom.
#[derive(Debug, Default)]
pub(super) struct Expected {
    by_key: Mutex<HashMap<Key, mpsc::Sender<Arrival>>>,
    /// What answers the connections of tests that are about those.
    answers: Mutex<HashMap<Token, Arc<Answering>>>,
    /// What is to be set on connections before their handshake, by the marks that they come with.
    marks: Mutex<HashMap<Mark, Tuning>>,
    turns: Mutex<HashMap<IpAddr, Weak<tokio::sync::Mutex<()>>>>,
}

/// What shows that a stream belongs to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A native test's token.
    Token(Token),
    /// An iperf3 test's cookie.
    Cookie(Cookie),
    /// The address of an iperf3 client whose datagrams tell nothing else.
    Address(IpAddr),
}

/// A stream that has arrived at its test.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Its number in the test, where it tells one.
    pub(super) flow: Option<FlowId>,
    /// Its place among all streams that its listener has accepted: hellos are read side by side, so
    /// streams may arrive here in another order.
    pub(super) accepted: u64,
    pub(super) stream: Stream,
}

/// Lets streams with a key through to the session that expects them, until it is dropped.
#[derive(Debug)]
pub(super) struct AttachGuard {
    expected: Arc<Expected>,
    key: Key,
}

/// Has the connections of a test answered, until it is dropped; those that are open then are dropped
/// as well.
#[derive(Debug)]
pub(super) struct AnswerGuard {
    expected: Arc<Expected>,
    token: Token,
    answering: Arc<Answering>,
}

/// Has connections with a mark set as its test asks, until it is dropped.
#[derive(Debug)]
pub(super) struct MarkGuard {
    expected: Arc<Expected>,
    mark: Mark,
}

/// The right of one test to expect streams that only their address tells from others.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Expected {
    /// Returns where streams with this key arrive from now on.
    pub(super) fn expect(
        self: &Arc<Self>,
        key: Key,
        count: usize,
    ) -> (AttachGuard, mpsc::Receiver<Arrival>) {
        let (sender, receiver) = mpsc::channel(count.max(1));
        lock(&self.by_key).insert(key, sender);
        (AttachGuard { expected: Arc::clone(self), key }, receiver)
    }

    /// Has `answering` answer the connections that come with this token from now on.
    pub(super) fn answer(self: &Arc<Self>, token: Token, answering: Arc<Answering>) -> AnswerGuard {
        lock(&self.answers).insert(token, Arc::clone(&answering));
        AnswerGuard { expected: Arc::clone(self), token, answering }
    }

    /// Returns what answers connections with this token; `None` if they are no test of their own.
    pub(super) fn answering(&self, token: &Token) -> Option<Arc<Answering>> {
        lock(&self.answers).get(token).cloned()
    }

    /// Has connections that come with this mark set as `tuning` asks from now on.
    pub(super) fn announce(self: &Arc<Self>, mark: Mark, tuning: Tuning) -> MarkGuard {
        lock(&self.marks).insert(mark, tuning);
        MarkGuard { expected: Arc::clone(self), mark }
    }

    pub(super) fn announced(&self, mark: &Mark) -> Option<Tuning> {
        lock(&self.marks).get(mark).cloned()
    }

    /// Hands a stream to the session that expects it; gives it back if none does.
    pub(super) fn attach(&self, key: Key, arrival: Arrival) -> Result<(), Box<Stream>> {
        let sender = lock(&self.by_key).get(&key).cloned();
        let Some(sender) = sender else { return Err(Box::new(arrival.stream)) };
        sender.try_send(arrival).map_err(|error| Box::new(error.into_inner().stream))
    }

    /// Waits until no other test of this address expects streams by [`Key::Address`].
    pub(super) async fn turn(&self, address: IpAddr) -> Turn {
        let turn = {
            let mut turns = lock(&self.turns);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(&address).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(address, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    fn expects(&self, key: Key) -> bool {
        if let Key::Token(token) = key
            && let Some(answering) = self.answering(&token)
        {
            return answering.has_room();
        }
        // A session that has all its streams has dropped its receiver, or is about to.
        lock(&self.by_key).get(&key).is_some_and(|sender| sender.capacity() > 0)
    }

    /// A native stream shows its test's token, and then that it receives at the address which it
    /// claims. iperf3's datagrams have neither: the address of the control connection must do.
    pub(super) fn admit(&self, opening: &transport::Opening<'_>) -> Verdict {
        match opening.hello {
            // What follows a hello is the business of whoever serves the stream.
            transport::Hello::Own(hello) => match hello.first_chunk().map(Opening::parse) {
                Some(Opening::Native(Hello::Attach(token, _)))
                    if self.expects(Key::Token(token)) =>
                {
                    if opening.proven {
                        Verdict::Accept
                    } else {
                        Verdict::Challenge
                    }
                }
                _ => Verdict::Refuse,
            },
            transport::Hello::Bare(word) => {
                let expected = Connect::parse(word).is_some()
                    && self.expects(Key::Address(opening.peer.ip().to_canonical()));
                if expected { Verdict::Accept } else { Verdict::Refuse }
            }
        }
    }
}

impl Drop for MarkGuard {
    fn drop(&mut self) {
        lock(&self.expected.marks).remove(&self.mark);
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        lock(&self.expected.answers).remove(&self.token);
        self.answering.end();
    }
}

impl Drop for AttachGuard {
    fn drop(&mut self) {
        lock(&self.expected.by_key).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn token() -> Token {
        Token::from_bits(7)
    }

    fn ask(expected: &Expected, hello: transport::Hello<'_>, proven: bool) -> Verdict {
        let peer = SocketAddr::from(([192, 0, 2, 1], 9));
        expected.admit(&transport::Opening { peer, hello, proven })
    }

    #[test]
    fn a_token_lets_in_who_has_proved_the_address() {
        let expected = Arc::new(Expected::default());
        let hello = Hello::Attach(token(), FlowId(1)).encode();
        let own = transport::Hello::Own(&hello);
        assert_eq!(ask(&expected, own, true), Verdict::Refuse, "nobody expects it");
        let (guard, _streams) = expected.expect(Key::Token(token()), 2);
        assert_eq!(ask(&expected, own, false), Verdict::Challenge);
        assert_eq!(ask(&expected, own, true), Verdict::Accept);
        let control = Hello::Control(token()).encode();
        assert_eq!(ask(&expected, transport::Hello::Own(&control), true), Verdict::Refuse);
        assert_eq!(ask(&expected, transport::Hello::Own(&hello[..36]), true), Verdict::Refuse);
        drop(guard);
        assert_eq!(ask(&expected, own, true), Verdict::Refuse, "nobody does any more");
    }

    #[test]
    fn a_connect_word_lets_in_the_address_of_a_test_that_waits_for_it() {
        let expected = Arc::new(Expected::default());
        let word = Connect::Current.word();
        assert_eq!(ask(&expected, transport::Hello::Bare(&word), false), Verdict::Refuse);
        let other = Key::Address(IpAddr::from([192, 0, 2, 2]));
        let (_guard, _streams) = expected.expect(other, 1);
        assert_eq!(ask(&expected, transport::Hello::Bare(&word), false), Verdict::Refuse);
        let own = Key::Address(IpAddr::from([192, 0, 2, 1]));
        let (_guard, _streams) = expected.expect(own, 1);
        assert_eq!(ask(&expected, transport::Hello::Bare(&word), false), Verdict::Accept);
        for garbage in [&b""[..], b"9877", b"98765"] {
            assert_eq!(ask(&expected, transport::Hello::Bare(garbage), false), Verdict::Refuse);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tests_of_one_address_take_turns() {
        let expected = Arc::new(Expected::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        let turn = expected.turn(address).await;
        let brief = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(brief, expected.turn(address)).await.is_err());
        expected.turn(IpAddr::from([192, 0, 2, 2])).await;
        drop(turn);
        expected.turn(address).await;
        expected.turn(IpAddr::from([192, 0, 2, 3])).await;
        assert_eq!(lock(&expected.turns).len(), 1, "what nobody waits for is forgotten");
    }
}
