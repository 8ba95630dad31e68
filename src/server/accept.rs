use std::{
    future::{Future, poll_fn},
    io,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use polyperf_transport::{AcceptError, Delivery, Listener, Stream, send_all};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use super::{
    census::Reject,
    iperf3::Iperf3Session,
    session::ServerSession,
    shared::{PendingGuard, Shared, Urgency},
    streams::{Arrival, Key},
    tls::ControlTls,
};
use crate::{
    control::{Channel, Control, Wire, accept_tls, is_tls, read_hello},
    engine::Answering,
    measure::FlowId,
    outcome::{Failure, FailureCode},
    protocol::{
        iperf3::{Cookie, udp::Connect},
        native::{HELLO_LEN, Hello, Message, Opening},
    },
};

/// Accepts streams until the server has drained, and serves each in a task of its own.
///
/// No error ends the loop but that of the listener itself. What panics ends alone.
pub(super) async fn serve(
    shared: Arc<Shared>,
    transport: &'static str,
    mut listener: Box<dyn Listener>,
) {
    let mut tasks = JoinSet::new();
    let mut backoff = FIRST_BACKOFF;
    let mut accepted = 0;
    let mut urgency = shared.urgency();
    info!(transport, addr = %listener.local_addr(), "listening");
    loop {
        tokio::select! {
            stream = listener.accept() => match stream {
                Ok(stream) => {
                    backoff = FIRST_BACKOFF;
                    accepted += 1;
                    admit(&mut tasks, &shared, transport, stream, accepted);
                }
                Err(AcceptError::Peer(error)) => debug!(transport, %error, "a client failed early"),
                Err(AcceptError::Exhausted(error)) => {
                    warn!(transport, %error, retry = ?backoff, "cannot accept");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
                Err(AcceptError::Closed(error)) => {
                    error!(transport, %error, "the listener has failed");
                    break;
                }
            },
            Some(ended) = tasks.join_next() => log_panic(ended),
            () = drained(&shared, &mut urgency) => break,
        }
    }
    drop(listener);
    while let Some(ended) = tasks.join_next().await {
        log_panic(ended);
    }
}

/// Serves a stream in a task of its own, if its address does not have too many already.
fn admit(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    transport: &'static str,
    stream: Stream,
    accepted: u64,
) {
    shared.census.accepted(transport);
    let shared_too = Arc::clone(shared);
    match (shared.admit_connection(stream.peer.ip()), shared.delivery(transport)) {
        (Some(pending), Some(Delivery::Messages { .. })) => {
            tasks.spawn(greet_flow(shared_too, stream, accepted, pending));
        }
        (Some(pending), _) => begin(tasks, greet(shared_too, stream, accepted, pending)),
        (None, _) => {
            shared.census.rejected(Reject::Flood);
            debug!(peer = %stream.peer, "connection refused: too many ask for nothing");
        }
    }
}

/// Serves a connection as far as that goes at once, which for a short one is all that its client
/// waits for: handing it to another thread would take longer. The rest is a task of its own.
fn begin(tasks: &mut JoinSet<()>, greeting: impl Future<Output = ()> + Send + 'static) {
    let mut greeting = Box::pin(AssertUnwindSafe(greeting).catch_unwind());
    match greeting.as_mut().now_or_never() {
        Some(ended) => log_broken(ended.is_err()),
        None => drop(tasks.spawn(async move { log_broken(greeting.await.is_err()) })),
    }
}

/// Finds out what a connection is for.
async fn greet(shared: Arc<Shared>, mut stream: Stream, accepted: u64, pending: PendingGuard) {
    let peer = stream.peer;
    let limit = shared.config.deadlines.answer;
    let early = stream.early;
    let hello = match tokio::time::timeout(limit, read_hello(stream.recv.as_mut())).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            shared.census.rejected(Reject::NoHello);
            return debug!(%peer, %error, "connection dropped");
        }
        Err(_) => {
            shared.census.rejected(Reject::NoHello);
            return info!(%peer, ?limit, "connection dropped: its hello did not come in time");
        }
    };
    if let Some(tls) = shared.config.tls.clone().filter(|_| is_tls(&hello)) {
        return greet_tls(shared, stream, &hello, tls, pending).await;
    }
    match Opening::parse(&hello) {
        Opening::Native(Hello::Control(_)) if early => {
            // Whoever has recorded it could ask for the test again.
            shared.census.rejected(Reject::Denied);
            info!(%peer, "client refused: it asked for a test before its handshake was over");
        }
        Opening::Native(Hello::Control(_)) => {
            if let Err(failure) = shared.governor.knock(peer.ip()) {
                return turn_away(&shared, stream, failure).await;
            }
            ServerSession::new(shared, stream, Channel::new(), pending).run().await
        }
        Opening::Native(Hello::Attach(token, flow)) => {
            if let Some(answering) = shared.expected.answering(&token) {
                // Its test has bounds of its own.
                drop(pending);
                return answer(answering, flow, stream).await;
            }
            attach(&shared, Key::Token(token), Arrival { flow: Some(flow), accepted, stream });
        }
        Opening::OtherVersion(version) => {
            shared.census.rejected(Reject::Unsupported);
            refuse_version(stream, version).await;
        }
        Opening::Foreign if !is_cookie(&hello) => {
            shared.census.rejected(Reject::Stranger);
            refuse_stranger(stream).await;
        }
        Opening::Foreign => {
            let cookie = Cookie::from_bytes(hello);
            // Of a running test: one of its streams. Otherwise: a new test.
            if let Err(stream) = shared
                .expected
                .attach(Key::Cookie(cookie), Arrival { flow: None, accepted, stream })
            {
                if let Err(failure) = shared.governor.knock(peer.ip()) {
                    return turn_away_iperf3(&shared, *stream, &failure).await;
                }
                Iperf3Session::new(shared, *stream, cookie, pending).run().await;
            }
        }
    }
}

