//! Rules about what works side by side: halves, streams, connections, threads.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    opening::accept_if_ready,
    scene::{
        Pair, accept, assert_same, carries_bytes, connect, listen, message_len, on_a_thread,
        open_with, pattern, recv_exactly, send, within,
    },
};
use crate::{Connection, Listener, RecvHalf, SendHalf, Stream, Transport};

/// The four halves of a stream's two ends work at once, each in a task of its own.
pub async fn halves_work_at_once_from_tasks(transport: Arc<dyn Transport>, at: SocketAddr) {
    let load = Load::of(&transport);
    let Pair { listener: _listener, connection: _connection, client, server } =
        Pair::open(&transport, at).await;
    all_end([
        tokio::spawn(load.send(client.send, 1)),
        tokio::spawn(load.send(server.send, 2)),
        tokio::spawn(load.recv(client.recv, 2)),
        tokio::spawn(load.recv(server.recv, 1)),
    ])
    .await;
}

/// The four halves of a stream's two ends work at once, each on a thread and a runtime of its own.
pub async fn halves_work_at_once_from_threads(transport: Arc<dyn Transport>, at: SocketAddr) {
    on_four_threads(&transport, at, None).await;
}

/// A half that may block its thread does what any other does.
pub async fn a_half_may_block_its_thread(transport: Arc<dyn Transport>, at: SocketAddr) {
    on_four_threads(&transport, at, Some(Duration::from_millis(50))).await;
}

/// Each stream of one connection is accepted once and carries its own bytes.
pub async fn many_streams_of_a_connection_are_independent(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    const STREAMS: u8 = 8;
    let mut listener = listen(&transport, at).await;
    let connection = connect(&transport, listener.local_addr()).await;
    let opening = async {
        let mut streams = Vec::new();
        for id in 0..STREAMS {
            streams.push(open_with(&*connection, &[id]).await);
        }
        streams
    };
    let (clients, servers) = tokio::join!(opening, accept_all(&mut *listener, STREAMS));
    expect_nobody_else(&mut *listener).await;
    answer_all(&transport, clients, servers).await;
}

/// Each of many connections is accepted once and carries its own bytes.
pub async fn many_connections_are_independent(transport: Arc<dyn Transport>, at: SocketAddr) {
    const CONNECTIONS: u8 = 32;
    let mut listener = listen(&transport, at).await;
    let addr = listener.local_addr();
    let opening = async {
        let mut connections: Vec<Box<dyn Connection>> = Vec::new();
        let mut streams = Vec::new();
        for id in 0..CONNECTIONS {
            let connection = connect(&transport, addr).await;
            streams.push(open_with(&*connection, &[id]).await);
            connections.push(connection);
        }
        (connections, streams)
    };
    let ((_connections, clients), servers) =
        tokio::join!(opening, accept_all(&mut *listener, CONNECTIONS));
    expect_nobody_else(&mut *listener).await;
    answer_all(&transport, clients, servers).await;
}

async fn on_four_threads(transport: &Arc<dyn Transport>, at: SocketAddr, block: Option<Duration>) {
    let load = Load::of(transport);
    let Pair { listener: _listener, connection: _connection, mut client, mut server } =
        Pair::open(transport, at).await;
    for stream in [&mut client, &mut server] {
        stream.send.block_for(block);
        stream.recv.block_for(block);
        stream.recv.expect_bulk();
    }
    all_end([
        on_a_thread(move || load.send(client.send, 1)),
        on_a_thread(move || load.send(server.send, 2)),
        on_a_thread(move || load.recv(client.recv, 2)),
        on_a_thread(move || load.recv(server.recv, 1)),
    ])
    .await;
}

/// Waits for halves at work, and drops none before all are done.
async fn all_end(halves: [JoinHandle<Half>; 4]) {
    let mut done = Vec::new();
    for half in halves {
        done.push(within("a half", half).await.expect("a half does its work"));
    }
}

/// Accepts streams that each open with one byte, and returns them ordered by it.
async fn accept_all(listener: &mut dyn Listener, count: u8) -> Vec<Stream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = accept(listener).await;
        let id = recv_exactly(&mut *stream.recv, 1).await[0];
        streams.push((id, stream));
    }
    streams.sort_by_key(|(id, _)| *id);
    let ids: Vec<u8> = streams.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (0..count).collect::<Vec<_>>(), "each stream is accepted once");
    streams.into_iter().map(|(_, stream)| stream).collect()
}

async fn expect_nobody_else(listener: &mut dyn Listener) {
    assert!(accept_if_ready(listener).await.is_none(), "more streams accepted than were opened");
}

/// Answers on each stream, and reads the answers last stream first: no stream waits for another.
///
/// The servers' ends are kept until the last answer is in.
async fn answer_all(
    transport: &Arc<dyn Transport>,
    clients: Vec<Stream>,
    mut servers: Vec<Stream>,
) {
    let len = message_len(transport);
    for (seed, server) in (0..).zip(&mut servers) {
        send(&mut *server.send, &pattern(seed, len)).await;
    }
    for (seed, mut client) in (0..).zip(clients).collect::<Vec<(u64, _)>>().into_iter().rev() {
        let got = recv_exactly(&mut *client.recv, len).await;
        assert_same(&got, &pattern(seed, len), format!("the answer on stream {seed}"));
    }
}

/// A half that has done its work.
#[allow(dead_code, reason = "kept for its drop alone")]
enum Half {
    Send(Box<dyn SendHalf>),
    Recv(Box<dyn RecvHalf>),
}

/// What one direction carries: a lot of bytes, or a few messages that fit any buffer.
#[derive(Debug, Clone, Copy)]
struct Load {
    message: usize,
    messages: usize,
}

impl Load {
    fn of(transport: &Arc<dyn Transport>) -> Self {
        let messages = if carries_bytes(transport) { 2000 } else { 16 };
        Self { message: message_len(transport), messages }
    }

    /// Sends it all, and returns the half, since dropping it may be seen before its last bytes are.
    async fn send(self, mut half: Box<dyn SendHalf>, seed: u64) -> Half {
        for message in pattern(seed, self.message * self.messages).chunks(self.message) {
            send(&mut *half, message).await;
        }
        Half::Send(half)
    }

    async fn recv(self, mut half: Box<dyn RecvHalf>, seed: u64) -> Half {
        for message in pattern(seed, self.message * self.messages).chunks(self.message) {
            assert_same(&recv_exactly(&mut *half, message.len()).await, message, "a piece");
        }
        Half::Recv(half)
    }
}
