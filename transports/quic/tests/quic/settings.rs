//! What is asked for is what is set, at both ends, or an error.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
};

use polyperf_quic::QuicTransport;
use polyperf_transport::{Error, KeepAlive, Path, Peer, Setting, Transport, Tuning};

use crate::support::*;

/// Everything that can be set at both ends.
fn everything() -> Tuning {
    Tuning {
        window: NonZeroU32::new(1 << 20),
        congestion: Some("bbr".to_owned()),
        mtu: NonZeroU32::new(1300),
        ack_frequency: NonZeroU32::new(5),
        no_gso: true,
        ..Tuning::default()
    }
}

fn assert_granted(path: &Arc<dyn Path>, tuning: &Tuning) {
    let settings = path.tune(tuning);
    assert_eq!(settings.len(), tuning.asked().len(), "{settings:?}");
    for Setting { option, asked, granted, refused } in settings {
        assert_eq!((granted, refused), (Some(asked), None), "{option}");
    }
}

#[tokio::test]
async fn what_was_announced_is_set_at_both_ends_before_the_handshake() {
    let tuning = everything();
    let mut pair = Pair::of(&quic().streams(), tuning.clone()).await;
    for stream in [&pair.client, &pair.server] {
        assert_granted(&stream.path, &tuning);
        let stats = stream.path.stats();
        assert_eq!(stats.congestion.as_deref(), Some("bbr"));
        assert_eq!(stats.gso_segments, Some(1));
    }
    pair.carries(1 << 20).await;
    for stream in [&pair.client, &pair.server] {
        let stats = figures(stream, "the MTU is found", |stats| stats.mtu > Some(1280)).await;
        assert!(stats.mtu <= Some(1300), "{:?}", stats.mtu);
    }
}

#[tokio::test]
async fn each_congestion_control_is_set_at_both_ends() {
    for (asked, name) in
        [("cubic", "cubic"), ("newreno", "newreno"), ("reno", "newreno"), ("bbr", "bbr")]
    {
        let tuning = Tuning { congestion: Some(asked.to_owned()), ..Tuning::default() };
        let mut pair = Pair::of(&quic().streams(), tuning.clone()).await;
        pair.carries(300_000).await;
        for stream in [&pair.client, &pair.server] {
            assert_eq!(stream.path.stats().congestion.as_deref(), Some(name));
            let settings = stream.path.tune(&tuning);
            assert_eq!(settings[0].refused, None, "{settings:?}");
        }
    }
}

#[tokio::test]
async fn what_was_not_announced_is_as_ever_and_said_to_be() {
    let listener = listen(&quic().streams()).await;
    let tuning = everything();
    let peer = Peer { tuning: tuning.clone(), ..Peer::at(listener.local_addr()) };
    let pair = Pair::between(listener, &quic().streams(), &peer).await;
    assert_granted(&pair.client.path, &tuning);
    let stats = pair.server.path.stats();
    assert_eq!(stats.congestion.as_deref(), Some("cubic"));
    let settings = pair.server.path.tune(&tuning);
    assert_eq!(settings.len(), tuning.asked().len());
    for Setting { option, asked, granted, refused } in settings {
        assert_ne!(granted, Some(asked), "{option}");
        let refused = refused.unwrap_or_else(|| panic!("{option} is said to be granted"));
        assert!(refused.contains("before the handshake"), "{refused}");
    }
}

#[tokio::test]
async fn a_mark_that_nobody_announced_is_no_error() {
    let listener = quic()
        .streams()
        .listen(anywhere(), Arc::new(Announced::new(*b"another mark", everything())))
        .await
        .unwrap();
    let peer = Peer { mark: Some(MARK), ..Peer::at(listener.local_addr()) };
    let mut pair = Pair::between(listener, &quic().streams(), &peer).await;
    pair.carries(100_000).await;
    assert_eq!(pair.server.path.stats().congestion.as_deref(), Some("cubic"));
}

#[tokio::test]
async fn what_quic_does_not_have_is_refused_by_name() {
    let none = Tuning::default;
    let one = NonZeroU32::new(1);
    let cases: [(&str, Tuning); 11] = [
        ("mss 1", Tuning { mss: one, ..none() }),
        ("flow_label 1", Tuning { flow_label: one, ..none() }),
        ("fq_rate 1", Tuning { fq_rate: NonZeroU64::new(1), ..none() }),
        ("skip_rx_copy", Tuning { skip_rx_copy: true, ..none() }),
        ("send_timeout_ms 1", Tuning { send_timeout_ms: one, ..none() }),
        ("mptcp", Tuning { mptcp: true, ..none() }),
        ("vegas", Tuning { congestion: Some("vegas".to_owned()), ..none() }),
        ("MTU 1199", Tuning { mtu: NonZeroU32::new(1199), ..none() }),
        ("MTU 65508", Tuning { mtu: NonZeroU32::new(65_508), ..none() }),
        ("MTU 65536", Tuning { mtu: NonZeroU32::new(1 << 16), ..none() }),
        ("MTU 4294967295", Tuning { mtu: NonZeroU32::new(u32::MAX), ..none() }),
    ];
    for transport in [quic().streams(), quic().datagrams()] {
        for (name, tuning) in &cases {
            refuses(&transport, tuning, name).await;
        }
    }
    // A datagram is copied once, and no other way is there.
    let tuning = Tuning { zero_copy: true, ..none() };
    refuses(&quic().datagrams(), &tuning, "zero_copy").await;
}

