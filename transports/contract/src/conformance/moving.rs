//! Rules about what arrives.

use std::{future::poll_fn, io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::scene::{
    HELLO, Pair, accept, assert_same, carries_bytes, connect, expect_end, finish, listen,
    message_len, open_with, pattern, recv, recv_exactly, send, send_messages, send_some, within,
};
use crate::{Chunk, Delivery, RecvHalf, SendHalf, Transport};

/// The 37 bytes with which a client greets arrive as they were sent, in one piece where the
/// transport carries messages.
pub async fn a_first_message_of_37_bytes_arrives_whole(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    let mut listener = listen(&transport, at).await;
    let connection = connect(&transport, listener.local_addr()).await;
    let (_client, mut server) =
        tokio::join!(open_with(&*connection, &HELLO), accept(&mut *listener));
    let mut buf = [0; 2048];
    let mut heard = 0;
    while heard < HELLO.len() {
        let received = recv(&mut *server.recv, &mut buf[heard..]).await;
        heard += received.expect("the peer is there").expect("the peer has not finished").len;
        assert!(heard == HELLO.len() || carries_bytes(&transport), "{heard} bytes of a message");
    }
    assert_eq!(buf[..heard], HELLO);
}

/// Once it has heard of a stream, the server may be the first to send at length.
pub async fn the_server_can_send_first_after_the_hello(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    let mut pair = Pair::open(&transport, at).await;
    let sent = pattern(1, message_len(&transport));
    let ((), got) = tokio::join!(
        send(&mut *pair.server.send, &sent),
        recv_exactly(&mut *pair.client.recv, sent.len())
    );
    assert_same(&got, &sent, "what the server sent");
}

/// Some megabytes arrive byte for byte, each way.
pub async fn bytes_arrive_in_order(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    transfer(&mut *pair.client.send, &mut *pair.server.recv, 2).await;
    transfer(&mut *pair.server.send, &mut *pair.client.recv, 3).await;
}

/// Receiving into buffers of a few bytes gives every byte, in order.
pub async fn small_buffers_lose_nothing(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    let sent = pattern(4, 5000);
    let receiving = async {
        let mut got = Vec::new();
        let mut buf = [0; 64];
        while got.len() < sent.len() {
            let room = 1 + got.len() % buf.len();
            let received = recv(&mut *pair.server.recv, &mut buf[..room]).await;
            let len = received.expect("the peer is there").expect("more to come").len;
            got.extend_from_slice(&buf[..len]);
        }
        got
    };
    let ((), got) = tokio::join!(send(&mut *pair.client.send, &sent), receiving);
    assert_same(&got, &sent, "what came in small pieces");
}

/// A sender is held while nobody reads, and goes on where it was when somebody does.
pub async fn a_receiver_that_does_not_read_holds_the_sender(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    if !carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    let block = pattern(5, BLOCK);
    let sent = send_until_held(&mut *pair.client.send, &block).await;
    let more = sent + 4 * BLOCK;
    let sending = async {
        for at in (sent..more).step_by(BLOCK / 2) {
            let end = (at + BLOCK / 2).min(more);
            send(&mut *pair.client.send, &cycle(&block, at, end)).await;
        }
        finish(&mut *pair.client.send).await;
    };
    let receiving = async {
        let mut at = 0;
        let mut buf = vec![0; BLOCK];
        while let Some(received) = recv(&mut *pair.server.recv, &mut buf).await.expect("a peer") {
            let end = at + received.len;
            assert_same(&buf[..received.len], &cycle(&block, at, end), format!("byte {at} on"));
            at = end;
        }
        at
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert_eq!(got, more);
}

/// Messages arrive whole and apart, also when many are handed over at once.
///
/// They are sent a few at a time, as many as any receive buffer holds, so none is lost.
pub async fn messages_keep_their_boundaries(transport: Arc<dyn Transport>, at: SocketAddr) {
    if carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    let longest = message_len(&transport);
    for round in 0..ROUNDS {
        // Every length in turn, the last message of each round shorter than the others.
        let stride = 2 + (round * 41) % (longest - 1);
        let bytes = pattern(round as u64, stride * (MESSAGES - 1) + 1 + stride / 2);
        send_whole_messages(&mut *pair.client.send, &bytes, stride).await;
        let mut missing: Vec<&[u8]> = bytes.chunks(stride).collect();
        while !missing.is_empty() {
            for message in recv_messages(&mut *pair.server.recv).await {
                let at = missing.iter().position(|sent| *sent == message);
                missing.swap_remove(at.expect("a message arrives as it was sent, and once"));
            }
        }
    }
}

/// A message for which the buffer is too short fills it with its beginning.
pub async fn a_message_longer_than_the_buffer_is_cut(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    if carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    let sent = pattern(6, message_len(&transport));
    let short = sent.len() / 3;
    send(&mut *pair.client.send, &sent).await;
    let got = recv_exactly(&mut *pair.server.recv, short).await;
    assert_same(&got, &sent[..short], "the beginning of the message");

    send(&mut *pair.client.send, &HELLO).await;
    assert_eq!(recv_exactly(&mut *pair.server.recv, HELLO.len()).await, HELLO, "the next one");
}

/// A message longer than the transport's longest is refused as invalid.
pub async fn a_message_too_long_is_refused(transport: Arc<dyn Transport>, at: SocketAddr) {
    let Delivery::Messages { max, .. } = transport.delivery() else { return };
    let mut pair = Pair::open(&transport, at).await;
    let too_long = vec![0; max.get() + 1];
    let refusal =
        within("being refused", send_some(&mut *pair.client.send, &too_long, too_long.len()));
    let error = refusal.await.expect_err("a message too long is not sent");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
}

/// Sends a few megabytes and compares them with what arrives.
async fn transfer(from: &mut dyn SendHalf, to: &mut dyn RecvHalf, seed: u64) {
    let sent = pattern(seed, TRANSFER);
    let sending = async {
        send_messages(from, &sent, BLOCK).await;
        finish(from).await;
    };
    let receiving = async {
        let got = recv_exactly(to, sent.len()).await;
        expect_end(to).await;
        got
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert_same(&got, &sent, "a transfer");
}

/// Sends `block` over and over until the transport takes no more, and returns how much it took.
async fn send_until_held(half: &mut dyn SendHalf, block: &[u8]) -> usize {
    let mut sent = 0;
    // A transport may return `Pending` now and then for reasons of its own, so being held is told
    // by a quiet time, not by the first `Pending`.
    while let Ok(taken) = timeout(QUIET, send_some(half, &block[sent % BLOCK..], BLOCK)).await {
        sent += taken.expect("a peer that does not read is still there");
        assert!(sent < TOO_MUCH, "{sent} bytes were taken, and nobody read");
    }
    sent
}

async fn send_whole_messages(half: &mut dyn SendHalf, mut bytes: &[u8], stride: usize) {
    let stride = NonZeroUsize::new(stride).expect("a stride");
    while !bytes.is_empty() {
        let chunk = Chunk { bytes, stride };
        let taken = within("send", poll_fn(|cx| half.poll_send(cx, chunk))).await.expect("a peer");
        assert!(taken > 0, "poll_send takes no zero bytes of a chunk");
        let whole = taken % stride == 0 || taken == bytes.len();
        assert!(whole, "{taken} of {} bytes are no whole messages of {stride}", bytes.len());
        bytes = &bytes[taken..];
    }
}

async fn recv_messages(half: &mut dyn RecvHalf) -> Vec<Vec<u8>> {
    let mut buf = vec![0; 1 << 16];
    let received = recv(half, &mut buf).await.expect("a peer").expect("messages have no end");
    buf[..received.len].chunks(received.stride).map(<[u8]>::to_vec).collect()
}

/// Returns bytes `from..to` of `block` repeated for ever.
fn cycle(block: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut bytes = block[from % block.len()..].to_vec();
    while bytes.len() < to - from {
        bytes.extend_from_slice(block);
    }
    bytes.truncate(to - from);
    bytes
}

/// Prime, so that bytes that are lost or doubled in powers of two do not go unseen.
const BLOCK: usize = 65_521;

const TRANSFER: usize = 4 << 20;

/// How long a sender makes no progress before it counts as held.
const QUIET: Duration = Duration::from_millis(300);

/// More than the buffers of any transport should hold.
const TOO_MUCH: usize = 256 << 20;

const ROUNDS: usize = 100;

/// Messages in flight at once: few enough for the smallest of receive buffers.
const MESSAGES: usize = 16;
