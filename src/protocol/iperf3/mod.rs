//! iperf3's control protocol, as versions 3.12 and later speak it, over any stream of bytes.
//!
//! [`Client`] and [`Server`] are state machines of the same kind as those of
//! [`native`](super::native): they are told what happened and at what time, and say what to do.
//! What is spoken, and where it differs from the original, is in `docs/iperf3.md`.

mod client;
mod cookie;
mod core;
mod deadlines;
mod end;
mod error;
mod fields;
mod frame;
mod params;
mod results;
mod run;
mod running;
mod server;
mod state;
pub mod udp;
mod wire;

pub use self::{
    client::Client,
    cookie::{COOKIE_LEN, Cookie},
    deadlines::Deadlines,
    error::{ErrorCode, Refusal},
    frame::{Decoder, Expect, FrameError, MAX_PARAMS, MAX_RESULTS, Message, encode},
    params::{BadParams, Extras, Offload, Params, Violation},
    results::{BadResults, CpuPercent, Datagrams, Omitted, Output, Results, StreamResult},
    server::{Admission, Server},
    state::State,
};

use crate::{
    measure::Sample,
    outcome::{Ended, Failure},
};

/// What a machine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message has arrived.
    Message(Message),
    /// What has arrived is no message; there is no way to go on.
    Garbage(FrameError),
    /// Every stream of the test is open.
    StreamsOpen,
    /// An interval is over at this end.
    Sample(Sample),
    /// This end has received so many bytes since the start. Told about once a second, and at once
    /// where a count of received bytes is to end the test precisely.
    Received(u64),
    /// This end has sent everything that the test's limit allows.
    SendingDone,
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
    /// Find out whether this test may run, and how (server).
    Admit(Box<Params>),
    /// Open the streams of the test (client): one after another, those on which the client sends
    /// first.
    Open,
    /// Start to send and to receive.
    Begin,
    /// Stop sending and receiving, and tell what it came to ([`Input::Done`]).
    Halt,
    /// It is over: how it ended, and what the other end counted. Send what is still to be sent, end
    /// this half of the connection, and read the other to its end for a moment before closing: a
    /// connection that is closed with bytes unread is reset, and takes the last word with it.
    Conclude(Ended, Option<Box<Results>>),
}
