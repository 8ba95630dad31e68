use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::report::{Options, Reporter};

use crate::event::Event;

/// Where the report goes: standard output, or a file that appears when it is complete.
#[derive(Debug)]
pub(super) struct Output {
    reporter: Reporter<Sink>,
    file: Option<Pending>,
}

/// Why a report could not be written.
#[derive(Debug)]
pub(super) enum OutputError {
    /// Whoever was reading has left, which ends the program quietly.
    Closed,
    /// Something else, in words.
    Failed(String),
}

#[derive(Debug)]
struct Pending {
    unfinished: PathBuf,
    path: PathBuf,
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    File(BufWriter<File>),
}

impl Output {
    /// Opens the output. A file is opened under another name first, so that what cannot be written
    /// is known before the test, and what was there stays until there is something better.
    pub(super) fn open(options: Options, path: Option<&Path>) -> Result<Self, OutputError> {
        let Some(path) = path else {
            let reporter = Reporter::new(options, Sink::Stdout(io::stdout()));
            return Ok(Self { reporter, file: None });
        };
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished).map_err(|error| {
            OutputError::Failed(format!("cannot write {}: {error}", unfinished.display()))
        })?;
        let reporter = Reporter::new(options, Sink::File(BufWriter::new(file)));
        Ok(Self { reporter, file: Some(Pending { unfinished, path: path.to_owned() }) })
    }

    pub(super) fn handle(&mut self, event: &Event) -> Result<(), OutputError> {
        self.reporter.handle(event).map_err(Into::into)
    }

    /// Completes the output.
    pub(super) fn finish(self) -> Result<(), OutputError> {
        let mut sink = self.reporter.finish()?;
        sink.flush()?;
        let (Some(pending), Sink::File(file)) = (self.file, sink) else { return Ok(()) };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&pending.unfinished, &pending.path).map_err(|error| {
            OutputError::Failed(format!("cannot write {}: {error}", pending.path.display()))
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After a rename there is nothing of this name, which is as well.
        let _ = fs::remove_file(&self.unfinished);
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(format!("cannot write the report: {error}")),
        }
    }
}
