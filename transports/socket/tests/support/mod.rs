//! A protocol of one byte, raw senders, and QUIC's place without QUIC.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    future::{Future, poll_fn},
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use polyperf_socket::{
    Arrival, DatagramRecv, DatagramSend, Flow, Judgement, MAX_TRAIN, PortOptions, PortShare,
    Protocol, QuicPort, Train, UdpPorts,
};
use polyperf_transport::HostSockets;
use quinn_udp::{RecvMeta, Transmit};
use tokio::sync::mpsc;

pub(crate) fn ports() -> UdpPorts {
    UdpPorts::new(Arc::new(HostSockets::new()))
}

/// One with a socket for each flow, and one with a socket for all.
pub(crate) fn both_kinds() -> [UdpPorts; 2] {
    let one_socket = PortOptions { own_sockets: false, ..PortOptions::default() };
    [ports(), ports().with_options(one_socket)]
}

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A protocol whose flows begin with the first letter of its name.
#[derive(Debug)]
pub(crate) struct Letter {
    name: &'static str,
    seen: Mutex<Vec<Vec<u8>>>,
    opened: mpsc::UnboundedSender<(DatagramSend, DatagramRecv)>,
}

/// A [`Letter`] that has joined a port, and the flows that it opened.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) share: PortShare,
    letter: Arc<Letter>,
    flows: mpsc::UnboundedReceiver<(DatagramSend, DatagramRecv)>,
}

impl Joined {
    pub(crate) fn new(ports: &UdpPorts, at: SocketAddr, name: &'static str) -> io::Result<Self> {
        let (opened, flows) = mpsc::unbounded_channel();
        let letter = Arc::new(Letter { name, seen: Mutex::default(), opened });
        let share = ports.join(at, Arc::clone(&letter) as Arc<dyn Protocol>)?;
        Ok(Self { share, letter, flows })
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.share.local_addr()
    }

    /// Returns what it was shown so far.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.letter.seen.lock().unwrap().clone()
    }

    /// Leaves the port, and returns what the protocol has been shown, whenever it is asked.
    pub(crate) fn leave(self) -> impl Fn() -> Vec<Vec<u8>> {
        let letter = Arc::clone(&self.letter);
        drop(self);
        move || letter.seen.lock().unwrap().clone()
    }

    pub(crate) async fn flow(&mut self) -> (DatagramSend, DatagramRecv) {
        within(self.flows.recv()).await.unwrap()
    }
}

impl Protocol for Letter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        self.seen.lock().unwrap().push(arrival.bytes.to_vec());
        match arrival.ended {
            Some(_) => Judgement::Drop,
            None if arrival.bytes[0] == self.name.as_bytes()[0] => Judgement::Open([0; 16]),
            None => Judgement::Foreign,
        }
    }

    fn opened(&self, flow: Flow, arrival: &Arrival<'_>) {
        let _ = self.opened.send(flow.into_halves(arrival.bytes));
    }

    fn failed(&self, error: io::Error) {
        panic!("{error}");
    }
}

/// A socket that says what it is told to, and nothing else.
pub(crate) struct Raw(pub(crate) UdpSocket);

impl Raw {
    pub(crate) fn at(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn say(&self, to: SocketAddr, bytes: &[u8]) {
        assert_eq!(self.0.send_to(bytes, to).unwrap(), bytes.len());
    }

    /// Waits for the next datagram.
    pub(crate) async fn hear(&self) -> (SocketAddr, Vec<u8>) {
        let mut buf = [0; 2048];
        within(async {
            loop {
                match self.0.recv_from(&mut buf) {
                    Ok((len, from)) => return (from, buf[..len].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }
}

/// Waits for what QUIC receives next, and returns each train that is not empty.
pub(crate) async fn trains(quic: &QuicPort) -> Vec<(RecvMeta, Vec<u8>)> {
    let mut room = vec![vec![0; MAX_TRAIN]; 4];
    let mut metas = [RecvMeta::default(); 4];
    loop {
        let mut bufs: Vec<_> = room.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        let receiving = poll_fn(|cx| quic.poll_recv(cx, &mut bufs, &mut metas));
        let received = within(receiving).await.unwrap();
        let full = metas.iter().zip(&room).take(received).filter(|(meta, _)| meta.len > 0);
        let trains: Vec<_> = full.map(|(meta, buf)| (*meta, buf[..meta.len].to_vec())).collect();
        if !trains.is_empty() {
            return trains;
        }
    }
}

/// Waits for so many datagrams that QUIC receives.
pub(crate) async fn datagrams(quic: &QuicPort, count: usize) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        for (meta, bytes) in trains(quic).await {
            datagrams.extend(bytes.chunks(meta.stride).map(<[u8]>::to_vec));
        }
    }
    datagrams
}

/// Has QUIC receive until `done`, which must need no datagram of QUIC's.
pub(crate) async fn receive_until<T>(quic: &QuicPort, done: impl Future<Output = T>) -> T {
    tokio::select! {
        trains = trains(quic) => panic!("nothing of this is QUIC's: {trains:?}"),
        done = within(done) => done,
    }
}

pub(crate) async fn send(quic: &QuicPort, transmit: &Transmit<'_>) {
    loop {
        match quic.try_send(transmit) {
            Ok(()) => return,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        within(quic.writable()).await.unwrap();
    }
}

pub(crate) fn transmit(destination: SocketAddr, contents: &[u8]) -> Transmit<'_> {
    Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None }
}

pub(crate) async fn train(half: &mut DatagramRecv) -> (Train, Vec<u8>) {
    let mut buf = vec![0; MAX_TRAIN];
    let train = within(poll_fn(|cx| half.poll_recv(cx, &mut buf, |_| true))).await.unwrap();
    buf.truncate(train.len);
    (train, buf)
}

/// Waits for so many datagrams of a flow.
pub(crate) async fn messages(half: &mut DatagramRecv, count: usize) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let (Train { stride, .. }, bytes) = train(half).await;
        messages.extend(bytes.chunks(stride).map(<[u8]>::to_vec));
    }
    messages
}

/// Waits until `done`, with everybody else at work meanwhile.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    within(async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}
