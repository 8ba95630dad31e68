//! The system calls alone: a thread for each stream at each end, one buffer that begins on a page, and
//! nothing else. What this machine can do with the same block.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd},
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::{
    scenario::{Direction, Scenario},
    support::{Process, Result},
    tool::{FLOOR_MSG, Goodput, Settings, Tool},
};

/// What a stream is to do; the client sends it ahead, as a line.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Datagrams.
    #[arg(long)]
    udp: bool,
    /// Each by itself.
    #[arg(long)]
    singly: bool,
    #[arg(long)]
    reverse: bool,
    #[arg(long)]
    both: bool,
    #[arg(long)]
    streams: u16,
    #[arg(long)]
    block: usize,
    /// Seconds.
    #[arg(long)]
    time: u64,
    #[arg(long)]
    congestion: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    way: Way,
}

/// What a receiver counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counted {
    bytes: u64,
    seconds: f64,
    /// Of datagrams: what was sent, as far as this end knows.
    sent: u64,
}

/// How a stream is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
enum Way {
    #[default]
    Write,
    /// From a file in memory.
    Sendfile,
    /// `MSG_ZEROCOPY`, which tells later when the bytes may change.
    MsgZerocopy,
}

/// The floor, with its server.
pub(crate) struct Floor {
    name: &'static str,
    server: Process,
    addr: SocketAddr,
}

impl Floor {
    pub(crate) fn start(name: &'static str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-floor");
        let (server, addr) = Process::start(&mut command, |line| line.parse().ok())?;
        Ok(Self { name, server, addr })
    }
}

impl Tool for Floor {
    fn name(&self) -> &str {
        self.name
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn client(&self, scenario: &Scenario, settings: &Settings) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["client-floor", &self.addr.to_string()]);
        for (name, value) in [
            ("--streams", u64::from(scenario.streams)),
            ("--block", scenario.block.unwrap_or(scenario.floor_block).into()),
            ("--time", settings.time),
        ] {
            command.args([name, &value.to_string()]);
        }
        for (name, given) in [
            ("--udp", scenario.transport == "udp"),
            ("--singly", scenario.singly),
            ("--reverse", scenario.direction == Direction::Reverse),
            ("--both", scenario.direction == Direction::Both),
        ] {
            command.args(given.then_some(name));
        }
        let way = match (scenario.zero_copy, self.name) {
            (false, _) => "write",
            (true, FLOOR_MSG) => "msg-zerocopy",
            (true, _) => "sendfile",
        };
        command.args(["--way", way]);
        if let (Some(congestion), "tcp") = (&settings.congestion, scenario.transport) {
            command.args(["--congestion", congestion]);
        }
        Ok(command)
    }

    fn read(&mut self, output: &[u8]) -> Result<Goodput> {
        let streams: Vec<Counted> = serde_json::from_slice(output)?;
        let bits = streams.iter().map(|counted| count(counted.bytes) * 8.0 / counted.seconds);
        let bytes: u64 = streams.iter().map(|counted| counted.bytes).sum();
        let sent: u64 = streams.iter().map(|counted| counted.sent).sum();
        let loss = (sent > 0).then(|| 1.0 - count(bytes) / count(sent));
        Ok(Goodput { bytes: count(bytes), bits_per_second: bits.sum(), loss })
    }
}

/// Serves on a free port, which is printed first, until the process is ended.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept()?;
        // A client that fails says so itself.
        thread::spawn(move || answer(stream));
    }
}

/// Does one stream's part.
fn answer(mut stream: TcpStream) -> Result<()> {
    let order: Order = serde_json::from_slice(&read_line(&mut stream)?)?;
    if order.udp {
        return receive_datagrams(stream, &order);
    }
    if order.reverse {
        send(&stream, &order)?;
        return Ok(());
    }
    let counted = receive(&mut stream, order.block)?;
    write_line(&mut stream, &counted)
}

/// Runs all streams of an order, and prints what their receivers counted.
pub(crate) fn client(server: SocketAddr, order: &Order) -> Result<()> {
    let mut threads = Vec::new();
    for _ in 0..order.streams {
        let one = Order { both: false, ..order.clone() };
        if order.both {
            let back = Order { reverse: true, ..one.clone() };
            threads.push(start(server, back));
        }
        threads.push(start(server, one));
    }
    let mut counted = Vec::new();
    for thread in threads {
        counted.push(thread.join().map_err(|_| "a stream broke down")??);
    }
    println!("{}", serde_json::to_string(&counted)?);
    Ok(())
}

fn start(server: SocketAddr, order: Order) -> JoinHandle<Result<Counted>> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(server)?;
        write_line(&mut stream, &order)?;
        if order.udp {
            return send_datagrams(stream, &order);
        }
        if order.reverse {
            return Ok(receive(&mut stream, order.block)?);
        }
        send(&stream, &order)?;
        Ok(serde_json::from_slice(&read_line(&mut stream)?)?)
    })
}

