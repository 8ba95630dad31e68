//! The parts of iperf3's `-J` document, key by key.
//!
//! Its readers expect every key, so an unknown figure is null here, and never a made-up one. An
//! `Option` that is always written is such a figure; an `Option` that is skipped is a key that
//! iperf3 leaves out as well.

mod datagrams;
mod end;
mod interval;
mod start;

pub(super) use self::{end::End, interval::IntervalPart, start::Start};

use crate::{
    measure::Role,
    outcome::{Side, TestInfo},
    spec::Direction,
};

/// Returns the end that sends in the direction that iperf3's plain keys (`sum`, `sum_sent`) are
/// about. The other direction of a test that has both is in the keys with `_bidir_reverse`.
fn main_sender(info: &TestInfo) -> Side {
    match info.spec.direction {
        Direction::Forward | Direction::Bidirectional => Side::Client,
        Direction::Reverse => Side::Server,
    }
}

/// Returns the sender of the other direction, if there is one.
fn reverse_sender(info: &TestInfo) -> Option<Side> {
    (info.spec.direction == Direction::Bidirectional).then_some(Side::Server)
}

/// Returns what the end that reports does where `sender` sends.
fn local_role(info: &TestInfo, sender: Side) -> Role {
    if sender == info.side { Role::Sender } else { Role::Receiver }
}
