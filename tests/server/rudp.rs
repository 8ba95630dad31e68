//! RUDP, beside all else on one port.

use std::{
    net::UdpSocket,
    num::{NonZeroU8, NonZeroU32},
};

use polyperf::{
    measure::Role,
    outcome::{Ended, Side},
    transport::{Fec, Tuning},
};
use polyperf_rudp::{Config, Parameters};
use polyperf_socket::{Packet, Prefix};

use crate::support::{all_add_up, soon, spawn, tcp_client, tcp_server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_congestion_control_and_tcp_at_once_add_up_on_one_port() {
    let mut server = tcp_server(|s| s.max_sessions(32)).await;
    let of = |name: &str| tcp_client(&server).transport(name).bytes(1_000_003);
    let mut clients = vec![of("tcp"), of("tcp").reverse(), of("rudp").control("quic")];
    for control in ["cubic", "bbr", "fixed:200M", "none"] {
        let of = || of("rudp").spec(|spec| spec.tuning.congestion = Some(control.to_owned()));
        clients.extend([of(), of().reverse().streams(4), of().bidirectional(), of().streams(3)]);
    }
    all_add_up(&mut server, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_at_once_are_served() {
    let mut server = tcp_server(|s| s.max_sessions(20)).await;
    let clients = (0..20).map(|index| {
        let client = tcp_client(&server).transport("rudp").bytes(300_007);
        if index % 2 == 0 { client } else { client.reverse() }
    });
    let clients = clients.collect();
    all_add_up(&mut server, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_in_force_at_the_end_that_sends_also_in_reverse() {
    let mut server = tcp_server(|s| s).await;
    let two = NonZeroU8::new(2).unwrap();
    let client = tcp_client(&server).transport("rudp").bytes(500_000).reverse().spec(|spec| {
        spec.tuning = Tuning {
            congestion: Some("fixed:80M".to_owned()),
            window: NonZeroU32::new(200_000),
            mtu: NonZeroU32::new(700),
            no_delay: true,
            fec: Some(Fec { data: two, parity: NonZeroU8::MIN }),
            ..Tuning::default()
        };
    });
    let ours = soon(spawn(client)).await.unwrap().unwrap();
    assert_eq!(ours.ended, Ended::Complete);
    for side in [Side::Client, Side::Server] {
        let flow = &ours.side(side).unwrap().flows[0];
        for (parameter, value) in [
            ("congestion", "fixed:80000000"),
            ("window", "200000"),
            ("mtu", "700"),
            ("no_delay", "true"),
            ("fec", "2:1"),
        ] {
            assert_eq!(flow.path.parameters[parameter], value, "{side:?}, {parameter}");
        }
        assert!(!flow.settings.is_empty());
        let refused = flow.settings.iter().find(|setting| setting.refused.is_some());
        assert_eq!(refused, None, "{side:?}");
    }
    let path = &ours.side(Side::Server).unwrap().flows[0].path;
    assert_eq!(path.pacing_rate, Some(80_000_000));
    let arq = path.arq.as_ref().unwrap();
    assert!(2 * arq.parity_sent.unwrap() + 2 >= arq.segments_sent.unwrap(), "{arq:?}");
    server.outcome().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_of_a_clients_connection_keeps_to_the_processor_that_is_asked_for() {
    let mut server = tcp_server(|s| s).await;
    for transport in ["tcp", "rudp", "kcp"] {
        let client = tcp_client(&server).transport(transport).bytes(100_000).affinity(0);
        let ours = soon(spawn(client)).await.unwrap().unwrap();
        let settings = &ours.side(Side::Client).unwrap().flows[0].settings;
        let affinity = settings.iter().find(|setting| setting.option == "affinity").unwrap();
        assert_eq!(affinity.granted.as_deref(), Some("0"), "{transport}: {affinity:?}");
        server.outcome().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_says_what_congestion_control_made_of_the_path() {
    let mut server = tcp_server(|s| s).await;
    for control in ["cubic", "bbr"] {
        let client =
            tcp_client(&server).transport("rudp").bytes(20_000_000).reverse().spec(|spec| {
                spec.tuning.congestion = Some(control.to_owned());
            });
        let ours = soon(spawn(client)).await.unwrap().unwrap();
        let flow = ours.info.flows[0].flow;
        let path = &ours.flow(flow, Role::Sender).unwrap().path;
        assert_eq!(path.congestion.as_deref(), Some(control));
        assert!(path.congestion_state.is_some() && path.spurious_losses.is_some(), "{path:?}");
        assert!(path.delivery_rate.is_some_and(|rate| rate > 1_000_000), "{path:?}");
        assert!(path.pacing_rate.is_some_and(|rate| rate > 1_000_000), "{path:?}");
        assert!(path.min_rtt.is_some() && path.cwnd.is_some(), "{path:?}");
        assert_eq!(path.ce_marks, Some(0));
        server.outcome().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_without_a_token_of_a_session_is_not_answered() {
    let mut server = tcp_server(|s| s).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let prefix = Prefix::of_bytes(b'r', 1).with_parameters(polyperf_rudp::PARAMETERS);
    let parameters = Parameters::new(&Config::default(), 7).encode();
    let parameters = &parameters[..];
    for attempt in 0..200_u8 {
        let (id, cookie) = ([attempt; 16], [attempt % 3; 16]);
        let hello = vec![attempt; usize::from(attempt % 50)];
        let opening = Packet::Open { id, cookie, parameters, hello: &hello };
        stranger.send_to(&opening.encode(prefix), server.addr).unwrap();
        // Nor is anything of a flow that is not there.
        stranger.send_to(&polyperf_rudp::packet::reset(7, 1), server.addr).unwrap();
    }
    let client = tcp_client(&server).transport("rudp");
    server.proves_itself(client).await;
    let answer = stranger.recv(&mut [0; 100]);
    assert!(answer.is_err(), "a stranger was answered");
}
