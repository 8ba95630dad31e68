//! The server of `perf` (draft-banks-quic-performance-00), asked by quinn as it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use polyperf_quic::Patience;
use polyperf_transport::{
    Anyone, Gate, Guest, Listener, Mark, Opening, Transport, Tuning, Verdict, Visit, async_trait,
};
use quinn::{Connection, TransportConfig, VarInt};
use tokio::sync::watch;

use crate::support::*;

/// Lets guests in, and has them leave when it says so.
#[derive(Debug, Clone)]
struct Host {
    over: watch::Sender<bool>,
    moved: Arc<(AtomicU64, AtomicU64)>,
    guests: Arc<AtomicU64>,
}

impl Host {
    fn new() -> Self {
        Self { over: watch::Sender::new(false), moved: Arc::default(), guests: Arc::default() }
    }

    async fn listen(&self) -> Box<dyn Listener> {
        quic().streams().listen(anywhere(), Arc::new(self.clone())).await.unwrap()
    }

    /// Bytes received and sent, as the transport has told.
    fn moved(&self) -> (u64, u64) {
        (self.moved.0.load(Relaxed), self.moved.1.load(Relaxed))
    }
}

impl Gate for Host {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        Anyone.admit(opening)
    }

    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, guest: &Guest<'_>) -> Option<Box<dyn Visit>> {
        assert_eq!(guest.protocol, "perf");
        self.guests.fetch_add(1, Relaxed);
        Some(Box::new(Stay(self.clone())))
    }
}

#[derive(Debug)]
struct Stay(Host);

#[async_trait]
impl Visit for Stay {
    async fn over(&self) -> String {
        let mut over = self.0.over.subscribe();
        let _ = over.wait_for(|over| *over).await;
        "closing time".to_owned()
    }

    fn moved(&self, received: u64, sent: u64) {
        self.0.moved.0.fetch_add(received, Relaxed);
        self.0.moved.1.fetch_add(sent, Relaxed);
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Relaxed);
    }
}

async fn guest(to: SocketAddr) -> Connection {
    bare(to, b"perf").await
}

/// Sends a request and returns the length of the answer.
async fn ask(connection: &Connection, wanted: u64, upload: &[u8]) -> usize {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let asking = async {
        send.write_all(&wanted.to_be_bytes()).await.unwrap();
        send.write_all(upload).await.unwrap();
        send.finish().unwrap();
    };
    let (answer, ()) =
        soon("answer", async { tokio::join!(recv.read_to_end(64 << 20), asking) }).await;
    answer.unwrap().len()
}

#[tokio::test]
async fn a_request_is_answered_with_as_many_bytes_as_it_wants() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    let mut moved = (0, 0);
    for (wanted, upload) in [(0, 0), (1, 0), (0, 1), (65_536, 7), (1 << 20, 1 << 20), (100_001, 5)]
    {
        let bytes = pattern(wanted, upload);
        assert_eq!(ask(&connection, wanted, &bytes).await as u64, wanted);
        moved = (moved.0 + upload as u64, moved.1 + wanted);
        assert_eq!(host.moved(), moved);
    }
    connection.close(0_u32.into(), b"");
    until("the guest has left", || host.guests.load(Relaxed) == 0).await;
}

#[tokio::test]
async fn requests_at_once_are_all_answered() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    let requests: Vec<_> = (0..100_u64)
        .map(|nth| {
            let connection = connection.clone();
            tokio::spawn(async move { ask(&connection, nth * 1000, &pattern(nth, 512)).await })
        })
        .collect();
    for (nth, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap(), nth * 1000);
    }
}

#[tokio::test]
async fn one_way_requests_are_answered_on_a_stream_of_the_server_unless_nothing_is_wanted() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    for wanted in [0_u64, 3000, 0, 100_000] {
        let mut send = connection.open_uni().await.unwrap();
        send.write_all(&wanted.to_be_bytes()).await.unwrap();
        send.finish().unwrap();
    }
    let mut lengths = Vec::new();
    for _ in 0..2 {
        let mut answer = soon("an answer", connection.accept_uni()).await.unwrap();
        lengths.push(soon("its end", answer.read_to_end(1 << 20)).await.unwrap().len());
    }
    lengths.sort_unstable();
    assert_eq!(lengths, [3000, 100_000]);
    // Another request is answered after those that want nothing, on the third stream.
    let mut send = connection.open_uni().await.unwrap();
    send.write_all(&7_u64.to_be_bytes()).await.unwrap();
    send.finish().unwrap();
    let mut answer = soon("an answer", connection.accept_uni()).await.unwrap();
    assert_eq!(answer.read_to_end(100).await.unwrap().len(), 7);
    assert_eq!(answer.id().index(), 2);
}

