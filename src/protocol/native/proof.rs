use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use polyperf_certs::{Fingerprint, Identity, IdentityError, is_signed};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number that is used once: 256 random bits, in base64 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

/// What a server asks of clients that can prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What makes each proof good for this connection alone.
    pub nonce: Nonce,
    /// The ways in which a client can prove itself: `psk`, `key`. Others are for other versions.
    pub methods: Vec<String>,
    /// Whether nobody gets a test without.
    #[serde(default)]
    pub required: bool,
}

/// A proposal, and the proof of who makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Who the client is: of a key of its own, the fingerprint of the certificate.
    pub identity: String,
    /// What makes the server's proof good for this connection alone.
    pub nonce: Nonce,
    /// HMAC-SHA-256 over the [`Transcript`], or a signature, in base64.
    pub proof: String,
    /// The certificate of the key that has signed it, DER in base64; `None` is a pre-shared key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The fields of `propose` in JSON: as they are proved, to the byte.
    pub propose: String,
}

/// A key that both ends know. Clones share it.
#[derive(Clone)]
pub struct PskKey(Arc<hmac::Key>);

/// What nobody but a client has, or it and its server.
#[derive(Debug, Clone)]
pub enum Secret {
    /// A key that both ends know. The server proves that it does, too.
    Psk(PskKey),
    /// A key of the client's own, whose certificate the server knows. The server proves nothing.
    Key(Identity),
}

/// What a client proves itself with.
#[derive(Debug, Clone)]
pub struct Prover {
    /// Who it is.
    pub identity: String,
    /// What proves it.
    pub secret: Secret,
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
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

impl Prover {
    /// Returns the one that proves itself with a key of its own, on one connection.
    #[must_use]
    pub fn with_key(key: Identity, nonce: Nonce, channel: Vec<u8>) -> Self {
        Self { identity: key.fingerprint().to_string(), secret: Secret::Key(key), nonce, channel }
    }

