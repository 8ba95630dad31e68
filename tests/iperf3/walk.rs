//! Seeded random walks: whatever happens, and in whatever order, a machine neither panics nor
//! hangs.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Failure, FailureCode, Side},
    protocol::iperf3::{
        Action, Admission, Client, Deadlines, ErrorCode, Expect, Extras, FrameError, Input,
        Message, Params, Refusal, Server, State,
    },
    spec::{Direction, Limit, TestSpec},
};

use crate::{
    pair::{SECOND, results, sample, spec, stopped, timed},
    peer::client,
};

enum Walker {
    Client(Box<Client>),
    Server(Box<Server>),
}

/// SplitMix64: the same walk for the same seed, for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}

impl Walker {
    fn new(side: Side, spec: &TestSpec, now: Duration) -> Self {
        match side {
            Side::Client => {
                let params = Params::new(spec, Extras::default()).unwrap();
                Self::Client(Box::new(Client::new(params, Deadlines::default(), now)))
            }
            Side::Server => {
                Self::Server(Box::new(Server::new(600 * SECOND, Deadlines::default(), now)))
            }
        }
    }

    fn handle(&mut self, input: Input, now: Duration) {
        match self {
            Self::Client(client) => client.handle(input, now),
            Self::Server(server) => server.handle(input, now),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Client(client) => client.deadline(),
            Self::Server(server) => server.deadline(),
        }
    }

    fn expects(&self) -> Expect {
        match self {
            Self::Client(client) => client.expects(),
            Self::Server(server) => server.expects(),
        }
    }

    /// Does what is due, and returns whether it is over.
    fn check(&mut self, now: Duration) -> bool {
        match self {
            Self::Client(client) => client.check(now),
            Self::Server(server) => server.check(1, now),
        }
        let mut over = false;
        loop {
            let action = match self {
                Self::Client(client) => client.poll(),
                Self::Server(server) => server.poll(),
            };
            let Some(action) = action else { break };
            assert!(!over, "{action:?} after the end");
            over = matches!(action, Action::Conclude(..));
        }
        assert_eq!(self.deadline().is_none(), over, "there is a deadline until it is over");
        assert!(self.deadline().is_none_or(|at| at > now), "due for ever at {now:?}");
        over
    }
}

/// The next step of a test that goes well, so that walks get far.
fn likely(walker: &Walker, spec: &TestSpec, step: usize) -> Input {
    let state = |state| Input::Message(Message::State(state));
    let (side, script) = match walker {
        Walker::Client(_) => (
            Side::Client,
            vec![
                state(State::ParamExchange),
                state(State::CreateStreams),
                Input::StreamsOpen,
                state(State::TestStart),
                state(State::TestRunning),
                Input::SendingDone,
                state(State::ExchangeResults),
                Input::Done(results(spec, Side::Client, 5)),
                Input::Message(Message::Results(results(spec, Side::Server, 5))),
                state(State::DisplayResults),
            ],
        ),
        Walker::Server(_) => (
            Side::Server,
            vec![
                Input::Message(Message::Params(Box::new(
                    Params::new(spec, Extras::default()).unwrap(),
                ))),
                Input::StreamsOpen,
                Input::StreamsOpen,
                state(State::TestEnd),
                Input::Done(results(spec, Side::Server, 5)),
                Input::Message(Message::Results(results(spec, Side::Client, 5))),
                state(State::IperfDone),
            ],
        ),
    };
    assert_eq!(matches!(walker, Walker::Client(_)), side == Side::Client);
    script[step % script.len()].clone()
}

fn odd(dice: &mut Dice, side: Side, spec: &TestSpec) -> Input {
    let failure = || Failure::new(FailureCode::Stream, "as the walk has it");
    match dice.roll(12) {
        0 => Input::StreamsOpen,
        1 => Input::Sample(sample(dice.roll(2) as u64)),
        2 if dice.roll(2) == 0 => Input::Sent(dice.roll(1 << 40) as u64),
        2 => Input::Received(dice.roll(1 << 40) as u64),
        3 => Input::Done(results(spec, side, 5)),
        4 if dice.roll(10) == 0 => Input::SendingDone,
        5 if dice.roll(10) == 0 => Input::Stop(stopped(side)),
        6 if dice.roll(20) == 0 => Input::Stop(Ended::Failed(failure())),
        7 if dice.roll(50) == 0 => Input::GiveUp(failure()),
        8 if dice.roll(50) == 0 => Input::Lost("the walk has it so".to_owned()),
        9 if dice.roll(50) == 0 => Input::Garbage(FrameError::State(99)),
        10 if dice.roll(20) == 0 => Input::Message(Message::Error {
            code: i32::try_from(dice.roll(400)).unwrap() - 50,
            errno: 0,
        }),
        11 if dice.roll(10) == 0 => {
            Input::Message(Message::State(State::ALL[dice.roll(State::ALL.len())]))
        }
        _ => Input::Sample(sample(1)),
    }
}

fn admission(dice: &mut Dice, spec: &TestSpec) -> Admission {
    match dice.roll(40) {
        0 => Admission::Busy,
        1 => Admission::Deny(Refusal::new(ErrorCode::TotalRate, "too fast")),
        _ => Admission::Grant(Box::new(spec.clone())),
    }
}

fn walk(side: Side, spec: &TestSpec, seed: u64) -> (usize, usize) {
    let mut dice = Dice(seed);
    let (mut now, mut ends, mut texts, mut step) = (Duration::ZERO, 0, 0, 0);
    let mut walker = Walker::new(side, spec, now);
    for _ in 0..5000 {
        match dice.roll(9) {
            0 => now += Duration::from_millis(dice.roll(3000) as u64),
            1 if dice.roll(4) == 0 => now = walker.deadline().expect("it is not over"),
            2 | 3 => {
                if let Walker::Server(server) = &mut walker {
                    server.admission(admission(&mut dice, spec), now);
                }
            }
            4 | 5 => {
                walker.handle(likely(&walker, spec, step), now);
                step += 1;
            }
            _ => walker.handle(odd(&mut dice, side, spec), now),
        }
        texts += usize::from(walker.expects() == Expect::Results);
        if walker.check(now) {
            (ends, step) = (ends + 1, 0);
            walker = Walker::new(side, spec, now);
        }
    }
    cut(walker, now);
    (ends, texts)
}

/// Nothing comes any more: the end must, by itself.
fn cut(mut walker: Walker, cut_at: Duration) {
    let mut now = cut_at;
    while !walker.check(now) {
        now = walker.deadline().expect("it is not over");
        assert!(now < cut_at + 300 * SECOND, "did not end");
    }
}

#[test]
fn random_walks_neither_panic_nor_hang() {
    let specs = [timed(Direction::Forward), spec(Direction::Bidirectional, Limit::Endless)];
    for spec in &specs {
        for side in [Side::Client, Side::Server] {
            let walks: Vec<_> = (1..=8).map(|seed| walk(side, spec, seed)).collect();
            let (ends, texts) = walks.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
            assert!(ends > 100 && texts > 20, "{side:?}: {ends} ends, {texts} with results due");
        }
    }
}

#[test]
fn what_is_told_after_the_end_changes_nothing() {
    let spec = timed(Direction::Forward);
    let mut client = client(&spec);
    client.handle(Input::Lost("closed".to_owned()), SECOND);
    while client.poll().is_some() {}
    client.handle(Input::Message(Message::State(State::ParamExchange)), SECOND);
    client.check(1000 * SECOND);
    assert!(client.poll().is_none() && client.deadline().is_none());
}