/// Shakes hands with a client whose control connection is to be inside TLS, and serves it there.
async fn greet_tls(
    shared: Arc<Shared>,
    stream: Stream,
    ahead: &[u8],
    tls: ControlTls,
    pending: PendingGuard,
) {
    let peer = stream.peer;
    // It costs arithmetic, which is not for whoever else is to be let in meanwhile.
    tokio::task::yield_now().await;
    if let Err(failure) = shared.governor.knock(peer.ip()) {
        // To say so would take the handshake that is not to be done.
        return count_turned_away(&shared, &stream, &failure);
    }
    let limit = shared.config.deadlines.answer;
    let inside = async {
        let (mut stream, channel) = accept_tls(stream, ahead, tls.config()).await?;
        let hello = read_hello(stream.recv.as_mut()).await.map_err(io::Error::other)?;
        io::Result::Ok((stream, channel, hello))
    };
    let (stream, channel, hello) = match tokio::time::timeout(limit, inside).await {
        Ok(Ok(inside)) => inside,
        Ok(Err(error)) => {
            shared.census.rejected(Reject::NoHello);
            return debug!(%peer, %error, "connection dropped: no TLS handshake");
        }
        Err(_) => {
            shared.census.rejected(Reject::NoHello);
            return info!(%peer, ?limit, "connection dropped: no TLS handshake in time");
        }
    };
    match Opening::parse(&hello) {
        Opening::Native(Hello::Control(_)) => {
            ServerSession::new(shared, stream, channel, pending).run().await;
        }
        Opening::OtherVersion(version) => {
            shared.census.rejected(Reject::Unsupported);
            refuse_version(stream, version).await;
        }
        Opening::Native(Hello::Attach(..)) | Opening::Foreign => {
            shared.census.rejected(Reject::Stranger);
            refuse_stranger(stream).await;
        }
    }
}

/// Finds out whose a flow of messages is, of which the first tells.
async fn greet_flow(shared: Arc<Shared>, mut stream: Stream, accepted: u64, pending: PendingGuard) {
    let peer = stream.peer;
    let mut hello = [0; HELLO_LEN + 1];
    let limit = shared.config.deadlines.answer;
    let first = poll_fn(|cx| stream.recv.poll_recv(cx, &mut hello));
    let len = match tokio::time::timeout(limit, first).await {
        Ok(Ok(Some(received))) => received.len.min(received.stride),
        ended => {
            shared.census.rejected(Reject::NoHello);
            return debug!(%peer, ?ended, "flow dropped: it did not begin with a hello");
        }
    };
    if let Some(connect) = Connect::parse(&hello[..len]) {
        // Its client waits for this before it opens the next one.
        match send_all(stream.send.as_mut(), &connect.reply()).await {
            Ok(()) => {
                let key = Key::Address(peer.ip().to_canonical());
                attach(&shared, key, Arrival { flow: None, accepted, stream });
            }
            Err(error) => debug!(%peer, %error, "flow dropped: its client cannot be answered"),
        }
        return;
    }
    match hello[..len].try_into().map(Opening::parse) {
        Ok(Opening::Native(Hello::Attach(token, flow))) => {
            if let Some(answering) = shared.expected.answering(&token) {
                drop(pending);
                return answer(answering, flow, stream).await;
            }
            attach(&shared, Key::Token(token), Arrival { flow: Some(flow), accepted, stream });
        }
        _ => {
            shared.census.rejected(Reject::Stranger);
            debug!(%peer, "flow dropped: it did not begin with a hello");
        }
    }
}

