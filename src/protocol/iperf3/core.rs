use std::collections::VecDeque;

use super::{Action, Deadlines, Message, Results, State};
use crate::outcome::Ended;

/// What both machines have in every state: things to do, and an end.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) deadlines: Deadlines,
    actions: VecDeque<Action>,
    over: bool,
}

impl Core {
    pub(super) fn new(deadlines: Deadlines) -> Self {
        Self { deadlines, actions: VecDeque::new(), over: false }
    }

    pub(super) fn push(&mut self, action: Action) {
        if !self.over {
            self.actions.push_back(action);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn send(&mut self, state: State) {
        self.push(Action::Send(Message::State(state)));
    }

    pub(super) fn conclude(&mut self, ended: Ended, results: Option<Box<Results>>) {
        self.push(Action::Conclude(ended, results));
        self.over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}
