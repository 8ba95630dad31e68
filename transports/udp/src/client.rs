use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use polyperf_socket::{
    DEFAULT_BUFFERS, DatagramRecv, DatagramSend, DatagramSocket, Endpoint, MAX_TRAIN, Train,
    nth_port,
};
use polyperf_transport::{Chunk, Connection, Error, Hello, Peer, Sockets, Stream, async_trait};
use tokio::time::{Instant, timeout_at};

use crate::{
    packet::{Cookie, Id, Packet},
    path,
    stream::{Sieve, stream},
};

/// A peer to open flows to. Nothing is shared between them, so nothing is open yet.
#[derive(Debug)]
pub(crate) struct UdpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    opened: AtomicU16,
}

impl UdpConnection {
    pub(crate) fn new(sockets: Arc<dyn Sockets>, peer: Peer) -> Self {
        Self { sockets, peer, opened: AtomicU16::new(0) }
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let local = self.peer.local.unwrap_or(match self.peer.addr {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        });
        let socket = self.sockets.udp(nth_port(local, nth)?)?;
        socket.connect(self.peer.addr)?;
        let socket = DatagramSocket::new(socket)?;
        socket.force_buffers(DEFAULT_BUFFERS)?;
        let endpoint = Endpoint::connected(socket)?;
        path::tune(&endpoint, &self.peer.tuning);
        Ok(endpoint)
    }
}

#[async_trait]
impl Connection for UdpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let open = async {
            let endpoint = Arc::new(self.endpoint()?);
            let halves = (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint));
            match hello {
                Hello::Own(hello) => Attempt::new(hello, halves)?.run().await,
                Hello::Bare(word) => say(word, halves).await,
            }
        };
        open.await.map_err(|source| Error::Connect { addr: self.peer.addr, source })
    }

    async fn close(&self) {}
}

async fn say(word: &[u8], mut halves: (DatagramSend, DatagramRecv)) -> io::Result<Stream> {
    // Nobody is asked again, so the first refusal is the answer.
    halves.1.endpoint().set_patience(Duration::ZERO);
    send(&mut halves.0, word).await?;
    Ok(stream(halves, Sieve::Unanswered))
}

async fn send(half: &mut DatagramSend, datagram: &[u8]) -> io::Result<()> {
    if let Some(chunk) = Chunk::whole(datagram) {
        poll_fn(|cx| half.poll_send(cx, chunk)).await?;
    }
    Ok(())
}

/// A client's attempt to open a flow: it asks until it is answered.
struct Attempt<'a> {
    id: Id,
    hello: &'a [u8],
    send: DatagramSend,
    recv: DatagramRecv,
}

enum Answer {
    Challenge(Cookie),
    Accept,
    /// The answer was lost, or is late: what the server sends already says as much.
    Data,
}

impl<'a> Attempt<'a> {
    fn new(hello: &'a [u8], (send, recv): (DatagramSend, DatagramRecv)) -> io::Result<Self> {
        if hello.is_empty() || hello.len() > Hello::MAX {
            let text = format!("a hello of {} bytes, not 1 to {}", hello.len(), Hello::MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        recv.endpoint().set_patience(PATIENCE);
        Ok(Self { id: rand::random(), hello, send, recv })
    }

    async fn run(mut self) -> io::Result<Stream> {
        let give_up = Instant::now() + LIMIT;
        let mut cookie = Cookie::default();
        let mut pause = FIRST_PAUSE;
        let mut challenges = 0;
        loop {
            let open = Packet::Open { id: self.id, cookie, hello: self.hello }.encode();
            send(&mut self.send, &open).await?;
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
                    Answer::Accept | Answer::Data => return Ok(self.opened()),
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
            let (answer, rest) = match Packet::parse(&buf[..first]) {
                Some(Packet::Challenge { id, cookie }) if id == self.id => {
                    (Answer::Challenge(cookie), &buf[first..len])
                }
                Some(Packet::Accept { id }) if id == self.id => (Answer::Accept, &buf[first..len]),
                _ if challenged => (Answer::Data, &buf[..len]),
                _ => continue,
            };
            self.recv.put_back(rest, stride);
            return Ok(answer);
        }
    }

    fn opened(self) -> Stream {
        self.recv.endpoint().set_patience(polyperf_socket::PATIENCE);
        stream((self.send, self.recv), Sieve::Client { id: self.id })
    }
}

/// How long an attempt lasts, unless whoever makes it gives up before.
const LIMIT: Duration = Duration::from_secs(5);

/// How long refusals may go on before nobody is there: a server may just be starting.
const PATIENCE: Duration = Duration::from_millis(500);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// One is usual; another comes where the first has grown old meanwhile.
const MAX_CHALLENGES: usize = 8;
