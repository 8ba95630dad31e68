use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    client::DEFAULT_PORT,
    registry::Registry,
    spec::{Direction, Limit, Rate, SpecFields, TestSpec},
    transport::Delivery,
    units,
    web::config::Peer,
};

/// A test that somebody wants to be run, as the page sends it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The name of a peer that was configured.
    pub(super) peer: String,
    pub(super) transport: String,
    pub(super) direction: Direction,
    /// In seconds.
    pub(super) time: u32,
    pub(super) streams: u16,
    /// Of each stream, as on the command line; empty is as fast as it goes.
    #[serde(default)]
    pub(super) rate: String,
}

impl Request {
    /// Returns the test, or everything that is wrong with it.
    pub(super) fn spec(&self, transports: &Registry) -> Result<TestSpec, String> {
        let Some(transport) = transports.get(&self.transport) else {
            let names = transports.names().join(", ");
            return Err(format!("the transport is not known: choose one of {names}"));
        };
        if !(1..=MAX_TIME).contains(&self.time) {
            return Err(format!("the time is {} s: choose 1 to {MAX_TIME} s", self.time));
        }
        let rate = match self.rate.trim() {
            "" => None,
            text if text.len() > MAX_RATE_TEXT => return Err("the rate is no number".to_owned()),
            text => Some(units::parse_rate(text).map_err(|error| format!("the rate: {error}"))?),
        };
        let rate = match (rate.filter(|rate| *rate > 0), transport.delivery()) {
            // Datagrams that nothing holds back would flood a network.
            (None, Delivery::Messages { controlled: false, .. }) => Some(DATAGRAM_RATE),
            (rate, _) => rate,
        };
        let fields = SpecFields {
            transport: self.transport.clone(),
            direction: self.direction,
            streams: self.streams,
            limit: Limit::Time(Duration::from_secs(self.time.into())),
            rate: rate.map(|bits_per_second| Rate { bits_per_second, burst: None }),
            ..SpecFields::default()
        };
        TestSpec::try_from(fields).map_err(|errors| errors.to_string())
    }
}

/// Returns the command that runs the same test from a shell.
pub(super) fn command(peer: &Peer, spec: &TestSpec) -> String {
    let mut command = format!("polyperf client {}", peer.host);
    if peer.port != DEFAULT_PORT {
        let _ = write!(command, " -p {}", peer.port);
    }
    let _ = write!(command, " --transport {}", spec.transport);
    match spec.direction {
        Direction::Forward => {}
        Direction::Reverse => command.push_str(" -R"),
        Direction::Bidirectional => command.push_str(" --bidir"),
    }
    if let Limit::Time(time) = spec.limit {
        let _ = write!(command, " -t {}", time.as_secs());
    }
    if spec.streams != 1 {
        let _ = write!(command, " -P {}", spec.streams);
    }
    if let Some(rate) = spec.rate {
        let _ = write!(command, " -b {}", rate.bits_per_second);
    }
    command
}

/// In seconds: a page is no place for a soak.
pub(super) const MAX_TIME: u32 = 600;
const MAX_RATE_TEXT: usize = 32;
/// iperf3's default for UDP, in bits per second.
const DATAGRAM_RATE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{self, Command},
        config::Sources,
    };

    fn request() -> Request {
        Request {
            peer: "lab".to_owned(),
            transport: "tcp".to_owned(),
            direction: Direction::Forward,
            time: 5,
            streams: 1,
            rate: String::new(),
        }
    }

    #[test]
    fn the_command_runs_the_very_test_that_the_page_runs() {
        let transports = Registry::standard();
        let peer = Peer { name: "lab".to_owned(), host: "::1".to_owned(), port: 5202 };
        for (direction, transport, streams, rate) in [
            (Direction::Forward, "tcp", 1, ""),
            (Direction::Reverse, "quic", 4, "100M"),
            (Direction::Bidirectional, "udp", 128, "1.5G"),
            (Direction::Reverse, "udp", 1, ""),
        ] {
            let request = Request {
                direction,
                transport: transport.to_owned(),
                streams,
                rate: rate.to_owned(),
                ..request()
            };
            let spec = request.spec(&transports).unwrap();
            let line = command(&peer, &spec);
            let words = line.split(' ').map(Into::into);
            let parsed = cli::parse(words, &transports.names(), &Sources::none());
            let Ok(Command::Client(args)) = parsed.map(|parsed| parsed.command) else {
                panic!("{line}")
            };
            assert_eq!(args.spec, spec, "{line}");
            assert_eq!((args.target.host.as_str(), args.target.port), ("::1", 5202), "{line}");
        }
    }

    #[test]
    fn datagrams_that_nothing_holds_back_have_a_rate() {
        let request = Request { transport: "udp".to_owned(), rate: "0".to_owned(), ..request() };
        let spec = request.spec(&Registry::standard()).unwrap();
        assert_eq!(spec.rate.map(|rate| rate.bits_per_second), Some(DATAGRAM_RATE));
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_what_may_be() {
        let refused = |request: Request| request.spec(&Registry::standard()).unwrap_err();
        assert!(refused(Request { transport: "carrier".to_owned(), ..request() }).contains("tcp"));
        assert!(refused(Request { time: 0, ..request() }).contains("1 to 600"));
        assert!(refused(Request { time: 601, ..request() }).contains("1 to 600"));
        assert!(refused(Request { streams: 0, ..request() }).contains("1 to 128"));
        for rate in ["fast", "-1", "1e400", &"9".repeat(40)] {
            assert!(refused(Request { rate: rate.to_owned(), ..request() }).contains("rate"));
        }
    }
}
