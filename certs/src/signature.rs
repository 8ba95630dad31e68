//! Signatures with the key of a certificate, outside of TLS.

use rustls::{
    SignatureScheme,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, SignatureVerificationAlgorithm},
};
use webpki::EndEntityCert;

/// Returns whether whoever holds the key of this certificate has signed the message. The
/// certificate, in DER, may be anything; nobody needs to vouch for it, or its time to be right.
///
/// The kind of the key alone says how it signs, as in TLS 1.3: ECDSA with P-256 and SHA-256, or P-384
/// and SHA-384, Ed25519, or RSASSA-PSS with SHA-256.
#[must_use]
pub fn is_signed(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let certificate = CertificateDer::from(certificate);
    let Ok(certificate) = EndEntityCert::try_from(&certificate) else { return false };
    SCHEMES.into_iter().filter_map(algorithm).any(|algorithm| {
        // One for another kind of key says so, and does no arithmetic.
        certificate.verify_signature(algorithm, message, signature).is_ok()
    })
}

/// TLS 1.3 takes the first of those that a scheme stands for.
fn algorithm(scheme: SignatureScheme) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let (_, algorithms) = algorithms().mapping.iter().find(|(known, _)| *known == scheme)?;
    algorithms.first().copied()
}

/// Returns those of the provider that knows the most kinds.
fn algorithms() -> WebPkiSupportedAlgorithms {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    #[cfg(not(feature = "aws-lc-rs"))]
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

/// How keys sign, one for each kind.
pub(crate) const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
];
