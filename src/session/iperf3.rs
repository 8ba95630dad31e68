//! A control connection of iperf3's dialect and the test that it controls.

use std::time::Duration;

use crate::{
    control::{Heard, Iperf3Control},
    engine::TestEvent,
    outcome::{Ended, Outcome, Side},
    protocol::{
        iperf3::{Action, Deadlines, Expect, Input, Results},
        native,
    },
    trial::{Trial, sleep_until},
};

/// What both ends of a test under iperf3's protocol have in common.
#[derive(Debug)]
pub(crate) struct Session {
    control: Iperf3Control,
    pub(crate) trial: Trial,
}

impl Session {
    pub(crate) fn new(control: Iperf3Control) -> Self {
        Self { control, trial: Trial::new() }
    }

    /// Returns the time since the session began.
    pub(crate) fn now(&self) -> Duration {
        self.trial.now()
    }

    /// Waits for something that the machine must be told, until `deadline` at the latest (`None`).
    /// The machine `expects` this kind of message next.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(
        &mut self,
        expects: Expect,
        deadline: Option<Duration>,
    ) -> Option<Input> {
        let at = deadline.map(|deadline| self.trial.at(deadline));
        let event = tokio::select! {
            biased;
            event = self.trial.next() => event,
            heard = self.control.next(expects) => {
                return Some(match heard {
                    Heard::Message(message) => Input::Message(message),
                    Heard::Garbage(error) => Input::Garbage(error),
                    Heard::Lost(reason) => Input::Lost(reason),
                });
            }
            () = sleep_until(at) => return None,
        };
        Some(match event {
            TestEvent::Sample(sample) => Input::Sample(sample),
            TestEvent::Received(bytes) => Input::Received(bytes),
            TestEvent::SendingDone(_) => Input::SendingDone,
            TestEvent::Done => {
                let results = self.results();
                // A client that has one thread for everything may sit in a read for a whole block. To
                // a server, a stream that closes before it has heard why is a failure.
                if self.trial.info().is_some_and(|info| info.side == Side::Server) {
                    self.trial.close_streams();
                }
                Input::Done(Box::new(results))
            }
            TestEvent::Failed(failure) => Input::Stop(Ended::Failed(failure)),
        })
    }

    /// Does what both ends do alike. Returns what the machine must be told in turn.
    pub(crate) fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Send(message) => return self.control.queue(&message).err().map(Input::Lost),
            Action::Halt => self.trial.halt(),
            Action::Admit(_) | Action::Open | Action::Begin | Action::Conclude(..) => {}
        }
        None
    }

    /// Ends the test, and returns what it came to; `None` if it had not begun.
    pub(crate) fn finish(&mut self, ended: Ended, theirs: Option<Box<Results>>) -> Option<Outcome> {
        self.trial.finish();
        let info = self.trial.info()?;
        let remote = theirs.as_ref().map(|their| their.summary(&info.spec, info.side.other()));
        let output = theirs.and_then(|their| their.output).map(|output| output.into_text());
        self.trial.outcome(ended, remote, output)
    }

    /// Sends what is still queued, and takes leave of the other end.
    pub(crate) async fn close(self, limit: Duration) {
        // A client of iperf3's waits for its streams to close as well.
        drop(self.trial);
        self.control.into_wire().close(limit).await;
    }

    fn results(&self) -> Results {
        Results::new(&self.trial.summary(), &self.trial.iperf3_datagrams())
    }
}

/// Returns iperf3's deadlines, none of them longer than this end's own.
pub(crate) fn deadlines(own: &native::Deadlines) -> Deadlines {
    let stock = Deadlines::default();
    Deadlines {
        answer: stock.answer.min(own.answer),
        streams: stock.streams.min(own.streams.max(own.answer)),
        overrun: stock.overrun.min(own.overrun + own.answer),
        stall: stock.stall.min(own.stall * 2),
        results: stock.results.min(own.results),
        goodbye: stock.goodbye.min(own.goodbye),
        ..stock
    }
}
