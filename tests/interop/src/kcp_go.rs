//! kcp-go, and our own end of what its program is asked for.

use std::{
    future::poll_fn,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
};

use polyperf_socket::FlowListener;
use polyperf_transport::{
    Chunk, Gate, Guest, Hello, Listener, Mark, Opening, RecvHalf, SendHalf, Stream, Tuning,
    Verdict, Visit,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::PATIENCE;

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever dials.
    Up,
    /// To whoever dials.
    Down,
}

impl Way {
    /// Returns it as the program's option has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "u",
            Self::Down => "d",
        }
    }
}

/// Returns a command that runs kcp-go's program in this role.
#[must_use]
pub fn kcp_go(role: &str, args: &[String]) -> Command {
    let program = std::env::var_os(PROGRAM).map_or_else(|| PathBuf::from(BUILT), PathBuf::from);
    let mut command = Command::new(program);
    command.arg(role).args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// kcp-go as a server, ended when it is dropped.
#[derive(Debug)]
pub struct KcpGoServer {
    /// Where it listens.
    pub addr: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl KcpGoServer {
    /// Starts it on any port of `host`.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(host: &str, args: &[String]) -> Self {
        let mut command = kcp_go("serve", args);
        command.args(["-addr", &format!("{host}:0")]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} does not start: {error}; .ci/run says how it is built")
        });
        let output = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(output).lines();
        let first = next(&mut lines).await;
        let addr = first["listening"].as_str().and_then(|addr| addr.parse().ok());
        Self { addr: addr.expect("it tells where it listens"), lines, _child: child }
    }

    /// Returns what it says of the next session that has ended.
    pub async fn result(&mut self) -> Value {
        next(&mut self.lines).await
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
    let line = line.expect("it can be read").expect("it is still there");
    serde_json::from_str(&line).expect("it says JSON")
}

/// Runs kcp-go as a client to its end, and returns what it says.
///
/// # Panics
///
/// If it fails.
pub async fn dial(addr: SocketAddr, way: Way, bytes: usize, args: &[String]) -> Value {
    let mut command = kcp_go("dial", args);
    command.args(["-direction", way.name(), "-bytes", &bytes.to_string(), &addr.to_string()]);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends");
    let Output { status, stdout, stderr } = output.expect("it starts");
    assert!(status.success(), "kcp-go fails: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("it says JSON")
}

/// Lets in peers that begin with a request, and nobody else.
#[derive(Debug)]
pub struct Requests;

impl Gate for Requests {
    fn admit(&self, opening: &Opening<'_>) -> Verdict {
        match opening.hello {
            Hello::Bare(bytes) if bytes.starts_with(MAGIC) => Verdict::Accept,
            _ => Verdict::Refuse,
        }
    }

    fn announced(&self, _: &Mark) -> Option<Tuning> {
        None
    }

    fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
        None
    }
}

/// Returns what a dialler begins with.
#[must_use]
pub fn request(way: Way, bytes: usize) -> Vec<u8> {
    let mut request = [MAGIC, way.name().as_bytes(), &[0; 7]].concat();
    request.extend_from_slice(&(bytes as u64).to_le_bytes());
    request
}

/// Accepts a dialler, does as it asks, and returns the stream.
///
/// # Panics
///
/// If what comes is not what belongs there.
pub async fn answer(listener: &mut FlowListener) -> Stream {
    let accepted = timeout(PATIENCE, listener.accept()).await.expect("somebody dials");
    let mut stream = accepted.expect("it can be accepted");
    let request = receive(&mut *stream.recv, 24).await;
    assert!(request.starts_with(MAGIC), "{request:?}");
    let bytes = u64::from_le_bytes(request[16..].try_into().expect("eight are left"));
    let bytes = usize::try_from(bytes).expect("it fits");
    match request[8] {
        b'u' => take(&mut stream, bytes).await,
        _ => give(&mut stream, bytes).await,
    }
    stream
}

/// Sends so many bytes of the pattern, and waits until they are confirmed.
///
/// # Panics
///
/// If they are not.
pub async fn give(stream: &mut Stream, bytes: usize) {
    send(&mut *stream.send, &pattern(bytes)).await;
    let confirmed = receive(&mut *stream.recv, 8).await;
    assert_eq!(confirmed, (bytes as u64).to_le_bytes(), "all were as they should be");
}

/// Receives so many bytes of the pattern, and confirms them.
///
/// # Panics
///
/// If one of them is another.
pub async fn take(stream: &mut Stream, bytes: usize) {
    let got = receive(&mut *stream.recv, bytes).await;
    let expected = pattern(bytes);
    let wrong = got.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "the first byte that is another");
    send(&mut *stream.send, &(bytes as u64).to_le_bytes()).await;
}

async fn send(half: &mut dyn SendHalf, mut bytes: &[u8]) {
    while let Some(chunk) = Chunk::whole(bytes) {
        let sent = timeout(PATIENCE, poll_fn(|cx| half.poll_send(cx, chunk))).await;
        bytes = &bytes[sent.expect("it moves on").expect("the peer is there")..];
    }
}

async fn receive(half: &mut dyn RecvHalf, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let got = timeout(PATIENCE, poll_fn(|cx| half.poll_recv(cx, &mut bytes[filled..]))).await;
        let got = got.unwrap_or_else(|_| panic!("{filled} of {len} bytes have come"));
        filled += got.expect("the peer is there").expect("there is more to come").len;
    }
    bytes
}

/// Returns the bytes that belong at the beginning of a stream, as the program makes them.
fn pattern(len: usize) -> Vec<u8> {
    let word = |number: u64| {
        let x = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ (x >> 29)).to_le_bytes()
    };
    (0..).flat_map(word).take(len).collect()
}

const MAGIC: &[u8] = b"kcppeer1";

/// The variable that says where the program is.
const PROGRAM: &str = "KCP_PEER";
/// Where `.ci/run` builds it, seen from this crate.
const BUILT: &str = "../../target/peers/kcp-peer";
