//! Finding out how good the lab is on this machine.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use polyperf_memory::link::{LinkConfig, Loss, Probability};

use super::Calibration;
use crate::lab::{
    Lab, LabError, Links, Spread, Truth,
    tally::{Times, nanos},
};

impl Lab {
    /// See [`calibrate`](super::calibrate).
    pub(super) fn calibrate(&self) -> Result<Calibration, LabError> {
        self.set(Links::perfect())?;
        let round_trip = said(self.round_trips())?;
        let whole = self.ceiling(Links::perfect())?;
        let exact = self.ceiling(Links::both(&judged()))?;
        let delayed = LinkConfig::perfect().delay(DELAY);
        self.set(Links::both(&delayed))?;
        said(self.trickle())?;
        let idle = self.truth()?;
        self.set(Links::perfect())?;
        let lateness = idle.to_far.lateness.ok_or_else(|| nothing("of delayed packets"));
        Ok(Calibration { tier: self.tier(), round_trip, exact, whole, lateness: said(lateness)? })
    }

    /// Has datagrams go there and back, some time apart, so that everybody has gone to sleep.
    fn round_trips(&self) -> io::Result<Spread> {
        let (near, far) = self.datagram_pair()?;
        let echo = thread::spawn(move || answer_all(&far));
        let mut times = Times::new();
        let begin = Instant::now();
        for number in 0_u32.. {
            let due = begin + GAP * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if begin.elapsed() > PART {
                break;
            }
            let sent = Instant::now();
            near.send(&number.to_be_bytes())?;
            let mut answer = [0; 4];
            while near.recv(&mut answer)? != 4 || u32::from_be_bytes(answer) != number {}
            times.record(nanos(sent.elapsed()), 1);
        }
        // Whatever is not a number ends it.
        near.send(b"end")?;
        let _ = echo.join();
        times.show().ok_or_else(|| nothing("of datagrams there and back"))
    }

    /// Has datagrams go to the far end, some time apart, and waits for the last.
    fn trickle(&self) -> io::Result<()> {
        let (near, far) = self.datagram_pair()?;
        let begin = Instant::now();
        for number in 0_u32.. {
            let due = begin + GAP * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if begin.elapsed() > PART {
                break;
            }
            near.send(&number.to_be_bytes())?;
        }
        near.send(b"end")?;
        let mut buffer = [0; 4];
        while far.recv(&mut buffer)? == 4 {}
        Ok(())
    }

    /// Returns the bits per second that cross such a link at most.
    fn ceiling(&self, links: Links) -> Result<u64, LabError> {
        self.set(links)?;
        let stop = Arc::new(AtomicBool::new(false));
        let load = if self.tier().carries_tcp() { self.stream(&stop) } else { self.flood(&stop) };
        let load = said(load)?;
        let measured = self.measure();
        stop.store(true, Ordering::Relaxed);
        for thread in load {
            let _ = thread.join();
        }
        let (before, after) = measured?;
        let bytes = |truth: &Truth| truth.to_far.total.delivered_bytes;
        let bits = bytes(&after).saturating_sub(bytes(&before)).saturating_mul(8);
        let micros = after.lasted.saturating_sub(before.lasted).as_micros();
        let rate = u128::from(bits) * 1_000_000 / micros.max(1);
        Ok(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    fn measure(&self) -> Result<(Truth, Truth), LabError> {
        thread::sleep(OMITTED);
        let before = self.truth()?;
        thread::sleep(PART);
        Ok((before, self.truth()?))
    }

    /// Starts a TCP connection that is as fast as it can be.
    fn stream(&self, stop: &Arc<AtomicBool>) -> io::Result<Vec<thread::JoinHandle<()>>> {
        let listener = self.far().sockets().tcp_listener(SocketAddr::from((self.far().v4(), 0)))?;
        listener.set_nonblocking(false)?;
        let peer = listener.local_addr()?;
        let receiver = thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                swallow(stream);
            }
        });
        let socket = self.near().sockets().tcp_stream_socket(peer, None, false)?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect_timeout(&peer.into(), PATIENCE)?;
        let (mut stream, stop) = (TcpStream::from(socket), Arc::clone(stop));
        let sender = thread::spawn(move || {
            let block = vec![0; BLOCK];
            while !stop.load(Ordering::Relaxed) && stream.write_all(&block).is_ok() {}
        });
        Ok(vec![receiver, sender])
    }

    /// Starts datagrams that are as many as they can be.
    fn flood(&self, stop: &Arc<AtomicBool>) -> io::Result<Vec<thread::JoinHandle<()>>> {
        let (near, far) = self.datagram_pair()?;
        let (ended, stop) = (Arc::clone(stop), Arc::clone(stop));
        let receiver = thread::spawn(move || {
            let mut buffer = [0; DATAGRAM];
            while !ended.load(Ordering::Relaxed) && far.recv(&mut buffer).is_ok() {}
        });
        let sender = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // A full buffer is nothing to speak of here.
                let _ = near.send(&[0; DATAGRAM]);
            }
        });
        Ok(vec![receiver, sender])
    }

    /// Returns sockets at both ends, of which the near one is connected.
    fn datagram_pair(&self) -> io::Result<(UdpSocket, UdpSocket)> {
        let far = self.far().sockets().udp(SocketAddr::from((self.far().v4(), 0)))?;
        let near = self.near().sockets().udp(SocketAddr::from((self.near().v4(), 0)))?;
        near.connect((self.far().v4(), far.local_addr()?.port()))?;
        for socket in [&near, &far] {
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        Ok((near, far))
    }
}

fn answer_all(socket: &UdpSocket) {
    let mut datagram = [0; 4];
    while let Ok((4, from)) = socket.recv_from(&mut datagram) {
        // Who does not hear it asks no more.
        let _ = socket.send_to(&datagram, from);
    }
}

fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; BLOCK];
    if stream.set_nonblocking(false).is_ok() {
        while matches!(stream.read(&mut buffer), Ok(len) if len > 0) {}
    }
}

/// A link that does nothing, but asks of each packet whether to.
fn judged() -> LinkConfig {
    LinkConfig::perfect().loss(Loss::Iid(Probability::new(1e-12)))
}

fn said<T>(result: io::Result<T>) -> Result<T, LabError> {
    result.map_err(|source| LabError::System { doing: "calibrates itself".to_owned(), source })
}

fn nothing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("there is nothing to be seen {what}"))
}

/// How long each part takes.
const PART: Duration = Duration::from_millis(400);
const OMITTED: Duration = Duration::from_millis(200);
const DELAY: Duration = Duration::from_millis(5);
const GAP: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(2);
const BLOCK: usize = 1 << 17;
const DATAGRAM: usize = 1400;
