use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a history is kept.
///
/// Shown, it has no password in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file of SQLite's.
    File(PathBuf),
    /// In a database of PostgreSQL's.
    Postgres(PostgresUrl),
}

/// A URL that may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// A text that says of no place where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing is there.
    #[error("is empty: give the path of a file, or a URL that begins with postgres://")]
    Empty,
    /// It is a URL of something else.
    #[error("is a URL of no database that is known: write the path of a file, or postgres://...")]
    Scheme,
    /// It is a folder.
    #[error("is no file: give the path of one")]
    Folder,
}

impl Location {
    /// Returns the file of a history in the folder of what is kept from one run to the next.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self::File(folder.join(FILE))
    }

    /// Returns the file in which tests wait while the history cannot be written: beside the
    /// database, or in `folder` where that is on a server of its own.
    #[must_use]
    pub fn spool(&self, folder: &Path) -> PathBuf {
        let mut name = match self {
            Self::File(path) => path.as_os_str().to_owned(),
            Self::Postgres(_) => folder.join(FILE).into_os_string(),
        };
        name.push(".spool");
        name.into()
    }
}

impl PostgresUrl {
    /// Returns the URL as it was given, with its password.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if POSTGRES.iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Postgres(PostgresUrl(text.to_owned())));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match path.unwrap_or(text) {
            "" => Err(LocationError::Empty),
            path if path.contains("://") => Err(LocationError::Scheme),
            path if path.ends_with('/') || path.contains('\0') => Err(LocationError::Folder),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    /// Leaves out the password, and every option, of which one may be the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, rest) = self.0.split_once("://").unwrap_or_default();
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let user = user.split(':').next().unwrap_or_default();
        let place = place.split('?').next().unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        write!(f, "postgres://{user}{at}{place}")
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

const FILE: &str = "history.db";
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_a_path_or_a_url() {
        assert_eq!(location("a/b.db"), Location::File("a/b.db".into()));
        assert_eq!(location("sqlite:///var/h.db"), Location::File("/var/h.db".into()));
        assert!(matches!(location("postgresql://h/d"), Location::Postgres(_)));
        assert_eq!("".parse::<Location>(), Err(LocationError::Empty));
        assert_eq!("sqlite:".parse::<Location>(), Err(LocationError::Empty));
        assert_eq!("mysql://h/d".parse::<Location>(), Err(LocationError::Scheme));
        assert_eq!("a/".parse::<Location>(), Err(LocationError::Folder));
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://me:secret@host:5432/db", "postgres://me@host:5432/db"),
            ("postgresql://me:se@cr/et@host/db", "postgres://me@host/db"),
            ("postgres://host/db?password=secret&user=me", "postgres://host/db"),
            ("postgres://:secret@host/db", "postgres://host/db"),
            ("postgres:///db?host=/run/postgresql", "postgres:///db"),
        ] {
            assert_eq!(location(url).to_string(), shown);
            assert!(!format!("{:?}", location(url)).contains("secret"), "{url}");
        }
    }

    #[test]
    fn what_waits_is_beside_the_database_or_in_the_state_folder() {
        let folder = Path::new("/state");
        assert_eq!(location("/a/h.db").spool(folder), Path::new("/a/h.db.spool"));
        assert_eq!(location("postgres://h/d").spool(folder), Path::new("/state/history.db.spool"));
    }
}