/// Sends for as long as is ordered.
fn send(mut stream: &TcpStream, order: &Order) -> io::Result<()> {
    if let Some(congestion) = &order.congestion {
        SockRef::from(stream).set_tcp_congestion(congestion.as_bytes())?;
    }
    let block = Block::new(order.block);
    let started = Instant::now();
    let time = Duration::from_secs(order.time);
    match order.way {
        Way::Write => {
            while started.elapsed() < time {
                stream.write_all(block.bytes())?;
            }
        }
        Way::Sendfile => {
            let mut file = File::from(memory()?);
            file.write_all(block.bytes())?;
            let len = order.block.min(PIPE);
            while started.elapsed() < time {
                let mut at = 0;
                // SAFETY: both descriptors are open, and the offset outlives the call.
                let sent = unsafe {
                    let (to, from) = (stream.as_raw_fd(), file.as_raw_fd());
                    libc::sendfile(to, from, &raw mut at, len)
                };
                checked(sent)?;
            }
        }
        Way::MsgZerocopy => {
            set_option(stream, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
            while started.elapsed() < time {
                let bytes = block.bytes();
                // SAFETY: the bytes outlive the connection's use of them: nobody changes them.
                let sent = unsafe {
                    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
                    libc::send(stream.as_raw_fd(), start, len, libc::MSG_ZEROCOPY)
                };
                match checked(sent) {
                    // The kernel keeps no more notices; it waits for those that are read below.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                    result => drop(result?),
                }
                while read_notice(stream) {}
            }
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// Returns a file that lies in memory.
fn memory() -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string; the descriptor that comes back is nobody else's.
    unsafe {
        let fd = libc::memfd_create(c"floor".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Takes a notice that the kernel is done with some bytes, and returns whether there was one.
fn read_notice(stream: &TcpStream) -> bool {
    let mut room = [0_u64; 16];
    // SAFETY: all zeros are a valid header; what it points to outlives the call.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&room);
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        libc::recvmsg(stream.as_raw_fd(), &raw mut header, flags) >= 0
    }
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Receives all there is, each call until the block is full.
fn receive(stream: &mut TcpStream, block: usize) -> io::Result<Counted> {
    let mut room = Block::new(block);
    let started = Instant::now();
    let mut bytes = 0;
    loop {
        let buffer = room.bytes_mut();
        // SAFETY: the room outlives the call, and is as long as is said.
        let received = unsafe {
            let start = buffer.as_mut_ptr().cast();
            libc::recv(stream.as_raw_fd(), start, buffer.len(), libc::MSG_WAITALL)
        };
        match received {
            0 => return Ok(Counted { bytes, seconds: started.elapsed().as_secs_f64(), sent: 0 }),
            -1 => return Err(io::Error::last_os_error()),
            received => bytes += received.unsigned_abs() as u64,
        }
    }
}

/// Sends datagrams for as long as is ordered, and returns what the server says of them.
fn send_datagrams(mut control: TcpStream, order: &Order) -> Result<Counted> {
    let port: u16 = serde_json::from_slice(&read_line(&mut control)?)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    SockRef::from(&socket).set_send_buffer_size(BUFFER)?;
    let train = if order.singly { 1 } else { (LONGEST / order.block).min(MOST) };
    if train > 1 {
        let segment = libc::c_int::try_from(order.block)?;
        set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, segment)?;
    }
    let block = Block::new(order.block * train);
    let started = Instant::now();
    let time = Duration::from_secs(order.time);
    let mut sent = 0;
    while started.elapsed() < time {
        sent += socket.send(block.bytes())? as u64;
    }
    write_line(&mut control, &sent)?;
    Ok(serde_json::from_slice(&read_line(&mut control)?)?)
}

/// Receives datagrams until the client has sent its last, and some time after.
fn receive_datagrams(mut control: TcpStream, order: &Order) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
    if !order.singly {
        set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    write_line(&mut control, &socket.local_addr()?.port())?;
    let told = thread::spawn(move || -> Result<(TcpStream, u64)> {
        let sent = serde_json::from_slice(&read_line(&mut control)?)?;
        Ok((control, sent))
    });
    let mut room = Block::new(64 << 10);
    let (mut bytes, mut first, mut last) = (0, None, Instant::now());
    loop {
        match socket.recv(room.bytes_mut()) {
            Ok(received) => {
                bytes += received as u64;
                last = Instant::now();
                first.get_or_insert(last);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && told.is_finished() => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (mut control, sent) = told.join().map_err(|_| "the client left")??;
    let seconds = first.map_or(f64::NAN, |first| (last - first).as_secs_f64());
    write_line(&mut control, &Counted { bytes, seconds, sent })
}

fn set_option(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: libc::c_int,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the value outlives the call, and is as long as is said.
    let result = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read_line(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(line)
}

fn write_line(stream: &mut TcpStream, value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value)? + "\n";
    Ok(stream.write_all(line.as_bytes())?)
}

/// Bytes that begin on a page.
struct Block {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Block {
    fn new(len: usize) -> Self {
        let bytes = vec![0x5a; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any run moves")]
fn count(bytes: u64) -> f64 {
    bytes as f64
}

const PAGE: usize = 4096;

/// What the kernel moves from a file to a socket at once.
const PIPE: usize = 16 * PAGE;

/// What the kernel takes for one train, in bytes and in datagrams.
const LONGEST: usize = 65_507;
const MOST: usize = 64;
/// Bytes of a socket's buffer, as polyperf asks for them.
const BUFFER: usize = 4 << 20;
