//! Ends of a churn that do not ask, do not answer, or come in crowds.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use polyperf::{
    client,
    measure::{FlowId, Role, SideSummary},
    outcome::{Ended, Outcome},
    protocol::native::{Agree, Deadlines, Message, Results, Sent},
    spec::{Exchange, Limit, SpecFields, Workload},
    transport::{
        AcceptError, Connection, Delivery, Error, Gate, Listener, Peer, Received, RecvHalf, Stream,
        Transport, async_trait,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    raw::{Raw, attach, brief},
    support::{Serving, World, short, soon, spawn, tcp_client, tcp_server},
};

const REQUEST: [u8; 64] = [7; 64];

fn churn() -> SpecFields {
    let workload = Workload::Churn(Exchange::default());
    SpecFields { workload, limit: Limit::Endless, ..brief() }
}

/// Comes as far as a running test.
async fn started(addr: SocketAddr) -> (Raw, Box<Agree>) {
    let (mut raw, agree) = Raw::agreed(addr, churn()).await;
    assert_eq!(raw.hear().await, Some(Message::Start));
    (raw, agree)
}

/// Returns everything that comes up to the end.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end like any other.
    let _ = soon(stream.read_to_end(&mut rest)).await;
    rest
}

/// Ends the test in order, and returns how many bytes the server has counted.
async fn counted(server: &mut Serving, mut raw: Raw) -> u64 {
    let stopped = Ended::Stopped { by: polyperf::outcome::Side::Client, reason: String::new() };
    raw.send(&Message::Stop(stopped)).await;
    raw.send(&Message::Bye).await;
    let outcome = server.outcome().await;
    outcome.local.with_role(Role::Receiver).map(|flow| flow.bytes).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_never_asks_is_dropped_at_its_deadline() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let (raw, agree) = started(server.addr).await;
    for asked in [0, 1, 63] {
        let mut stream = attach(server.addr, &agree, 1).await;
        stream.write_all(&REQUEST[..asked]).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"", "{asked}");
    }
    assert_eq!(counted(&mut server, raw).await, 0);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_another_size_counts_as_the_one_that_was_agreed_on() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let (raw, agree) = started(server.addr).await;
    let mut stream = attach(server.addr, &agree, 1).await;
    let flood = async {
        // Whoever floods is cut off: then nobody takes it any more.
        while stream.write_all(&[1; 4096]).await.is_ok() {}
    };
    soon(flood).await;
    let mut stream = attach(server.addr, &agree, 1).await;
    stream.write_all(&REQUEST).await.unwrap();
    let mut response = [0; 64];
    soon(stream.read_exact(&mut response)).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"", "the server closes first");
    assert_eq!(counted(&mut server, raw).await, 128);
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_the_test_does_not_have_are_dropped() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let (raw, agree) = started(server.addr).await;
    for lane in [0, 2, 1023] {
        let mut stream = attach(server.addr, &agree, lane).await;
        let _ = stream.write_all(&REQUEST).await;
        assert_eq!(rest(&mut stream).await, b"", "{lane}");
    }
    assert_eq!(counted(&mut server, raw).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_holds_no_more_than_the_test_may_have() {
    // Those that are held would be held for long.
    let deadlines = Deadlines { answer: Duration::from_secs(300), ..short() };
    let server = tcp_server(|s| s.deadlines(deadlines).max_sessions(2)).await;
    let (_raw, agree) = started(server.addr).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(attach(server.addr, &agree, 1).await);
    }
    let mut ends = JoinSet::new();
    for mut stream in streams {
        ends.spawn(async move {
            let _ = stream.read(&mut [0]).await;
        });
    }
    for _ in 0..84 {
        soon(ends.join_next()).await;
    }
    assert_eq!(ends.len(), 16, "as many as a test of one lane may have");
    // Another client is none the worse for it, and neither is this one once it lets go.
    let outcome = soon(spawn(tcp_client(&server).bytes(1000))).await.unwrap().unwrap();
    assert_eq!(outcome.ended, Ended::Complete);
    ends.abort_all();
    let answered = async {
        loop {
            let mut stream = attach(server.addr, &agree, 1).await;
            let _ = stream.write_all(&REQUEST).await;
            if stream.read_exact(&mut [0; 64]).await.is_ok() {
                break;
            }
        }
    };
    soon(answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_once_the_test_is_over() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let (mut raw, agree) = started(server.addr).await;
    let mut held = attach(server.addr, &agree, 1).await;
    let sent = vec![Sent { flow: FlowId(1), bytes: 0, datagrams: None }];
    raw.send(&Message::Sent(sent)).await;
    let results = Results::new(SideSummary::default());
    raw.send(&Message::Results(Box::new(results))).await;
    drop(raw);
    server.outcome().await;
    assert_eq!(rest(&mut held).await, b"");
    let mut late = attach(server.addr, &agree, 1).await;
    let _ = late.write_all(&REQUEST).await;
    assert_eq!(rest(&mut late).await, b"");
}

/// A transport with troubles: some connections cannot be made, some are never heard.
#[derive(Debug)]
struct Troubled {
    inner: Arc<dyn Transport>,
    /// Of which the first is for control.
    made: AtomicU64,
    refuses: fn(u64) -> bool,
    mutes: fn(u64) -> bool,
}

#[async_trait]
impl Transport for Troubled {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn delivery(&self) -> Delivery {
        self.inner.delivery()
    }

    fn check(&self, tuning: &polyperf::transport::Tuning) -> Result<(), Error> {
        self.inner.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let inner = self.inner.listen(addr, gate).await?;
        Ok(Box::new(TroubledListener { inner, accepted: 0, mutes: self.mutes }))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        if (self.refuses)(self.made.fetch_add(1, Ordering::Relaxed)) {
            let source = io::Error::new(io::ErrorKind::ConnectionRefused, "refused on demand");
            return Err(Error::Connect { addr: peer.addr, source });
        }
        self.inner.connect(peer).await
    }
}

#[derive(Debug)]
struct TroubledListener {
    inner: Box<dyn Listener>,
    accepted: u64,
    mutes: fn(u64) -> bool,
}

#[async_trait]
impl Listener for TroubledListener {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.inner.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let stream = self.inner.accept().await?;
        let mute = (self.mutes)(self.accepted);
        self.accepted += 1;
        if !mute {
            return Ok(stream);
        }
        let recv = Box::new(Mute { _inner: stream.recv });
        Ok(Stream { recv, ..stream })
    }
}

