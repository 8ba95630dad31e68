use std::time::Duration;

/// How long each step may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// For an answer that needs no decision: the parameters, and the request for them.
    pub answer: Duration,
    /// For a server to decide whether the test may run. A server may make a client wait so by not
    /// answering; the protocol has no word for it.
    pub admission: Duration,
    /// For all streams of a test to be opened.
    pub streams: Duration,
    /// How far a test that time ends may overrun.
    pub overrun: Duration,
    /// How long a running test may go without a byte.
    pub stall: Duration,
    /// How long the word that explains a failed stream may take: who leaves closes everything at
    /// once, and the streams may be seen to end before the control connection.
    pub verdict: Duration,
    /// How long what is still on its way may take once a client has sent as much as it was to send.
    pub grace: Duration,
    /// For the exchange of results.
    pub results: Duration,
    /// For the client's goodbye, or the server's leave to say it.
    pub goodbye: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            admission: Duration::from_secs(60),
            streams: Duration::from_secs(30),
            overrun: Duration::from_secs(40),
            stall: Duration::from_secs(120),
            verdict: Duration::from_secs(1),
            grace: Duration::from_millis(500),
            results: Duration::from_secs(10),
            goodbye: Duration::from_secs(10),
        }
    }
}
