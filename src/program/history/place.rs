use crate::{
    cli::HistoryAt,
    history::{self, Location},
    program::security,
};

/// Returns where a history is.
pub(in crate::program) fn location(at: &HistoryAt) -> Result<Location, String> {
    match at {
        HistoryAt::Location(location) => Ok(location.clone()),
        HistoryAt::Default => {
            let folder = security::state_dir();
            let folder =
                folder.map_err(|error| format!("{error}, or name a file with --history=PATH"))?;
            Ok(Location::in_folder(&folder))
        }
    }
}

/// Returns how a history is written.
pub(in crate::program) fn options(at: &HistoryAt) -> Result<history::Options, String> {
    let place = location(at)?;
    let folder = match (&place, security::state_dir()) {
        (_, Ok(folder)) => folder,
        // What waits is beside the file.
        (Location::File(_), Err(_)) => std::path::PathBuf::new(),
        (Location::Postgres(_), Err(error)) => return Err(error.to_string()),
    };
    Ok(history::Options::new(place, &folder))
}
