//! An emulated link between real sockets: a relay for datagrams, in user space.
//!
//! ```text
//! client ─> [front] ─> Link (up) ─> [a socket for each client] ─> server
//! client <─ [front] <─ Link (down) <─ [a socket for each client] <─ server
//! ```
//!
//! The [`Link`](polyperf_memory::link::Link) of the memory transport decides in virtual time what
//! becomes of each datagram and when it is due; the relay makes that real, with one thread. A
//! client is an address that datagrams come from. Each has a socket of its own towards the server,
//! as behind a NAT, and all share the one link in each direction.
//!
//! Linux only. A program includes this file by its path, and needs `libc`, `polyperf-memory` and
//! `quinn-udp`.
//!
//! # What is emulated, and what is not
//!
//! - Rates and queues count whole IP packets: the datagram and 28 bytes of headers with IPv4, 48
//!   with IPv6. Ethernet's framing is not counted.
//! - ECN codepoints are carried over, and never set: the queue drops.
//! - The path takes datagrams as long as the interfaces take, 65,507 bytes on loopback.
//! - Where much comes, datagrams enter and leave in turns a [`QUANTUM`] apart, as with a network
//!   card that holds back its interrupts: each enters and leaves late by up to as much. When one
//!   left does not change when others are due. Those that leave together for one client leave as a
//!   train, which a receiver with offload takes as one.
//! - Memory holds what the link holds: the queue up to its limit, and on the wire what the rate
//!   lets through within a delay. Without a rate, it is whatever the senders send within a delay.

#[path = "relay/clients.rs"]
mod clients;
#[path = "relay/lane.rs"]
mod lane;
#[path = "relay/port.rs"]
mod port;
#[path = "relay/worker.rs"]
mod worker;

use std::{
    io::{self, PipeWriter, Write},
    net::SocketAddr,
    sync::mpsc::{self, Sender, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use polyperf_memory::link::{LinkConfig, LinkStats};

use self::worker::{Order, Worker};

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    addr: SocketAddr,
    orders: Sender<Order>,
    /// Wakes the thread for an order; `None` ends it.
    bell: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay towards `server`; `up` is what datagrams to the server pass.
    ///
    /// # Errors
    ///
    /// Fails without a free port on loopback, without descriptors, and without a thread.
    pub(crate) fn start(server: SocketAddr, up: LinkConfig, down: LinkConfig) -> io::Result<Self> {
        let (bell, rings) = io::pipe().map(|(reader, writer)| (writer, reader))?;
        let (orders, received) = mpsc::channel();
        let worker = Worker::new(server, up, down, received, rings)?;
        let addr = worker.addr()?;
        let name = format!("relay-{}", addr.port());
        let thread = thread::Builder::new().name(name).spawn(move || worker.run())?;
        Ok(Self { addr, orders, bell: Some(bell), thread: Some(thread) })
    }

    /// Returns where clients reach the server: a port of 127.0.0.1, or of `[::1]` if the server has
    /// an IPv6 address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Gives each client another source port towards the server, as a NAT that has forgotten them.
    ///
    /// What was sent to the earlier ports and has not come yet is refused.
    ///
    /// # Errors
    ///
    /// Fails without descriptors; some clients may then have their new port.
    pub(crate) fn rebind(&self) -> io::Result<()> {
        self.ask(Order::Rebind)?
    }

    /// Cuts the cable, or mends it. A cut loses what is under way, and whatever comes until it is
    /// mended.
    ///
    /// # Errors
    ///
    /// Fails if the relay's thread is gone.
    pub(crate) fn cut(&self, cut: bool) -> io::Result<()> {
        self.ask(|answer| Order::Cut(cut, answer))
    }

    /// Returns what became of all that had reached the relay's sockets by now.
    ///
    /// # Errors
    ///
    /// Fails if the relay's thread is gone.
    pub(crate) fn stats(&self) -> io::Result<RelayStats> {
        self.ask(Order::Stats)
    }

    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> io::Result<T> {
        let gone = || io::Error::other("cannot ask the relay: its thread has ended; see its panic");
        let (answer, answered) = mpsc::sync_channel(1);
        self.orders.send(order(answer)).map_err(|_| gone())?;
        if let Some(mut bell) = self.bell.as_ref() {
            bell.write_all(&[0])?;
        }
        answered.recv().map_err(|_| gone())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.bell.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed, and a second one here would hide it.
            let _ = thread.join();
        }
    }
}

/// What a relay has done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RelayStats {
    /// Towards the server.
    pub(crate) up: LaneStats,
    /// Towards the clients.
    pub(crate) down: LaneStats,
    /// Clients that have a socket.
    pub(crate) clients: usize,
    /// Datagrams of clients that found no socket: beyond [`MAX_CLIENTS`], or without descriptors.
    pub(crate) refused: u64,
    /// Processor time of the relay's thread.
    pub(crate) busy: Duration,
}

/// What became of the datagrams of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LaneStats {
    /// What the link decided.
    pub(crate) link: LinkStats,
    /// Datagrams that came while the cable was cut; the link does not know of them.
    pub(crate) blackholed: u64,
    /// Bytes that came through, IP and UDP headers included.
    pub(crate) wire_bytes: u64,
    /// When the first and the last datagram that came through were due, since the relay's start.
    pub(crate) due: Option<(Duration, Duration)>,
    /// Datagrams that the kernel dropped before the relay read them. Unintended: the figures of a
    /// run that has any are not those of the link.
    pub(crate) socket_drops: u64,
    /// Datagrams that came through and that the kernel did not take. Unintended as well.
    pub(crate) send_errors: u64,
    /// How precisely datagrams left.
    pub(crate) lateness: Lateness,
}

/// How much later than due datagrams left.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lateness {
    /// Datagrams that left.
    pub(crate) datagrams: u64,
    /// All their lateness together.
    pub(crate) total: Duration,
    /// That of the latest.
    pub(crate) max: Duration,
    /// Datagrams that were late by more than a millisecond.
    pub(crate) beyond_1ms: u64,
}

impl Lateness {
    /// Returns the mean; `None` if nothing has left.
    pub(crate) fn mean(&self) -> Option<Duration> {
        let datagrams = u128::from(self.datagrams);
        let nanos = self.total.as_nanos().checked_div(datagrams)?;
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

/// Client addresses that one relay serves at most; it forgets none.
pub(crate) const MAX_CLIENTS: usize = 1024;

/// How long the thread rests between turns, so that one serves many datagrams. Shorter is more
/// precise, and takes more of a processor that the ends need.
pub(crate) const QUANTUM: Duration = Duration::from_micros(200);
