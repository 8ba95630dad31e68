//! Which streams the other end has ended: s2n-quic tells nothing of a stream once it is stopped, and
//! drops STOP_SENDING if the connection is closed before that frame has left.

use std::collections::HashSet;

use s2n_quic::provider::event::{
    ConnectionInfo, ConnectionMeta, Subscriber,
    events::{ConnectionClosed, Frame, FrameReceived},
};
use tokio::sync::watch;

/// What the other end has ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    reset: HashSet<u64>,
    finished: HashSet<u64>,
    connection: bool,
}

/// Writes down the ends of a client's only connection.
#[derive(Debug)]
pub(crate) struct Watcher(pub(crate) watch::Sender<Ends>);

impl Subscriber for Watcher {
    type ConnectionContext = ();

    fn create_connection_context(&mut self, _: &ConnectionMeta, _: &ConnectionInfo) {}

    fn on_frame_received(&mut self, (): &mut (), _: &ConnectionMeta, event: &FrameReceived) {
        self.0.send_if_modified(|ends| match event.frame {
            Frame::ResetStream { id, .. } => ends.reset.insert(id),
            Frame::Stream { id, is_fin: true, .. } => ends.finished.insert(id),
            _ => false,
        });
    }

    fn on_connection_closed(&mut self, (): &mut (), _: &ConnectionMeta, _: &ConnectionClosed) {
        self.0.send_modify(|ends| ends.connection = true);
    }
}

/// Waits until the other end has ended the stream, and returns whether by RESET_STREAM.
///
/// # Errors
///
/// The connection has ended.
pub(crate) async fn reset(
    mut ends: watch::Receiver<Ends>,
    stream: u64,
) -> Result<bool, crate::Failure> {
    let is_over = |ends: &Ends| ends.reset.contains(&stream) || ends.finished.contains(&stream);
    let ends = ends.wait_for(|ends| is_over(ends) || ends.connection).await?;
    if !is_over(&ends) {
        return Err(format!("stream {stream} is not over, but the connection is").into());
    }
    Ok(ends.reset.contains(&stream))
}
