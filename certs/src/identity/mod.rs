mod current;
mod description;
mod error;
mod make;
mod store;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ServerSessionMemoryCache,
    sign::CertifiedKey,
    version::TLS13,
};
use zeroize::Zeroizing;

pub use self::{
    current::CurrentIdentity,
    description::{Content, Description},
    error::IdentityError,
    make::DEFAULT_NAMES,
};
use crate::{Fingerprint, Problem, file, pem, signature::SCHEMES, trust::unfit};

/// Who a server is: a chain of certificates, its own first, and the private key to that.
///
/// Clones share one. The key is wiped when the last is dropped, and never in what `Debug` shows.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a new one for these host names and addresses; [`DEFAULT_NAMES`] if there are none.
    ///
    /// The certificate signs itself with a key of ECDSA P-256, is of use to a server alone, and is
    /// valid at any time that a clock may show: clients know it by its fingerprint.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Name`] for what is not a name; [`IdentityError::Make`].
    pub fn generate(names: &[&str]) -> Result<Self, IdentityError> {
        make::generate(names)
    }

    /// Returns the one that is kept in a folder, or makes one and keeps it there; and whether it
    /// was made now.
    ///
    /// It is in `certificate.pem`, and in `key.pem` for the owner alone. However many programs do
    /// this at once, all have the same identity afterwards. What is there is never replaced.
    ///
    /// # Errors
    ///
    /// Which file cannot be read, written or used; [`IdentityError::Exposed`] for a key that others
    /// may open, [`IdentityError::Half`] for one file without the other.
    pub fn load_or_generate(dir: &Path) -> Result<(Self, bool), IdentityError> {
        store::load_or_generate(dir)
    }

    /// Reads one's own: certificates in PEM, the server's own first, and its key in PEM as PKCS#8,
    /// SEC1 or PKCS#1. Both may be in one file, of up to 1 MiB.
    ///
    /// # Errors
    ///
    /// Which file cannot be read, or what is wrong with it; that the key is not the certificate's.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let open = |path: &Path| {
            let failed = |source| IdentityError::Read { path: path.to_owned(), source };
            File::open(path).map_err(failed)
        };
        let opened = open(certificate)?;
        Self::from_open_files((certificate, &opened), (key, &open(key)?))
    }

    /// Reads the same from one open file with both in it, which is called `path` where it is told of.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or what is wrong with it.
    pub fn from_pem_file(path: &Path, file: &File) -> Result<Self, IdentityError> {
        let text = file::read(file);
        let text = text.map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
        let chain = pem::certificates(&text).map_err(|problem| bad(path, problem))?;
        let key = pem::private_key(&text).map_err(|problem| bad(path, problem))?;
        Self::of_files((path, chain), (path, key))
    }

    /// Returns the configuration of a server that speaks TLS 1.3 alone, asks no client for a
    /// certificate, and offers these protocols (ALPN, RFC 7301), the best first.
    ///
    /// Clients may resume their sessions as long as the server lives. What it needs for that is
    /// kept here and not in the tickets: each serves once, so that early data, which `early_data`
    /// permits without a limit, cannot be replayed; and rustls takes early data in no other way.
    /// Configurations do not know each other's sessions, of which the latest are kept.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Serve`] if the provider cannot use the key.
    pub fn server_config(
        &self,
        provider: Arc<CryptoProvider>,
        alpn: &[&[u8]],
        early_data: bool,
    ) -> Result<ServerConfig, IdentityError> {
        let failed = |error: rustls::Error| IdentityError::Serve {
            fingerprint: self.fingerprint(),
            reason: error.to_string(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(self.0.chain.clone(), self.0.key.clone_key())
            .map_err(failed)?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.max_early_data_size = if early_data { u32::MAX } else { 0 };
        config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
        Ok(config)
    }

    /// Signs a message as TLS 1.3 does with a key of this kind; [`is_signed`](crate::is_signed) looks
    /// at that.
    ///
    /// What the message is for has to be in it: the same key may sign other things elsewhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Sign`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let failed =
            |reason: String| IdentityError::Sign { fingerprint: self.fingerprint(), reason };
        let key = signing_key(&self.0.key).map_err(|error| failed(error.to_string()))?;
        let signer = key.choose_scheme(&SCHEMES);
        let signer = signer.ok_or_else(|| failed("its key is of another kind".to_owned()))?;
        signer.sign(message).map_err(|error| failed(error.to_string()))
    }

    /// Returns the server's own certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.0.chain.first().map_or(&[], |own| own.as_ref())
    }

    /// Returns the fingerprint of the server's own certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Returns the certificates in PEM, the server's own first.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::of_certificates(&self.0.chain)
    }

    /// Returns the private key in PEM, in the form in which it was read.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        pem::of_key(&self.0.key)
    }

    /// Returns what the server's own certificate says.
    #[must_use]
    pub fn description(&self) -> Description {
        Description::of(&self.0.chain)
    }

    fn from_open_files(
        (certificate_path, certificate): (&Path, &File),
        (key_path, key): (&Path, &File),
    ) -> Result<Self, IdentityError> {
        let chain = parse(certificate_path, certificate, pem::certificates)?;
        let key = parse(key_path, key, pem::private_key)?;
        Self::of_files((certificate_path, chain), (key_path, key))
    }

    /// The chain has at least one certificate.
    fn of_files(
        (certificate_path, chain): (&Path, Vec<CertificateDer<'static>>),
        (key_path, key): (&Path, PrivateKeyDer<'static>),
    ) -> Result<Self, IdentityError> {
        Self::new(chain, key).map_err(|error| match error {
            Unfit::Key(reason) => bad(key_path, Problem::Key(reason)),
            Unfit::Certificate(reason) => bad(certificate_path, Problem::Certificate(reason)),
            Unfit::Mismatch => {
                bad(key_path, Problem::Mismatch { certificate: certificate_path.to_owned() })
            }
        })
    }

    /// The chain has at least one certificate.
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Unfit> {
        let key = Zeroizing::new(key);
        let signing = signing_key(&key).map_err(|error| Unfit::Key(error.to_string()))?;
        match CertifiedKey::new(chain.clone(), signing).keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(Unfit::Mismatch);
            }
            Err(error) => return Err(Unfit::Certificate(unfit(&error))),
        }
        let fingerprint = Fingerprint::of(chain.first().map_or(&[], |own| own.as_ref()));
        Ok(Self(Arc::new(Inner { chain, key, fingerprint })))
    }
}

/// Whether they show the same certificates, of which the key is the only one.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.chain == other.0.chain
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.fingerprint).finish()
    }
}

/// Why certificate and key are not an identity.
enum Unfit {
    Key(String),
    Certificate(String),
    Mismatch,
}

fn parse<T>(
    path: &Path,
    file: &File,
    parse: fn(&[u8]) -> Result<T, Problem>,
) -> Result<T, IdentityError> {
    let text = file::read(file);
    let text = text.map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|problem| bad(path, problem))
}

fn bad(path: impl Into<PathBuf>, problem: Problem) -> IdentityError {
    IdentityError::Bad { path: path.into(), problem }
}

/// Loads a key with the provider that knows the most kinds.
fn signing_key(
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<dyn rustls::sign::SigningKey>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::sign::any_supported_type(key);
    #[cfg(not(feature = "aws-lc-rs"))]
    rustls::crypto::ring::sign::any_supported_type(key)
}

/// Sessions a server remembers, two for each handshake, of less than a kilobyte each.
const MAX_SESSIONS: usize = 4096;
