//! Options of iperf3 that polyperf does not have, and what to do instead.

/// An option of iperf3 that polyperf does not have.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) short: Option<char>,
    pub(super) long: &'static str,
    /// Whether the next word is its value.
    pub(super) takes_value: bool,
    /// What to do instead.
    pub(super) remedy: &'static str,
}

/// Every such option.
pub(super) const ABSENT: &[Absent] = &[
    flag(None, "sctp", "see --transport for what there is"),
    value(Some('X'), "xbind", "SCTP is not offered; use -B to bind"),
    value(None, "nstreams", "SCTP is not offered; use -P for streams"),
    flag(Some('V'), "verbose", "leave it out, or use -J for every detail"),
    value(Some('I'), "pidfile", "leave it to the service manager"),
    flag(Some('D'), "daemon", "run it as a service, or in the background with &"),
    value(None, "logfile", "send standard error to a file; a client's report goes there with -o"),
    flag(None, "forceflush", "leave it out: --json-stream flushes each line"),
    flag(None, "timestamps", "leave it out: --json-stream carries the time"),
    flag(None, "json-stream-full-output", "use --json-stream; its last line is the full result"),
    value(None, "pacing-timer", "use -b RATE/BURST to set the grain"),
    flag(None, "no-fq-socket-pacing", "leave it out"),
    value(None, "server-bitrate-limit", "use --max-rate of polyperf server"),
    value(None, "server-max-duration", "use --max-duration of polyperf server"),
];

const fn flag(short: Option<char>, long: &'static str, remedy: &'static str) -> Absent {
    Absent { short, long, takes_value: false, remedy }
}

const fn value(short: Option<char>, long: &'static str, remedy: &'static str) -> Absent {
    Absent { short, long, takes_value: true, remedy }
}
