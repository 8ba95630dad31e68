//! What flows are set to, and what does not disturb them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    num::{NonZeroU8, NonZeroU16, NonZeroU32},
    sync::{Arc, Mutex},
    time::Duration,
};

use polyperf_socket::{DatagramRecv, DatagramSend, FlowListener, PortOptions, Prefix, dial};
use polyperf_tokio_kcp::TokioKcp;
use polyperf_transport::{
    Anyone, Chunk, Fec, Gate, Guest, Hello, HostSockets, Listener, Mark, Opening, Peer, Processors,
    RecvHalf, SendHalf, Sockets, Stream, Transport, Tuning, Verdict, Visit,
};
use socket2::Socket;

fn tokio_kcp() -> TokioKcp {
    TokioKcp::new(Arc::new(HostSockets::new()))
}

/// Lets in anyone, and has flows with its mark work as was agreed on.
#[derive(Debug)]
struct Agreed(Mark, Tuning);

impl Gate for Agreed {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        Anyone.admit(opening)
    }

    fn announced(&self, mark: &Mark) -> Option<Tuning> {
        (*mark == self.0).then(|| self.1.clone())
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

/// Keeps a second descriptor of each client's socket.
#[derive(Debug, Default)]
struct Copied(Mutex<Vec<UdpSocket>>);

impl Sockets for Copied {
    fn tcp_listener(&self, _: SocketAddr) -> io::Result<TcpListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn tcp_stream_socket(
        &self,
        _: SocketAddr,
        _: Option<SocketAddr>,
        _: bool,
    ) -> io::Result<Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = HostSockets::new().udp(addr)?;
        self.0.lock().unwrap().push(socket.try_clone()?);
        Ok(socket)
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        HostSockets::new().udp_beside(addr)
    }

    fn processors(&self) -> Option<&Processors> {
        None
    }
}

async fn pair(
    gate: impl Gate,
    tuning: Tuning,
    mark: Option<Mark>,
) -> (FlowListener, Stream, Stream) {
    pair_of((tokio_kcp(), tokio_kcp()), gate, tuning, mark).await
}

async fn pair_of(
    (listening, connecting): (TokioKcp, TokioKcp),
    gate: impl Gate,
    tuning: Tuning,
    mark: Option<Mark>,
) -> (FlowListener, Stream, Stream) {
    let mut listener = listening.bind("127.0.0.1:0".parse().unwrap(), Arc::new(gate)).unwrap();
    let peer = Peer { tuning, mark, ..Peer::at(listener.local_addr()) };
    let connection = connecting.connect(&peer).await.unwrap();
    let (client, server) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    let (client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(recv(&mut *server.recv, HELLO.len()).await, HELLO);
    (listener, client, server)
}

async fn send(half: &mut dyn SendHalf, mut bytes: &[u8]) {
    while let Some(chunk) = Chunk::whole(bytes) {
        let sent = within(poll_fn(|cx| half.poll_send(cx, chunk))).await.unwrap();
        bytes = &bytes[sent..];
    }
}

async fn recv(half: &mut dyn RecvHalf, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let got = within(poll_fn(|cx| half.poll_recv(cx, &mut bytes[filled..]))).await;
        filled += got.unwrap().expect("more to come").len;
    }
    bytes
}

