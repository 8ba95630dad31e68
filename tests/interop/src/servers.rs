//! Other people's servers.

use std::{
    net::{Ipv6Addr, SocketAddr},
    process::Stdio,
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::process::Child;

use crate::{PATIENCE, Peer};

/// A server of somebody else's, killed when it is dropped.
#[derive(Debug)]
pub struct PeerServer {
    child: Child,
    /// Where it listens, over both families.
    pub port: u16,
}

impl PeerServer {
    /// Starts it with these arguments, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it is not installed, or does not listen on any port.
    pub async fn start(peer: Peer, args: &[&str]) -> Self {
        let start = async {
            loop {
                // Somebody else may take the port before it does.
                if let Some(server) = Self::try_start(peer, args).await {
                    return server;
                }
            }
        };
        tokio::time::timeout(PATIENCE, start).await.expect("it listens")
    }

    /// Starts a server for one test, whose document [`document`](Self::document) returns.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn for_one_test(peer: Peer) -> Self {
        Self::start(peer, &["-1", "-J"]).await
    }

    /// Waits until the server has ended, and returns its document.
    ///
    /// # Panics
    ///
    /// If it does not end, or prints something else.
    pub async fn document(self) -> Value {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("the server ends").expect("it has ended");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("the server printed no JSON ({error}): {output:?}"))
    }

    /// Sends the server a signal.
    pub fn signal(&self, number: i32) {
        signal(&self.child, number);
    }

    async fn try_start(peer: Peer, args: &[&str]) -> Option<Self> {
        let port = free_port();
        let mut command = peer.command();
        command.args(["-s", "-p", &port.to_string()]).args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}", peer.missing(&error)));
        while bound(Type::STREAM, port).is_some() {
            if child.try_wait().expect("it is our child").is_some() {
                return None;
            }
            tokio::task::yield_now().await;
        }
        Some(Self { child, port })
    }
}

/// Sends a program a signal.
///
/// # Panics
///
/// If it has ended.
pub fn signal(child: &Child, number: i32) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
    // SAFETY: a child that was not waited for keeps its number, so no other program is hit.
    assert_eq!(unsafe { libc::kill(id, number) }, 0);
}

/// Returns a port that neither transport uses. It is not one of those that the system gives to
/// sockets that ask for any, since these come and go while a server is about to listen.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 150).expect("it is below 150") * 100;
    loop {
        let port = 12_000 + (process + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if [Type::STREAM, Type::DGRAM].iter().all(|kind| bound(*kind, port).is_some()) {
            return port;
        }
    }
}

/// Returns a socket of both families on this port; `None` if somebody else has it. Nobody is
/// connected to, since that would be a test.
fn bound(kind: Type, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV6, kind, None).expect("a socket");
    socket.set_only_v6(false).expect("it can be set");
    if kind == Type::STREAM {
        // Two sockets may be bound to one port as long as neither listens.
        socket.set_reuse_address(true).expect("it can be set");
    }
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    socket.bind(&any.into()).is_ok().then_some(socket)
}
