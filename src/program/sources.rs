use std::{env, fs::File, io, io::Read as _, path::Path};

use crate::config::Sources;

/// Returns this process's environment, and the files that it may read.
pub(super) fn of_process() -> Sources {
    Sources::new(env::vars_os(), read)
}

/// Reads a file of no more than a size that no configuration has, whatever it may be: a pipe or a
/// device has no length.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE) {
        return Ok(text);
    }
    let why = format!("it is longer than {MAX_FILE} bytes");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
}

const MAX_FILE: u64 = 1 << 20;
