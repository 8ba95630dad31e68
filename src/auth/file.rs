use std::{fs::File, io, io::Read as _, path::Path};

use zeroize::Zeroizing;

/// Reads a file of no more than `max` bytes, whatever it may be: a pipe or a device has no length.
pub(super) fn read(path: &Path, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read_open(&File::open(path)?, max)
}

/// Reads the same from a file that is open.
pub(super) fn read_open(file: &File, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let limit = max + 1;
    // Of the full size from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        let text = format!("it is longer than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}
