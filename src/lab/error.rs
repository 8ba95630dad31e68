use std::{fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tier;

/// Why there is no lab, or why it does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This system is another one.
    #[error(
        "the lab needs Linux: no other system has network namespaces and devices whose packets a \
         program can carry"
    )]
    NeedsLinux,
    /// Namespaces cannot be entered any more.
    #[error(
        "the lab has to be prepared before a second thread starts, and this process has {threads}: \
         call prepare first in main"
    )]
    Threads {
        /// How many there are.
        threads: usize,
    },
    /// The tier that was asked for cannot be had.
    #[error("the lab's tier {tier} cannot be had here: {obstacle}")]
    Refused {
        /// Which.
        tier: Tier,
        /// What is in its way.
        obstacle: Obstacle,
    },
    /// The kernel did not do what an end of the link needs.
    #[error("the lab {doing} and fails: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// Packets are carried no more.
    #[error("the lab's link has come to its end: {problem}")]
    Ended {
        /// Why.
        problem: String,
    },
    /// The tier has no link that could be set.
    #[error(
        "the lab's tier {tier} emulates no link, so that nothing can be set or counted: polyperf lab \
         doctor says what is in the way of the others"
    )]
    NoLink {
        /// Which.
        tier: Tier,
    },
    /// What was asked for is impossible.
    #[error("a lab cannot have an MTU of {mtu}: it is {least} to {most}", least = super::LEAST_MTU, most = super::MOST_MTU)]
    Mtu {
        /// What was asked for.
        mtu: u16,
    },
}

/// What is in the way of a tier, and what removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// What was tried.
    pub tried: String,
    /// Why it failed.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it {} and fails: {}; {}", self.tried, self.problem, self.remedy)
    }
}
