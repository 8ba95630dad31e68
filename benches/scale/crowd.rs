//! Connections that ask for nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use polyperf::protocol::native::{Hello, Token};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::support::Result;

/// Control connections that a server has welcomed.
#[derive(Debug)]
pub(crate) struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens so many control connections, and waits until each is welcomed.
    pub(crate) async fn gather(server: SocketAddr, count: usize) -> Result<Self> {
        let mut welcomed = Vec::with_capacity(count);
        while welcomed.len() < count {
            // No more at once than the system's queue of connections takes.
            let mut joining = JoinSet::new();
            for number in welcomed.len()..count.min(welcomed.len() + AT_ONCE) {
                joining.spawn(timeout(PATIENCE, join(server, number / OF_AN_ADDRESS)));
            }
            for joined in joining.join_all().await {
                welcomed.push(joined??);
            }
        }
        Ok(Self(welcomed))
    }

    /// Returns how many have been dropped by the server, or told something more.
    pub(crate) fn disturbed(&self) -> usize {
        let disturbed = |stream: &&TcpStream| !matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.0.iter().filter(disturbed).count()
    }
}

/// Opens a control connection from the `address`-th address, and reads the server's welcome.
async fn join(server: SocketAddr, address: usize) -> io::Result<TcpStream> {
    let host = u8::try_from(address + 1).map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, host), 0)))?;
    let mut stream = socket.connect(server).await?;
    stream.write_all(&Hello::Control(Token::from_bits(rand::random())).encode()).await?;
    let len = stream.read_u32().await?;
    let _number = stream.read_u32().await?;
    let mut welcome = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    stream.read_exact(&mut welcome).await?;
    Ok(stream)
}

const AT_ONCE: usize = 200;
/// Fewer than a server lets one address have.
const OF_AN_ADDRESS: usize = 1000;
/// How long a welcome may take.
const PATIENCE: Duration = Duration::from_secs(5);
