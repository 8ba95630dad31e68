//! Putting an identity where [`Identity::load_or_generate`] finds it.

use std::{
    fs::{DirBuilder, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use polyperf_certs::Identity;
use tempfile::NamedTempFile;

use super::Refused;
use crate::cli::exit;

/// Returns whether there is no part of an identity in a folder. A name that cannot be looked at
/// counts as one that is there, and whoever opens it says why.
pub(in crate::program) fn is_empty(folder: &Path) -> bool {
    let absent = |name| {
        let found = folder.join(name).symlink_metadata();
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    absent(CERTIFICATE) && absent(KEY)
}

/// Keeps an identity in a folder, which is made if need be; one that is there gives way if
/// `replace` says so.
pub(super) fn keep(identity: &Identity, folder: &Path, replace: bool) -> Result<(), Refused> {
    let failed =
        |error: io::Error| Refused::io(format!("cannot write to {}: {error}", folder.display()));
    if !replace && !is_empty(folder) {
        return Err(taken(folder));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    // Both are written before either has its name: a full disk leaves what was there.
    let files = [
        (KEY, identity.key_pem().as_bytes(), PRIVATE),
        (CERTIFICATE, identity.certificate_pem().as_bytes(), 0o644),
    ]
    .map(|(name, bytes, mode)| {
        let path = folder.join(name);
        beside(&path, bytes, mode).map(|file| (file, path))
    });
    for file in files {
        let (file, path) = file.map_err(failed)?;
        if replace {
            file.persist(&path).map_err(|error| failed(error.error))?;
            continue;
        }
        file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => taken(folder),
            _ => failed(error.error),
        })?;
    }
    Ok(())
}

/// Writes a file under a name of its own beside `path`, from where it can be renamed. It has its
/// mode from the start, and its bytes are on the disk.
pub(super) fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").permissions(Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn taken(folder: &Path) -> Refused {
    let error = format!(
        "there is an identity in {} already, which clients may know; --replace makes a new one",
        folder.display()
    );
    Refused { code: exit::FAILED, error }
}

pub(super) const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// For the owner alone.
pub(super) const PRIVATE: u32 = 0o600;
