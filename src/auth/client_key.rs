use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use polyperf_certs::{Fingerprint, Identity, IdentityError};

/// The key that a client proves itself with to servers that know its certificate.
#[derive(Debug, Clone)]
pub struct ClientKey(Identity);

/// Why a client has no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeyError {
    /// The file cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may use the key.
    #[error(
        "the key {} may be read or written by others (mode {mode:03o}): chmod 600 it, and make a new one if somebody may have seen it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no identity.
    #[error(
        "{0}; it takes a certificate and its private key in one file, as polyperf cert export --private-key writes it"
    )]
    Identity(#[from] IdentityError),
}

impl ClientKey {
    /// Returns the key of an identity.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(identity)
    }

    /// Reads a certificate and its private key in PEM from one file, which nobody else may read. A
    /// credential of the service's manager may be one of its group.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or others may, or what is wrong with it.
    pub fn open(path: &Path, is_credential: bool) -> Result<Self, ClientKeyError> {
        let failed = |source| ClientKeyError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let forbidden = if is_credential { 0o037 } else { 0o077 };
        if about.is_file() && about.mode() & forbidden != 0 {
            return Err(ClientKeyError::Open { path: path.to_owned(), mode: about.mode() & 0o777 });
        }
        Ok(Self(Identity::from_pem_file(path, &file)?))
    }

    /// Returns the fingerprint that a server knows the key by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let identity = Identity::generate(&[]).unwrap();
        let text = format!("{}{}", identity.certificate_pem(), *identity.key_pem());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        for (mode, credential, taken) in [
            (0o600, false, true),
            (0o640, false, false),
            (0o604, false, false),
            (0o440, true, true),
            (0o444, true, false),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            match ClientKey::open(file.path(), credential) {
                Ok(key) => assert!(taken && key.fingerprint() == identity.fingerprint()),
                Err(error) => {
                    assert!(!taken && error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_file_without_a_key_says_how_one_is_written() {
        let identity = Identity::generate(&[]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), identity.certificate_pem()).unwrap();
        let error = ClientKey::open(file.path(), false).unwrap_err().to_string();
        assert!(error.contains("private key") && error.contains("cert export"), "{error}");
        let error = ClientKey::open(Path::new("/nowhere"), false).unwrap_err();
        assert!(matches!(error, ClientKeyError::Read { .. }), "{error}");
    }
}
