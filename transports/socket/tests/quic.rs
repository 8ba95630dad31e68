//! What QUIC gets of a port that it shares, and what it does not.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{
    io::IoSliceMut,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use polyperf_socket::{DEFAULT_BUFFERS, DatagramSocket, PortOptions, QuicPort, Train};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use support::{
    Joined, Raw, any_port, both_kinds, datagrams, messages, ports, receive_until, send, train,
    trains, transmit, until, within,
};

#[tokio::test]
async fn what_looks_like_quic_is_quics_and_nothing_else_is() {
    for ports in both_kinds() {
        let joined = Joined::new(&ports, any_port(), "none of these opens anything").unwrap();
        let quic = ports.quic(joined.at()).unwrap();
        let stranger = Raw::at("127.0.0.1");
        let (theirs, others): (Vec<_>, Vec<_>) =
            (0..=255).filter(|byte| *byte != b'n').partition(|byte: &u8| byte & 0x40 != 0);
        for byte in others.iter().chain(&theirs) {
            stranger.say(joined.at(), &[*byte; 3]);
        }
        let received = datagrams(&quic, theirs.len()).await;
        assert_eq!(received, theirs.iter().map(|byte| vec![*byte; 3]).collect::<Vec<_>>());
        until(|| joined.seen().len() == others.len()).await;
        assert_eq!(joined.seen(), others.iter().map(|byte| vec![*byte; 3]).collect::<Vec<_>>());
        let counts = quic.counts();
        assert_eq!((counts.quic + counts.injected, counts.unknown), (127, 128));
    }
}

#[tokio::test]
async fn alone_on_a_port_quic_drops_what_is_not_its_own() {
    let quic = ports().quic(any_port()).unwrap();
    let stranger = Raw::at("127.0.0.1");
    for bytes in [&b"9876"[..], b"", b"\xC0initial"] {
        stranger.say(quic.local_addr(), bytes);
    }
    assert_eq!(datagrams(&quic, 1).await, [b"\xC0initial"]);
    let counts = quic.counts();
    assert_eq!((counts.quic, counts.unknown, counts.empty), (1, 1, 1));
}

#[tokio::test]
async fn a_socket_that_nobody_shares_takes_everything() {
    let socket = std::net::UdpSocket::bind(any_port()).unwrap();
    let quic = QuicPort::alone(socket, DEFAULT_BUFFERS).unwrap();
    Raw::at("127.0.0.1").say(quic.local_addr(), b"9876");
    assert_eq!(datagrams(&quic, 1).await, [b"9876"]);
    assert_eq!(quic.counts().quic, 1);
    assert!(quic.buffers().unwrap().receive > 0);
    assert_eq!(quic.may_fragment(), cfg!(not(target_os = "linux")));
}

#[tokio::test]
async fn a_flows_datagrams_are_its_own_whatever_they_look_like_and_for_a_while_after_its_end() {
    for ports in both_kinds() {
        let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
        let (at, client, stranger) = (joined.at(), Raw::at("127.0.0.1"), Raw::at("127.0.0.1"));
        let quic = ports.quic(at).unwrap();
        client.say(at, b"9876");
        let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
        client.say(at, b"\x65data");
        let heard = receive_until(&quic, messages(&mut recv, 2)).await;
        assert_eq!(heard, [&b"9876"[..], b"\x65data"]);

        drop((_send, recv));
        client.say(at, b"\x65late");
        receive_until(&quic, until(|| joined.share.counts().ended == 1)).await;
        stranger.say(at, b"\x65quic");
        assert_eq!(datagrams(&quic, 1).await, [b"\x65quic"]);
    }
}

#[tokio::test]
async fn a_flow_that_ended_long_ago_is_forgotten() {
    let options = PortOptions { linger: Duration::ZERO, ..PortOptions::default() };
    let ports = ports().with_options(options);
    let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    let client = Raw::at("127.0.0.1");
    client.say(joined.at(), b"9876");
    drop(receive_until(&quic, joined.flow()).await);
    client.say(joined.at(), b"\x65quic");
    assert_eq!(datagrams(&quic, 1).await, [b"\x65quic"]);
}

