//! An identity that is kept in a folder.

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Identity, IdentityError};
use crate::file::{self, PRIVATE};

pub(super) fn load_or_generate(dir: &Path) -> Result<(Identity, bool), IdentityError> {
    let store = Store::at(dir);
    // Without a lock first: the folder may be one that nobody may write to.
    if let Found::Both(certificate, key) = store.look()? {
        return Ok((store.load(&certificate, &key)?, false));
    }
    file::make_private_dir(dir).map_err(|source| write_error(dir, source))?;
    let _locked = file::lock(&store.lock).map_err(|source| write_error(&store.lock, source))?;
    match store.look()? {
        Found::Both(certificate, key) => Ok((store.load(&certificate, &key)?, false)),
        Found::Neither => Ok((store.make()?, true)),
        Found::Half { present, missing } => {
            Err(IdentityError::Half { present: present.clone(), missing: missing.clone() })
        }
    }
}

struct Store {
    certificate: PathBuf,
    key: PathBuf,
    lock: PathBuf,
}

enum Found<'a> {
    Both(File, File),
    Half { present: &'a PathBuf, missing: &'a PathBuf },
    Neither,
}

impl Store {
    fn at(dir: &Path) -> Self {
        Self {
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
            lock: dir.join("identity.lock"),
        }
    }

    fn look(&self) -> Result<Found<'_>, IdentityError> {
        let open = |path: &PathBuf| {
            let failed = |source| IdentityError::Read { path: path.clone(), source };
            file::open(path).map_err(failed)
        };
        let Self { certificate, key, .. } = self;
        Ok(match (open(certificate)?, open(key)?) {
            (Some(certificate), Some(key)) => Found::Both(certificate, key),
            (Some(_), None) => Found::Half { present: certificate, missing: key },
            (None, Some(_)) => Found::Half { present: key, missing: certificate },
            (None, None) => Found::Neither,
        })
    }

    /// The mode is that of what is read: a path may lead elsewhere a moment later.
    fn load(&self, certificate: &File, key: &File) -> Result<Identity, IdentityError> {
        let metadata = key.metadata();
        let metadata =
            metadata.map_err(|source| IdentityError::Read { path: self.key.clone(), source })?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(IdentityError::Exposed { path: self.key.clone(), mode });
        }
        Identity::from_open_files((&self.certificate, certificate), (&self.key, key))
    }

    /// The lock is held.
    fn make(&self) -> Result<Identity, IdentityError> {
        let identity = Identity::generate(&[])?;
        place(&self.key, identity.key_pem().as_bytes(), PRIVATE)?;
        place(&self.certificate, identity.certificate_pem().as_bytes(), PUBLIC)?;
        Ok(identity)
    }
}

/// Writes a file that is whole as soon as it has its name, and replaces none.
fn place(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    let placed = file::write_beside(path, bytes, mode)
        .and_then(|file| file.persist_noclobber(path).map_err(io::Error::from));
    placed.map(drop).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Write { path: path.to_owned(), source }
}

/// For everybody to read, and the owner to write.
const PUBLIC: u32 = 0o644;
/// What a mode lets the group and others do.
const OTHERS: u32 = 0o077;
