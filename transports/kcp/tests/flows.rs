//! How flows begin, work and end.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{
    future::poll_fn,
    io,
    num::{NonZeroU8, NonZeroU16, NonZeroU32},
};

use polyperf_transport::{Anyone, Error, Fec, Hello, Listener, Peer, Transport, Tuning};
use support::{Agreed, Ask, HELLO, Strangers, kcp, listen, pair, pattern, raw, recv, send, within};

fn fec(data: u8, parity: u8) -> Option<Fec> {
    Some(Fec { data: NonZeroU8::new(data)?, parity: NonZeroU8::new(parity)? })
}

fn everything() -> Tuning {
    Tuning {
        kcp_nodelay: Some(0),
        kcp_interval_ms: NonZeroU32::new(15),
        kcp_resend: Some(3),
        kcp_nc: Some(false),
        kcp_sndwnd: NonZeroU16::new(100),
        kcp_rcvwnd: NonZeroU16::new(200),
        kcp_mtu: NonZeroU16::new(1000),
        kcp_flush: Some("interval".to_owned()),
        fec: fec(4, 2),
        ..Tuning::default()
    }
}

#[tokio::test]
async fn what_a_test_asks_for_is_in_force_at_both_ends_from_the_first_byte() {
    let mark = [7; 12];
    let ask = Ask { tuning: everything(), mark: Some(mark) };
    let pair = pair(&kcp(), &kcp(), Agreed(mark, everything()), ask).await;
    for stream in [&pair.client, &pair.server] {
        let stats = stream.path.stats();
        let told: Vec<_> = stats.parameters.iter().map(|(k, v)| format!("{k} {v}")).collect();
        let expected = "fec 4:2, flush interval, interval 15, mtu 1000, nc 0, nodelay 0, \
                        rcvwnd 200, resend 3, sndwnd 100";
        assert_eq!(told.join(", "), expected);
        assert_eq!(stats.mss, Some(1000 - 32));
        assert!(stats.cwnd.is_some(), "there is congestion control");
        let answers = stream.path.tune(&everything());
        assert!(answers.iter().all(|answer| answer.refused.is_none()), "{answers:?}");
    }
}

#[tokio::test]
async fn the_listeners_end_sends_as_it_was_agreed_on() {
    let mark = [8; 12];
    let tuning = Tuning { kcp_mtu: NonZeroU16::new(500), fec: fec(2, 1), ..Tuning::default() };
    let ask = Ask { tuning: tuning.clone(), mark: Some(mark) };
    let pair = pair(&kcp(), &kcp(), Agreed(mark, tuning), ask).await;
    let sent = pattern(300_000);
    let (mut from, mut to) = (pair.server.send, pair.client.recv);
    let ((), got) = tokio::join!(send(&mut *from, &sent), recv(&mut *to, sent.len()));
    assert!(got == sent);
    let [server, client] = [&pair.server.path, &pair.client.path].map(|path| path.stats());
    let arq = server.arq.unwrap();
    assert!(arq.segments_sent.unwrap() >= 300_000 / (500 - 32));
    assert!(arq.parity_sent.unwrap() > 300_000 / 500 / 2 - 2, "{arq:?}");
    assert!(client.arq.unwrap().parity_received > Some(0));
}

#[tokio::test]
async fn an_unknown_mark_gets_what_the_listener_does_by_itself() {
    let ask = Ask { mark: Some([1; 12]), ..Ask::default() };
    let pair = pair(&kcp(), &kcp(), Agreed([2; 12], everything()), ask).await;
    assert_eq!(pair.server.path.stats().parameters["sndwnd"], "1024");
}

#[tokio::test]
async fn what_kcp_does_not_have_is_refused_with_what_it_has() {
    for (tuning, says) in [
        (Tuning { kcp_mode: Some("fast4".into()), ..Tuning::default() }, "fast3"),
        (Tuning { kcp_nodelay: Some(3), ..Tuning::default() }, "0, 1 and 2"),
        (Tuning { kcp_flush: Some("never".into()), ..Tuning::default() }, "batch and interval"),
        (Tuning { kcp_mtu: NonZeroU16::new(24), ..Tuning::default() }, "mtu"),
        (Tuning { kcp_sndwnd: NonZeroU16::new(20_000), ..Tuning::default() }, "16384"),
        (Tuning { fec: fec(250, 10), ..Tuning::default() }, "255"),
        (Tuning { zero_rtt: true, ..Tuning::default() }, "no such setting"),
    ] {
        let error = kcp().check(&tuning).expect_err("it is refused");
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_peer_of_another_project_begins_with_data_and_is_answered_by_its_conversation() {
    for tuning in [Tuning::default(), Tuning { fec: fec(3, 2), ..Tuning::default() }] {
        let kcp = kcp().with_defaults(&tuning).unwrap();
        let mut listener = listen(&kcp, Strangers);
        let connection = kcp.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (client, server) =
            tokio::join!(within(connection.open(Hello::Bare(b"hi"))), within(listener.accept()));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(recv(&mut *server.recv, 2).await, b"hi");
        let sent = pattern(500_000);
        let ((), got) =
            tokio::join!(send(&mut *server.send, &sent), recv(&mut *client.recv, sent.len()));
        assert!(got == sent);
    }
}

#[tokio::test]
async fn what_was_sent_arrives_when_the_sender_has_gone() {
    let pair = pair(&kcp(), &kcp(), Anyone, Ask::default()).await;
    let sent = pattern(1_000_000);
    let (mut client, mut server) = (pair.client, pair.server);
    let sending = async {
        send(&mut *client.send, &sent).await;
        drop(client);
    };
    let ((), got) = tokio::join!(sending, recv(&mut *server.recv, sent.len()));
    assert!(got == sent);
    let end = within(poll_fn(|cx| server.recv.poll_recv(cx, &mut [0; 8]))).await;
    assert_eq!(end.unwrap(), None);
}

#[tokio::test]
async fn what_strangers_send_to_a_flow_changes_nothing() {
    let pair = pair(&kcp(), &kcp(), Anyone, Ask::default()).await;
    let (mut client, mut server) = (pair.client, pair.server);
    let stranger = raw();
    // A conversation of its own, which makes other implementations change theirs.
    let mut segment = [0; 24];
    segment[..4].copy_from_slice(&99_u32.to_le_bytes());
    segment[4] = 81;
    for _ in 0..10 {
        stranger.send_to(&segment, client.local).unwrap();
        stranger.send_to(&segment, server.local).unwrap();
    }
    let sent = pattern(100_000);
    let ((), got) =
        tokio::join!(send(&mut *client.send, &sent), recv(&mut *server.recv, sent.len()));
    assert!(got == sent);
}

#[tokio::test]
async fn nobody_is_answered_who_was_not_let_in() {
    let mut listener = listen(&kcp(), Agreed([0; 12], Tuning::default()));
    let stranger = raw();
    stranger.set_nonblocking(true).unwrap();
    let mut segment = vec![0; 24];
    segment[4] = 81;
    for conv in 0..100_u32 {
        segment[..4].copy_from_slice(&(conv & 0x3F).to_le_bytes());
        stranger.send_to(&segment, listener.local_addr()).unwrap();
    }
    // One who is let in behind them shows that all of them have been treated.
    let connection = kcp().connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (opened, accepted) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    drop((opened.unwrap(), accepted.unwrap()));
    let error = stranger.recv(&mut [0; 100]).expect_err("nothing has come");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(listener.counts().unknown >= 100);
}
