use std::{collections::VecDeque, time::Duration};

use super::{Action, Deadlines, Message, Results};
use crate::outcome::{Ended, Failure, FailureCode};

/// What both machines have in every state: things to do, signs of life, and an end.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) deadlines: Deadlines,
    actions: VecDeque<Action>,
    heard: Duration,
    spoke: Duration,
    received: u64,
    /// Whether silence of the other end is a reason to give up.
    listening: bool,
    over: bool,
}

impl Core {
    pub(super) fn new(deadlines: Deadlines, now: Duration) -> Self {
        let actions = VecDeque::new();
        let (heard, spoke) = (now, now);
        Self { deadlines, actions, heard, spoke, received: 0, listening: true, over: false }
    }

    pub(super) fn push(&mut self, action: Action) {
        if !self.over {
            self.actions.push_back(action);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn send(&mut self, message: Message, now: Duration) {
        self.spoke = now;
        self.push(Action::Send(message));
    }

    pub(super) fn conclude(&mut self, ended: Ended, results: Option<Box<Results>>) {
        self.push(Action::Conclude(ended, results));
        self.over = true;
    }

    /// Tells the other end why there is no going on, and ends.
    pub(super) fn give_up(&mut self, failure: Failure, now: Duration) {
        self.send(Message::Fail(failure.clone()), now);
        self.conclude(Ended::Failed(failure), None);
    }

    pub(super) fn unexpected(&mut self, message: &Message, state: &str, now: Duration) {
        let text = format!("the other end sent `{}` while {state}", message.name());
        self.give_up(Failure::new(FailureCode::Protocol, text), now);
    }

    pub(super) fn hear(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Remembers how much this end has received, to tell with the next sign of life.
    pub(super) fn received(&mut self, bytes: u64) {
        self.received = bytes;
    }

    /// Expects nothing further from the other end, which may have left by now.
    pub(super) fn stop_listening(&mut self) {
        self.listening = false;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Gives a sign of life if it is time, and gives up if the other end gave none for too long.
    pub(super) fn check(&mut self, now: Duration, state: &str) {
        if self.lost_at().is_some_and(|at| now >= at) {
            let text = format!(
                "the other end has been silent for {:?} while {state}",
                self.deadlines.silence
            );
            self.give_up(Failure::new(FailureCode::PeerLost, text), now);
        } else if now >= self.spoke + self.deadlines.keepalive {
            self.send(Message::Ping { received: self.received }, now);
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        let speak_at = self.spoke + self.deadlines.keepalive;
        self.lost_at().map_or(speak_at, |lost_at| lost_at.min(speak_at))
    }

    fn lost_at(&self) -> Option<Duration> {
        self.listening.then(|| self.heard + self.deadlines.silence)
    }
}

impl Message {
    /// Returns the message's name as it is on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Propose(_) => "propose",
            Self::Prove(_) => "prove",
            Self::Busy(_) => "busy",
            Self::Agree(_) => "agree",
            Self::Start => "start",
            Self::Ping { .. } => "ping",
            Self::Progress(_) => "progress",
            Self::Sent(_) => "sent",
            Self::Stop(_) => "stop",
            Self::Results(_) => "results",
            Self::Bye => "bye",
            Self::Fail(_) => "fail",
        }
    }
}