/// Answers a connection that is a part of its test by itself, on the thread that carries it, where
/// there is one.
async fn answer(answering: Arc<Answering>, flow: FlowId, stream: Stream) {
    match stream.home.clone() {
        Some(home) => home.spawn(Box::pin(async move { answering.serve(flow, stream).await })),
        None => answering.serve(flow, stream).await,
    }
}

fn attach(shared: &Shared, key: Key, arrival: Arrival) {
    let (peer, flow) = (arrival.stream.peer, arrival.flow.map(|flow| flow.0));
    if shared.expected.attach(key, arrival).is_err() {
        shared.census.rejected(Reject::Unexpected);
        info!(%peer, flow, "stream dropped: no test expects it");
    }
}

/// Returns whether these bytes can be an iperf3 client's: text, and a NUL at its end.
fn is_cookie(hello: &[u8; HELLO_LEN]) -> bool {
    matches!(hello.split_last(), Some((0, text)) if text.iter().all(u8::is_ascii_alphanumeric))
}

/// Tells a client that it gets no session, before anything is kept for it.
async fn turn_away(shared: &Shared, stream: Stream, failure: Failure) {
    count_turned_away(shared, &stream, &failure);
    say(stream, &Message::Fail(failure)).await;
}

/// The same in iperf3's terms: its client is told that the server is busy, or that it is not let in.
async fn turn_away_iperf3(shared: &Shared, stream: Stream, failure: &Failure) {
    count_turned_away(shared, &stream, failure);
    let refusal: &[u8] = match failure.code {
        FailureCode::Busy => &IPERF3_BUSY,
        _ => &IPERF3_AUTH_FAILED,
    };
    refuse(stream, refusal).await;
}

fn count_turned_away(shared: &Shared, stream: &Stream, failure: &Failure) {
    let reason = match failure.code {
        FailureCode::Busy => Reject::Flood,
        _ => Reject::Denied,
    };
    shared.census.rejected(reason);
    debug!(peer = %stream.peer, reason = %failure, "client turned away");
}

async fn refuse_version(stream: Stream, version: char) {
    info!(peer = %stream.peer, %version, "client refused: it speaks another version");
    let text = format!("this server speaks version a of the control protocol, not {version}");
    let failure = Failure::new(FailureCode::Unsupported, text);
    say(stream, &Message::Fail(failure)).await;
}

/// Says a last word.
async fn say(stream: Stream, word: &Message) {
    let mut control = Control::new(Wire::new(stream));
    if control.queue(word).is_ok() {
        control.into_wire().close(super::FAREWELL).await;
    }
}

/// Tells a stranger off in iperf3's terms, which are as good as any.
async fn refuse_stranger(stream: Stream) {
    info!(peer = %stream.peer, "client refused: it does not speak this protocol");
    refuse(stream, &IPERF3_UNIMPLEMENTED).await;
}

async fn refuse(mut stream: Stream, refusal: &[u8]) {
    let refusal = send_all(stream.send.as_mut(), refusal);
    if let Ok(Ok(())) = tokio::time::timeout(super::FAREWELL, refusal).await {
        Wire::new(stream).close(super::FAREWELL).await;
    }
}

/// Waits until the server drains and no test needs this listener any more.
async fn drained(shared: &Shared, urgency: &mut tokio::sync::watch::Receiver<Urgency>) {
    let _ = urgency.wait_for(|urgency| *urgency > Urgency::Serve).await;
    let mut changes = shared.admission.changes();
    while *urgency.borrow() < Urgency::Stop && shared.admission.running() > 0 {
        tokio::select! { _ = changes.changed() => {} _ = urgency.changed() => {} }
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    log_broken(ended.is_err_and(|error| error.is_panic()));
}

fn log_broken(is_broken: bool) {
    if is_broken {
        error!("a session broke down; the others go on");
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// iperf3's `SERVER_ERROR` with its code for "unimplemented feature", and no system error.
const IPERF3_UNIMPLEMENTED: [u8; 9] = [0xfe, 0, 0, 0, 13, 0, 0, 0, 0];
/// The same with its code for a login that is not accepted.
const IPERF3_AUTH_FAILED: [u8; 9] = [0xfe, 0, 0, 0, 142, 0, 0, 0, 0];
/// iperf3's `ACCESS_DENIED`.
const IPERF3_BUSY: [u8; 1] = [0xff];
