//! Files that are read only up to a size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Returns the text of a file of up to `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> io::Result<String> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    // A pipe would be waited for, and a device may have no end.
    if !path.metadata()?.is_file() {
        return Err(invalid("it is no plain file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(invalid(format!("it has more than {most} bytes, and no more are allowed")));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is no text".to_owned()))
}
