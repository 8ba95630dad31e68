use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::KeyRejected,
    rsa::{
        self, KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey,
    },
};
use pem::Pem;
use zeroize::Zeroizing;

use super::file;

/// A server's key, which opens the tokens of its clients.
#[derive(Clone)]
pub struct PrivateKey(Arc<Private>);

/// The public half of a server's key, which seals a client's token.
#[derive(Clone)]
pub struct PublicKey(Arc<Public>);

/// How a token is filled up to the length of the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Padding {
    /// OAEP with SHA-1, as iperf3 since 3.17.
    #[default]
    Oaep,
    /// PKCS#1 v1.5, as iperf3 up to 3.16. Whoever can tell how a server fails at it can decrypt
    /// tokens by asking often enough.
    Pkcs1,
}

/// Why a file holds no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds is of no use.
    #[error("the key {} {problem}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: KeyProblem,
    },
}

/// Why a text is no key, as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// There is no PEM in it.
    #[error("holds no PEM; {MAKE}")]
    NoPem,
    /// It cannot be read without a pass phrase.
    #[error(
        "is encrypted, and there is nobody to ask for its pass phrase; openssl pkey -in OLD -out NEW decrypts it"
    )]
    Encrypted,
    /// It is the public half, and the private one is needed.
    #[error("is a public one, and the server needs the private one; {MAKE}")]
    Public,
    /// It is the private half, and the public one is needed.
    #[error(
        "is a private one, which stays with the server; openssl pkey -in PRIVATE -pubout -out PUBLIC makes the public one"
    )]
    Private,
    /// It is something else.
    #[error("holds {0} in place of an RSA key; {MAKE}")]
    Label(String),
    /// It has fewer than 2048 bits.
    #[error("has fewer than 2048 bits, which is not safe; {MAKE}")]
    Short,
    /// It has more than 8192 bits.
    #[error("has more than 8192 bits, which takes too long; {MAKE}")]
    Long,
    /// It is damaged, or not of RSA.
    #[error("is damaged, or not of RSA; {MAKE}")]
    Rejected,
}

struct Private {
    oaep: OaepPrivateDecryptingKey,
    pkcs1: Pkcs1PrivateDecryptingKey,
    /// Nothing, encrypted: what is decrypted in the place of tokens that cannot be.
    decoy: Vec<u8>,
    der: Pkcs8V1Der<'static>,
    public: PublicKey,
}

struct Public {
    oaep: OaepPublicEncryptingKey,
    pkcs1: Pkcs1PublicEncryptingKey,
    der: PublicKeyX509Der<'static>,
}

impl PrivateKey {
    /// Makes a new key of 2048 bits.
    ///
    /// # Errors
    ///
    /// [`KeyProblem::Rejected`] if none can be made.
    pub fn generate() -> Result<Self, KeyProblem> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048);
        Self::new(key.map_err(|_| KeyProblem::Rejected)?)
    }

    /// Reads the key in a PEM file: PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and how to make a right one.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        open(path, Self::from_pem)
    }

    /// Reads the key in a PEM text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and how to make a right one.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyProblem> {
        let pem = first(text)?;
        let der = Zeroizing::new(pem.contents().to_vec());
        let key = match pem.tag() {
            _ if is_encrypted(&pem) => return Err(KeyProblem::Encrypted),
            "PRIVATE KEY" => PrivateDecryptingKey::from_pkcs8(&der).map_err(problem)?,
            "RSA PRIVATE KEY" => {
                let pair = rsa::KeyPair::from_der(&der).map_err(problem)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyProblem::Rejected)?;
                PrivateDecryptingKey::from_pkcs8(der.as_ref()).map_err(problem)?
            }
            "PUBLIC KEY" | "RSA PUBLIC KEY" => return Err(KeyProblem::Public),
            other => return Err(KeyProblem::Label(other.to_owned())),
        };
        Self::new(key)
    }

    /// Returns the key as PEM (PKCS#8).
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode(&Pem::new("PRIVATE KEY", self.0.der.as_ref())))
    }

    /// Returns its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public.clone()
    }

    fn new(key: PrivateDecryptingKey) -> Result<Self, KeyProblem> {
        let rejected = |_| KeyProblem::Rejected;
        let der = key.as_der().map_err(rejected)?;
        let public = PublicKey::new(key.public_key())?;
        let decoy = public.seal(b"", Padding::Oaep).ok_or(KeyProblem::Rejected)?;
        let oaep = OaepPrivateDecryptingKey::new(key.clone()).map_err(rejected)?;
        let pkcs1 = Pkcs1PrivateDecryptingKey::new(key).map_err(rejected)?;
        Ok(Self(Arc::new(Private { oaep, pkcs1, decoy, der, public })))
    }

    /// Decrypts; `None` if that fails, after the same steps. Where PKCS#1 v1.5 is permitted, both
    /// paddings are tried always, and OAEP comes first.
    pub(crate) fn decrypt(&self, sealed: &[u8], pkcs1: bool) -> Option<Zeroizing<Vec<u8>>> {
        let key = &*self.0;
        let fits = sealed.len() == key.oaep.key_size_bytes();
        let block = if fits { sealed } else { &key.decoy };
        let plain = into_buffer(key.oaep.min_output_size(), |buffer| {
            Some(key.oaep.decrypt(&OAEP_SHA1_MGF1SHA1, block, buffer, None).ok()?.len())
        });
        let older = into_buffer(key.pkcs1.min_output_size(), |buffer| {
            pkcs1.then(|| Some(key.pkcs1.decrypt(block, buffer).ok()?.len()))?
        });
        plain.or(older).filter(|_| fits)
    }
}

