use std::{fmt, str::FromStr, time::Duration};

use super::{
    Summary,
    sql::Sql,
    summary::{micros, signed},
};
use crate::{names::name_of, outcome::Side, spec::Direction};

/// Which tests are wanted. Each part that is there must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Started then or later, since the Unix epoch.
    pub since: Option<Duration>,
    /// Started before then, since the Unix epoch.
    pub until: Option<Duration>,
    /// Over this transport.
    pub transport: Option<String>,
    /// In this direction.
    pub direction: Option<Direction>,
    /// With this host: as the client's user named it, or by the other end's address.
    pub host: Option<String>,
    /// Told by this end.
    pub side: Option<Side>,
    /// Ended in one of these ways; however they ended, if there are none.
    pub ended: Vec<How>,
    /// By the user of this name.
    pub user: Option<String>,
    /// With this text, in either case, in a name, a title or a message.
    pub text: Option<String>,
    /// Those that follow in the order of a list, newest first.
    pub after: Option<Cursor>,
    /// How many at the most; 0 is as many as a list holds ([`Filter::MOST`]).
    pub limit: u32,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It ran to its end.
    Complete,
    /// One end was told to stop.
    Stopped,
    /// Something failed, and there is something to show.
    Failed,
    /// There is nothing to show.
    Nothing,
}

/// A place in a list: where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    started_us: i64,
    id: i64,
}

/// A text that is no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no place in a list: take the one that came with the page before")]
pub struct CursorError;

impl Filter {
    /// How many tests a list holds at the most.
    pub const MOST: u32 = 1000;

    /// Returns the number of tests on a page.
    pub(super) fn page(&self) -> u32 {
        if self.limit == 0 { Self::MOST } else { self.limit.min(Self::MOST) }
    }

    /// Adds what must hold, from `WHERE` on. `find` is the database's function that tells where in a
    /// text another one is.
    pub(super) fn push(&self, sql: &mut Sql, find: &str) {
        // Something always holds, so that every part can begin in the same way.
        sql.push(" WHERE 1 = 1");
        if let Some(since) = self.since {
            sql.push(" AND started_us >= ").bind(signed(micros(since)));
        }
        if let Some(until) = self.until {
            sql.push(" AND started_us < ").bind(signed(micros(until)));
        }
        if let Some(host) = &self.host {
            let host = host.to_ascii_lowercase();
            sql.push(" AND (host = ").bind(host.clone()).push(" OR peer = ").bind(host).push(")");
        }
        let words = [
            (" AND transport = ", self.transport.clone()),
            (" AND direction = ", self.direction.as_ref().map(name_of)),
            (" AND side = ", self.side.as_ref().map(name_of)),
            (" AND username = ", self.user.clone()),
        ];
        for (column, value) in words {
            if let Some(value) = value {
                sql.push(column).bind(value);
            }
        }
        if !self.ended.is_empty() {
            let ended = self.ended.iter().map(|how| super::sql::Value::text(how.name()));
            sql.push(" AND ended IN (").bind_all(ended).push(")");
        }
        if let Some(text) = &self.text {
            // No other text has a character that PostgreSQL does not take.
            let text = text.to_lowercase().replace('\0', "\u{fffd}");
            sql.push(" AND ").push(find).push("(search, ").bind(text).push(") > 0");
        }
        if let Some(Cursor { started_us, id }) = self.after {
            sql.push(" AND (started_us, id) < (").bind(started_us).push(", ").bind(id).push(")");
        }
    }
}

impl How {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Stopped, Self::Failed, Self::Nothing];

    /// Returns its name, as [`Summary::ended`] has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Nothing => "nothing",
        }
    }
}

impl Cursor {
    /// Returns the place behind a test.
    #[must_use]
    pub fn behind(test: &Summary) -> Self {
        Self { started_us: test.started_us, id: test.id }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started_us, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (started, id) = text.split_once('.').ok_or(CursorError)?;
        let number = |text: &str| text.parse().map_err(|_| CursorError);
        Ok(Self { started_us: number(started)?, id: number(id)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_is_read_back() {
        let cursor = Cursor { started_us: 1_795_407_119_250_000, id: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "1.", "a.b", "1.2.3"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn what_the_user_says_is_never_part_of_a_statement() {
        let evil = Some("'; DROP TABLE tests; --".to_owned());
        let filter = Filter {
            transport: evil.clone(),
            host: evil.clone(),
            user: evil.clone(),
            text: evil,
            ..Filter::default()
        };
        let mut sql = Sql::new("SELECT id FROM tests");
        filter.push(&mut sql, "INSTR");
        assert!(!sql.text.contains("DROP"), "{}", sql.text);
        assert_eq!(sql.values.len(), 5);
    }
}
