//! What goes when it is too old, or takes too much room.

use std::time::Duration;

use super::{
    Error, Store,
    sql::Sql,
    summary::{micros, signed},
};

/// How much of a history is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The oldest test, counted from its start; `None` keeps them whatever their age.
    pub max_age: Option<Duration>,
    /// About how many bytes all tests may take: the oldest go first. `None` sets no limit.
    pub max_bytes: Option<u64>,
}

impl Store {
    /// Lets go of what is too old or too much. `now` is since the Unix epoch. Returns how many tests
    /// went.
    ///
    /// # Errors
    ///
    /// Those of the database; what went until then is gone.
    pub async fn prune(&self, retention: Retention, now: Duration) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let some = self.prune_some(retention, now).await?;
            gone += some;
            if some == 0 {
                break;
            }
        }
        if gone > 0 {
            self.pool.shrink().await.map_err(Error::database("shrink", &self.place))?;
        }
        Ok(gone)
    }

    /// Lets go of a few tests that are too old or too much, so that nobody waits long for the
    /// database. Returns how many went; 0 if there is nothing left to do.
    pub(super) async fn prune_some(
        &self,
        retention: Retention,
        now: Duration,
    ) -> Result<u64, Error> {
        if let Some(age) = retention.max_age {
            let gone = self.forget_before(now.saturating_sub(age)).await?;
            if gone > 0 {
                return Ok(gone);
            }
        }
        match retention.max_bytes {
            Some(most) => self.forget_beyond(most).await,
            None => Ok(0),
        }
    }

    async fn forget_before(&self, time: Duration) -> Result<u64, Error> {
        let mut sql = Sql::new("DELETE FROM tests WHERE id IN (SELECT id FROM tests");
        sql.push(" WHERE started_us < ").bind(signed(micros(time)));
        sql.push(" ORDER BY started_us, id LIMIT ").bind(AT_ONCE).push(")");
        self.execute(sql).await
    }

    async fn forget_beyond(&self, most: u64) -> Result<u64, Error> {
        if self.size().await?.1 <= most {
            return Ok(0);
        }
        // Each test with the size of itself and all newer ones: those that are beyond the limit go.
        let mut sql = Sql::new(
            "DELETE FROM tests WHERE id IN (SELECT id FROM (SELECT id, started_us, \
             SUM(size) OVER (ORDER BY started_us DESC, id DESC) AS total FROM tests) AS summed \
             WHERE total > ",
        );
        sql.bind(signed(most)).push(" ORDER BY started_us, id LIMIT ").bind(AT_ONCE).push(")");
        self.execute(sql).await
    }
}

const AT_ONCE: i64 = 1000;
