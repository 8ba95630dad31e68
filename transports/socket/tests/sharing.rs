//! Who may have a port, and who may share it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::io::ErrorKind::AddrInUse;

use support::{Joined, Raw, any_port, both_kinds, messages, ports, until};

#[tokio::test]
async fn a_second_start_on_the_same_port_is_refused() {
    for ports in both_kinds() {
        let first = Joined::new(&ports, any_port(), "abc").unwrap();
        let _quic = ports.quic(first.at()).unwrap();
        let second = support::ports();
        assert_eq!(Joined::new(&second, first.at(), "xyz").unwrap_err().kind(), AddrInUse);
        assert_eq!(second.quic(first.at()).unwrap_err().kind(), AddrInUse);
    }
}

#[tokio::test]
async fn a_protocol_of_the_same_name_is_refused_and_another_one_joins() {
    for ports in both_kinds() {
        let mut first = Joined::new(&ports, any_port(), "abc").unwrap();
        let error = Joined::new(&ports, first.at(), "abc").unwrap_err();
        assert_eq!(error.kind(), AddrInUse);
        assert!(error.to_string().contains("abc is already served at 127.0.0.1:"), "{error}");
        let mut other = Joined::new(&ports, first.at(), "xyz").unwrap();
        assert_eq!(other.at(), first.at());

        let (a, x) = (Raw::at("127.0.0.1"), Raw::at("127.0.0.1"));
        x.say(first.at(), b"x-ray");
        a.say(first.at(), b"apple");
        assert_eq!(messages(&mut first.flow().await.1, 1).await, [b"apple"]);
        assert_eq!(messages(&mut other.flow().await.1, 1).await, [b"x-ray"]);
        assert_eq!(first.share.counts(), other.share.counts());
        assert_eq!(first.share.counts().opened, 2);
    }
}

#[tokio::test]
async fn quic_is_on_a_port_once() {
    let ports = ports();
    let quic = ports.quic(any_port()).unwrap();
    let error = ports.quic(quic.local_addr()).unwrap_err();
    assert_eq!(error.kind(), AddrInUse);
    assert!(error.to_string().contains("quic is already served"), "{error}");
    let at = quic.local_addr();
    drop(quic);
    assert_eq!(ports.quic(at).unwrap().local_addr(), at);
}

#[tokio::test]
async fn a_protocol_that_has_left_is_shown_nothing_more() {
    let ports = ports();
    let first = Joined::new(&ports, any_port(), "abc").unwrap();
    let other = Joined::new(&ports, first.at(), "xyz").unwrap();
    let at = first.at();
    let raw = Raw::at("127.0.0.1");
    raw.say(at, b"one");
    until(|| other.seen().len() == 1).await;
    let left = first.leave();
    raw.say(at, b"two");
    until(|| other.seen().len() == 2).await;
    assert_eq!(left(), [b"one"]);
}

#[tokio::test]
async fn a_flow_outlives_its_port() {
    for ports in both_kinds() {
        let mut first = Joined::new(&ports, any_port(), "abc").unwrap();
        let (at, client) = (first.at(), Raw::at("127.0.0.1"));
        client.say(at, b"apple");
        let (_send, mut recv) = first.flow().await;
        drop(first);
        client.say(at, b"banana");
        assert_eq!(messages(&mut recv, 2).await, [&b"apple"[..], b"banana"]);
    }
}

#[tokio::test]
async fn a_port_that_is_closing_is_joined_and_one_that_is_closed_is_bound() {
    let ports = ports();
    let first = Joined::new(&ports, OWN_ADDRESS.parse().unwrap(), "abc").unwrap();
    let at = first.at();
    drop(first);
    // Its dispatcher has not heard of it yet.
    let mut again = Joined::new(&ports, at, "abc").unwrap();
    Raw::at("127.0.0.1").say(at, b"apple");
    assert_eq!(messages(&mut again.flow().await.1, 1).await, [b"apple"]);
    drop(again);
    until(|| std::net::UdpSocket::bind(at).is_ok()).await;
    let mut anew = Joined::new(&ports, at, "abc").unwrap();
    Raw::at("127.0.0.1").say(at, b"apple");
    assert_eq!(messages(&mut anew.flow().await.1, 1).await, [b"apple"]);
}

#[test]
fn who_comes_while_the_last_one_leaves_is_never_refused() {
    let ports = ports();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let own = OWN_ADDRESS.parse().unwrap();
    let at = runtime().block_on(async { Joined::new(&ports, own, "abc").unwrap().at() });
    std::thread::scope(|scope| {
        for name in ["abc", "klm", "xyz"] {
            let ports = &ports;
            scope.spawn(move || {
                runtime().block_on(async {
                    for round in 0..500 {
                        if round % 2 == 0 {
                            let share = Joined::new(ports, at, name).unwrap();
                            tokio::task::yield_now().await;
                            drop(share);
                        } else if name == "abc" {
                            drop(ports.quic(at).unwrap());
                        }
                        tokio::task::yield_now().await;
                    }
                });
            });
        }
    });
}

/// Where nobody else binds a port that has just been closed.
const OWN_ADDRESS: &str = "127.0.0.83:0";