/// Has each end send to the other one.
async fn exchange(client: &mut Stream, server: &mut Stream) {
    let sent = pattern(300_000);
    let ((), got) =
        tokio::join!(send(&mut *client.send, &sent), recv(&mut *server.recv, sent.len()));
    assert!(got == sent);
    let ((), got) =
        tokio::join!(send(&mut *server.send, &sent), recv(&mut *client.recv, sent.len()));
    assert!(got == sent);
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes too long")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + (at >> 8) * 7 + (at >> 16)).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn what_a_test_asks_for_is_in_force_at_both_ends() {
    let asked = Tuning {
        kcp_mode: Some("fast2".to_owned()),
        kcp_nodelay: Some(0),
        kcp_interval_ms: NonZeroU32::new(25),
        kcp_resend: Some(3),
        kcp_nc: Some(false),
        kcp_sndwnd: NonZeroU16::new(300),
        kcp_rcvwnd: NonZeroU16::new(200),
        kcp_mtu: NonZeroU16::new(1000),
        kcp_flush: Some("interval".to_owned()),
        ..Tuning::default()
    };
    let mark = [5; 12];
    let gate = Agreed(mark, asked.clone());
    let (_listener, mut client, mut server) = pair(gate, asked.clone(), Some(mark)).await;
    for stream in [&client, &server] {
        let parameters = stream.path.stats().parameters;
        let told: Vec<_> = parameters.iter().map(|(k, v)| format!("{k} {v}")).collect();
        let expected = "flush interval, interval 25, mtu 1000, nc 0, nodelay 0, rcvwnd 200, \
                        resend 3, sndwnd 300";
        assert_eq!(told.join(", "), expected);
        assert!(stream.path.tune(&asked).iter().all(|answer| answer.refused.is_none()));
        assert_eq!(stream.path.stats().retransmits, None, "the crate does not tell");
    }
    exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn what_the_crate_does_not_have_is_refused() {
    let fec = Fec { data: NonZeroU8::MIN, parity: NonZeroU8::MIN };
    for (tuning, says) in [
        (Tuning { fec: Some(fec), ..Tuning::default() }, "--transport kcp"),
        (Tuning { kcp_nodelay: Some(2), ..Tuning::default() }, "0 and 1"),
        (Tuning { kcp_rcvwnd: NonZeroU16::new(64), ..Tuning::default() }, "128"),
        (Tuning { kcp_interval_ms: NonZeroU32::new(5), ..Tuning::default() }, "10"),
        (Tuning { kcp_mode: Some("slow".into()), ..Tuning::default() }, "fast3"),
    ] {
        let error = tokio_kcp().check(&tuning).expect_err("it is refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_conversation_reaches_no_flow_not_even_from_the_peer() {
    let sockets = Arc::new(Copied::default());
    let ends = (tokio_kcp(), TokioKcp::new(Arc::clone(&sockets) as _));
    let (_listener, mut client, mut server) = pair_of(ends, Anyone, Tuning::default(), None).await;
    // Both ends are the crate's once each has heard the other.
    exchange(&mut client, &mut server).await;
    let dropped = |stream: &Stream| stream.path.stats().local_drops.unwrap();
    let before = (dropped(&client), dropped(&server));
    let mut segment = [0; 24];
    segment[..4].copy_from_slice(&99_u32.to_le_bytes());
    segment[4] = 81;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = sockets.0.lock().unwrap().pop().unwrap();
    for _ in 0..10 {
        stranger.send_to(&segment, client.local).unwrap();
        stranger.send_to(&segment, server.local).unwrap();
        peer.send(&segment).unwrap();
    }
    let all = (before.0, before.1 + 10);
    assert_eq!((dropped(&client), dropped(&server)), all, "the stranger's are not the flow's");
    exchange(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_port_with_one_socket_for_all_says_so() {
    let options = PortOptions { own_sockets: false, ..PortOptions::default() };
    let ends = (tokio_kcp().with_options(options), tokio_kcp());
    let (_listener, _client, mut server) = pair_of(ends, Anyone, Tuning::default(), None).await;
    let received = within(poll_fn(|cx| server.recv.poll_recv(cx, &mut [0; 8]))).await;
    let error = received.expect_err("there is nothing to receive from").to_string();
    assert!(error.contains("a socket of its own"), "{error}");
}

#[tokio::test]
async fn a_flow_whose_client_never_begins_goes_when_it_is_dropped() {
    let mut listener = tokio_kcp().bind("127.0.0.1:0".parse().unwrap(), Arc::new(Anyone)).unwrap();
    let sockets = Arc::new(HostSockets::new()) as Arc<dyn Sockets>;
    let endpoint = Arc::new(dial(&sockets, &Peer::at(listener.local_addr()), 0).unwrap());
    let halves = (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint));
    let prefix = Prefix::of_bytes(b't', 1);
    let (opened, accepted) = tokio::join!(
        within(polyperf_socket::open(prefix, [1; 16], HELLO, halves)),
        within(listener.accept())
    );
    let _silent = opened.unwrap();
    drop(accepted.unwrap());
    within(async {
        while listener.counts().flows > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_arrives_when_the_sender_has_gone() {
    let (_listener, mut client, mut server) = pair(Anyone, Tuning::default(), None).await;
    let sent = pattern(1_000_000);
    let sending = async {
        send(&mut *client.send, &sent).await;
        drop(client);
    };
    let ((), got) = tokio::join!(sending, recv(&mut *server.recv, sent.len()));
    assert!(got == sent);
    let end = within(poll_fn(|cx| server.recv.poll_recv(cx, &mut [0; 8]))).await;
    assert_eq!(end.unwrap(), None);
}

const HELLO: &[u8] = b"a hello of thirty-seven bytes, exactly";