#[tokio::test]
async fn an_answer_without_end_is_ended_by_who_reads_it() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    for _ in 0..3 {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&u64::MAX.to_be_bytes()).await.unwrap();
        send.finish().unwrap();
        let mut buf = vec![0; 1 << 20];
        soon("a megabyte", recv.read_exact(&mut buf)).await.unwrap();
        recv.stop(0_u32.into()).unwrap();
    }
    assert_eq!(ask(&connection, 5, b"").await, 5, "the connection lives on");
}

#[tokio::test]
async fn what_is_no_request_is_borne() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    for len in [0, 1, 7] {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&vec![0xff; len]).await.unwrap();
        send.finish().unwrap();
        assert_eq!(soon("the end", recv.read_to_end(10)).await.unwrap(), b"");
        let mut send = connection.open_uni().await.unwrap();
        send.write_all(&vec![0xff; len]).await.unwrap();
        send.finish().unwrap();
    }
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[0; 5]).await.unwrap();
    send.reset(9_u32.into()).unwrap();
    assert_eq!(ask(&connection, 5, b"").await, 5);
    assert_eq!(host.moved().1, 5);
}

#[tokio::test]
async fn a_header_in_pieces_is_one() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    for byte in 1000_u64.to_be_bytes() {
        let before = connection.stats().frame_tx.stream;
        send.write_all(&[byte]).await.unwrap();
        until("it is sent", || connection.stats().frame_tx.stream > before).await;
    }
    send.finish().unwrap();
    assert_eq!(soon("answer", recv.read_to_end(2000)).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn guests_that_are_not_let_in_are_told_so() {
    let gate = Arc::new(Announced::default());
    let listener = quic().streams().listen(anywhere(), gate).await.unwrap();
    let connection = guest(listener.local_addr()).await;
    let reason = soon("close", connection.closed()).await.to_string();
    assert!(reason.contains("the server does not serve perf now"), "{reason}");
    serves(listener).await;
}

#[tokio::test]
async fn a_guest_leaves_when_its_visit_is_over_however_much_it_still_wants() {
    for answers in [0, 1, 20] {
        let host = Host::new();
        let listener = host.listen().await;
        // The last word is said once: what came before it must not have filled the socket.
        let mut config = bare_config(b"perf");
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(VarInt::from_u32(4 << 10));
        config.transport_config(Arc::new(transport));
        let connection = bare_with(listener.local_addr(), config).await;
        assert_eq!(ask(&connection, 5, b"").await, 5);
        let mut endless = Vec::new();
        for _ in 0..answers {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_all(&u64::MAX.to_be_bytes()).await.unwrap();
            send.finish().unwrap();
            soon("some of it", recv.read_exact(&mut [0; 1000])).await.unwrap();
            endless.push(recv);
        }
        host.over.send_replace(true);
        let reason = soon("close", connection.closed()).await.to_string();
        assert!(reason.contains("closing time"), "{reason}");
        until("the guest has left", || host.guests.load(Relaxed) == 0).await;
        serves(listener).await;
    }
}

#[tokio::test]
async fn a_guest_that_asks_for_nothing_is_sent_away() {
    let patience = Patience { guest: Duration::from_millis(50), ..Patience::default() };
    let listener = listen(&patient(patience).streams()).await;
    let connection = guest(listener.local_addr()).await;
    let reason = soon("close", connection.closed()).await.to_string();
    assert!(reason.contains("nothing was asked for"), "{reason}");
}

#[tokio::test]
async fn a_guest_that_reads_nothing_holds_up_nobody() {
    let host = Host::new();
    let listener = host.listen().await;
    let connection = guest(listener.local_addr()).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&u64::MAX.to_be_bytes()).await.unwrap();
        send.finish().unwrap();
        unread.push(recv);
    }
    let other = guest(listener.local_addr()).await;
    assert_eq!(ask(&other, 1 << 20, &pattern(1, 1 << 20)).await, 1 << 20);
}
