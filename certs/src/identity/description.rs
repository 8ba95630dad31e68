use std::net::{Ipv4Addr, Ipv6Addr};

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use x509_parser::{
    extensions::GeneralName,
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
        OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    parse_x509_certificate,
    prelude::{ASN1Time, SubjectPublicKeyInfo, X509Certificate},
};

use crate::Fingerprint;

/// What a certificate says, for people to read. Control characters are escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The certificate itself.
    pub fingerprint: Fingerprint,
    /// How many certificates are shown to clients: this one, and those that lead to an authority.
    pub certificates: usize,
    /// What is in it; `None` if it cannot be read.
    #[serde(flatten)]
    pub content: Option<Content>,
}

/// What is in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Whom it is for, such as `CN=polyperf`.
    pub subject: String,
    /// Who vouches for it: its own subject if nobody does.
    pub issuer: String,
    /// The host names and addresses it is made out to.
    pub names: Vec<String>,
    /// From when on it is valid (RFC 3339, UTC).
    pub not_before: String,
    /// Until when it is valid (RFC 3339, UTC).
    pub not_after: String,
    /// What kind of key it is for, such as `ECDSA P-256`.
    pub key: String,
}

impl Description {
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Self {
        let own: &[u8] = chain.first().map_or(&[], |own| own.as_ref());
        let parsed = parse_x509_certificate(own).ok();
        Self {
            fingerprint: Fingerprint::of(own),
            certificates: chain.len(),
            content: parsed.map(|(_, certificate)| Content::of(&certificate)),
        }
    }
}

impl Content {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            subject: printable(&certificate.subject().to_string()),
            issuer: printable(&certificate.issuer().to_string()),
            names: names(certificate),
            not_before: rfc3339(validity.not_before),
            not_after: rfc3339(validity.not_after),
            key: kind(certificate.public_key()),
        }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().map(name).collect()
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => printable(name),
        GeneralName::IPAddress(bytes) => address(bytes),
        other => printable(&other.to_string()),
    }
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
    v4.or_else(|_| v6()).unwrap_or_else(|_| format!("an address of {} bytes", bytes.len()))
}

fn kind(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return "Ed25519".to_owned();
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = key.parsed().map(|key| key.key_size());
        return bits.map_or_else(|_| "RSA".to_owned(), |bits| format!("RSA {bits}"));
    }
    if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return algorithm.to_string();
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_EC_P256 => "ECDSA P-256".to_owned(),
        Some(curve) if curve == OID_NIST_EC_P384 => "ECDSA P-384".to_owned(),
        Some(curve) if curve == OID_NIST_EC_P521 => "ECDSA P-521".to_owned(),
        Some(curve) => format!("ECDSA {curve}"),
        None => "ECDSA".to_owned(),
    }
}

fn rfc3339(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// A certificate's text is whatever its maker put there.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
