//! Plain traffic between the ends of a lab, by nothing but sockets and threads.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use polyperf::lab::{Endpoint, Lab};

/// What a flow of TCP delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk {
    /// Bits per second of payload that arrived, the start left out.
    pub(crate) rate: f64,
    /// Segments that the sender sent again.
    pub(crate) retransmits: u32,
}

/// Sends over one TCP connection to the far end for so long, after a start that does not count.
pub(crate) fn tcp(lab: &Lab, control: Option<&str>, omit: Duration, time: Duration) -> Bulk {
    tcp_to(lab, lab.far().v4().into(), control, omit, time)
}

/// As [`tcp`], to this address of the far end.
pub(crate) fn tcp_to(
    lab: &Lab,
    address: IpAddr,
    control: Option<&str>,
    omit: Duration,
    time: Duration,
) -> Bulk {
    let listener = lab.far().sockets().tcp_listener(SocketAddr::new(address, 0)).unwrap();
    let peer = listener.local_addr().unwrap();
    listener.set_nonblocking(false).unwrap();
    let receiver = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(false).unwrap();
        receive(stream, omit, time)
    });
    let socket = lab.near().sockets().tcp_stream_socket(peer, None, false).unwrap();
    socket.set_nonblocking(false).unwrap();
    if let Some(control) = control {
        socket.set_tcp_congestion(control.as_bytes()).unwrap();
    }
    socket.connect(&peer.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let block = vec![0; 1 << 17];
    let until = Instant::now() + omit + time + TAIL;
    // The receiver closes when it has seen enough.
    while Instant::now() < until && stream.write_all(&block).is_ok() {}
    let retransmits = retransmits(&stream);
    drop(stream);
    Bulk { rate: receiver.join().unwrap(), retransmits }
}

/// Returns the bits per second that arrive in `time`, after `omit`.
fn receive(mut stream: TcpStream, omit: Duration, time: Duration) -> f64 {
    let mut buffer = vec![0; 1 << 18];
    let mut read = || stream.read(&mut buffer).unwrap();
    let begin = Instant::now();
    let mut start = begin;
    while start - begin < omit {
        assert!(read() > 0, "the sender ended early");
        start = Instant::now();
    }
    let (mut bytes, mut end) = (0, start);
    while end - start < time {
        let len = read();
        assert!(len > 0, "the sender ended early");
        bytes += len;
        end = Instant::now();
    }
    bytes as f64 * 8.0 / (end - start).as_secs_f64()
}

/// Returns the segments that were sent again on this connection.
pub(crate) fn retransmits(stream: &TcpStream) -> u32 {
    use std::os::fd::AsRawFd;
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap();
    // SAFETY: it fills in at most as many bytes as there are.
    let result = unsafe {
        let info = (&raw mut info).cast();
        let fd = stream.as_raw_fd();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info, &raw mut len)
    };
    assert_eq!(result, 0);
    info.tcpi_total_retrans
}