impl PublicKey {
    /// Reads the key in a PEM file: `PUBLIC KEY` or PKCS#1 (`RSA PUBLIC KEY`).
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and how to make a right one.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        open(path, Self::from_pem)
    }

    /// Reads the key in a PEM text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and how to make a right one.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyProblem> {
        let pem = first(text)?;
        let key = match pem.tag() {
            tag if tag.ends_with("PRIVATE KEY") => return Err(KeyProblem::Private),
            "PUBLIC KEY" => PublicEncryptingKey::from_der(pem.contents()).map_err(problem)?,
            "RSA PUBLIC KEY" => {
                let key = rsa::PublicKey::from_der(pem.contents()).map_err(problem)?;
                let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyProblem::Rejected)?;
                PublicEncryptingKey::from_der(der.as_ref()).map_err(problem)?
            }
            other => return Err(KeyProblem::Label(other.to_owned())),
        };
        Self::new(key)
    }

    /// Returns the key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(&Pem::new("PUBLIC KEY", self.0.der.as_ref()))
    }

    fn new(key: PublicEncryptingKey) -> Result<Self, KeyProblem> {
        let rejected = |_| KeyProblem::Rejected;
        let der = key.as_der().map_err(rejected)?;
        let oaep = OaepPublicEncryptingKey::new(key.clone()).map_err(rejected)?;
        let pkcs1 = Pkcs1PublicEncryptingKey::new(key).map_err(rejected)?;
        Ok(Self(Arc::new(Public { oaep, pkcs1, der })))
    }

    /// Returns how many bytes can be encrypted.
    pub(crate) fn capacity(&self, padding: Padding) -> usize {
        match padding {
            Padding::Oaep => self.0.oaep.max_plaintext_size(&OAEP_SHA1_MGF1SHA1),
            Padding::Pkcs1 => self.0.pkcs1.max_plaintext_size(),
        }
    }

    /// Encrypts; `None` if there is more than can be encrypted.
    pub(crate) fn seal(&self, plain: &[u8], padding: Padding) -> Option<Vec<u8>> {
        let mut buffer = vec![0; self.0.oaep.ciphertext_size()];
        let sealed = match padding {
            Padding::Oaep => self.0.oaep.encrypt(&OAEP_SHA1_MGF1SHA1, plain, &mut buffer, None),
            Padding::Pkcs1 => self.0.pkcs1.encrypt(plain, &mut buffer),
        };
        let length = sealed.ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} bits)", self.0.oaep.key_size_bits())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits)", self.0.oaep.key_size_bits())
    }
}

fn open<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, KeyProblem>) -> Result<T, KeyError> {
    let text = file::read(path, MAX_FILE)
        .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|problem| KeyError::Bad { path: path.to_owned(), problem })
}

fn first(text: &[u8]) -> Result<Pem, KeyProblem> {
    let all = pem::parse_many(text).map_err(|_| KeyProblem::NoPem)?;
    all.into_iter().next().ok_or(KeyProblem::NoPem)
}

fn is_encrypted(pem: &Pem) -> bool {
    let header = pem.headers().get("Proc-Type");
    pem.tag() == "ENCRYPTED PRIVATE KEY" || header.is_some_and(|kind| kind.contains("ENCRYPTED"))
}

fn problem(rejected: KeyRejected) -> KeyProblem {
    match rejected.to_string().as_str() {
        "TooSmall" => KeyProblem::Short,
        "TooLarge" => KeyProblem::Long,
        _ => KeyProblem::Rejected,
    }
}

/// Returns what `write` has written into a buffer of this size.
fn into_buffer(
    size: usize,
    write: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; size]);
    let length = write(&mut buffer)?;
    buffer.truncate(length);
    Some(buffer)
}

const MAKE: &str = "openssl genrsa -out PRIVATE 2048 makes one";
/// Far more than the longest key takes.
const MAX_FILE: usize = 64 << 10;
