//! What a listener does about peers that are not as they should be.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{future::poll_fn, sync::Arc};

use polyperf_socket::FlowListener;
use polyperf_transport::{
    Anyone, Chunk, Gate, Guest, Hello, Listener, Mark, Opening, Peer, Stream, Transport, Tuning,
    Verdict, Visit,
};
use support::{HELLO, NOTHING, Raw, open, push, tokio_kcp, until, within};

/// Lets in nobody.
#[derive(Debug)]
struct Nobody;

impl Gate for Nobody {
    fn admit(&self, _: &Opening<'_>) -> Verdict {
        Verdict::Refuse
    }

    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

#[tokio::test]
async fn nobody_is_answered_whom_the_gate_refuses() {
    let at = "127.0.0.1:0".parse().unwrap();
    let listener = tokio_kcp().bind(at, Arc::new(Nobody)).unwrap();
    let stranger = Raw::new();
    for _ in 0..10 {
        stranger.say(listener.local_addr(), &open([0; 16]));
        stranger.say(listener.local_addr(), &push(0, &NOTHING));
    }
    until(|| listener.counts().refused == 10 && listener.counts().unknown == 10).await;
    assert_eq!((listener.counts().opened, listener.counts().answered), (0, 0));
    assert_eq!(stranger.heard(), None);
}

#[tokio::test]
async fn what_a_hostile_peer_says_in_its_flow_is_its_own_affair() {
    let at = "127.0.0.1:0".parse().unwrap();
    let mut listener = tokio_kcp().bind(at, Arc::new(Anyone)).unwrap();
    let hostile = Raw::new();
    let stream = hostile.open(&mut listener).await;
    let to = listener.local_addr();
    hostile.say(to, &push(0, &NOTHING));
    let mut state = 7_u64;
    let mut roll = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33).to_le_bytes()
    };
    for number in 1..5000 {
        let mut segment = push(number % 64, &roll());
        // The conversation's number stays, so that the crate has to look at the rest.
        for _ in 0..roll()[0] % 4 {
            let at = 4 + usize::from(roll()[1]) % (segment.len() - 4);
            segment[at] = roll()[2];
        }
        segment.truncate(segment.len() - usize::from(roll()[0] % 16));
        hostile.say(to, &segment);
    }
    let honest = open_pair(&mut listener).await;
    drop((stream, honest));
    until(|| listener.counts().flows == 0).await;
}

/// Opens a flow, and sees that both ends are heard.
async fn open_pair(listener: &mut FlowListener) -> (Stream, Stream) {
    let connection = tokio_kcp().connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (client, server) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let mut buf = [0; 64];
    let chunk = Chunk::whole(b"and back").unwrap();
    let heard = within(poll_fn(|cx| server.recv.poll_recv(cx, &mut buf))).await.unwrap().unwrap();
    assert_eq!(buf[..heard.len], *HELLO);
    within(poll_fn(|cx| server.send.poll_send(cx, chunk))).await.unwrap();
    let heard = within(poll_fn(|cx| client.recv.poll_recv(cx, &mut buf))).await.unwrap().unwrap();
    assert_eq!(buf[..heard.len], *b"and back");
    (client, server)
}
