use std::time::Duration;

/// How long each step may take before the other end counts as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// For the first bytes of a connection, and for each answer before the test starts.
    pub answer: Duration,
    /// For all streams of a test to be opened, once it was agreed.
    pub streams: Duration,
    /// How often something is said, so that silence means something.
    pub keepalive: Duration,
    /// How long the other end may say nothing at all.
    pub silence: Duration,
    /// How far a test that time ends may overrun.
    pub overrun: Duration,
    /// How long what is still on its way may take once its sender has finished, where time ended
    /// the test. A test that a count ended waits as long as something arrives.
    pub grace: Duration,
    /// How long a running test may go without a byte.
    pub stall: Duration,
    /// For the other end's results, once ours are ready and it has nothing to receive any more.
    pub results: Duration,
    /// For the other end's goodbye. Longer than `results` and `silence`: who waits for a goodbye
    /// waits for somebody who may still be waiting for results, and would say if he gave up.
    pub goodbye: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            streams: Duration::from_secs(10),
            keepalive: Duration::from_secs(3),
            silence: Duration::from_secs(20),
            overrun: Duration::from_secs(30),
            grace: Duration::from_millis(500),
            stall: Duration::from_secs(60),
            results: Duration::from_secs(10),
            goodbye: Duration::from_secs(25),
        }
    }
}
