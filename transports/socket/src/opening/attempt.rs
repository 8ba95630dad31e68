//! The client's side.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use polyperf_transport::{Chunk, Hello, Peer, Sockets};
use tokio::time::{Instant, timeout_at};

use super::{Cookie, Id, Packet, Prefix};
use crate::{
    DEFAULT_BUFFERS, DatagramRecv, DatagramSend, DatagramSocket, Endpoint, MAX_TRAIN, PATIENCE,
    Train, nth_port,
};

/// Returns a flow to `peer` over a new socket, the `nth` of its connection.
///
/// # Errors
///
/// What the system says.
pub fn dial(sockets: &Arc<dyn Sockets>, peer: &Peer, nth: u16) -> io::Result<Endpoint> {
    let local = peer.local.unwrap_or(match peer.addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    });
    let socket = sockets.udp(nth_port(local, nth)?)?;
    socket.connect(peer.addr)?;
    let socket = DatagramSocket::new(socket)?;
    socket.force_buffers(DEFAULT_BUFFERS)?;
    Endpoint::connected(socket)
}

/// Opens a flow: asks until it is answered. What the answer came with is received next.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a hello that is empty or too long,
/// [`io::ErrorKind::TimedOut`] if nobody answers; else what the system says.
pub async fn open(
    prefix: Prefix,
    id: Id,
    hello: &[u8],
    halves: (DatagramSend, DatagramRecv),
) -> io::Result<(DatagramSend, DatagramRecv)> {
    let (halves, _) = open_with(prefix, id, &[], hello, halves).await?;
    Ok(halves)
}

/// Opens a flow as [`open`] does, and tells the server `parameters`; returns what the server tells
/// as well.
///
/// # Errors
///
/// Those of [`open`], and [`io::ErrorKind::InvalidInput`] for parameters that are not as long as
/// `prefix` says.
pub async fn open_with(
    prefix: Prefix,
    id: Id,
    parameters: &[u8],
    hello: &[u8],
    halves: (DatagramSend, DatagramRecv),
) -> io::Result<((DatagramSend, DatagramRecv), Vec<u8>)> {
    Attempt::new(prefix, id, [parameters, hello], halves)?.run().await
}

/// A client's attempt to open a flow: it asks until it is answered.
struct Attempt<'a> {
    prefix: Prefix,
    id: Id,
    parameters: &'a [u8],
    hello: &'a [u8],
    send: DatagramSend,
    recv: DatagramRecv,
}

enum Answer {
    Challenge(Cookie),
    /// What the server tells.
    Accept(Vec<u8>),
    /// The answer was lost, or is late: what the server sends already says as much.
    Data,
}

impl<'a> Attempt<'a> {
    fn new(
        prefix: Prefix,
        id: Id,
        [parameters, hello]: [&'a [u8]; 2],
        (send, recv): (DatagramSend, DatagramRecv),
    ) -> io::Result<Self> {
        if parameters.len() != prefix.parameters() {
            let (len, needed) = (parameters.len(), prefix.parameters());
            let text = format!("{len} bytes of parameters, not {needed}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if !prefix.permits(hello) {
            let text = format!("a hello of {} bytes, not 1 to {}", hello.len(), Hello::MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        recv.endpoint().set_patience(FIRST_PATIENCE);
        Ok(Self { prefix, id, parameters, hello, send, recv })
    }

    async fn run(mut self) -> io::Result<((DatagramSend, DatagramRecv), Vec<u8>)> {
        let give_up = Instant::now() + LIMIT;
        let mut cookie = Cookie::default();
        let mut pause = FIRST_PAUSE;
        let mut challenges = 0;
        loop {
            let Self { id, parameters, hello, .. } = self;
            let open = Packet::Open { id, cookie, parameters, hello }.encode(self.prefix);
            self.say(&open).await?;
            let now = Instant::now();
            if now >= give_up {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {} seconds", LIMIT.as_secs()),
                ));
            }
            let next = (now + pause).min(give_up);
            match timeout_at(next, self.answer(cookie != Cookie::default())).await {
                Ok(answer) => match answer? {
                    // Whoever changes its mind for ever is not answered for ever at once.
                    Answer::Challenge(new) if challenges < MAX_CHALLENGES => {
                        cookie = new;
                        challenges += 1;
                        continue;
                    }
                    Answer::Challenge(new) => {
                        cookie = new;
                        tokio::time::sleep_until(next).await;
                    }
                    Answer::Accept(told) => return Ok((self.opened(), told)),
                    Answer::Data => return Ok((self.opened(), Vec::new())),
                },
                Err(_) => pause = (pause * 2).min(LAST_PAUSE),
            }
        }
    }

    /// Waits for an answer. Once `challenged`, data is one, and stays to be received.
    async fn answer(&mut self, challenged: bool) -> io::Result<Answer> {
        // With room for all that comes together, nothing is left behind in the half.
        let mut buf = vec![0; MAX_TRAIN];
        loop {
            let recv = &mut self.recv;
            let Train { len, stride } =
                poll_fn(|cx| recv.poll_recv(cx, &mut buf, |_| true)).await?;
            let first = stride.min(len);
            let (answer, rest) = match Packet::parse(self.prefix, &buf[..first]) {
                Some(Packet::Challenge { id, cookie }) if id == self.id => {
                    (Answer::Challenge(cookie), &buf[first..len])
                }
                Some(Packet::Accept { id, parameters }) if id == self.id => {
                    (Answer::Accept(parameters.to_vec()), &buf[first..len])
                }
                // Where the server has something to tell, nothing can be made of data before.
                _ if challenged && self.prefix.parameters() == 0 => (Answer::Data, &buf[..len]),
                _ => continue,
            };
            self.recv.put_back(rest, stride);
            return Ok(answer);
        }
    }

    async fn say(&mut self, packet: &[u8]) -> io::Result<()> {
        if let Some(chunk) = Chunk::whole(packet) {
            poll_fn(|cx| self.send.poll_send(cx, chunk)).await?;
        }
        Ok(())
    }

    fn opened(self) -> (DatagramSend, DatagramRecv) {
        self.recv.endpoint().set_patience(PATIENCE);
        (self.send, self.recv)
    }
}

/// How long an attempt lasts, unless whoever makes it gives up before.
const LIMIT: Duration = Duration::from_secs(5);

/// How long refusals may go on before nobody is there: a server may just be starting.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// One is usual; another comes where the first has grown old meanwhile.
const MAX_CHALLENGES: usize = 8;
