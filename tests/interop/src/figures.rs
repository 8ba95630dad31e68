//! Whether two programs tell the same of one test.

use std::fmt::Debug;

use polyperf::{
    measure::{FlowId, FlowSummary, Role},
    outcome::{Dialect, Ended, FlowInfo, Outcome, Side},
    spec::{Direction, Limit},
};
use serde_json::Value;

use crate::{Cell, Peer, asked, coverage};

/// Compares what `ours` tells of a test of `cell` with the document of the other program, and
/// returns each difference.
#[must_use]
pub fn compare(cell: &Cell, ours: &Outcome, theirs: &Value) -> Vec<String> {
    let mut comparison = Comparison { cell, ours, theirs, found: Vec::new() };
    comparison.test();
    for (index, flow) in ours.info.flows.iter().enumerate() {
        comparison.flow(flow, &theirs["end"]["streams"][index]);
    }
    comparison.sums();
    comparison.rates();
    let mut found = comparison.found;
    found.extend(asked::missing(cell, ours, theirs));
    let shown = crate::ours::shown(ours);
    for (whose, document) in [("ours", &shown), ("theirs", theirs)] {
        let missing = coverage::missing(document);
        found.extend(missing.into_iter().map(|missing| format!("{whose}: {missing}")));
    }
    found.extend(coverage::not_in_totals(ours));
    found
}

