use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use zeroize::Zeroizing;

use super::{Identity, IdentityError, Unfit};

/// What a certificate is made out to if nothing else is asked for.
pub const DEFAULT_NAMES: [&str; 4] = [COMMON_NAME, "localhost", "127.0.0.1", "::1"];

pub(super) fn generate(names: &[&str]) -> Result<Identity, IdentityError> {
    let names = if names.is_empty() { &DEFAULT_NAMES } else { names };
    let failed = |error: rcgen::Error| IdentityError::Make { reason: error.to_string() };
    let key = Zeroizing::new(KeyPair::generate().map_err(failed)?);
    let certificate = params(names)?.self_signed(&*key).map_err(failed)?;
    let der = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
    Identity::new(vec![certificate.into()], der.into()).map_err(|unfit| {
        let reason = match unfit {
            Unfit::Key(reason) | Unfit::Certificate(reason) => reason,
            Unfit::Mismatch => "key and certificate came out different".to_owned(),
        };
        IdentityError::Make { reason }
    })
}

fn params(names: &[&str]) -> Result<CertificateParams, IdentityError> {
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(IdentityError::Name { name: (*name).to_owned() });
    }
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names);
    let mut params = params.map_err(|error| IdentityError::Make { reason: error.to_string() })?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A machine without a clock is in 1970; that a certificate has no end is said by the year 9999
    // (RFC 5280, 4.1.2.5).
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    Ok(params)
}

/// A certificate may be for every name in a domain.
fn is_name(name: &str) -> bool {
    ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

const COMMON_NAME: &str = "polyperf";