#[tokio::test]
async fn what_follows_an_opening_unasked_arrives_in_order() {
    for ports in both_kinds() {
        let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
        let quic = ports.quic(joined.at()).unwrap();
        let client = Raw::at("127.0.0.1");
        let said: Vec<_> =
            (0..100_u8).map(|nth| if nth == 0 { [b'9', 0] } else { [0x65, nth] }).collect();
        for message in &said {
            client.say(joined.at(), message);
        }
        let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
        assert_eq!(receive_until(&quic, messages(&mut recv, said.len())).await, said);
    }
}

#[tokio::test]
async fn what_is_sent_while_a_flow_opens_arrives() {
    let ports = ports();
    let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let (at, client) = (joined.at(), Raw::at("127.0.0.1"));
        let saying = std::thread::spawn(move || {
            for nth in 0..200_u8 {
                client.say(at, &[if nth == 0 { b'9' } else { 0x65 }, nth]);
            }
            client
        });
        let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
        let mut heard = receive_until(&quic, messages(&mut recv, 200)).await;
        heard.sort_by_key(|message| message[1]);
        assert!(heard.iter().map(|message| message[1]).eq(0..200), "{heard:?}");
        // Nobody else may have its address, since for a while that is known to have had a flow.
        clients.push(saying.join().unwrap());
    }
}

#[tokio::test]
async fn a_source_that_opens_nothing_stays_quics() {
    let ports = ports();
    let joined = Joined::new(&ports, any_port(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    let peer = Raw::at("127.0.0.1");
    for message in [&b"?"[..], b"\xC0one", b"\xC0two"] {
        peer.say(joined.at(), message);
    }
    assert_eq!(datagrams(&quic, 2).await, [b"\xC0one", b"\xC0two"]);
    assert_eq!(joined.seen(), [b"?"]);
    assert_eq!(quic.counts().injected, 2, "they waited for what the first one was");
    peer.say(joined.at(), b"\xC0three");
    assert_eq!(datagrams(&quic, 1).await, [b"\xC0three"]);
    assert_eq!(quic.counts().injected, 2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_train_stays_whole() {
    let ports = ports();
    let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    let connect = || {
        let socket = Raw::at("127.0.0.1").0;
        socket.connect(joined.at()).unwrap();
        DatagramSocket::new(socket).unwrap()
    };
    let (theirs, flow) = (connect(), connect());
    let sent = [0x65; 20_500];
    assert_eq!(theirs.try_send(&sent, Some(1000)).unwrap(), sent.len());
    let (meta, bytes) = trains(&quic).await.remove(0);
    assert_eq!((meta.stride, &bytes[..]), (1000, &sent[..]));
    assert_eq!(quic.counts().quic, 21);

    let sent = [b'9'; 20_500];
    assert_eq!(flow.try_send(&sent, Some(1000)).unwrap(), sent.len());
    let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
    // The first of them opens the flow.
    assert_eq!(train(&mut recv).await.0, Train { len: 1000, stride: 1000 });
    assert_eq!(train(&mut recv).await.0, Train { len: 19_500, stride: 1000 });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn answers_leave_from_the_address_that_was_asked_whole_and_marked() {
    for (bound, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.2"), ("[::]:0", "::1")] {
        for tos in [0, 0xB8] {
            let quic = ports().quic(bound.parse().unwrap()).unwrap();
            assert_eq!(quic.set_tos(tos | 0b01).unwrap(), u32::from(tos));
            let to = SocketAddr::new(asked.parse().unwrap(), quic.local_addr().port());
            let client = Raw::at(if to.is_ipv4() { "127.0.0.1" } else { "::1" }).0;
            // What comes from any other address does not reach it.
            client.connect(to).unwrap();
            let client = DatagramSocket::new(client).unwrap();
            client.try_send(b"\xC0hello", None).unwrap();
            let (asking, _) = trains(&quic).await.remove(0);
            let answer = Transmit {
                ecn: Some(EcnCodepoint::Ect0),
                segment_size: Some(1000),
                src_ip: asking.dst_ip,
                ..transmit(asking.addr, &[0x65; 2500])
            };
            send(&quic, &answer).await;
            let (mut room, mut metas) = ([0; 4096], [RecvMeta::default()]);
            let mut bufs = [IoSliceMut::new(&mut room)];
            until(|| client.try_recv(&mut bufs, &mut metas).is_ok()).await;
            let [RecvMeta { len, stride, ecn, .. }] = metas;
            assert_eq!((len, stride, ecn), (2500, 1000, answer.ecn), "{bound} {asked} {tos}");
            assert_eq!(quic.counts().unsent, 0);
        }
    }
}

#[tokio::test]
async fn any_number_of_tasks_wait_for_room() {
    let quic = Arc::new(ports().quic(any_port()).unwrap());
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let quic = Arc::clone(&quic);
            tokio::spawn(async move { quic.writable().await })
        })
        .collect();
    for waiting in waiting {
        within(waiting).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_dispatcher_reads_when_quic_does_not() {
    for ports in both_kinds() {
        let joined = Joined::new(&ports, any_port(), "9").unwrap();
        let (at, stranger) = (joined.at(), Raw::at("127.0.0.1"));
        for round in 0..3 {
            let seen = joined.seen().len();
            stranger.say(at, b"\xC0nobody's");
            until(|| joined.seen().len() == seen + 1).await;

            let quic = ports.quic(at).unwrap();
            stranger.say(at, b"\xC0quic");
            assert_eq!(datagrams(&quic, 1).await, [b"\xC0quic"]);
            stranger.say(at, b"left behind");
            stranger.say(at, b"as well");
            // So the dispatcher has had its turn.
            tokio::task::yield_now().await;
            assert_eq!(joined.seen().len(), seen + 1, "round {round}");
            drop(quic);
            until(|| joined.seen().len() == seen + 3).await;
        }
    }
}

#[tokio::test]
async fn quic_goes_on_when_the_last_protocol_leaves() {
    for ports in both_kinds() {
        let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
        let (at, client, stranger) = (joined.at(), Raw::at("127.0.0.1"), Raw::at("127.0.0.1"));
        let quic = ports.quic(at).unwrap();
        client.say(at, b"9876");
        let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
        let left = joined.leave();
        for bytes in [&b"9876"[..], b"\xC0quic"] {
            stranger.say(at, bytes);
        }
        client.say(at, b"\x65data");
        assert_eq!(datagrams(&quic, 1).await, [b"\xC0quic"]);
        assert_eq!(messages(&mut recv, 2).await, [&b"9876"[..], b"\x65data"]);
        assert_eq!(left().len(), 1);

        let mut anew = Joined::new(&ports, at, "9").unwrap();
        stranger.say(at, b"9876");
        receive_until(&quic, anew.flow()).await;
    }
}

#[test]
fn quic_works_on_a_runtime_of_its_own() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ports = ports();
    let (begun, at) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime().block_on(async {
                let quic = ports.quic(any_port()).unwrap();
                begun.send(quic.local_addr()).unwrap();
                assert_eq!(datagrams(&quic, 1).await, [b"\xC0that is all"]);
            });
        });
        runtime().block_on(async {
            let mut joined = Joined::new(&ports, at.recv().unwrap(), "9").unwrap();
            let client = Raw::at("127.0.0.1");
            client.say(joined.at(), b"9876");
            let (_send, mut recv) = joined.flow().await;
            client.say(joined.at(), b"\xC0data");
            assert_eq!(messages(&mut recv, 2).await, [&b"9876"[..], b"\xC0data"]);
            Raw::at("127.0.0.1").say(joined.at(), b"\xC0that is all");
        });
    });
}

