use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number that is used once: 256 random bits, in base64 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

/// What a server asks of clients that can prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What makes each proof good for this connection alone.
    pub nonce: Nonce,
    /// The ways in which a client can prove itself: `psk`. Others are for other versions.
    pub methods: Vec<String>,
    /// Whether nobody gets a test without.
    #[serde(default)]
    pub required: bool,
}

/// A proposal, and the proof of who makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Who the client is.
    pub identity: String,
    /// What makes the server's proof good for this connection alone.
    pub nonce: Nonce,
    /// HMAC-SHA-256 over the [`Transcript`], in base64.
    pub proof: String,
    /// The fields of `propose` in JSON: as they are proved, to the byte.
    pub propose: String,
}

/// A key that both ends know.
#[derive(Clone)]
pub struct PskKey(hmac::Key);

/// What a client proves itself with.
#[derive(Debug, Clone)]
pub struct Prover {
    /// Who it is.
    pub identity: String,
    /// What proves it.
    pub key: PskKey,
    /// Random; for one connection alone.
    pub nonce: Nonce,
    /// What both ends know of the channel that protects the connection; empty where none does.
    pub channel: Vec<u8>,
}

/// What a proof is about.
#[derive(Debug, Clone, Copy)]
pub struct Transcript<'a> {
    /// The server's nonce.
    pub server: &'a Nonce,
    /// The client's.
    pub client: &'a Nonce,
    /// Who the client says it is.
    pub identity: &'a str,
    /// The proposal, in JSON.
    pub propose: &'a str,
    /// What both ends know of the channel; empty where nothing protects it.
    pub channel: &'a [u8],
}

impl Nonce {
    /// Returns the nonce of these random bits.
    #[must_use]
    pub fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }
}

impl Challenge {
    /// Returns whether a client can prove itself in this way.
    #[must_use]
    pub fn has(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == method)
    }
}

impl PskKey {
    /// Returns the key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl Prover {
    /// Returns the proposal with its proof.
    #[must_use]
    pub fn prove(&self, challenge: &Challenge, propose: String) -> Prove {
        let transcript = self.transcript(&challenge.nonce, &propose);
        let proof = transcript.of_client(&self.key);
        Prove { identity: self.identity.clone(), nonce: self.nonce, proof, propose }
    }

    /// Returns whether this is the server's proof that it knows the key, too.
    #[must_use]
    pub fn convinced(&self, challenge: &Challenge, propose: &str, proof: Option<&str>) -> bool {
        let transcript = self.transcript(&challenge.nonce, propose);
        proof.is_some_and(|proof| transcript.is_of(SERVER, &self.key, proof))
    }

    fn transcript<'a>(&'a self, server: &'a Nonce, propose: &'a str) -> Transcript<'a> {
        let Self { identity, nonce, channel, .. } = self;
        Transcript { server, client: nonce, identity, propose, channel }
    }
}

impl Transcript<'_> {
    /// Returns the client's proof, in base64.
    #[must_use]
    pub fn of_client(&self, key: &PskKey) -> String {
        BASE64.encode(hmac::sign(&key.0, &self.bytes(CLIENT)))
    }

    /// Returns the server's proof, in base64.
    #[must_use]
    pub fn of_server(&self, key: &PskKey) -> String {
        BASE64.encode(hmac::sign(&key.0, &self.bytes(SERVER)))
    }

    /// Returns whether this is the client's proof, in a time that does not depend on what is wrong
    /// with it.
    #[must_use]
    pub fn is_of_client(&self, key: &PskKey, proof: &str) -> bool {
        self.is_of(CLIENT, key, proof)
    }

    fn is_of(&self, label: &str, key: &PskKey, proof: &str) -> bool {
        let proof = BASE64.decode(proof).unwrap_or_default();
        hmac::verify(&key.0, &self.bytes(label), &proof).is_ok()
    }

    /// Each part behind its length, so that no two transcripts are the same bytes.
    fn bytes(&self, label: &str) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            label.as_bytes(),
            &self.server.0,
            &self.client.0,
            self.identity.as_bytes(),
            self.propose.as_bytes(),
            self.channel,
        ];
        let part = |part: &[u8]| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            [&length.to_be_bytes(), part].concat()
        };
        parts.into_iter().flat_map(part).collect()
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("a nonce is 32 bytes in base64"))
    }
}

impl fmt::Debug for PskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PskKey")
    }
}

/// The method of pre-shared keys.
pub(super) const PSK: &str = "psk";
/// What tells the two ends' proofs apart: neither can be sent back to its maker.
const CLIENT: &str = "polyperf a psk client";
const SERVER: &str = "polyperf a psk server";

#[cfg(test)]
mod tests {
    use super::*;

    fn prover() -> Prover {
        let (identity, key) = ("mario".to_owned(), PskKey::new(b"0123456789abcdef"));
        Prover { identity, key, nonce: Nonce::new([2; 32]), channel: Vec::new() }
    }

    fn challenge(nonce: u8) -> Challenge {
        let methods = vec![PSK.to_owned()];
        Challenge { nonce: Nonce::new([nonce; 32]), methods, required: true }
    }

    fn is_good(prove: &Prove, nonce: u8, channel: &[u8], key: &PskKey) -> bool {
        let (server, client) = (&Nonce::new([nonce; 32]), &prove.nonce);
        let Prove { identity, propose, .. } = prove;
        let transcript = Transcript { server, client, identity, propose, channel };
        transcript.is_of_client(key, &prove.proof)
    }

    #[test]
    fn a_proof_is_good_for_exactly_what_it_is_about() {
        let (prover, good) = (prover(), prover().prove(&challenge(1), "{}".to_owned()));
        let key = &prover.key;
        assert!(is_good(&good, 1, b"", key));
        assert!(!is_good(&good, 3, b"", key), "another server's nonce");
        assert!(!is_good(&good, 1, b"x", key), "another channel");
        assert!(!is_good(&good, 1, b"", &PskKey::new(b"0123456789abcdeg")), "another key");
        for changed in [
            Prove { identity: "luigi".to_owned(), ..good.clone() },
            Prove { nonce: Nonce::new([4; 32]), ..good.clone() },
            Prove { propose: "{ }".to_owned(), ..good.clone() },
            Prove { proof: String::new(), ..good.clone() },
            Prove { proof: "AAAA".to_owned(), ..good.clone() },
            // What stands between two parts cannot move from one to the other.
            Prove { identity: "mari".to_owned(), propose: "o{}".to_owned(), ..good.clone() },
        ] {
            assert!(!is_good(&changed, 1, b"", key), "{changed:?}");
        }
    }

    #[test]
    fn a_clients_proof_sent_back_is_no_servers() {
        let (prover, challenge) = (prover(), challenge(1));
        let prove = prover.prove(&challenge, "{}".to_owned());
        assert!(!prover.convinced(&challenge, "{}", Some(&prove.proof)));
        assert!(!prover.convinced(&challenge, "{}", None));
        let own = prover.transcript(&challenge.nonce, "{}").of_server(&prover.key);
        assert!(prover.convinced(&challenge, "{}", Some(&own)));
    }

    #[test]
    fn neither_end_shows_its_key() {
        assert!(!format!("{:?}", prover()).contains("0123"));
    }
}
