//! Debian's iperf3 as a server.

use std::{
    net::{Ipv6Addr, SocketAddr},
    process::Stdio,
};

use serde_json::Value;
use tokio::{
    net::TcpSocket,
    process::{Child, Command},
};

use crate::PATIENCE;

/// A server of iperf3's, killed when it is dropped.
#[derive(Debug)]
pub struct Iperf3Server {
    child: Child,
    /// Where it listens, over both families.
    pub port: u16,
}

impl Iperf3Server {
    /// Starts it with these arguments, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it is not installed, or does not listen on any port.
    pub async fn start(args: &[&str]) -> Self {
        let start = async {
            loop {
                // Somebody else may take the port before iperf3 does.
                if let Some(server) = Self::try_start(args).await {
                    return server;
                }
            }
        };
        tokio::time::timeout(PATIENCE, start).await.expect("iperf3 listens")
    }

    /// Starts a server for one test, whose document [`document`](Self::document) returns.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn for_one_test() -> Self {
        Self::start(&["-1", "-J"]).await
    }

    /// Waits until the server has ended, and returns its document.
    ///
    /// # Panics
    ///
    /// If it does not end, or prints something else.
    pub async fn document(self) -> Value {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("iperf3 ends").expect("it has ended");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("iperf3 printed no JSON ({error}): {output:?}"))
    }

    /// Sends the server a signal.
    pub fn signal(&self, number: i32) {
        signal(&self.child, number);
    }

    async fn try_start(args: &[&str]) -> Option<Self> {
        let port = free_port();
        let mut command = Command::new("iperf3");
        command.args(["-s", "-p", &port.to_string()]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().expect("iperf3 is installed");
        while !is_taken(port) {
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

fn free_port() -> u16 {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let listener = std::net::TcpListener::bind(any).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Returns whether somebody listens on a port, without a connection, which would be a test.
fn is_taken(port: u16) -> bool {
    let socket = TcpSocket::new_v6().expect("a socket");
    // Two sockets may be bound to one port as long as neither listens.
    socket.set_reuseaddr(true).expect("it can be set");
    socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).is_err()
}
