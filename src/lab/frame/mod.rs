//! Packets as the kernel hands them over: with a `virtio_net_hdr` before them, and perhaps several
//! in one that have yet to be cut.
//!
//! A packet that is not understood is left as it is, whole; nothing here trusts a length.

mod bytes;
mod cut;
mod flow;
mod layout;
#[cfg(test)]
mod tests;

pub(super) use self::{
    cut::{Head, Piece, write_head},
    flow::{FlowKey, is_chatter},
    layout::Frame,
};

/// Bytes of the `virtio_net_hdr` before each packet.
pub(super) const HEADER: usize = 10;
