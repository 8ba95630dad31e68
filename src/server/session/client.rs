//! Who a session's client is, and what it has had.

use super::ServerSession;
use crate::{
    auth::Psk,
    outcome::{Ended, Failure, FailureCode},
    protocol::native::{Input, Propose, Prove, PskKey, Transcript},
    server::auth::{disproved, unauthorized, unproved},
};

/// A client that has proved who it is.
struct Proved {
    /// What it is called.
    name: String,
    /// What this end proves in turn, where it can.
    own: Option<String>,
}

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
        let proved = match &prove.certificate {
            None => self.by_psk(prove).ok_or_else(disproved),
            Some(certificate) => self.by_key(prove, certificate).ok_or_else(unauthorized),
        };
        let Proved { name, own } = match proved {
            Ok(proved) => proved,
            Err(failure) => return self.deny(failure),
        };
        match serde_json::from_str(&prove.propose) {
            Ok(propose) => {
                self.proof = own;
                self.entry.belongs_to(&name);
                self.user = Some(name);
                self.admit(propose);
            }
            Err(error) => {
                let text = format!("what the other end has proved is no proposal: {error}");
                self.deny(Failure::new(FailureCode::Protocol, text));
            }
        }
    }

    /// Returns who has proved to know a key that both ends know, if this is a proof.
    fn by_psk(&self, prove: &Prove) -> Option<Proved> {
        let transcript = self.transcript(prove, &self.channel);
        let psks = self.shared.psks.load();
        let known = psks.as_ref().and_then(|psks| psks.of(&prove.identity));
        // As much is done for an identity that is not known.
        let stand_in = PskKey::new(&[]);
        let key = known.map_or(&stand_in, Psk::key);
        let proved = transcript.is_of_client(key, &prove.proof) & known.is_some();
        let own = || Some(transcript.of_server(key));
        proved.then(|| Proved { name: prove.identity.clone(), own: own() })
    }

    /// Returns who has proved to hold the key of this certificate, if that is known.
    fn by_key(&mut self, prove: &Prove, certificate: &str) -> Option<Proved> {
        let channel = self.session.control().binding();
        // As much is done for a certificate that is not known.
        let signer = self.transcript(prove, &channel).signer(certificate, &prove.proof)?;
        let keys = self.shared.authorized_keys.load();
        let name = keys.as_ref()?.name(signer)?.to_owned();
        Some(Proved { name, own: None })
    }

    fn transcript<'a>(&'a self, prove: &'a Prove, channel: &'a [u8]) -> Transcript<'a> {
        let Prove { identity, nonce: client, propose, .. } = prove;
        Transcript { server: &self.nonce, client, identity, propose, channel }
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
