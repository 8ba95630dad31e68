use std::io::ErrorKind;

use sqlx::migrate::MigrateError;

use super::Location;

/// Why something could not be done with a history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error(
        "there is no history at {place}: polyperf server --history and polyperf client --history \
         keep one"
    )]
    Missing {
        /// Where.
        place: Location,
    },
    /// It cannot be opened.
    #[error("cannot open the history at {place}: {problem}; {remedy}")]
    Open {
        /// Where.
        place: Location,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
        /// Whether it may be there in a while, though nobody changes anything.
        passing: bool,
        /// Whether others are in the way who open it at the same time.
        of_others: bool,
    },
    /// It is of a newer program, or of another one.
    #[error(
        "the history at {place} has a form that this program does not know ({problem}): use the \
         polyperf that made it, or another file"
    )]
    Form {
        /// Where.
        place: Location,
        /// What is not known.
        problem: String,
    },
    /// The database has not done what was asked of it.
    #[error("cannot {doing} the history at {place}: {problem}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Where.
        place: Location,
        /// What the database says.
        problem: String,
        /// Whether it is what was to be kept that it does not take, so that trying again is in vain.
        lasting: bool,
    },
    /// A test cannot be written as JSON, or read from it.
    #[error("test {id} cannot be read: {problem}; it was kept by another version of polyperf")]
    Unreadable {
        /// The test.
        id: i64,
        /// What is wrong.
        problem: String,
    },
    /// A test that is to be kept is not what can be kept.
    #[error("a test cannot be written as JSON: {0}")]
    Unwritable(String),
    /// What is exported cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl Error {
    /// Returns whether it is the test itself that cannot be kept, so that trying again is in vain.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Database { lasting: true, .. } | Self::Unwritable(_))
    }

    /// Returns whether a history that could not be opened may be there in a while, though nobody
    /// changes anything: its server is starting, or cannot be reached.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Open { passing: true, .. } | Self::Database { .. })
    }

    /// Returns whether others are in the way who open the same history.
    pub(super) fn is_of_others(&self) -> bool {
        matches!(self, Self::Open { of_others: true, .. })
    }

    pub(super) fn database(
        doing: &'static str,
        place: &Location,
    ) -> impl FnOnce(sqlx::Error) -> Self {
        let place = place.clone();
        move |error| Self::Database {
            doing,
            lasting: is_lasting(&error),
            problem: said(&error),
            place,
        }
    }

    pub(super) fn opening(place: &Location, error: &sqlx::Error) -> Self {
        let remedy = match place {
            Location::File(_) => {
                "see that this user may write to it and its folder, or name another file with \
                 --history=PATH"
            }
            Location::Postgres(_) => {
                "see that the server runs and lets this user in; a password may be in PGPASSWORD, or \
                 in the file that PGPASSFILE names"
            }
        };
        Self::Open {
            place: place.clone(),
            problem: said(error),
            remedy,
            passing: is_passing(place, error),
            of_others: is_of_others(error),
        }
    }

    pub(super) fn migrating(place: &Location, error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::opening(place, &error)
            }
            error => Self::Form { place: place.clone(), problem: error.to_string() },
        }
    }
}

fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::PoolTimedOut => "it has not answered in time".to_owned(),
        error => error.to_string(),
    }
}

/// Data that the database refuses it will refuse again; whatever else fails is the database's state.
fn is_lasting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let of_data = ["22", "23", "54"].iter().any(|class| code.starts_with(class));
            // SQLite: too big, a constraint, a mismatch of types. Its codes are numbers of one to four
            // digits, of which the low byte says the kind; PostgreSQL's have five characters.
            match (code.len(), code.parse::<u32>()) {
                (..5, Ok(number)) => matches!(number & 0xff, 18..=20),
                _ => of_data,
            }
        }
        _ => false,
    }
}

/// Two that make tables at once: SQLite's codes of one that is there already, of a file that is busy,
/// of a table that is locked, and of a form that has changed meanwhile.
fn is_of_others(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    let number = code.parse::<u32>().map(|code| code & 0xff);
    // Keys of the table of migrations are unique: who comes second breaks that.
    code.len() < 5 && matches!(number, Ok(1 | 5 | 6 | 17 | 19))
}

/// What may change by itself: a server that starts, is full, or cannot be reached.
fn is_passing(place: &Location, error: &sqlx::Error) -> bool {
    match error {
        // A folder that is none stays so; a server that cannot be reached, and room, may come.
        sqlx::Error::Io(error) => match place {
            Location::File(_) => {
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Location::Postgres(_) => true,
        },
        sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // PostgreSQL: resources are short, an operator steps in, the system fails. SQLite: busy,
            // locked, full, and what the file system does not do now.
            ["53", "57", "58"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5 | 6 | 10 | 13))
        }
        _ => false,
    }
}
