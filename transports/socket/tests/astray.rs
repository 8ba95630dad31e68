//! What goes wrong on a port's socket, or on its way to it, concerns nobody else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{
    fs::File,
    future::Future,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
};

use polyperf_socket::UdpPorts;
use polyperf_transport::{HostSockets, Processors, Sockets};
use socket2::Socket;
use support::{
    Joined, Raw, any_port, datagrams, messages, receive_until, send, trains, transmit, until,
};

/// Sockets to each of which something is done when it has been made.
#[derive(Debug)]
struct Tampered {
    ports: fn(&UdpSocket),
    flows: fn(&UdpSocket),
    /// The descriptor of the last port's.
    last: AtomicI32,
}

#[tokio::test]
async fn what_lands_in_the_socket_of_a_flow_before_it_is_connected_finds_quic() {
    // A flow that was asked for at one address of several has a socket bound to that alone, which
    // takes whatever is sent there until it is connected.
    let flows = |socket: &UdpSocket| {
        let at = socket.local_addr().unwrap();
        if !at.ip().is_unspecified() {
            Raw::at("127.0.0.1").say(at, b"\xC0stray");
            Raw::at("127.0.0.1").say(at, b"9876, another");
        }
    };
    let ports = UdpPorts::new(Arc::new(Tampered::new(|_| {}, flows)));
    let mut joined = Joined::new(&ports, "0.0.0.0:0".parse().unwrap(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    let at = SocketAddr::new("127.0.0.2".parse().unwrap(), joined.at().port());
    Raw::at("127.0.0.1").say(at, b"9876");
    let (_send, mut recv) = receive_until(&quic, joined.flow()).await;
    assert_eq!(messages(&mut recv, 1).await, [b"9876"]);

    let reading = async { messages(&mut recv, 1).await };
    let found = async {
        assert_eq!(datagrams(&quic, 1).await, [b"\xC0stray"]);
        let (_send, mut other) = receive_until(&quic, joined.flow()).await;
        messages(&mut other, 1).await
    };
    tokio::select! {
        messages = reading => panic!("nothing of this is the flow's: {messages:?}"),
        found = found => assert_eq!(found, [b"9876, another"]),
    }
    assert_eq!((quic.counts().injected, quic.counts().quic), (1, 0));
}

#[tokio::test]
async fn what_says_that_a_peer_is_gone_ends_nothing() {
    let ports = |socket: &UdpSocket| set(socket, libc::IPPROTO_IP, libc::IP_RECVERR);
    let ports = UdpPorts::new(Arc::new(Tampered::new(ports, |_| {})));
    let joined = Joined::new(&ports, any_port(), "9").unwrap();
    let quic = ports.quic(joined.at()).unwrap();
    for nth in 0..20 {
        // Its socket is closed at once.
        let gone = Raw::at("127.0.0.1").addr();
        send(&quic, &transmit(gone, b"\xC0is anybody there?")).await;
        Raw::at("127.0.0.1").say(joined.at(), &[0xC0, nth]);
        assert_eq!(datagrams(&quic, 1).await, [[0xC0, nth]]);
    }
    let counts = quic.counts();
    assert!(counts.errors + counts.unsent > 0, "the kernel has not said anything: {counts:?}");
}

#[tokio::test]
async fn an_error_that_stays_is_asked_for_again_after_a_while_and_not_at_once() {
    let sockets = Arc::new(Tampered::new(|_| {}, |_| {}));
    let quic = UdpPorts::new(Arc::clone(&sockets) as _).quic(any_port()).unwrap();
    Raw::at("127.0.0.1").say(quic.local_addr(), b"\xC0");
    assert_eq!(datagrams(&quic, 1).await, [b"\xC0"]);
    Raw::at("127.0.0.1").say(quic.local_addr(), b"\xC0 lost");
    let nothing = File::open("/dev/null").unwrap();
    // SAFETY: these are descriptors that are open, and the one that is replaced stays the port's.
    let replaced = unsafe { libc::dup2(nothing.as_raw_fd(), sockets.last.load(Relaxed)) };
    assert!(replaced >= 0);

    let mut receiving = pin!(trains(&quic));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut errors = 0;
    for _ in 0..5 {
        assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (before, woken) = (errors, wakes.0.load(Relaxed));
        errors = quic.counts().errors;
        assert!((1..=16).contains(&(errors - before)), "{errors} after {before}");
        until(|| wakes.0.load(Relaxed) > woken).await;
    }
}

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Tampered {
    fn new(ports: fn(&UdpSocket), flows: fn(&UdpSocket)) -> Self {
        Self { ports, flows, last: AtomicI32::new(-1) }
    }
}

impl Sockets for Tampered {
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        HostSockets::new().tcp_listener(addr)
    }

    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<Socket> {
        HostSockets::new().tcp_stream_socket(peer, local, multipath)
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = HostSockets::new().udp(addr)?;
        self.last.store(socket.as_raw_fd(), Relaxed);
        (self.ports)(&socket);
        Ok(socket)
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = HostSockets::new().udp_beside(addr)?;
        (self.flows)(&socket);
        Ok(socket)
    }

    fn processors(&self) -> Option<&Processors> {
        None
    }
}

/// Switches an option on.
fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int) {
    let on: libc::c_int = 1;
    let len = libc::socklen_t::try_from(size_of_val(&on)).unwrap();
    // SAFETY: the kernel reads a number, of as many bytes as it is told.
    let result = unsafe {
        let fd = socket.as_raw_fd();
        libc::setsockopt(fd, level, name, (&raw const on).cast(), len)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
