//! What is in a PEM text (RFC 7468).

use std::path::PathBuf;

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::{Zeroize as _, Zeroizing};

/// Why a file is of no use, as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no certificate in it.
    #[error("holds {0} in place of a certificate (PEM, CERTIFICATE)")]
    NoCertificate(String),
    /// There is no private key in it.
    #[error(
        "holds {0} in place of a private key (PEM, PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY)"
    )]
    NoKey(String),
    /// It cannot be read without a pass phrase.
    #[error(
        "is encrypted, and there is nobody to ask for its pass phrase; openssl pkey -in OLD -out NEW decrypts it"
    )]
    Encrypted,
    /// It is no text of the form it should have.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// The key is of a kind that TLS is not done with here.
    #[error("holds a key that cannot be used ({0}); ECDSA P-256 and P-384, Ed25519 and RSA can")]
    Key(String),
    /// The certificate is of a kind that TLS is not done with here.
    #[error("begins with a certificate that cannot be used: {0}; make another one for this key")]
    Certificate(String),
    /// One of the certificates cannot vouch for others.
    #[error("holds a certificate, number {number}, that cannot be an authority: {reason}")]
    Authority {
        /// Its place in the file, from 1.
        number: usize,
        /// Why not.
        reason: String,
    },
    /// Key and certificate are not of one another.
    #[error(
        "does not belong to the first certificate in {}; name the key it was made for, and put the server's own certificate before those of its authorities",
        certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
    },
}

/// Returns the certificates, of which there is at least one, in their order.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pems = parse(text)?;
    let certificates = pems.iter().filter(|pem| is_certificate(pem));
    let found: Vec<_> =
        certificates.map(|pem| CertificateDer::from(pem.contents().to_vec())).collect();
    if found.is_empty() { Err(Problem::NoCertificate(labels(&pems))) } else { Ok(found) }
}

/// Returns the first private key: PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017).
pub(crate) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    let pems = parse(text)?;
    let found = pems.iter().find_map(|pem| {
        let der = || pem.contents().to_vec();
        match pem.tag() {
            tag if tag.ends_with("PRIVATE KEY") && is_encrypted(pem) => {
                Some(Err(Problem::Encrypted))
            }
            "PRIVATE KEY" => Some(Ok(PrivatePkcs8KeyDer::from(der()).into())),
            "EC PRIVATE KEY" => Some(Ok(PrivateSec1KeyDer::from(der()).into())),
            "RSA PRIVATE KEY" => Some(Ok(PrivatePkcs1KeyDer::from(der()).into())),
            _ => None,
        }
    });
    found.unwrap_or_else(|| Err(Problem::NoKey(labels(&pems))))
}

/// Returns the text of these certificates.
pub(crate) fn of_certificates(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|certificate| encode("CERTIFICATE", certificate)).collect()
}

/// Returns the text of this key, in the form it has.
pub(crate) fn of_key(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Zeroizing::new(encode(label, key.secret_der()))
}

fn parse(text: &[u8]) -> Result<Vec<Pem>, Problem> {
    pem::parse_many(text).map_err(|error| Problem::Damaged(error.to_string()))
}

fn encode(label: &str, der: &[u8]) -> String {
    let pem = Pem::new(label, der);
    let text = pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF));
    pem.into_contents().zeroize();
    text
}

fn is_certificate(pem: &Pem) -> bool {
    matches!(pem.tag(), "CERTIFICATE" | "X509 CERTIFICATE")
}

/// PKCS#8 says so in its label; the older forms do in a header (RFC 1421).
fn is_encrypted(pem: &Pem) -> bool {
    let in_header = pem.headers().get("Proc-Type").is_some_and(|kind| kind.contains("ENCRYPTED"));
    pem.tag() == "ENCRYPTED PRIVATE KEY" || in_header
}

/// Says what a text holds, in bounds.
fn labels(pems: &[Pem]) -> String {
    if pems.is_empty() {
        return "no PEM".to_owned();
    }
    let shown = |pem: &Pem| -> String { pem.tag().escape_debug().take(MAX_LABEL).collect() };
    pems.iter().take(MAX_LABELS).map(shown).collect::<Vec<_>>().join(", ")
}

const MAX_LABEL: usize = 40;
const MAX_LABELS: usize = 3;