/// Never hears anything.
#[derive(Debug)]
struct Mute {
    _inner: Box<dyn RecvHalf>,
}

impl RecvHalf for Mute {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        Poll::Pending
    }

    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

/// Runs a churn of so many connections over an in-process network with such troubles.
async fn troubled(
    connections: u64,
    refuses: fn(u64) -> bool,
    mutes: fn(u64) -> bool,
    set: impl FnOnce(client::Builder) -> client::Builder,
) -> Arc<Outcome> {
    let world = World::new();
    let made = AtomicU64::new(0);
    let inner = Arc::clone(&world.memory);
    let world = World { memory: Arc::new(Troubled { inner, made, refuses, mutes }), ..world };
    let deadlines = Deadlines { answer: Duration::from_secs(60), ..Deadlines::default() };
    let mut server = world.serve(|s| s.deadlines(deadlines)).await;
    let client = world.client(&server).spec(|spec| {
        spec.workload = Workload::Churn(Exchange::default());
        spec.limit = Limit::Blocks(connections);
    });
    let ours = soon(spawn(set(client))).await.unwrap().unwrap();
    server.outcome().await;
    ours
}

#[tokio::test(start_paused = true)]
async fn connections_that_cannot_be_made_are_counted_and_not_fatal() {
    let ours = troubled(30, |n| n > 0 && n % 3 == 0, |_| false, |client| client).await;
    assert_eq!(ours.ended, Ended::Complete);
    let flow = &ours.local.flows[0];
    let lane = flow.exchanges.as_ref().unwrap();
    assert_eq!((lane.requests, lane.replies, lane.lost), (20, 20, 0));
    assert_eq!((lane.refused, &flow.error), (Some(10), &None));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_answered_in_time_are_lost_and_not_fatal() {
    let ours = troubled(5, |_| false, |n| n == 2, |client| client).await;
    assert_eq!(ours.ended, Ended::Complete);
    let flow = &ours.local.flows[0];
    let lane = flow.exchanges.as_ref().unwrap();
    assert_eq!((lane.requests, lane.replies, lane.lost), (5, 4, 1));
    assert_eq!((flow.bytes, &flow.error), (4 * 64, &None));
    let took = flow.duration.as_secs_f64();
    assert!((10.0..10.1).contains(&took), "the deadline of one: {took}");
}

#[tokio::test(start_paused = true)]
async fn a_test_in_which_nothing_is_answered_has_failed_and_says_why() {
    let none = [
        troubled(3, |n| n > 0, |_| false, |client| client).await,
        troubled(3, |_| false, |n| n > 0, |client| client).await,
        troubled(3, |_| false, |n| n > 0, |client| client.time(Duration::from_secs(1))).await,
    ];
    let reasons = ["refused on demand", "nothing came within 10s", "before the first response"];
    for (outcome, reason) in none.iter().zip(reasons) {
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert!(failure.message.contains(reason), "{failure}");
        assert!(outcome.local.flows[0].error.as_ref().unwrap().contains(reason));
    }
}
