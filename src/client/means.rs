use std::{
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};

use polyperf_transport::{Delivery, Transport};

use super::Config;
use crate::{
    engine::Means,
    outcome::{Failure, FailureCode},
    spec::{Direction, TestSpec},
};

/// Returns what this end brings of its own: the file is opened before anybody is asked for a test.
///
/// # Errors
///
/// Refuses a file that the test cannot be about, and says why one cannot be opened.
pub(super) fn means(config: &Config, transport: &dyn Transport) -> Result<Means, Failure> {
    let file = match &config.file {
        Some(path) => Some(Arc::new(open(path, &config.spec, transport)?)),
        None => None,
    };
    Ok(Means { affinity: config.affinity, processors: None, owns_homes: true, file })
}

fn open(path: &Path, spec: &TestSpec, transport: &dyn Transport) -> Result<File, Failure> {
    let refuse = |why: String| {
        let text = format!("{} cannot be sent or written: {why}", path.display());
        Err(Failure::new(FailureCode::Unsupported, text))
    };
    if transport.delivery() != Delivery::Bytes {
        return refuse(format!("{} carries datagrams, which may be lost", spec.transport));
    }
    if !spec.workload.is_bulk() {
        return refuse("requests and responses are no copy of anything".to_owned());
    }
    let result = match spec.direction {
        Direction::Bidirectional => {
            return refuse("a test in both directions would read and write it at once".to_owned());
        }
        Direction::Reverse if spec.streams > 1 => {
            return refuse(format!("{} streams would write it at once", spec.streams));
        }
        Direction::Forward => File::open(path),
        // What is in it stays until the test begins: there may be none.
        Direction::Reverse => {
            OpenOptions::new().write(true).create(true).truncate(false).open(path)
        }
    };
    result.map_err(|error| {
        let text = format!("cannot open {}: {error}; see -F", path.display());
        Failure::new(FailureCode::LocalIo, text)
    })
}
