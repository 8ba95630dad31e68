//! Streams over emulated links, with a paused clock.

use std::{future::poll_fn, io, num::NonZeroUsize, sync::Arc, task::Poll, time::Duration};

use polyperf_memory::{
    Memory, Network,
    link::{BitRate, LinkConfig, Loss, Probability, QueueLimit, Script},
};
use polyperf_transport::{
    Anyone, Chunk, Error, Hello, Listener, Peer, Received, Stream, Transport, Tuning,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn bytes_take_the_delay_of_the_link() {
    let network = Network::new(LinkConfig::perfect().delay(ms(20)));
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    let start = Instant::now();
    send(&mut client, b"there").await;
    assert_eq!(receive(&mut server, 5).await, b"there");
    send(&mut server, b"back").await;
    assert_eq!(receive(&mut client, 4).await, b"back");
    assert_eq!(start.elapsed(), ms(40));
}

#[tokio::test(start_paused = true)]
async fn a_lost_segment_is_sent_again_and_shows_as_delay() {
    let lossy = LinkConfig::perfect().delay(ms(10)).script(Script::new().drop([0, 1]));
    let network = Network::asymmetric(lossy, LinkConfig::perfect());
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    let start = Instant::now();
    send(&mut client, b"twice lost").await;
    assert_eq!(receive(&mut server, 10).await, b"twice lost");
    // Two timeouts of 10 ms and three delays, and the delay of the third try.
    assert_eq!(start.elapsed(), ms(2 * 40 + 10));

    let stats = client.path.stats();
    assert_eq!(stats.retransmits, Some(2));
    assert_eq!(stats.bytes_retransmitted, Some(20));
    assert_eq!(stats.packets_sent, Some(3));
    assert_eq!(stats.bytes_acked, Some(10));
    assert_eq!(stats.rtt, None, "what is not measured is not told");
    assert_eq!(server.path.stats().packets_received, Some(1));
    let cable = network.cable(client.local).expect("an open stream has a cable");
    assert_eq!(cable.to_listener().lost_by_script, 2);
}

#[tokio::test(start_paused = true)]
async fn bytes_flow_at_the_rate_of_the_link() {
    let config = LinkConfig::perfect().rate(BitRate::mbps(12)).queue(QueueLimit::Packets(10));
    let network = Network::new(config);
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    let start = Instant::now();
    // A thousand segments of 1500 bytes, a millisecond each.
    let bytes = vec![7; 1_460_000];
    let (_, got) = tokio::join!(send(&mut client, &bytes), receive(&mut server, bytes.len()));
    assert_eq!(got, bytes);
    assert_eq!(start.elapsed(), ms(1000));
    let cable = network.cable(client.local).expect("an open stream has a cable");
    assert_eq!(cable.to_listener().dropped_by_queue, 0, "a full queue holds the sender");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_takes_the_same_time() {
    let run = async |seed| {
        let config = LinkConfig::perfect()
            .rate(BitRate::mbps(20))
            .delay(ms(10))
            .jitter(ms(1))
            .loss(Loss::bursts(Probability::new(0.05), 2.0))
            .reorder(Probability::new(0.02), ms(3))
            .seed(seed);
        let Ends { mut client, mut server, .. } = open(&Memory::bytes(&Network::new(config))).await;
        let start = Instant::now();
        let bytes = vec![7; 500_000];
        tokio::join!(send(&mut client, &bytes), receive(&mut server, bytes.len()));
        (start.elapsed(), client.path.stats())
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn messages_are_lost_repeated_and_reordered() {
    let script = Script::new().drop([1]).duplicate([2]).delay([3], ms(5));
    let network = Network::new(LinkConfig::perfect().delay(ms(10)).script(script));
    let Ends { mut client, mut server, .. } = open(&messages(&network)).await;
    for id in 0..6 {
        send(&mut client, &[id; 100]).await;
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(receive(&mut server, 100).await[0]);
    }
    assert_eq!(ids, [0, 2, 2, 4, 5, 3]);
    assert_eq!(client.path.stats().packets_sent, Some(6));
    assert_eq!(server.path.stats().packets_received, Some(6));
    assert_eq!(client.path.stats().retransmits, None);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_messages_arrives_as_a_batch() {
    let Ends { mut client, mut server, .. } = open(&messages(&Network::perfect())).await;
    let bytes: Vec<u8> = (0..250).collect();
    let chunk = Chunk { bytes: &bytes, stride: size(100) };
    let taken = poll_fn(|cx| client.send.poll_send(cx, chunk)).await.unwrap();
    assert_eq!(taken, 250);
    let mut buf = [0; 1000];
    let got = recv(&mut server, &mut buf).await.unwrap();
    assert_eq!(got, Some(Received { len: 250, stride: 100, kernel_time: None }));
    assert_eq!(buf[..250], bytes);
}

#[tokio::test(start_paused = true)]
async fn a_sender_of_messages_is_held_while_nobody_reads() {
    let memory = messages(&Network::perfect()).window(size(1000));
    let Ends { mut client, mut server, .. } = open(&memory).await;
    for _ in 0..10 {
        send(&mut client, &[1; 100]).await;
    }
    assert!(!is_ready(&mut client, &[2; 100]).await);
    receive(&mut server, 100).await;
    assert!(is_ready(&mut client, &[2; 100]).await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_cable_carries_nothing_and_a_mended_one_carries_all_bytes() {
    for link in [LinkConfig::perfect(), LinkConfig::perfect().delay(ms(10))] {
        let network = Network::new(link);
        let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
        network.cut();
        send(&mut client, b"meanwhile").await;
        assert!(!hears_within(&mut server, ms(10_000)).await, "nothing crosses");
        network.heal();
        assert_eq!(receive(&mut server, 9).await, b"meanwhile");
        send(&mut client, b"afterwards").await;
        assert_eq!(receive(&mut server, 10).await, b"afterwards");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_when_the_cable_was_cut_is_sent_again() {
    let network = Network::new(LinkConfig::perfect().delay(ms(10)));
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    send(&mut client, b"on its way").await;
    assert!(!hears_within(&mut server, ms(5)).await);
    network.cut();
    assert!(!hears_within(&mut server, ms(10_000)).await, "nothing crosses");
    assert_eq!(client.path.stats().retransmits, Some(0));
    network.heal();
    assert_eq!(receive(&mut server, 10).await, b"on its way");
    assert_eq!(client.path.stats().retransmits, Some(1));
}

#[tokio::test(start_paused = true)]
async fn neither_end_learns_over_a_cut_cable_that_the_other_is_gone() {
    let network = Network::perfect();
    let Ends { mut client, server, .. } = open(&Memory::bytes(&network)).await;
    network.cut();
    drop(server);
    send(&mut client, b"into the void").await;
    assert!(!hears_within(&mut client, ms(60_000)).await);
    network.heal();
    let error = recv(&mut client, &mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn one_cable_is_cut_and_the_others_are_not() {
    let network = Network::perfect();
    let memory = Memory::bytes(&network);
    let mut first = open(&memory).await;
    let mut second = open(&memory).await;
    network.cable(first.client.local).expect("an open stream has a cable").cut();
    send(&mut first.client, b"hello").await;
    send(&mut second.client, b"hello").await;
    assert!(!hears_within(&mut first.server, ms(1000)).await);
    assert_eq!(receive(&mut second.server, 5).await, b"hello");
}

#[tokio::test(start_paused = true)]
async fn messages_sent_over_a_cut_cable_are_lost() {
    let network = Network::perfect();
    let Ends { mut client, mut server, .. } = open(&messages(&network)).await;
    network.cut();
    send(&mut client, b"lost").await;
    network.heal();
    send(&mut client, b"kept").await;
    assert_eq!(receive(&mut server, 4).await, b"kept");
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_over_a_cut_cable_waits_for_it_to_be_mended() {
    let network = Network::perfect();
    let memory = Memory::bytes(&network);
    let listener = memory.listen(any(), Arc::new(Anyone)).await.unwrap();
    network.cut();
    let peer = Peer::at(listener.local_addr());
    let (connected, ()) = tokio::join!(memory.connect(&peer), async {
        tokio::time::sleep(ms(500)).await;
        network.heal();
    });
    connected.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_receiver_breaks_the_pipe_and_wakes_the_sender() {
    let memory = Memory::bytes(&Network::perfect()).window(size(10));
    let Ends { mut client, server, .. } = open(&memory).await;
    send(&mut client, &[0; 10]).await;
    let Stream { recv: read, send: _kept, .. } = server;
    let chunk = Chunk::whole(b"more").unwrap();
    let (refused, ()) = tokio::join!(poll_fn(|cx| client.send.poll_send(cx, chunk)), async {
        tokio::task::yield_now().await;
        drop(read);
    });
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_sender_dropped_before_it_finished_resets_after_its_last_bytes() {
    let network = Network::new(LinkConfig::perfect().delay(ms(10)));
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    send(&mut client, b"last").await;
    drop(client);
    assert_eq!(receive(&mut server, 4).await, b"last");
    let error = recv(&mut server, &mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_sent_again_when_it_is_lost() {
    let network = Network::new(LinkConfig::perfect().script(Script::new().drop([1])));
    let Ends { mut client, mut server, .. } = open(&Memory::bytes(&network)).await;
    send(&mut client, b"all").await;
    poll_fn(|cx| client.send.poll_finish(cx)).await.unwrap();
    assert_eq!(receive(&mut server, 3).await, b"all");
    assert_eq!(recv(&mut server, &mut [0; 10]).await.unwrap(), None);
    assert_eq!(client.path.stats().retransmits, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_has_finished_sends_no_more() {
    let Ends { mut client, .. } = open(&Memory::bytes(&Network::perfect())).await;
    poll_fn(|cx| client.send.poll_finish(cx)).await.unwrap();
    let chunk = Chunk::whole(b"late").unwrap();
    let error = poll_fn(|cx| client.send.poll_send(cx, chunk)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_listener_on_every_address_is_reached_by_any() {
    let memory = Memory::bytes(&Network::perfect());
    let mut listener = memory.listen("[::]:5201".parse().unwrap(), Arc::new(Anyone)).await.unwrap();
    for addr in ["127.0.0.1:5201", "[::1]:5201", "10.0.0.1:5201"] {
        let peer = Peer::at(addr.parse().unwrap());
        let client = memory.connect(&peer).await.unwrap().open(Hello::Own(b"")).await.unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!((server.local, server.peer), (client.peer, client.local));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_connection_take_one_local_port_after_another() {
    let memory = Memory::bytes(&Network::perfect());
    let mut listener = memory.listen(any(), Arc::new(Anyone)).await.unwrap();
    let local = "127.0.0.1:7000".parse().ok();
    let peer = Peer { local, ..Peer::at(listener.local_addr()) };
    let connection = memory.connect(&peer).await.unwrap();
    let streams = [
        connection.open(Hello::Own(b"")).await.unwrap(),
        connection.open(Hello::Own(b"")).await.unwrap(),
    ];
    assert_eq!(streams.each_ref().map(|stream| stream.local.port()), [7000, 7001]);

    let taken = memory.connect(&peer).await.unwrap().open(Hello::Own(b"")).await.unwrap_err();
    assert!(
        matches!(taken, Error::Connect { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    );
    drop((streams, listener.accept().await, listener.accept().await));
    assert!(
        memory.connect(&peer).await.unwrap().open(Hello::Own(b"")).await.is_ok(),
        "dropped ports are free"
    );
}

#[tokio::test(start_paused = true)]
async fn settings_are_refused_by_name() {
    let memory = Memory::bytes(&Network::perfect());
    let listener = memory.listen(any(), Arc::new(Anyone)).await.unwrap();
    let tuning = Tuning { no_delay: true, ..Tuning::default() };
    let peer = Peer { tuning, ..Peer::at(listener.local_addr()) };
    let error = memory.connect(&peer).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { option, .. } if option == "no_delay"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_opens_nothing_and_leaves_its_streams() {
    let memory = Memory::bytes(&Network::perfect());
    let mut listener = memory.listen(any(), Arc::new(Anyone)).await.unwrap();
    let connection = memory.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let mut client = connection.open(Hello::Own(b"")).await.unwrap();
    let mut server = listener.accept().await.unwrap();
    connection.close().await;
    assert!(matches!(connection.open(Hello::Own(b"")).await, Err(Error::Connect { .. })));
    send(&mut client, b"still here").await;
    assert_eq!(receive(&mut server, 10).await, b"still here");
}

struct Ends {
    _listener: Box<dyn Listener>,
    client: Stream,
    server: Stream,
}

async fn open(memory: &Memory) -> Ends {
    let mut listener = memory.listen(any(), Arc::new(Anyone)).await.expect("a free port");
    let connection = memory.connect(&Peer::at(listener.local_addr())).await.expect("a listener");
    let client = connection.open(Hello::Own(b"")).await.expect("a stream");
    let server = listener.accept().await.expect("its other end");
    Ends { _listener: listener, client, server }
}

async fn send(stream: &mut Stream, mut bytes: &[u8]) {
    while let Some(chunk) = Chunk::whole(bytes) {
        let taken = poll_fn(|cx| stream.send.poll_send(cx, chunk)).await.expect("a receiver");
        bytes = &bytes[taken..];
    }
}

async fn is_ready(stream: &mut Stream, bytes: &[u8]) -> bool {
    let chunk = Chunk::whole(bytes).expect("something to send");
    poll_fn(|cx| Poll::Ready(stream.send.poll_send(cx, chunk).is_ready())).await
}

async fn recv(stream: &mut Stream, buf: &mut [u8]) -> io::Result<Option<Received>> {
    poll_fn(|cx| stream.recv.poll_recv(cx, buf)).await
}

async fn receive(stream: &mut Stream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        filled +=
            recv(stream, &mut bytes[filled..]).await.expect("no error").expect("no end yet").len;
    }
    bytes
}

/// Returns whether anything arrives, or ends, within `limit`.
async fn hears_within(stream: &mut Stream, limit: Duration) -> bool {
    tokio::time::timeout(limit, recv(stream, &mut [0; 100])).await.is_ok()
}

fn messages(network: &Network) -> Memory {
    Memory::messages(network, size(1200))
}

fn any() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).expect("more than none")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
