//! KCP, twice, beside all else on one port.

use std::{
    net::UdpSocket,
    num::{NonZeroU8, NonZeroU16, NonZeroU32},
};

use polyperf::{
    outcome::{Ended, Side},
    transport::{Fec, Tuning},
};

use crate::support::{all_add_up, soon, spawn, tcp_client, tcp_server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_kcps_and_tcp_at_once_add_up_on_one_port() {
    let mut server = tcp_server(|s| s.max_sessions(16)).await;
    let of = |name: &str| tcp_client(&server).transport(name).bytes(1_000_003);
    let mut clients = vec![of("tcp"), of("tcp").reverse(), of("kcp").control("quic")];
    for name in ["kcp", "tokio-kcp"] {
        clients.extend([
            of(name),
            of(name).reverse().streams(4),
            of(name).bidirectional(),
            of(name).streams(3),
        ]);
    }
    all_add_up(&mut server, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_at_once_are_served() {
    let mut server = tcp_server(|s| s.max_sessions(20)).await;
    let clients = (0..20).map(|index| {
        let client = tcp_client(&server).transport("kcp").bytes(300_007);
        if index % 2 == 0 { client } else { client.reverse() }
    });
    let clients = clients.collect();
    all_add_up(&mut server, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_in_force_at_the_end_that_sends_also_in_reverse() {
    let mut server = tcp_server(|s| s).await;
    for (name, fec) in
        [("kcp", Fec { data: two(), parity: NonZeroU8::MIN }), ("tokio-kcp", FEC_OFF)]
    {
        let client = tcp_client(&server).transport(name).bytes(500_000).reverse().spec(|spec| {
            spec.tuning = Tuning {
                kcp_mode: Some("fast2".to_owned()),
                kcp_interval_ms: NonZeroU32::new(25),
                kcp_sndwnd: NonZeroU16::new(300),
                kcp_rcvwnd: NonZeroU16::new(200),
                kcp_mtu: NonZeroU16::new(700),
                fec: (name == "kcp").then_some(fec),
                ..Tuning::default()
            };
        });
        let ours = soon(spawn(client)).await.unwrap().unwrap();
        assert_eq!(ours.ended, Ended::Complete);
        for side in [Side::Client, Side::Server] {
            let flow = &ours.side(side).unwrap().flows[0];
            for (parameter, value) in
                [("interval", "25"), ("sndwnd", "300"), ("rcvwnd", "200"), ("mtu", "700")]
            {
                assert_eq!(flow.path.parameters[parameter], value, "{name}, {side:?}, {parameter}");
            }
            assert!(!flow.settings.is_empty());
            let refused = flow.settings.iter().find(|setting| setting.refused.is_some());
            assert_eq!(refused, None, "{name}, {side:?}");
        }
        if name == "kcp" {
            let arq = ours.side(Side::Server).unwrap().flows[0].path.arq.as_ref().unwrap();
            assert!(2 * arq.parity_sent.unwrap() + 2 >= arq.segments_sent.unwrap(), "{arq:?}");
        }
        server.outcome().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_that_strangers_begin_are_neither_served_nor_answered() {
    let mut server = tcp_server(|s| s).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let mut first = [0; 25];
    (first[4], first[20]) = (81, 1);
    for conv in 0..200_u32 {
        first[..4].copy_from_slice(&conv.to_le_bytes());
        stranger.send_to(&first, server.addr).unwrap();
    }
    let client = tcp_client(&server).transport("kcp");
    server.proves_itself(client).await;
    let answer = stranger.recv(&mut [0; 100]);
    assert!(answer.is_err(), "a stranger was answered");
}

fn two() -> NonZeroU8 {
    NonZeroU8::new(2).unwrap()
}

const FEC_OFF: Fec = Fec { data: NonZeroU8::MIN, parity: NonZeroU8::MIN };
