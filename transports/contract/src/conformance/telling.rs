//! Rules about what is told of a path, and set on it.

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64},
    sync::Arc,
};

use super::scene::{Pair, message_len, on_a_thread, pattern, recv_exactly, send, within};
use crate::{Fec, KeepAlive, Transport, Tuning};

/// The figures may be read while the halves work, from any thread, by several at once.
pub async fn stats_may_be_read_from_anywhere(transport: Arc<dyn Transport>, at: SocketAddr) {
    let Pair { listener: _listener, connection: _connection, mut client, mut server } =
        Pair::open(&transport, at).await;
    let readers = [&client.path, &client.path, &server.path].map(|path| {
        let path = Arc::clone(path);
        on_a_thread(move || async move {
            for _ in 0..100 {
                path.stats();
            }
        })
    });
    let sent = pattern(9, message_len(&transport));
    for _ in 0..100 {
        send(&mut *client.send, &sent).await;
        assert_eq!(recv_exactly(&mut *server.recv, sent.len()).await, sent);
        client.path.stats();
    }
    for reader in readers {
        within("reading figures", reader).await.expect("figures can be read");
    }
    drop((client.send, client.recv));
    client.path.stats();
}

/// `tune` returns one setting per field asked, and the same when asked again.
pub async fn tune_answers_every_question(transport: Arc<dyn Transport>, at: SocketAddr) {
    let pair = Pair::open(&transport, at).await;
    let path = &pair.client.path;
    assert_eq!(path.tune(&Tuning::default()), [], "nothing asked, nothing answered");

    let asked = Tuning {
        window: NonZeroU32::new(256 << 10),
        mss: NonZeroU32::new(1200),
        no_delay: true,
        congestion: Some("cubic".to_owned()),
        tos: Some(0x10),
        flow_label: NonZeroU32::new(7),
        fq_rate: NonZeroU64::new(1_000_000_000),
        dont_fragment: true,
        zero_copy: true,
        skip_rx_copy: true,
        send_timeout_ms: NonZeroU32::new(20_000),
        keep_alive: Some(KeepAlive { idle: 60, interval: 5, count: 4 }),
        mptcp: true,
        no_gso: true,
        mtu: NonZeroU32::new(1400),
        ack_frequency: NonZeroU32::new(10),
        connections: NonZeroU32::new(2),
        resume: true,
        zero_rtt: true,
        kcp_mode: Some("fast2".to_owned()),
        kcp_nodelay: Some(1),
        kcp_interval_ms: NonZeroU32::new(20),
        kcp_resend: Some(2),
        kcp_nc: Some(true),
        kcp_sndwnd: NonZeroU16::new(512),
        kcp_rcvwnd: NonZeroU16::new(512),
        kcp_mtu: NonZeroU16::new(1200),
        kcp_flush: Some("batch".to_owned()),
        fec: Some(Fec { data: NonZeroU8::MIN, parity: NonZeroU8::MIN }),
    };
    let settings = path.tune(&asked);
    let mut options: Vec<&str> = settings.iter().map(|setting| &*setting.option).collect();
    let mut questions: Vec<&str> = asked.asked().into_iter().map(|(option, _)| option).collect();
    options.sort_unstable();
    questions.sort_unstable();
    assert_eq!(options, questions);
    for setting in &settings {
        let answered = setting.granted.is_some() || setting.refused.is_some();
        assert!(answered, "{setting:?} says neither what is in force nor why not");
    }
    assert_eq!(path.tune(&asked), settings, "asking again changes nothing");

    let one = path.tune(&Tuning { no_delay: true, ..Tuning::default() });
    assert_eq!(one.len(), 1, "one question, one answer: {one:?}");
}