    /// Returns the name of the way in which it proves itself.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.secret {
            Secret::Psk(_) => PSK,
            Secret::Key(_) => KEY,
        }
    }

    /// Returns the proposal with its proof.
    ///
    /// # Errors
    ///
    /// That the key cannot sign.
    pub fn prove(&self, challenge: &Challenge, propose: String) -> Result<Prove, IdentityError> {
        let transcript = self.transcript(&challenge.nonce, &propose);
        let (proof, certificate) = match &self.secret {
            Secret::Psk(key) => (transcript.of_client(key), None),
            Secret::Key(key) => {
                (transcript.signed_with(key)?, Some(BASE64.encode(key.certificate())))
            }
        };
        let (identity, nonce) = (self.identity.clone(), self.nonce);
        Ok(Prove { identity, nonce, proof, certificate, propose })
    }

    /// Returns whether the server has proved what it can: that it knows a pre-shared key, too.
    #[must_use]
    pub fn convinced(&self, challenge: &Challenge, propose: &str, proof: Option<&str>) -> bool {
        let transcript = self.transcript(&challenge.nonce, propose);
        match &self.secret {
            Secret::Psk(key) => proof.is_some_and(|proof| transcript.is_of(SERVER, key, proof)),
            Secret::Key(_) => true,
        }
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

    /// Returns the client's proof with a key of its own, in base64.
    ///
    /// # Errors
    ///
    /// That the key cannot sign.
    pub fn signed_with(&self, key: &Identity) -> Result<String, IdentityError> {
        key.sign(&self.bytes(SIGNER)).map(|signature| BASE64.encode(signature))
    }

    /// Returns the fingerprint of this certificate, DER in base64, if the client is who it says, and
    /// has proved to hold the key.
    #[must_use]
    pub fn signer(&self, certificate: &str, proof: &str) -> Option<Fingerprint> {
        let certificate = BASE64.decode(certificate).ok()?;
        let signature = BASE64.decode(proof).ok()?;
        let fingerprint = Fingerprint::of(&certificate);
        let named = self.identity == fingerprint.to_string();
        (named && is_signed(&certificate, &self.bytes(SIGNER), &signature)).then_some(fingerprint)
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
pub(crate) const PSK: &str = "psk";
/// The method of clients' own keys.
pub(crate) const KEY: &str = "key";
/// What tells the two ends' proofs apart: neither can be sent back to its maker.
const CLIENT: &str = "polyperf a psk client";
const SERVER: &str = "polyperf a psk server";
/// What is signed begins with its length, which nothing does that TLS signs.
const SIGNER: &str = "polyperf a key client";

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PskKey {
        PskKey::new(b"0123456789abcdef")
    }

    fn prover() -> Prover {
        let (identity, secret) = ("mario".to_owned(), Secret::Psk(key()));
        Prover { identity, secret, nonce: Nonce::new([2; 32]), channel: Vec::new() }
    }

    fn signer(identity: &Identity) -> Prover {
        Prover::with_key(identity.clone(), Nonce::new([2; 32]), Vec::new())
    }

    fn identity() -> Identity {
        Identity::generate(&[]).unwrap()
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

    /// Returns who has signed this, if it is good.
    fn signed_by(prove: &Prove, nonce: u8, channel: &[u8]) -> Option<Fingerprint> {
        let (server, client) = (&Nonce::new([nonce; 32]), &prove.nonce);
        let Prove { identity, propose, .. } = prove;
        let transcript = Transcript { server, client, identity, propose, channel };
        transcript.signer(prove.certificate.as_deref()?, &prove.proof)
    }

    #[test]
    fn a_proof_is_good_for_exactly_what_it_is_about() {
        let good = prover().prove(&challenge(1), "{}".to_owned()).unwrap();
        let key = &key();
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
        let prove = prover.prove(&challenge, "{}".to_owned()).unwrap();
        assert!(!prover.convinced(&challenge, "{}", Some(&prove.proof)));
        assert!(!prover.convinced(&challenge, "{}", None));
        let own = prover.transcript(&challenge.nonce, "{}").of_server(&key());
        assert!(prover.convinced(&challenge, "{}", Some(&own)));
    }

    #[test]
    fn a_signature_is_good_for_exactly_what_it_is_about() {
        let (mario, luigi) = (identity(), identity());
        let good = signer(&mario).prove(&challenge(1), "{}".to_owned()).unwrap();
        assert_eq!(signed_by(&good, 1, b""), Some(mario.fingerprint()));
        assert_eq!(signed_by(&good, 3, b""), None, "another server's nonce");
        assert_eq!(signed_by(&good, 1, b"x"), None, "another channel");
        let other = signer(&luigi).prove(&challenge(1), "{}".to_owned()).unwrap();
        assert_eq!(signed_by(&other, 1, b""), Some(luigi.fingerprint()));
        for changed in [
            Prove { identity: other.identity.clone(), ..good.clone() },
            Prove { identity: "mario".to_owned(), ..good.clone() },
            Prove { nonce: Nonce::new([4; 32]), ..good.clone() },
            Prove { propose: "{ }".to_owned(), ..good.clone() },
            Prove { proof: String::new(), ..good.clone() },
            Prove { proof: "AAAA".to_owned(), ..good.clone() },
            Prove { proof: "no base64".to_owned(), ..good.clone() },
            Prove { proof: other.proof.clone(), ..good.clone() },
            Prove { certificate: None, ..good.clone() },
            Prove { certificate: Some(String::new()), ..good.clone() },
            Prove { certificate: Some("no base64".to_owned()), ..good.clone() },
            // Another's certificate, under its own name and under that of the first.
            Prove { certificate: other.certificate.clone(), ..good.clone() },
            Prove {
                certificate: other.certificate.clone(),
                identity: other.identity.clone(),
                ..good.clone()
            },
        ] {
            assert_eq!(signed_by(&changed, 1, b""), None, "{changed:?}");
        }
    }

    #[test]
    fn what_was_signed_for_something_else_is_no_proof() {
        let identity = identity();
        let good = signer(&identity).prove(&challenge(1), "{}".to_owned()).unwrap();
        let (server, client) = (Nonce::new([1; 32]), good.nonce);
        let name = good.identity.clone();
        let transcript = Transcript {
            server: &server,
            client: &client,
            identity: &name,
            propose: "{}",
            channel: b"",
        };
        for label in [CLIENT, SERVER, "", "TLS 1.3, client CertificateVerify"] {
            let proof = BASE64.encode(identity.sign(&transcript.bytes(label)).unwrap());
            let changed = Prove { proof, ..good.clone() };
            assert_eq!(signed_by(&changed, 1, b""), None, "{label}");
        }
    }

    #[test]
    fn a_key_of_the_clients_own_asks_for_no_proof_of_the_server() {
        let signer = signer(&identity());
        assert_eq!(signer.method(), "key");
        assert!(signer.convinced(&challenge(1), "{}", None));
    }

    #[test]
    fn older_peers_read_and_write_proofs_of_pre_shared_keys_alone() {
        let prove = prover().prove(&challenge(1), "{}".to_owned()).unwrap();
        let text = serde_json::to_string(&prove).unwrap();
        assert!(!text.contains("certificate"), "{text}");
        assert_eq!(serde_json::from_str::<Prove>(&text).unwrap(), prove);
        let with_key = signer(&identity()).prove(&challenge(1), "{}".to_owned()).unwrap();
        let text = serde_json::to_string(&with_key).unwrap();
        assert_eq!(serde_json::from_str::<Prove>(&text).unwrap(), with_key);
    }

    #[test]
    fn neither_end_shows_its_key() {
        assert!(!format!("{:?}", prover()).contains("0123"));
        let identity = identity();
        let shown = format!("{:?}", signer(&identity));
        let key = identity.key_pem();
        let lines = key.lines().filter(|line| !line.starts_with('-'));
        assert!(lines.into_iter().all(|line| !shown.contains(line)), "{shown}");
    }
}