#[tokio::test]
async fn a_flood_of_what_is_not_quics_keeps_nobody_from_quic() {
    let ports = ports();
    let joined = Joined::new(&ports, any_port(), "9").unwrap();
    let (at, client) = (joined.at(), Raw::at("127.0.0.1"));
    let quic = ports.quic(at).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let flooding = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let stranger = Raw::at("127.0.0.1");
            for _ in 0..10_000_000 {
                if over.load(Relaxed) {
                    return;
                }
                // The kernel may have no room for it.
                let _ = stranger.0.send_to(b"\x01garbage", at);
            }
        }
    });
    receive_until(&quic, until(|| quic.counts().unknown > 0)).await;
    let answering = async {
        loop {
            for (meta, bytes) in trains(&quic).await {
                send(&quic, &transmit(meta.addr, &bytes)).await;
            }
        }
    };
    let asking = async {
        for nth in 0..100 {
            // Any may get lost in the flood, so it is said again now and then.
            let said = [0xC0, nth];
            loop {
                client.say(at, &said);
                let answer = tokio::time::timeout(Duration::from_millis(50), client.hear()).await;
                if answer.is_ok_and(|(_, answer)| answer == said) {
                    break;
                }
            }
        }
    };
    tokio::select! {
        () = answering => {}
        () = within(asking) => {}
    }
    over.store(true, Relaxed);
    flooding.join().unwrap();
}
