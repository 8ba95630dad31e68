//! polyperf's own control protocol, over any stream of bytes.
//!
//! [`Client`] and [`Server`] are state machines: they are told what happened and at what time, and
//! say what to do. They neither read nor write nor look at a clock. The bytes are specified in
//! `docs/native-protocol.md`.

mod client;
mod codec;
mod deadlines;
mod hello;
mod live;
mod message;
mod proof;
mod run;
mod server;

pub(crate) use self::proof::{KEY, PSK};
pub use self::{
    client::Client,
    codec::{Decoder, Encoder, FrameError, MAX_EARLY, MAX_FRAME},
    deadlines::Deadlines,
    hello::{HELLO_LEN, Hello, Opening, Token},
    message::{Agree, Busy, Limits, Message, Propose, Results, Sent, TransportInfo, Welcome},
    proof::{Challenge, Nonce, Prove, Prover, PskKey, Secret, Transcript},
    server::{Admission, Server},
};

use crate::{
    measure::{Sample, SideSummary},
    outcome::{Ended, Failure},
};

/// What a machine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message has arrived.
    Message(Message),
    /// Every stream of the test is open.
    StreamsOpen,
    /// An interval is over at this end.
    Sample(Sample),
    /// This end has received so many bytes since the start. Told about once a second.
    Received(u64),
    /// This end has sent everything: its flows, and what it sent on each.
    SendingDone(Vec<Sent>),
    /// All of this end's flows are done, and this is what they came to.
    Done(Box<Results>),
    /// This end is to stop, for this reason.
    Stop(Ended),
    /// This end gives up: nothing further can be done.
    GiveUp(Failure),
    /// The connection is gone, for this reason.
    Lost(String),
}

/// What a machine wants done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send this message.
    Send(Message),
    /// Tell the user about the place in the queue (client).
    Queued(Busy),
    /// Find out whether and how this test may run (server).
    Admit(Box<Propose>),
    /// Find out who proves itself with this, and whether and how its test may run (server).
    Prove(Box<Prove>),
    /// Open the streams of this test (client).
    Open(Box<Agree>),
    /// Start to send and to receive.
    Begin,
    /// The other end counted this.
    Progress(Sample),
    /// The other end has sent so much: once that has arrived, a flow is done.
    Expect(Vec<Sent>),
    /// What has not arrived by now is not waited for.
    CloseBooks,
    /// Stop sending and receiving.
    Halt,
    /// It is over: how it ended, and what the other end counted.
    Conclude(Ended, Option<Box<Results>>),
}

impl Results {
    /// Returns results without a report beside them.
    #[must_use]
    pub fn new(summary: SideSummary) -> Self {
        Self { summary, output: None }
    }
}
