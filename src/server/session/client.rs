//! Who a session's client is, and what it has had.

use super::ServerSession;
use crate::{
    auth::Psk,
    outcome::{Ended, Failure, FailureCode},
    protocol::native::{Input, Propose, Prove, PskKey, Transcript},
    server::auth::{disproved, unproved},
};

impl ServerSession {
    /// Finds out who the client is, where that matters, before it is looked at what it proposes.
    pub(super) fn identify(&mut self, mut propose: Propose) {
        let closed = self.shared.is_closed();
        let verifier = match &self.shared.verifier {
            Some(verifier) if closed || propose.auth.is_some() => verifier,
            None if closed => return self.deny(unproved()),
            _ => return self.admit(propose),
        };
        match verifier.identify(self.peer.ip(), propose.auth.take(), propose) {
            Ok(unidentified) => self.unidentified = Some(unidentified),
            Err(failure) => self.deny(failure),
        }
    }

    /// Finds out who proves itself, before it is looked at what it proposes.
    pub(super) fn prove(&mut self, prove: &Prove) {
        let Prove { identity, nonce: client, proof, propose } = prove;
        let (server, channel) = (&self.nonce, self.channel.as_slice());
        let transcript = Transcript { server, client, identity, propose, channel };
        let psks = self.shared.psks.load();
        let known = psks.as_ref().and_then(|psks| psks.of(identity));
        // As much is done for an identity that is not known.
        let stand_in = PskKey::new(&[]);
        let key = known.map_or(&stand_in, Psk::key);
        let proved = transcript.is_of_client(key, proof) & known.is_some();
        if !proved {
            return self.deny(disproved());
        }
        let own = transcript.of_server(key);
        match serde_json::from_str(propose) {
            Ok(propose) => {
                self.proof = Some(own);
                self.entry.belongs_to(identity);
                self.user = Some(identity.clone());
                self.admit(propose);
            }
            Err(error) => {
                let text = format!("what the other end has proved is no proposal: {error}");
                self.deny(Failure::new(FailureCode::Protocol, text));
            }
        }
    }

    pub(super) fn identified(&mut self, verdict: Result<String, Failure>, propose: Propose) {
        match verdict {
            Ok(user) => {
                self.entry.belongs_to(&user);
                self.user = Some(user);
                self.admit(propose);
            }
            Err(failure) => self.deny(failure),
        }
    }

    /// Counts what has moved, and ends the test of a client that has had what it may have.
    pub(super) fn charge(&mut self) {
        let moved = self.session.served();
        let charged = self.permit.as_mut().map_or(Ok(()), |permit| permit.charge(moved));
        if let Err(failure) = charged
            && self.session.has_begun()
        {
            self.machine.handle(Input::Stop(Ended::Failed(failure)), self.session.now());
        }
    }

    /// Counts what has moved to the last, and makes room for the client's next test.
    pub(super) fn settle_account(&mut self) {
        if let Some(mut permit) = self.permit.take() {
            // Whoever has had everything will hear of it with the next test.
            let _ = permit.charge(self.session.served());
        }
    }
}
