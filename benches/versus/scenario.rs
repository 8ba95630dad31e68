//! What is compared, and what has to come of it.

use serde::Serialize;

/// A comparison: the same thing done by every tool that can.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) transport: &'static str,
    pub(crate) streams: u16,
    /// Bytes of a write or a datagram; each tool's default without.
    pub(crate) block: Option<u32>,
    /// What polyperf's default is then, which the floor takes.
    pub(crate) floor_block: u32,
    pub(crate) direction: Direction,
    /// Each datagram by itself, without segmentation offload.
    pub(crate) singly: bool,
    /// The sender's bytes are not copied, which each tool does in its own way.
    pub(crate) zero_copy: bool,
    /// Beside polyperf, which comes first, and the floor.
    pub(crate) peers: &'static [&'static str],
    /// Whether a rate is looked for that the receiver sustains.
    pub(crate) sustained: bool,
    #[serde(skip)]
    pub(crate) bounds: &'static [Bound],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Forward,
    Reverse,
    Both,
}

/// What is asserted of polyperf's figure over another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) figure: Figure,
    pub(crate) against: Against,
    pub(crate) ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// At least so many times the other's.
    Goodput,
    /// At most so many times the other's processor time for each GB, both ends together.
    Cost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The peer with the most goodput.
    Best,
    Tool(&'static str),
}

const fn at_least(ratio: f64, against: Against) -> Bound {
    Bound { figure: Figure::Goodput, against, ratio }
}

const fn no_dearer_than(against: Against) -> Bound {
    Bound { figure: Figure::Cost, against, ratio: 1.0 }
}

const TCP: Scenario = Scenario {
    name: "tcp-1",
    transport: "tcp",
    streams: 1,
    block: None,
    floor_block: 1 << 20,
    direction: Direction::Forward,
    singly: false,
    zero_copy: false,
    peers: &["iperf3", "riperf3", "xfr"],
    sustained: false,
    bounds: &[
        at_least(1.4, Against::Best),
        at_least(0.95, Against::Tool("floor")),
        no_dearer_than(Against::Best),
    ],
};

const UDP: Scenario = Scenario {
    name: "udp",
    transport: "udp",
    block: Some(1448),
    floor_block: 1448,
    sustained: true,
    bounds: &[
        at_least(10.0, Against::Tool("iperf3")),
        at_least(0.95, Against::Tool("floor")),
        no_dearer_than(Against::Best),
    ],
    ..TCP
};

/// Everything that is compared.
pub(crate) const SCENARIOS: &[Scenario] = &[
    TCP,
    Scenario {
        name: "tcp-4",
        streams: 4,
        floor_block: 256 << 10,
        bounds: &[
            at_least(1.4, Against::Tool("riperf3")),
            at_least(2.0, Against::Tool("iperf3")),
            at_least(0.95, Against::Tool("floor")),
            no_dearer_than(Against::Best),
        ],
        ..TCP
    },
    Scenario {
        name: "tcp-128k",
        block: Some(128 << 10),
        floor_block: 128 << 10,
        bounds: &[
            at_least(1.05, Against::Best),
            at_least(0.95, Against::Tool("floor")),
            no_dearer_than(Against::Best),
        ],
        ..TCP
    },
    Scenario {
        name: "tcp-reverse",
        direction: Direction::Reverse,
        bounds: &[at_least(1.0, Against::Best), no_dearer_than(Against::Best)],
        ..TCP
    },
    Scenario {
        name: "tcp-bidir",
        direction: Direction::Both,
        floor_block: 256 << 10,
        bounds: &[at_least(1.0, Against::Best), no_dearer_than(Against::Best)],
        ..TCP
    },
    Scenario {
        name: "tcp-zerocopy",
        zero_copy: true,
        bounds: &[
            at_least(1.0, Against::Best),
            at_least(0.95, Against::Tool("floor")),
            at_least(1.0, Against::Tool("floor-msg")),
        ],
        ..TCP
    },
    UDP,
    Scenario {
        name: "udp-64",
        block: Some(64),
        floor_block: 64,
        singly: true,
        sustained: false,
        bounds: &[at_least(1.3, Against::Best)],
        ..UDP
    },
    Scenario {
        name: "quic",
        transport: "quic",
        peers: &["quinn"],
        bounds: &[at_least(0.98, Against::Tool("quinn")), no_dearer_than(Against::Tool("quinn"))],
        ..TCP
    },
    Scenario {
        name: "kcp",
        transport: "kcp",
        peers: &["kcp-go"],
        bounds: &[at_least(5.0, Against::Tool("kcp-go")), no_dearer_than(Against::Tool("kcp-go"))],
        ..TCP
    },
    Scenario { name: "rudp", transport: "rudp", peers: &[], bounds: &[], ..TCP },
];

impl Scenario {
    /// Returns whether the system calls alone say what can be reached.
    pub(crate) fn has_floor(&self) -> bool {
        matches!(self.transport, "tcp" | "udp")
    }
}
