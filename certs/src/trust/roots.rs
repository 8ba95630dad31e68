use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::RootCertStore;

use super::Verified;
use crate::{Problem, file, pem};

/// Authorities that vouch for servers. Clones share them.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    origin: Origin,
}

/// Why there are no authorities.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// Their file cannot be read.
    #[error("cannot read the authorities {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What their file holds is of no use.
    #[error("the file of authorities {} {problem}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: Problem,
    },
    /// The system has none.
    #[error(
        "the system trusts no authority{reason}; install its package of certificates (ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    NoSystem {
        /// What went wrong on the way, as the end of a sentence; empty if nothing did.
        reason: String,
    },
}

#[derive(Debug, Clone)]
enum Origin {
    File(PathBuf),
    System,
}

impl Roots {
    /// Reads a file of certificates in PEM, of up to 1 MiB. Every one is an authority.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or what is wrong with it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RootsError> {
        let path = path.into();
        let text = File::open(&path).and_then(|file| file::read(&file));
        let text = text.map_err(|source| RootsError::Read { path: path.clone(), source })?;
        match authorities(&text) {
            Ok(store) => Ok(Self { store: Arc::new(store), origin: Origin::File(path) }),
            Err(problem) => Err(RootsError::Bad { path, problem }),
        }
    }

    /// Reads those that this machine trusts: where its distribution keeps them, or where the
    /// environment says (`SSL_CERT_FILE`, `SSL_CERT_DIR`). Such as cannot be used are left out.
    ///
    /// It takes milliseconds and touches the disk; the result serves for any number of servers.
    ///
    /// # Errors
    ///
    /// [`RootsError::NoSystem`].
    pub fn system() -> Result<Self, RootsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let reason = found.errors.first().map(|error| format!(" ({error})"));
            return Err(RootsError::NoSystem { reason: reason.unwrap_or_default() });
        }
        Ok(Self { store: Arc::new(store), origin: Origin::System })
    }

    /// Returns the file they are from; `None` if they are the system's.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::System => None,
        }
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.store.clone()
    }

    pub(super) fn verified(&self) -> Verified {
        match self.origin {
            Origin::File(_) => Verified::Authority,
            Origin::System => Verified::SystemRoots,
        }
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path) => write!(f, "the authorities in {}", path.display()),
            Origin::System => f.write_str("the system's authorities"),
        }
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({:?}, {})", self.origin, self.store.len())
    }
}

fn authorities(text: &[u8]) -> Result<RootCertStore, Problem> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in pem::certificates(text)?.into_iter().enumerate() {
        store
            .add(certificate)
            .map_err(|error| Problem::Authority { number: index + 1, reason: error.to_string() })?;
    }
    Ok(store)
}
