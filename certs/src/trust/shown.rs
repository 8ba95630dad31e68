//! What a server shows of itself.

use rustls::{
    CertificateError, Error,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
};

/// What a server shows, and when.
pub(super) struct Shown<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) ocsp: &'a [u8],
    pub(super) now: UnixTime,
}

impl Shown<'_> {
    /// Verifies that it leads to an authority, is valid now, and is made out to this name.
    pub(super) fn verify(
        &self,
        by: &WebPkiServerVerifier,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let Self { end_entity, intermediates, ocsp, now } = self;
        by.verify_server_cert(end_entity, intermediates, name, ocsp, *now).map(drop)
    }
}

/// Says why authorities do not vouch for a certificate, and what to do.
pub(super) fn reason(error: &Error) -> String {
    use CertificateError as E;
    let Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        E::Expired | E::ExpiredContext { .. } => {
            "it has expired; renew it, and see that this machine's clock is right".to_owned()
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet; see that this machine's clock is right".to_owned()
        }
        // An authority of the same name has signed nothing if the signature is not its own.
        E::UnknownIssuer | E::BadSignature => {
            "none of them has signed it; name the file of the one that has, or give the certificate's fingerprint".to_owned()
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("{error}; ask for the server by one of its names")
        }
        E::BadEncoding => UNREADABLE.to_owned(),
        error => error.to_string(),
    }
}

/// The public key in a certificate of any version.
pub(super) fn public_key(
    certificate: &CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

/// What webpki means by a bad encoding.
pub(crate) const UNREADABLE: &str = "it is damaged, or not of X.509 version 3";