struct Comparison<'a> {
    cell: &'a Cell,
    ours: &'a Outcome,
    theirs: &'a Value,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, ours: &T, theirs: &T) {
        if ours != theirs {
            self.found.push(format!("{what}: we have {ours:?}, they have {theirs:?}"));
        }
    }

    fn require(&mut self, what: &str, holds: bool, values: &dyn Debug) {
        if !holds {
            self.found.push(format!("not so: {what}: {values:?}"));
        }
    }

    /// What the test was, and that it ended well.
    fn test(&mut self) {
        let info = &self.ours.info;
        let (spec, start) = (&info.spec, &self.theirs["start"]["test_start"]);
        self.same("end", &self.ours.ended, &Ended::Complete);
        self.same("dialect", &info.dialect, &Dialect::Iperf3);
        let (duration, bytes, blocks) = match spec.limit {
            Limit::Time(time) => (time.as_secs(), 0, 0),
            Limit::Bytes(bytes) => (0, bytes, 0),
            Limit::Blocks(blocks) => (0, 0, blocks),
            Limit::Endless => (0, 0, 0),
        };
        let reverse = spec.direction == Direction::Reverse;
        for (key, value) in [
            ("num_streams", spec.streams.into()),
            ("blksize", spec.block.into()),
            ("omit", spec.omit.as_secs()),
            ("duration", duration),
            ("bytes", bytes),
            ("blocks", blocks),
            ("reverse", reverse.into()),
            ("target_bitrate", spec.rate.map_or(0, |rate| rate.bits_per_second)),
            ("tos", spec.tuning.tos.unwrap_or(0).into()),
        ] {
            self.same(key, &Some(value), &start[key].as_u64());
        }
        self.same("protocol", &spec.transport.to_uppercase(), &text(&start["protocol"]));
        self.same("family", &info.peer.ip().to_canonical().is_ipv6(), &(self.cell.host == "::1"));
        let streams = self.theirs["end"]["streams"].as_array().map_or(0, Vec::len);
        self.same("streams", &info.flows.len(), &streams);
        let window = spec.tuning.window.map_or(0, |window| window.get().into());
        self.same("-w", &Some(window), &self.theirs["start"]["sock_bufsize"].as_u64());
    }

    fn flow(&mut self, info: &FlowInfo, theirs: &Value) {
        let flow = info.flow;
        let [sent, received] = [Role::Sender, Role::Receiver].map(|role| self.figures(flow, role));
        let (Some(sent), Some(received)) = (sent, received) else {
            return self.found.push(format!("stream {flow:?}: an end did not tell its figures"));
        };
        let whole = self.ours.info.spec.omit.is_zero();
        let counts = (sent.bytes, received.bytes);
        self.require("more was sent than received", !whole || counts.0 >= counts.1, &counts);
        let nearly = counts.1 * 10 >= counts.0 * 8;
        self.require("nearly all arrived", nearly || !self.arrives(), &counts);
        self.require("something was sent", counts.0 > 0, &counts);
        if info.datagrams {
            self.datagrams(info, &sent, &received, &theirs["udp"]);
        } else {
            self.bytes(info, &sent, &received, theirs);
        }
    }

    /// A client's document has both ends' figures, a server's its own.
    fn bytes(
        &mut self,
        info: &FlowInfo,
        sent: &FlowSummary,
        received: &FlowSummary,
        theirs: &Value,
    ) {
        for (role, summary, key) in
            [(Role::Sender, sent, "sender"), (Role::Receiver, received, "receiver")]
        {
            if self.they_are_client() || info.role != role {
                self.same(key, &Some(summary.bytes), &theirs[key]["bytes"].as_u64());
                let they_send = info.role == Role::Receiver;
                self.same("direction", &Some(they_send), &theirs[key]["sender"].as_bool());
            }
        }
    }

    fn datagrams(
        &mut self,
        info: &FlowInfo,
        sent: &FlowSummary,
        received: &FlowSummary,
        theirs: &Value,
    ) {
        let (Some(packets), Some(counted)) = (sent.datagrams_sent, received.datagrams) else {
            return self.found.push("datagrams were not counted".to_owned());
        };
        let they_send = info.role == Role::Receiver;
        self.same("direction", &Some(they_send), &theirs["sender"].as_bool());
        let (expected, lost) = (counted.expected(), counted.lost);
        let whole = self.ours.info.spec.omit.is_zero();
        self.require(
            "no more arrived than was sent",
            !whole || expected <= Some(packets),
            &counted,
        );
        self.require("few were lost", lost.is_none_or(|lost| lost * 5 <= packets), &lost);
        let block = u64::from(self.ours.info.spec.block);
        self.same("bytes of the datagrams sent", &sent.bytes, &(packets * block));
        self.same("bytes of those received", &received.bytes, &(counted.received * block));
        let jitter = counted.jitter.unwrap_or_default().as_secs_f64() * 1e3;
        let told = theirs["jitter_ms"].as_f64().unwrap_or(-1.0);
        if self.they_are_client() {
            // iperf3 before 3.14 takes what it has omitted itself for what the server has.
            if whole || they_send || self.cell.peer != Peer::Iperf3 {
                self.same("packets", &Some(packets), &theirs["packets"].as_u64());
            }
            self.same("bytes sent", &Some(sent.bytes), &theirs["bytes"].as_u64());
        } else if they_send {
            self.same("packets sent", &Some(packets), &theirs["packets"].as_u64());
            self.same("bytes sent", &Some(sent.bytes), &theirs["bytes"].as_u64());
        } else if expected.is_some() {
            self.same("packets received", &expected, &theirs["packets"].as_u64());
        }
        self.require("losses are known", lost.is_some() || !whole, &counted);
        if self.they_are_client() || !they_send {
            let shown = theirs["lost_packets"].as_u64();
            self.require("lost", lost.is_none() || lost == shown, &(lost, shown));
            // Ours is in whole microseconds, so that less than one is none.
            let known = counted.jitter.is_some() && (jitter > 0.0 || told < 1e-3);
            self.require("jitter", known && (jitter - told).abs() < 2e-3, &(jitter, told));
        }
    }

    /// Each direction's sums, as far as the other end knows them.
    fn sums(&mut self) {
        let spec = &self.ours.info.spec;
        let main = if spec.client_sends() { Side::Client } else { Side::Server };
        let mut directions = vec![(main, "")];
        if spec.direction == Direction::Bidirectional {
            directions.push((Side::Server, "_bidir_reverse"));
        }
        for (sender, suffix) in directions {
            for (key, role, side) in [
                ("sum_sent", Role::Sender, sender),
                ("sum_received", Role::Receiver, sender.other()),
            ] {
                if self.they_are_client() || side == Side::Server {
                    let total = self.ours.side(side).and_then(|side| side.total(role));
                    let theirs = &self.theirs["end"][format!("{key}{suffix}")]["bytes"];
                    self.same(key, &total.map(|(bytes, _)| bytes), &theirs.as_u64());
                }
            }
        }
    }

    /// Each stream's rate, as either end has counted it, is the one that was asked for; less where
    /// the machine is too busy for the sender to keep it.
    fn rates(&mut self) {
        let spec = &self.ours.info.spec;
        let (Some(rate), Limit::Time(_)) = (spec.rate, spec.limit) else { return };
        let asked = rate.bits_per_second as f64;
        for side in [Some(&self.ours.local), self.ours.remote.as_ref()].into_iter().flatten() {
            for flow in &side.flows {
                let rate = flow.bytes as f64 * 8.0 / flow.duration.as_secs_f64();
                let near = (asked * 0.8..asked * 1.05).contains(&rate);
                self.require("the rate is near", near, &(rate, flow.role, flow.duration));
            }
        }
    }

    /// Returns whether everything that was sent can arrive. A client that receives a count looks from
    /// time to time whether it has it, while the server sends on; and a stock server does not count
    /// what the end of a test overtakes.
    fn arrives(&self) -> bool {
        let spec = &self.ours.info.spec;
        let forward = spec.direction == Direction::Forward;
        matches!(spec.limit, Limit::Time(_)) || (forward && self.they_are_client())
    }

    fn figures(&self, flow: FlowId, role: Role) -> Option<FlowSummary> {
        self.ours.flow(flow, role).cloned()
    }

    fn they_are_client(&self) -> bool {
        self.ours.info.side == Side::Server
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
