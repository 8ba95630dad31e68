//! Reading files of bounded size, and writing such as are there whole or not at all.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Opens a file; `None` if there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads no more than [`MAX_FILE`] bytes, whatever it may be: a pipe or a device has no length.
pub(crate) fn read(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len().min(MAX_FILE);
    // Of the full size from the start: a buffer that grows leaves copies behind.
    let room = usize::try_from(length).unwrap_or_default().max(ROOM);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(too_large()) } else { Ok(bytes) }
}

/// Makes a folder, and those it is in, for its owner alone; one that is there stays as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path)
}

/// Waits until no other process holds this file's lock, and holds it until the result is dropped.
/// The file is made if need be, and stays: to remove it would let two hold a lock each.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(PRIVATE).open(path)?;
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|()| file),
        }
    }
}

/// Writes a file under a name of its own beside `path`, from where it can be renamed. It has its
/// mode from the start, and its bytes are on the disk.
pub(crate) fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").permissions(Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn too_large() -> io::Error {
    let text = format!("it has more than {MAX_FILE} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

/// Bytes. A bundle of every public authority has a quarter of them.
const MAX_FILE: u64 = 1 << 20;
/// Bytes for a file of unknown length, which is more than any key has.
const ROOM: usize = 1 << 14;
/// For the owner alone.
pub(crate) const PRIVATE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;
