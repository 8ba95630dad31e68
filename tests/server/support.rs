//! A server and its clients, over an in-process network or over loopback.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use polyperf::{
    Client, Registry, Server, client,
    engine::Drive,
    event::Event,
    measure::{FlowSummary, Role, SideSummary},
    outcome::{Ended, Outcome},
    protocol::native::Deadlines,
    server::{self, Handle, Stopped},
    transport::Transport,
};
use polyperf_memory::{
    Memory, Network,
    link::{BitRate, LinkConfig},
};
use tokio::{
    sync::{broadcast, oneshot},
    task::JoinHandle,
};

/// A running server.
pub(crate) struct Serving {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) events: broadcast::Receiver<Event>,
    drain: Option<oneshot::Sender<()>>,
    task: JoinHandle<Stopped>,
}

impl Serving {
    pub(crate) async fn start(builder: server::Builder) -> Self {
        let server = builder.bind().await.unwrap();
        let (addr, handle) = (server.local_addrs()[0].1, server.handle());
        let events = handle.events();
        let (drain, told) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = told.await;
        }));
        Self { addr, handle, events, drain: Some(drain), task }
    }

    /// Starts to drain.
    pub(crate) fn drain(&mut self) {
        let _ = self.drain.take().map(|drain| drain.send(()));
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) -> Stopped {
        soon(self.task).await.unwrap()
    }

    /// Waits for an event that `pick` picks.
    pub(crate) async fn event<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        next(&mut self.events, pick).await
    }

    pub(crate) async fn outcome(&mut self) -> Arc<Outcome> {
        self.event(finished).await
    }

    /// Waits until no test runs.
    pub(crate) async fn idle(&self) {
        soon(async {
            while self.handle.running() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Proves that the server still serves.
    pub(crate) async fn proves_itself(&mut self, client: client::Builder) {
        self.idle().await;
        let outcome = soon(client.bytes(100_000).build().unwrap().run()).await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(bytes(&outcome.local, Role::Sender), 100_000);
    }
}

/// An in-process network with one transport in it, which carries control and data.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) memory: Arc<dyn Transport>,
}

impl World {
    /// Time passes only because the link needs it: 100 Mbit/s over a millisecond.
    pub(crate) fn new() -> Self {
        let link = LinkConfig::perfect().rate(BitRate::mbps(100)).delay(Duration::from_millis(1));
        let network = Network::new(link);
        let memory = Arc::new(Memory::bytes(&network));
        Self { network, memory }
    }

    pub(crate) async fn serve(
        &self,
        set: impl FnOnce(server::Builder) -> server::Builder,
    ) -> Serving {
        let builder = Server::builder()
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .transports(Registry::empty().with(Arc::clone(&self.memory)))
            .drive(Drive::Inline)
            .keep_intervals(true);
        Serving::start(set(builder)).await
    }

    pub(crate) fn client(&self, serving: &Serving) -> client::Builder {
        Client::builder("127.0.0.1")
            .port(serving.addr.port())
            .over(Arc::clone(&self.memory))
            .control(self.memory.name())
            .drive(Drive::Inline)
    }
}

/// Starts a server on loopback.
pub(crate) async fn tcp_server(set: impl FnOnce(server::Builder) -> server::Builder) -> Serving {
    let builder = Server::builder().listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    Serving::start(set(builder)).await
}

pub(crate) fn tcp_client(serving: &Serving) -> client::Builder {
    Client::builder("127.0.0.1").port(serving.addr.port())
}

/// Runs these tests at once, and asserts that each adds up at both ends, over the server's one port.
pub(crate) async fn all_add_up(server: &mut Serving, clients: Vec<client::Builder>) {
    let clients: Vec<_> = clients.into_iter().map(spawn).collect();
    let mut theirs = Vec::new();
    for _ in 0..clients.len() {
        theirs.push(server.event(finished).await);
    }
    for client in clients {
        let ours = soon(client).await.unwrap().unwrap();
        let theirs = theirs.iter().find(|o| o.info.session == ours.info.session).unwrap();
        assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
        match ours.info.flows[0].datagrams {
            true => assert_counts(&ours),
            false => assert_adds_up(&ours, theirs),
        }
        let ports = ours.info.flows.iter().all(|flow| flow.peer.port() == server.addr.port());
        assert!(ports, "another port: {:?}", ours.info.flows);
    }
    server.idle().await;
}

/// Deadlines that a test over real time can wait for.
pub(crate) fn short() -> Deadlines {
    let ms = Duration::from_millis;
    Deadlines {
        answer: ms(300),
        streams: ms(300),
        keepalive: ms(100),
        silence: ms(600),
        overrun: ms(1000),
        grace: ms(100),
        stall: ms(1000),
        results: ms(500),
        goodbye: ms(700),
    }
}

/// Waits for something that must happen; the bound is a safety net.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), work).await.expect("it hangs")
}

