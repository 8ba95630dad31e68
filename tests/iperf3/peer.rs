//! A machine with nobody at the other end but the test itself.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Failure, Side},
    protocol::iperf3::{
        Action, Admission, Client, Deadlines, Decoder, Extras, Input, Params, Server, encode,
    },
    spec::TestSpec,
};

use crate::pair::{SECOND, results};

/// A server, its decoder, and what it said.
#[derive(Debug)]
pub(crate) struct Lone {
    pub(crate) machine: Server,
    decoder: Decoder,
    spec: TestSpec,
    pub(crate) said: Vec<u8>,
    pub(crate) ended: Option<Ended>,
}

impl Lone {
    pub(crate) fn server(spec: &TestSpec) -> Self {
        let machine = Server::new(60 * SECOND, Deadlines::default(), Duration::ZERO);
        let decoder = Decoder::new(Side::Client);
        let mut lone = Self { machine, decoder, spec: spec.clone(), said: Vec::new(), ended: None };
        lone.act();
        lone
    }

    /// Lets these bytes arrive.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> &mut Self {
        self.decoder.feed(bytes);
        while self.ended.is_none() {
            match self.decoder.next(self.machine.expects()) {
                Ok(Some(message)) => self.tell(Input::Message(message)),
                Ok(None) => break,
                Err(error) => self.tell(Input::Garbage(error)),
            };
        }
        self
    }

    pub(crate) fn tell(&mut self, input: Input) -> &mut Self {
        self.machine.handle(input, SECOND);
        self.act();
        self
    }

    pub(crate) fn check(&mut self, now: Duration) {
        self.machine.check(0, now);
        self.act();
    }

    pub(crate) fn failure(&self) -> &Failure {
        let Some(Ended::Failed(failure)) = &self.ended else { panic!("{:?}", self.ended) };
        failure
    }

    /// Grants and opens everything at once.
    fn act(&mut self) {
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Send(message) => self.said.extend(encode(&message)),
                Action::Admit(params) => {
                    self.machine.admission(Admission::Grant(Box::new(params.spec)), SECOND);
                    self.machine.handle(Input::StreamsOpen, SECOND);
                }
                Action::Halt => {
                    let results = results(&self.spec, Side::Server, 7);
                    self.machine.handle(Input::Done(results), SECOND);
                }
                Action::Conclude(ended, _) => self.ended = Some(ended),
                Action::Begin | Action::Open => {}
            }
        }
    }
}

pub(crate) fn client(spec: &TestSpec) -> Client {
    let params = Params::new(spec, Extras::of_client("test")).unwrap();
    Client::new(params, Deadlines::default(), Duration::ZERO)
}
