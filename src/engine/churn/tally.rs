use std::time::Duration;

use polyperf_transport::{EarlyData, Security, Setting};

use crate::measure::{ExchangeSummary, Latencies};

/// What came of the connections of one lane, without the time that totals leave out.
#[derive(Debug)]
pub(crate) struct Tally {
    /// When the totals begin, until they have.
    omit: Option<Duration>,
    counts: Counts,
    latency: Latencies,
    connect: Latencies,
    /// The first thing that went wrong, at any time.
    first_error: Option<String>,
    /// Whether anything was ever answered.
    answered: bool,
    /// Whether other threads than the lane's carry its connections.
    pub(crate) elsewhere: bool,
    /// What the first connection was set to.
    pub(super) settings: Option<Vec<Setting>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    replies: u64,
    lost: u64,
    refused: u64,
    resumed: Option<u64>,
    early: Option<u64>,
}

/// How long an exchange took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// To make the connection.
    pub(super) connect: Duration,
    /// From when it was due to the last byte of the response.
    pub(super) latency: Duration,
}

impl Tally {
    pub(super) fn new(omit: Duration) -> Self {
        Self {
            omit: Some(omit).filter(|omit| !omit.is_zero()),
            counts: Counts::default(),
            latency: Latencies::new(),
            connect: Latencies::new(),
            first_error: None,
            answered: false,
            elsewhere: false,
            settings: None,
        }
    }

    /// Takes note of a response that was whole at `now`.
    pub(super) fn replied(&mut self, times: Times, now: Duration) {
        self.pass(now);
        self.answered = true;
        self.counts.replies += 1;
        self.latency.record(times.latency);
        self.connect.record(times.connect);
    }

    /// Takes note of what protected the connection of the last response.
    pub(super) fn protected(&mut self, security: &Security) {
        let count = |counter: &mut Option<u64>, is| *counter.get_or_insert(0) += u64::from(is);
        count(&mut self.counts.resumed, security.resumed == Some(true));
        count(&mut self.counts.early, security.early_data == Some(EarlyData::Accepted));
    }

    /// Takes note of a request whose response has not come by `now`.
    pub(super) fn lost(&mut self, why: &str, now: Duration) {
        self.pass(now);
        self.counts.lost += 1;
        self.first_error.get_or_insert_with(|| why.to_owned());
    }

    /// Takes note that there was no connection by `now`.
    pub(super) fn refused(&mut self, why: &str, now: Duration) {
        self.pass(now);
        self.counts.refused += 1;
        self.first_error.get_or_insert_with(|| why.to_owned());
    }

    /// Takes note that nothing was answered so far, and why.
    pub(super) fn unanswered(&mut self, why: &str) {
        self.first_error.get_or_insert_with(|| why.to_owned());
    }

    /// Returns why nothing was ever answered, if that is so and something was asked.
    pub(super) fn failure(&self) -> Option<&str> {
        self.first_error.as_deref().filter(|_| !self.answered)
    }

    /// Returns the totals.
    pub(crate) fn summary(&self) -> ExchangeSummary {
        // A lane that did not get beyond what is omitted counts nothing.
        let empty = Self::new(Duration::ZERO);
        let Self { counts, latency, connect, .. } = if self.omit.is_some() { &empty } else { self };
        ExchangeSummary {
            requests: counts.replies + counts.lost,
            replies: counts.replies,
            lost: counts.lost,
            refused: Some(counts.refused),
            resumed: counts.resumed,
            early: counts.early,
            latency: latency.summary(),
            connect: connect.summary(),
            ..ExchangeSummary::default()
        }
    }

    /// Begins the totals, once it is time.
    fn pass(&mut self, now: Duration) {
        if self.omit.take_if(|omit| now >= *omit).is_some() {
            self.counts = Counts::default();
            self.latency = Latencies::new();
            self.connect = Latencies::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn times(millis: u32) -> Times {
        Times { connect: millis * MS / 2, latency: millis * MS }
    }

    #[test]
    fn each_end_of_an_exchange_has_its_count() {
        let mut tally = Tally::new(Duration::ZERO);
        assert_eq!(tally.failure(), None, "nothing was asked");
        tally.refused("nobody listens", MS);
        assert_eq!(tally.failure(), Some("nobody listens"));
        tally.replied(times(3), 4 * MS);
        tally.lost("no response", 5 * MS);
        let summary = tally.summary();
        assert_eq!((summary.requests, summary.replies, summary.lost), (2, 1, 1));
        assert_eq!((summary.refused, summary.resumed, summary.early), (Some(1), None, None));
        assert_eq!(summary.latency.map(|latency| latency.count), Some(1));
        assert_eq!(tally.failure(), None, "something works");
    }

    #[test]
    fn what_is_omitted_is_in_no_figure() {
        let mut tally = Tally::new(10 * MS);
        let resumed = Security { resumed: Some(true), ..Security::default() };
        tally.replied(times(9), 9 * MS);
        tally.protected(&resumed);
        assert_eq!(tally.summary().requests, 0, "it did not get further");
        tally.replied(times(2), 10 * MS);
        tally.protected(&resumed);
        let summary = tally.summary();
        assert_eq!((summary.requests, summary.resumed, summary.early), (1, Some(1), Some(0)));
        assert_eq!(summary.connect.map(|connect| connect.count), Some(1));
    }
}
