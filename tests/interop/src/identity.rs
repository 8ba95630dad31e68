//! Who a server of a test is.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A certificate that is made for a test, and vouches for itself.
#[derive(Debug)]
pub struct Identity {
    certificate: PathBuf,
    private_key: PathBuf,
    folder: TempDir,
}

impl Identity {
    /// Makes one, for this machine as seen from itself.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        let (certificate, private_key) =
            (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("a certificate");
        std::fs::write(&private_key, made.signing_key.serialize_pem()).expect("a private key");
        Self { certificate, private_key, folder }
    }

    /// Returns where the certificate is, in PEM: for the server, and for whoever is to trust it.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Returns where the private key is, in PEM.
    #[must_use]
    pub fn private_key(&self) -> &Path {
        &self.private_key
    }

    /// Returns a folder that goes with the identity, for what a program keeps.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}
