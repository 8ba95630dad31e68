use std::{collections::BTreeMap, sync::Mutex};

use super::shared::lock;
use crate::outcome::FailureCode;

/// What a server has counted since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections and flows that were accepted, by transport.
    pub accepted: BTreeMap<&'static str, u64>,
    /// Connections and tests that were turned away, by reason.
    pub rejected: BTreeMap<Reject, u64>,
}

/// Why a server turned somebody away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reject {
    /// Too many connections that ask for nothing, or sessions of one address in a short time.
    Flood,
    /// Its hello did not come in time, or its connection broke before.
    NoHello,
    /// What it said is no protocol that is known here.
    Stranger,
    /// A stream or a flow that no test expects.
    Unexpected,
    /// There was no room, and none to wait in.
    Busy,
    /// The server is about to stop.
    Draining,
    /// A policy forbids it, or it did not prove who it is.
    Denied,
    /// The test is not possible here.
    Unsupported,
}

impl Reject {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::Flood,
        Self::NoHello,
        Self::Stranger,
        Self::Unexpected,
        Self::Busy,
        Self::Draining,
        Self::Denied,
        Self::Unsupported,
    ];

    /// Returns its name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::NoHello => "no_hello",
            Self::Stranger => "stranger",
            Self::Unexpected => "unexpected",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
        }
    }

    /// Returns the reason for which a test with this failure was turned away; `None` if it was not.
    pub(super) fn of(code: FailureCode) -> Option<Self> {
        match code {
            FailureCode::Busy => Some(Self::Busy),
            FailureCode::Draining => Some(Self::Draining),
            FailureCode::Denied => Some(Self::Denied),
            FailureCode::Unsupported => Some(Self::Unsupported),
            _ => None,
        }
    }
}

/// Counts who comes, and who is turned away.
#[derive(Debug, Default)]
pub(super) struct Census {
    counts: Mutex<Counts>,
}

impl Census {
    pub(super) fn accepted(&self, transport: &'static str) {
        *lock(&self.counts).accepted.entry(transport).or_default() += 1;
    }

    pub(super) fn rejected(&self, reason: Reject) {
        *lock(&self.counts).rejected.entry(reason).or_default() += 1;
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}