async fn refuses(transport: &QuicTransport, tuning: &Tuning, name: &str) {
    let checked = transport.check(tuning);
    let peer = Peer { tuning: tuning.clone(), ..Peer::at(([127, 0, 0, 1], 9).into()) };
    let connected = transport.connect(&peer).await.map(drop);
    for refused in [checked, connected] {
        let Err(Error::Unsupported { option, reason, .. }) = &refused else {
            panic!("{name}: {refused:?}")
        };
        assert!(option.contains(name), "{option}");
        assert!(!reason.is_empty());
    }
}

#[tokio::test]
async fn keep_alives_are_said_to_be_what_they_are() {
    let tuning = |idle, interval, count| Tuning {
        keep_alive: Some(KeepAlive { idle, interval, count }),
        ..Tuning::default()
    };
    let pair = Pair::of(&quic().streams(), tuning(7, 0, 0)).await;
    assert_granted(&pair.client.path, &tuning(7, 0, 0));
    for other in [tuning(8, 0, 0), tuning(7, 1, 3)] {
        let settings = pair.client.path.tune(&other);
        assert_eq!(settings[0].granted.as_deref(), Some("7/0/0"));
        assert!(settings[0].refused.is_some());
    }
}

#[tokio::test]
async fn streams_are_spread_over_as_many_connections_as_asked() {
    let tuning = Tuning { connections: NonZeroU32::new(3), ..Tuning::default() };
    let mut pair = Pair::of(&quic().streams(), tuning).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(pair.another().await);
    }
    let others = others.iter().map(|(client, server)| [client, server]);
    let streams: Vec<_> = [[&pair.client, &pair.server]].into_iter().chain(others).collect();
    for end in [0, 1] {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for stream in &streams {
            *counts.entry(stream[end].path.stats().connection.unwrap()).or_default() += 1;
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 2, 2]);
    }
    let ports: Vec<_> = streams.iter().map(|[client, _]| client.local.port()).collect();
    assert_eq!(ports[..3], ports[3..]);
    assert!(ports[0] != ports[1] && ports[1] != ports[2]);
}

#[tokio::test]
async fn packets_grow_to_what_was_asked_for_and_come_through_in_trains() {
    for mtu in [1200, 9000, 65_507] {
        let tuning = Tuning { mtu: NonZeroU32::new(mtu), ..Tuning::default() };
        let mut pair = Pair::of(&quic().streams(), tuning).await;
        // The search ends that close to what it looks for.
        let found = mtu - if mtu == 1200 { 0 } else { 20 };
        for _ in 0..2 {
            pair.carries(8 << 20).await;
            for stream in [&pair.client, &pair.server] {
                figures(stream, "the MTU is found", |stats| stats.mtu >= Some(found)).await;
            }
        }
        for stream in [&pair.client, &pair.server] {
            let stats = stream.path.stats();
            assert!(stats.mtu <= Some(mtu), "{:?}", stats.mtu);
            assert!(stats.wire_bytes_sent > Some(16 << 20));
        }
    }
}

#[tokio::test]
async fn sending_the_same_bytes_over_and_over_sends_as_many() {
    let tuning = Tuning { zero_copy: true, ..Tuning::default() };
    let mut pair = Pair::of(&quic().streams(), tuning.clone()).await;
    assert_granted(&pair.client.path, &tuning);
    let bytes = vec![7; 1 << 20];
    carry(&mut pair.client, &mut pair.server, &bytes).await;
    carry(&mut pair.server, &mut pair.client, &bytes).await;
}

#[tokio::test]
async fn another_protocol_can_be_asked_for_where_there_is_one() {
    let listener = listen(&quic().streams()).await;
    let peer = |protocol: &str| Peer {
        protocol: Some(protocol.to_owned()),
        ..Peer::at(listener.local_addr())
    };
    soon("connect", quic().streams().connect(&peer("perf"))).await.unwrap();
    for (transport, protocol) in
        [(quic().streams(), "h3"), (quic().datagrams(), "perf"), (quic().datagrams(), "h3")]
    {
        let error = text(&transport.connect(&peer(protocol)).await.unwrap_err());
        assert!(error.contains(protocol), "{error}");
    }
}