/// Returns a UDP socket of an end that waits for what it receives, up to a limit.
pub(crate) fn udp(end: &Endpoint, address: impl Into<IpAddr>) -> UdpSocket {
    let socket = end.sockets().udp(SocketAddr::new(address.into(), 0)).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

/// Returns a connected pair of UDP sockets, near and far.
pub(crate) fn udp_pair(lab: &Lab) -> (UdpSocket, UdpSocket) {
    let (near, far) = (udp(lab.near(), lab.near().v4()), udp(lab.far(), lab.far().v4()));
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

/// Sends numbered datagrams of `len` bytes to the far end, `gap` apart, and returns how long each of
/// those that arrived was on its way, by its number.
pub(crate) fn one_way(lab: &Lab, count: u32, len: usize, gap: Duration) -> Vec<(u32, Duration)> {
    let (near, far) = udp_pair(lab);
    let epoch = Instant::now();
    let receiver = thread::spawn(move || {
        let (mut buffer, mut arrived) = (vec![0; 1 << 16], Vec::new());
        // The last may be lost: silence ends it.
        while let Ok(len) = far.recv(&mut buffer) {
            let now = epoch.elapsed();
            let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            if len < 12 {
                break;
            }
            let sent = u64::from_be_bytes(buffer[4..12].try_into().unwrap());
            arrived.push((number, now.saturating_sub(Duration::from_nanos(sent))));
            if number + 1 == count {
                break;
            }
        }
        arrived
    });
    let mut datagram = vec![0; len.max(12)];
    for number in 0..count {
        wait_until(epoch + gap * number);
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap();
        datagram[4..12].copy_from_slice(&now.to_be_bytes());
        near.send(&datagram).unwrap();
    }
    receiver.join().unwrap()
}

/// Returns which of so many numbered datagrams arrive, sent so that no kernel loses any.
pub(crate) fn arrivals(lab: &Lab, count: u32) -> Vec<bool> {
    let (near, far) = (udp(lab.near(), lab.near().v4()), udp(lab.far(), lab.far().v4()));
    let peer = far.local_addr().unwrap();
    near.connect(peer).unwrap();
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    let receiver = thread::spawn(move || {
        let mut arrived = vec![false; count as usize];
        let mut number = [0; 4];
        while let Ok(4) = far.recv(&mut number) {
            arrived[u32::from_be_bytes(number) as usize] = true;
            counted.fetch_add(1, Ordering::Release);
        }
        arrived
    });
    for number in 0..count {
        near.send(&number.to_be_bytes()).unwrap();
        if number % BURST == 0 || number + 1 == count {
            wait_for_all(lab, u64::from(number) + 1, &received);
        }
    }
    // Whatever is not a number ends it; from where it crosses no link.
    udp(lab.far(), lab.far().v4()).send_to(b"end", peer).unwrap();
    receiver.join().unwrap()
}

/// Waits until each of so many packets is either lost by the link or received.
fn wait_for_all(lab: &Lab, sent: u64, received: &AtomicU64) {
    loop {
        let truth = lab.truth().unwrap().to_far.total;
        let is_through = truth.packets == sent && truth.delivered + truth.drops.total() == sent;
        if is_through && truth.delivered == received.load(Ordering::Acquire) {
            return;
        }
        thread::yield_now();
    }
}

/// Sends datagrams of `len` bytes at `rate` bits per second of payload, and returns the bits per
/// second of payload that arrive in `time`, after `omit`.
pub(crate) fn flood(lab: &Lab, len: usize, rate: f64, omit: Duration, time: Duration) -> f64 {
    let (near, far) = udp_pair(lab);
    let receiver = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        far.recv(&mut buffer).unwrap();
        let begin = Instant::now();
        let mut start = begin;
        while start - begin < omit {
            far.recv(&mut buffer).unwrap();
            start = Instant::now();
        }
        let mut end = start;
        while end - start < time {
            bytes += far.recv(&mut buffer).unwrap();
            end = Instant::now();
        }
        bytes as f64 * 8.0 / (end - start).as_secs_f64()
    });
    let datagram = vec![0; len];
    let gap = Duration::from_secs_f64(len as f64 * 8.0 / rate);
    let begin = Instant::now();
    let mut number = 0;
    while !receiver.is_finished() {
        wait_until(begin + gap * number);
        number += 1;
        // Nobody listens any more at the very end.
        let _ = near.send(&datagram);
    }
    receiver.join().unwrap()
}

/// Returns the value that `part` of all do not exceed.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let not_exceeding = |place: &usize| (*place + 1) as f64 >= times.len() as f64 * part;
    times[(0..times.len()).find(not_exceeding).unwrap()]
}

fn wait_until(then: Instant) {
    let left = then.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

/// Ends a wait for what was lost.
const SILENCE: Duration = Duration::from_secs(2);
/// A sender ends after the receiver.
const TAIL: Duration = Duration::from_secs(5);
/// Datagrams that are under way at most: the smallest of a socket's buffers holds as many.
const BURST: u32 = 100;