pub(crate) async fn next<T>(
    events: &mut broadcast::Receiver<Event>,
    pick: impl Fn(Event) -> Option<T>,
) -> T {
    soon(async {
        loop {
            if let Some(picked) = pick(events.recv().await.unwrap()) {
                return picked;
            }
        }
    })
    .await
}

pub(crate) fn finished(event: Event) -> Option<Arc<Outcome>> {
    match event {
        Event::Finished(outcome) => Some(outcome),
        _ => None,
    }
}

pub(crate) fn connected(event: Event) -> Option<String> {
    match event {
        Event::Connected(info) => Some(info.session.clone()),
        _ => None,
    }
}

pub(crate) fn position(event: Event) -> Option<u32> {
    match event {
        Event::Queued(queued) => Some(queued.position),
        _ => None,
    }
}

/// Runs the test of `client` in a task.
pub(crate) fn spawn(
    client: client::Builder,
) -> JoinHandle<Result<Arc<Outcome>, polyperf::outcome::Failure>> {
    let client = client.build().unwrap();
    tokio::spawn(async move { client.run().await })
}

pub(crate) fn bytes(side: &SideSummary, role: Role) -> u64 {
    side.with_role(role).map(|flow| flow.bytes).sum()
}

fn all(flow: &FlowSummary) -> u64 {
    flow.bytes + flow.omitted_bytes
}

/// Asserts that both ends tell the same story, and that what was sent has arrived.
pub(crate) fn assert_adds_up(client: &Outcome, server: &Outcome) {
    let figures = |side: &SideSummary| -> Vec<_> {
        side.flows
            .iter()
            .map(|flow| (flow.flow, flow.role, flow.bytes, flow.omitted_bytes))
            .collect()
    };
    assert_eq!(client.remote.as_ref().map(figures), Some(figures(&server.local)));
    assert_eq!(server.remote.as_ref().map(figures), Some(figures(&client.local)));
    assert_eq!(client.local.flows.len(), usize::from(client.info.spec.flows()));
    for info in &client.info.flows {
        let sent = client.flow(info.flow, Role::Sender).unwrap();
        let received = client.flow(info.flow, Role::Receiver).unwrap();
        assert_eq!(all(sent), all(received), "flow {}", info.flow.0);
        // A count is shared by the streams as they come: a late one may find nothing left.
        let timed = client.info.spec.duration().is_some();
        assert!(!timed || received.bytes > 0, "flow {} carried nothing", info.flow.0);
        assert_eq!((&sent.error, &received.error), (&None, &None));
    }
}

/// Asserts that all datagrams that were sent have been received, or counted as lost.
fn assert_counts(outcome: &Outcome) {
    for info in &outcome.info.flows {
        let sent = outcome.flow(info.flow, Role::Sender).unwrap().datagrams_sent.unwrap();
        let received = outcome.flow(info.flow, Role::Receiver).unwrap().datagrams.unwrap();
        assert_eq!(received.received + received.lost.unwrap(), sent, "flow {}", info.flow.0);
        assert!(received.received > 0);
    }
}

/// Asserts that the intervals are numbered, adjacent, paired, and add up to the totals.
pub(crate) fn assert_intervals(outcome: &Outcome) {
    for (index, interval) in outcome.intervals.iter().enumerate() {
        assert_eq!(usize::try_from(interval.local.index).unwrap(), index);
        let remote = interval.remote.as_ref().unwrap_or_else(|| panic!("{index} is not paired"));
        assert_eq!(remote.index, interval.local.index);
        assert_eq!(remote.omitted, interval.local.omitted);
    }
    for pair in outcome.intervals.windows(2) {
        assert_eq!(pair[0].local.end, pair[1].local.start);
    }
    for flow in &outcome.local.flows {
        let counted = outcome.intervals.iter().filter(|interval| !interval.local.omitted);
        let sum: u64 = counted.filter_map(|i| Some(i.local.flow(flow.flow)?.bytes)).sum();
        assert_eq!(sum, flow.bytes, "intervals of flow {}", flow.flow.0);
    }
}
