//! `polyperf completions` and `polyperf man`: texts that follow from the options.

use std::{fs, path::Path};

use super::{complain, print, print_bytes};
use crate::cli::{self, Shells, exit};

pub(super) fn completions(shell: Shells) -> u8 {
    print_bytes(&cli::completion_script(shell), exit::SUCCESS)
}

/// Writes all pages into a folder, which is made if need be; without one, prints the first.
pub(super) fn manual(folder: Option<&Path>) -> u8 {
    let pages = cli::manual();
    let Some(folder) = folder else {
        let first = pages.first().map(|(_, text)| text.as_slice()).unwrap_or_default();
        return print_bytes(first, exit::SUCCESS);
    };
    let written = fs::create_dir_all(folder).and_then(|()| {
        pages.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    });
    match written {
        Ok(()) => print(&format!("{} pages in {}\n", pages.len(), folder.display()), exit::SUCCESS),
        Err(error) => {
            complain(&format!(
                "cannot write the manual to {}: {error}; name a folder that this user may write to",
                folder.display()
            ));
            exit::LOCAL_IO
        }
    }
}
