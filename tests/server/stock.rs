//! A server of iperf3's, spoken by hand over an in-process network: byte by byte, as one pleases.

use std::{future::poll_fn, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf::{
    Client, client,
    engine::Drive,
    measure::Role,
    outcome::{Ended, Failure, Outcome, Side},
    protocol::iperf3::{Decoder, Expect, Message, Params, Results, State},
    spec::Direction,
    transport::{
        Anyone, Connection, Delivery, Error, Gate, Listener, Peer, Stream, Transport, async_trait,
        send_all,
    },
};
use polyperf_memory::{Memory, Network};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::{bytes, soon};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

type Running = JoinHandle<Result<Arc<Outcome>, Failure>>;

pub(crate) struct Stock {
    client: Running,
    stop: oneshot::Sender<String>,
    control: Stream,
    decoder: Decoder,
    pub(crate) cookie: Vec<u8>,
    pub(crate) streams: Vec<Stream>,
    tcp: Box<dyn Listener>,
    udp: Box<dyn Listener>,
}

/// An in-process transport under the name of one that iperf3 has.
#[derive(Debug)]
struct Named(&'static str, Memory);

#[async_trait]
impl Transport for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn delivery(&self) -> Delivery {
        self.1.delivery()
    }

    fn check(&self, tuning: &polyperf::transport::Tuning) -> Result<(), Error> {
        tuning.without_connections(self.name())
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        self.1.listen(addr, gate).await
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.1.connect(peer).await
    }
}

impl Stock {
    /// A server that a client has sent its cookie to.
    pub(crate) async fn reached(set: impl FnOnce(client::Builder) -> client::Builder) -> Self {
        let network = Network::perfect();
        let max = NonZeroUsize::new(9000).unwrap();
        let tcp: Arc<dyn Transport> = Arc::new(Named("tcp", Memory::bytes(&network)));
        let udp: Arc<dyn Transport> = Arc::new(Named("udp", Memory::messages(&network, max)));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = tcp.listen(any, Arc::new(Anyone)).await.unwrap();
        let addr = listener.local_addr();
        let datagrams = udp.listen(addr, Arc::new(Anyone)).await.unwrap();
        let client = Client::builder("127.0.0.1").port(addr.port()).drive(Drive::Inline);
        let client = set(client.over(udp).over(tcp).control("tcp")).build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let client = tokio::spawn(async move {
            let stop = async {
                match stopped.await {
                    Ok(reason) => reason,
                    Err(_) => std::future::pending().await,
                }
            };
            client.run_until(stop).await
        });
        let mut control = soon(listener.accept()).await.unwrap();
        let cookie = read(&mut control, 37).await;
        let (decoder, streams) = (Decoder::new(Side::Client), Vec::new());
        Self { client, stop, control, decoder, cookie, streams, tcp: listener, udp: datagrams }
    }

    /// A server that has been told what the client wants.
    pub(crate) async fn asked(
        set: impl FnOnce(client::Builder) -> client::Builder,
    ) -> (Self, Box<Params>) {
        let mut stock = Self::reached(set).await;
        stock.say(&[9]).await;
        match stock.hear(Expect::Params).await {
            Some(Message::Params(params)) => (stock, params),
            other => panic!("{other:?}"),
        }
    }

    /// A server to which all streams of a TCP test are open.
    pub(crate) async fn opened(set: impl FnOnce(client::Builder) -> client::Builder) -> Self {
        let (mut stock, params) = Self::asked(set).await;
        stock.say(&[10]).await;
        for _ in 0..params.spec.flows() {
            let mut stream = soon(stock.tcp.accept()).await.unwrap();
            assert_eq!(read(&mut stream, 37).await, stock.cookie);
            stock.streams.push(stream);
        }
        stock
    }

    /// A server whose test runs.
    pub(crate) async fn running(set: impl FnOnce(client::Builder) -> client::Builder) -> Self {
        let mut stock = Self::opened(set).await;
        stock.say(&[1, 2]).await;
        stock
    }

    /// A server that has its client's results.
    pub(crate) async fn ended(
        set: impl FnOnce(client::Builder) -> client::Builder,
    ) -> (Self, Box<Results>) {
        let mut stock = Self::running(set).await;
        let results = stock.exchange().await;
        (stock, results)
    }

    /// Waits for the end of the test, and asks for results.
    pub(crate) async fn exchange(&mut self) -> Box<Results> {
        assert_eq!(self.hear(Expect::State).await, Some(Message::State(State::TestEnd)));
        self.say(&[13]).await;
        match self.hear(Expect::Results).await {
            Some(Message::Results(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    /// Accepts a stream of datagrams, and returns what opened it.
    pub(crate) async fn word(&mut self) -> Vec<u8> {
        let mut stream = soon(self.udp.accept()).await.unwrap();
        let mut word = vec![0; 9000];
        let received = poll_fn(|cx| stream.recv.poll_recv(cx, &mut word)).await;
        word.truncate(received.unwrap().expect("it goes on").len);
        self.streams.push(stream);
        word
    }

    /// Sends bytes; that nobody takes them any more is no surprise here.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = send_all(self.control.send.as_mut(), bytes).await;
    }

    /// Sends a text behind its length.
    pub(crate) async fn tell(&mut self, text: &str) {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        self.say(&[&length, text.as_bytes()].concat()).await;
    }

    /// Returns the client's next message; `None` at the end of the connection.
    pub(crate) async fn hear(&mut self, expect: Expect) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next(expect).unwrap() {
                return Some(message);
            }
            let half = self.control.recv.as_mut();
            match soon(poll_fn(|cx| half.poll_recv(cx, &mut buffer))).await {
                Ok(Some(received)) => self.decoder.feed(&buffer[..received.len]),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Returns how many bytes have come on a stream up to now; none may say that it was the last.
    pub(crate) async fn arrived(&mut self, stream: usize) -> u64 {
        let half = self.streams[stream].recv.as_mut();
        let (mut buffer, mut bytes) = ([0; 4096], 0);
        loop {
            let next = poll_fn(|cx| half.poll_recv(cx, &mut buffer));
            match tokio::time::timeout(Duration::from_millis(1), next).await {
                Ok(received) => bytes += received.unwrap().expect("it stays open").len as u64,
                Err(_) => return bytes,
            }
        }
    }

    pub(crate) async fn send(&mut self, stream: usize, bytes: &[u8]) {
        let _ = send_all(self.streams[stream].send.as_mut(), bytes).await;
    }

    /// Waits for the client's failure, while everything stays open.
    pub(crate) async fn fails(self) -> Failure {
        let Self { client, control, streams, tcp, udp, .. } = self;
        let failure = soon(client).await.unwrap().unwrap_err();
        drop((control, streams, tcp, udp));
        failure
    }

    /// Waits for what the client has to show, while everything stays open.
    pub(crate) async fn outcome(self) -> Arc<Outcome> {
        let Self { client, control, streams, tcp, udp, .. } = self;
        let outcome = soon(client).await.unwrap().unwrap();
        drop((control, streams, tcp, udp));
        outcome
    }

    /// Has the client stop.
    pub(crate) fn stop_client(&mut self) {
        let (none, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.stop, none).send("enough".to_owned());
    }

    /// Breaks every connection.
    pub(crate) async fn vanishes(self) -> Arc<Outcome> {
        let Self { client, control, streams, tcp, udp, .. } = self;
        drop((control, streams, tcp, udp));
        soon(client).await.unwrap().unwrap()
    }
}

/// What stock servers tell of streams with these numbers: only what they must.
pub(crate) fn results(streams: &[(i64, u64)]) -> String {
    let stream = |(id, bytes): &(i64, u64)| {
        format!(
            r#"{{"id":{id},"bytes":{bytes},"retransmits":-1,"jitter":0,"errors":0,"packets":0}}"#
        )
    };
    let streams: Vec<_> = streams.iter().map(stream).collect();
    format!(
        r#"{{"cpu_util_total":1.5,"cpu_util_user":0.5,"cpu_util_system":1,"sender_has_retransmits":-1,"streams":[{}]}}"#,
        streams.join(",")
    )
}

/// Returns the failure that a test with something to show has ended with.
pub(crate) fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.ended {
        Ended::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Returns what the server has told of this role.
pub(crate) fn remote(outcome: &Outcome, role: Role) -> u64 {
    bytes(outcome.remote.as_ref().expect("the server has told"), role)
}

pub(crate) fn same(client: client::Builder) -> client::Builder {
    client
}

/// A test that fills no buffer.
pub(crate) fn slow(client: client::Builder) -> client::Builder {
    client.rate(80_000).time(2 * SECOND).spec(|spec| spec.block = 1000)
}

pub(crate) fn bidirectional(client: client::Builder) -> client::Builder {
    client.spec(|spec| spec.direction = Direction::Bidirectional)
}

/// Returns the next so many bytes.
async fn read(stream: &mut Stream, most: usize) -> Vec<u8> {
    let (mut bytes, mut filled) = (vec![0; most], 0);
    while filled < most {
        let half = stream.recv.as_mut();
        let received = soon(poll_fn(|cx| half.poll_recv(cx, &mut bytes[filled..]))).await;
        filled += received.unwrap().expect("it goes on").len;
    }
    bytes
}
