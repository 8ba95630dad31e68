use std::{sync::Arc, time::Duration};

use polyperf_transport::{AcceptError, Listener, Stream};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use super::{
    session::ServerSession,
    shared::{PendingGuard, Shared, Urgency},
};
use crate::{
    control::{Control, read_hello, send_all},
    outcome::{Failure, FailureCode},
    protocol::native::{Hello, Message, Opening},
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
    let mut urgency = shared.urgency();
    info!(transport, addr = %listener.local_addr(), "listening");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    backoff = FIRST_BACKOFF;
                    tasks.extend_with(&shared, stream);
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

trait ExtendWith {
    fn extend_with(&mut self, shared: &Arc<Shared>, stream: Stream);
}

impl ExtendWith for JoinSet<()> {
    fn extend_with(&mut self, shared: &Arc<Shared>, stream: Stream) {
        match shared.admit_connection(stream.peer.ip()) {
            Some(pending) => {
                self.spawn(greet(Arc::clone(shared), stream, pending));
            }
            None => debug!(peer = %stream.peer, "connection refused: too many ask for nothing"),
        }
    }
}

/// Finds out what a connection is for.
async fn greet(shared: Arc<Shared>, mut stream: Stream, pending: PendingGuard) {
    let peer = stream.peer;
    let limit = shared.config.deadlines.answer;
    let hello = match tokio::time::timeout(limit, read_hello(stream.recv.as_mut())).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => return debug!(%peer, %error, "connection dropped"),
        Err(_) => return info!(%peer, ?limit, "connection dropped: its hello did not come in time"),
    };
    match Opening::parse(&hello) {
        Opening::Native(Hello::Control(_)) => {
            ServerSession::new(shared, stream, pending).run().await
        }
        Opening::Native(Hello::Attach(token, flow)) => {
            if shared.attach(token, flow, stream).is_err() {
                info!(%peer, flow = flow.0, "stream dropped: no test expects it");
            }
        }
        Opening::OtherVersion(version) => refuse_version(stream, version).await,
        Opening::Foreign => refuse_stranger(stream).await,
    }
}

async fn refuse_version(stream: Stream, version: char) {
    info!(peer = %stream.peer, %version, "client refused: it speaks another version");
    let text = format!("this server speaks version a of the control protocol, not {version}");
    let failure = Failure::new(FailureCode::Unsupported, text);
    let mut control = Control::new(stream);
    if control.queue(&Message::Fail(failure)).is_ok() {
        control.close(super::FAREWELL).await;
    }
}

/// Tells a client that may be iperf3's that it cannot be served, in its own terms.
async fn refuse_stranger(mut stream: Stream) {
    info!(peer = %stream.peer, "client refused: it does not speak this protocol");
    let refusal = send_all(stream.send.as_mut(), &IPERF3_UNIMPLEMENTED);
    if let Ok(Ok(())) = tokio::time::timeout(super::FAREWELL, refusal).await {
        Control::new(stream).close(super::FAREWELL).await;
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
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a session broke down; the others go on");
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// iperf3's `SERVER_ERROR` with its code for "unimplemented feature", and no system error.
const IPERF3_UNIMPLEMENTED: [u8; 9] = [0xfe, 0, 0, 0, 13, 0, 0, 0, 0];
