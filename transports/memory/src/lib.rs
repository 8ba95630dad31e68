//! polyperf's in-process transport, over an emulated link.
//!
//! Tests and examples need neither sockets nor time: the two ends of a [`Memory`] transport meet in
//! a [`Network`] inside the process, and the [`link`] between them is as good or as bad as a
//! [`LinkConfig`](link::LinkConfig) says, the same for the same seed.
//!
//! ```
//! use std::{future::poll_fn, sync::Arc, time::Duration};
//!
//! use polyperf_memory::{
//!     Memory, Network,
//!     link::{LinkConfig, Loss, Probability},
//! };
//! use polyperf_transport::{Anyone, Hello, Peer, Transport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! let link = LinkConfig::perfect()
//!     .delay(Duration::from_millis(20))
//!     .loss(Loss::iid(Probability::new(0.1)))
//!     .seed(1);
//! let memory = Memory::bytes(&Network::new(link));
//!
//! let mut listener = memory.listen("127.0.0.1:0".parse()?, Arc::new(Anyone)).await?;
//! let connection = memory.connect(&Peer::at(listener.local_addr())).await?;
//! let client = connection.open(Hello::Own(b"hello")).await?;
//! let mut server = listener.accept().await?;
//!
//! let mut buf = [0; 64];
//! let received = poll_fn(|cx| server.recv.poll_recv(cx, &mut buf)).await?.ok_or("no end yet")?;
//! assert_eq!(&buf[..received.len], b"hello");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Time
//!
//! A perfect link needs no time at all: bytes go straight into the other end's buffer. Any other
//! link uses tokio's clock, so it needs a runtime with time enabled, and `tokio::time::pause`
//! makes it deterministic and as fast as the processor. No task runs in the background; whichever
//! half is polled moves the link on. The halves may be driven from any thread and any runtime,
//! though with a paused clock only from the one runtime that owns the clock.
//!
//! Arrival times are computed, not measured; the receiver learns of them with the precision of
//! tokio's timer, a millisecond.
//!
//! # What is emulated, and what is not
//!
//! - [`Memory::messages`] delivers what the link delivers: lost, repeated and out of order. A
//!   sender is held while more than a window is under way or unread, so on a perfect link nothing
//!   is ever lost. A sender that a bounded queue drops from is not held; with a paused clock it has
//!   to pace itself, since time stands still while anybody works.
//! - [`Memory::bytes`] is reliable: a segment of 1460 bytes (1500 on the wire) that the link lost
//!   is sent again after 10 ms, three delays and four jitters. Acknowledgements cost nothing, and
//!   there is no congestion control: a full queue holds the sender, and never drops.
//! - A stream opens at once, and each has a link of its own. That the receiving half was dropped
//!   is known to the sender at once, unless the cable is cut.
//! - A sending half that is dropped before it has finished resets a stream of bytes.
//! - The round-trip time is not measured, so [`PathStats`](polyperf_transport::PathStats) has none.

mod bytes;
mod carrier;
pub mod link;
mod messages;
mod network;
mod pipe;
mod stream;
mod transport;

pub use crate::{
    network::{Cable, Network},
    transport::Memory,
};
