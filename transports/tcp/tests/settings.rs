//! What is asked of a connection shows on its sockets, and costs no byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{
    future::poll_fn,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

use polyperf_tcp::Tcp;
use polyperf_transport::{Anyone, Hello, HostSockets, Peer, Stream, Transport, Tuning, send_all};

#[tokio::test]
async fn a_flow_label_is_in_force_at_the_end_that_connects() {
    let tuning = Tuning { flow_label: NonZeroU32::new(0xabcde), ..Tuning::default() };
    let (client, server) = open("[::1]:0", &tuning).await;
    let [client, server] = [client, server].map(|end| end.path.tune(&tuning).remove(0));
    assert_eq!((client.granted, client.refused), (Some("703710".to_owned()), None));
    assert_eq!(server.granted, None);
    assert!(server.refused.is_some_and(|reason| reason.contains("connects")));
}

#[tokio::test]
async fn several_paths_are_had_or_refused_with_a_reason() {
    let tuning = Tuning { mptcp: true, ..Tuning::default() };
    let tcp = Tcp::new(Arc::new(HostSockets::new()));
    let mut listener = tcp.listen("127.0.0.1:0".parse().unwrap(), Arc::new(Anyone)).await.unwrap();
    let peer = Peer { tuning: tuning.clone(), ..Peer::at(listener.local_addr()) };
    match tcp.connect(&peer).await.unwrap().open(Hello::Own(b"hello")).await {
        Ok(client) => {
            let server = listener.accept().await.unwrap();
            for end in [client, server] {
                let [setting] = end.path.tune(&tuning).try_into().unwrap();
                assert_eq!((setting.granted.as_deref(), setting.refused), (Some("true"), None));
            }
        }
        // A kernel without it.
        Err(error) => assert!(error.to_string().contains("127.0.0.1"), "{error}"),
    }
}

#[tokio::test]
async fn marks_and_limits_are_read_back() {
    let (client, _server) = open("127.0.0.1:0", &Tuning::default()).await;
    let settings = client.path.tune(&Tuning {
        tos: Some(0x28),
        fq_rate: NonZeroU64::new(80_000_000),
        send_timeout_ms: NonZeroU32::new(1500),
        ..Tuning::default()
    });
    let granted: Vec<_> =
        settings.iter().map(|s| (s.option.as_str(), s.granted.as_deref())).collect();
    assert_eq!(
        granted,
        [("tos", Some("40")), ("fq_rate", Some("80000000")), ("send_timeout_ms", Some("1500"))]
    );
}

#[test]
fn without_copies_the_same_number_of_bytes_arrives() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tuning = Tuning { zero_copy: true, skip_rx_copy: true, ..Tuning::default() };
    let (mut client, mut server) = runtime().block_on(async {
        let (client, server) = open("127.0.0.1:0", &Tuning::default()).await;
        for stream in [&client, &server] {
            assert!(stream.path.tune(&tuning).iter().all(|s| s.refused.is_none()));
        }
        (client, server)
    });
    let limit = Some(Duration::from_millis(10));
    let sender = std::thread::spawn(move || {
        client.send.block_for(limit);
        runtime().block_on(async {
            for len in [1 << 20, 1, 100_000, 3 << 20] {
                send_all(&mut *client.send, &vec![7; len]).await.unwrap();
            }
            poll_fn(|cx| client.send.poll_finish(cx)).await.unwrap();
        });
    });
    server.recv.block_for(limit);
    let received = runtime().block_on(async {
        let (mut buf, mut total) = (vec![0; 1 << 20], 0);
        while let Some(more) = poll_fn(|cx| server.recv.poll_recv(cx, &mut buf)).await.unwrap() {
            total += more.len;
        }
        assert!(buf.iter().all(|&byte| byte == 0), "nothing was copied here");
        total
    });
    sender.join().unwrap();
    assert_eq!(received, (1 << 20) + 1 + 100_000 + (3 << 20));
}

async fn open(at: &str, tuning: &Tuning) -> (Stream, Stream) {
    let tcp = Tcp::new(Arc::new(HostSockets::new()));
    let at: SocketAddr = at.parse().unwrap();
    let mut listener = tcp.listen(at, Arc::new(Anyone)).await.unwrap();
    let peer = Peer { tuning: tuning.clone(), ..Peer::at(listener.local_addr()) };
    let connection = tcp.connect(&peer).await.unwrap();
    let (client, server) = tokio::join!(connection.open(Hello::Own(&[])), listener.accept());
    (client.unwrap(), server.unwrap())
}

#[test]
fn what_is_left_of_bulk_comes_with_its_end() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut client, mut server) = runtime().block_on(open("127.0.0.1:0", &Tuning::default()));
    // No limit would end a wait for what does not come before the test's own does.
    server.recv.block_for(Some(Duration::from_secs(600)));
    server.recv.expect_bulk();
    let receiver = std::thread::spawn(move || {
        let (mut buf, mut total) = (vec![0; 128 << 10], 0);
        runtime().block_on(async {
            while let Some(more) = poll_fn(|cx| server.recv.poll_recv(cx, &mut buf)).await.unwrap()
            {
                total += more.len;
            }
        });
        total
    });
    runtime().block_on(async {
        for len in [3 << 20, 100_000, 1] {
            send_all(&mut *client.send, &vec![7; len]).await.unwrap();
        }
        poll_fn(|cx| client.send.poll_finish(cx)).await.unwrap();
    });
    assert_eq!(receiver.join().unwrap(), (3 << 20) + 100_001);
}

#[tokio::test]
async fn a_receiver_that_waited_for_a_whole_buffer_gets_a_single_byte_all_the_same() {
    let (mut client, mut server) = open("127.0.0.1:0", &Tuning::default()).await;
    let mut buf = vec![0; 128 << 10];
    for bulk in [false, true] {
        if bulk {
            server.recv.expect_bulk();
        }
        server.recv.block_for(Some(Duration::from_millis(10)));
        send_all(&mut *client.send, b"abc").await.unwrap();
        let received = poll_fn(|cx| server.recv.poll_recv(cx, &mut buf)).await.unwrap().unwrap();
        assert_eq!(&buf[..received.len], b"abc", "when its time is up");
    }
    server.recv.block_for(None);
    send_all(&mut *client.send, b"d").await.unwrap();
    let received = poll_fn(|cx| server.recv.poll_recv(cx, &mut buf)).await.unwrap().unwrap();
    assert_eq!(&buf[..received.len], b"d", "as soon as it is there");
}
