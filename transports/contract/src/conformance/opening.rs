//! Rules about names, addresses, listening and connecting.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use super::scene::{HELLO, Pair, accept, carries_bytes, connect, listen, open_with, within};
use crate::{Anyone, Error, Hello, Listener, Peer, Stream, Transport};

/// The name is what users type: lower-case letters, digits and dashes, and a letter first.
pub async fn the_name_is_well_formed(transport: Arc<dyn Transport>, _: SocketAddr) {
    let name = transport.name();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "`{name}` starts with a letter");
    assert!(name.chars().all(allowed), "`{name}` is made of a-z, 0-9 and -");
    assert_eq!(name, transport.name(), "a name stays");
    assert_eq!(transport.delivery(), transport.delivery(), "a delivery stays");
}

/// Listening on port 0 gives a real port, and another one the next time.
pub async fn port_zero_picks_a_port(transport: Arc<dyn Transport>, at: SocketAddr) {
    let first = listen(&transport, at).await;
    let second = listen(&transport, at).await;
    assert_ne!(first.local_addr().port(), 0);
    assert_ne!(second.local_addr().port(), 0);
    assert_ne!(first.local_addr(), second.local_addr());
    assert_eq!(first.local_addr().ip(), at.ip());
}

/// An address is listened on once; the error says which address it was.
pub async fn a_taken_address_is_refused(transport: Arc<dyn Transport>, at: SocketAddr) {
    let listener = listen(&transport, at).await;
    let taken = listener.local_addr();
    match within("listen", transport.listen(taken, Arc::new(Anyone))).await {
        Err(Error::Listen { addr, .. }) => assert_eq!(addr, taken, "the address in the error"),
        other => panic!("listening twice on {taken} gave {other:?}"),
    }
}

/// Where nobody listens, connecting or opening fails, and names the address.
///
/// Messages are sent without a handshake, so nothing can be asked of their transports.
pub async fn connecting_to_nobody_fails(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let nobody = listen(&transport, at).await.local_addr();
    expect_refusal(&*transport, nobody).await;
}

/// Both ends of a stream agree on who is at which address.
pub async fn streams_know_their_addresses(transport: Arc<dyn Transport>, at: SocketAddr) {
    let Pair { listener, client, server, .. } = Pair::open(&transport, at).await;
    assert_eq!(client.peer, listener.local_addr(), "whom the client reached");
    assert_eq!(server.local.port(), listener.local_addr().port(), "where the server was reached");
    assert_eq!(server.peer.port(), client.local.port(), "where the client is");
    assert_ne!(client.local.port(), 0);
}

/// Dropping the future of `accept` at any moment loses no stream.
pub async fn accept_may_be_cancelled(transport: Arc<dyn Transport>, at: SocketAddr) {
    const STREAMS: usize = 8;
    let mut listener = listen(&transport, at).await;
    let addr = listener.local_addr();
    let opening = async {
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let connection = connect(&transport, addr).await;
            let stream = open_with(&*connection, &HELLO).await;
            open.push((connection, stream));
        }
        open
    };
    let accepting = async {
        let mut accepted = Vec::new();
        while accepted.len() < STREAMS {
            accepted.extend(accept_if_ready(&mut *listener).await);
            tokio::task::yield_now().await;
        }
        accepted
    };
    let (open, accepted) = within("accepting", async { tokio::join!(opening, accepting) }).await;
    assert_eq!(open.len(), accepted.len());
}

/// A peer that connects and says nothing keeps nobody from being accepted and heard.
///
/// A flow of messages begins with one, so there it has nobody to be about.
pub async fn a_silent_peer_delays_nobody(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let mut listener = listen(&transport, at).await;
    let addr = listener.local_addr();
    let silent = connect(&transport, addr).await;
    let _silent = open_with(&*silent, &[]).await;
    let talker = connect(&transport, addr).await;
    let (_talker, heard) = tokio::join!(open_with(&*talker, &HELLO), hear_anybody(&mut *listener));
    assert!(HELLO.starts_with(&heard), "the talker is heard");
}

/// Asserts that `addr` refuses, at the latest when a stream is opened.
pub(super) async fn expect_refusal(transport: &dyn Transport, addr: SocketAddr) {
    let hello = Hello::Own(&HELLO);
    let attempt = async { transport.connect(&Peer::at(addr)).await?.open(hello).await };
    match within("being refused", attempt).await {
        Err(Error::Connect { addr: named, .. }) => assert_eq!(named, addr),
        other => panic!("connecting to nobody at {addr} gave {other:?}"),
    }
}

/// Polls `accept` once and drops it.
pub(super) async fn accept_if_ready(listener: &mut dyn Listener) -> Option<Stream> {
    let mut accept = pin!(listener.accept());
    poll_fn(|cx| match accept.as_mut().poll(cx) {
        Poll::Ready(stream) => Poll::Ready(Some(stream.expect("an opened stream is accepted"))),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Accepts streams until any of them has something to say, and returns what it said.
async fn hear_anybody(listener: &mut dyn Listener) -> Vec<u8> {
    let mut accepted: Vec<Stream> = Vec::new();
    loop {
        let news = {
            let mut accepting = pin!(accept(listener));
            poll_fn(|cx| {
                let mut buf = [0; HELLO.len()];
                for stream in &mut accepted {
                    if let Poll::Ready(heard) = stream.recv.poll_recv(cx, &mut buf) {
                        let heard = heard.expect("a silent peer is no error").expect("nor an end");
                        return Poll::Ready(Err(buf[..heard.len].to_vec()));
                    }
                }
                accepting.as_mut().poll(cx).map(Ok)
            })
            .await
        };
        match news {
            Ok(stream) => accepted.push(stream),
            Err(heard) => return heard,
        }
    }
}
