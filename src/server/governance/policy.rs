use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{
    outcome::{Failure, FailureCode},
    spec::{Direction, Limit, TestSpec},
    units::Bytes,
};

/// Who may do what: the first policy that a client matches holds for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    list: Vec<Arc<Policy>>,
    /// What holds for whoever matches none and has not proved who it is.
    strangers: Arc<Policy>,
    /// What holds for whoever matches none and has.
    others: Arc<Policy>,
    arrivals: Arrivals,
    public: bool,
}

/// What the clients of some addresses, or of some names, may do.
///
/// The default is one for everybody that forbids nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Its name, for people: it is told to clients that it holds for.
    pub name: String,
    /// The addresses that it is for; none are all.
    pub prefixes: Vec<IpNet>,
    /// The identities that it is for, of which `*` is whoever has proved one; none are all clients,
    /// with an identity or without.
    pub identities: Vec<String>,
    /// Whether to turn such a client away.
    pub deny: bool,
    /// The transports that may be tested; `None` are all.
    pub transports: Option<Vec<String>>,
    /// The directions that may be tested; `None` are all.
    pub directions: Option<Vec<Direction>>,
    /// The most streams of a test, in each direction.
    pub max_streams: Option<u16>,
    /// The highest rate of a test over all its streams, in bits per second.
    pub max_rate: Option<u64>,
    /// The longest test.
    pub max_duration: Option<Duration>,
    /// How many tests may run or wait at once, of an identity, or of an address without one.
    pub max_sessions: Option<NonZeroU32>,
    /// How many bytes may move in both directions in a day of UTC, of an identity, or of an address
    /// without one.
    pub bytes_per_day: Option<u64>,
}

/// How fast new sessions of one address may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrivals {
    /// How many a second in the long run.
    pub per_second: NonZeroU32,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
}

/// What a policy says against a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    /// What is forbidden.
    pub(crate) what: Forbidden,
    /// What the client is told.
    pub(crate) failure: Failure,
}

/// What is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// To come in.
    Entry,
    /// The transport or the direction.
    Kind,
    /// So many streams.
    Streams,
    /// Such a rate.
    Rate,
    /// So long a test.
    Duration,
    /// So many tests at once.
    Crowd,
    /// So many bytes on this day.
    Bytes,
}

impl Policies {
    /// Returns these policies, of which the first that a client matches holds for it. Whoever
    /// matches none may do everything.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = Policy>) -> Self {
        Self {
            list: list.into_iter().map(Arc::new).collect(),
            strangers: Arc::default(),
            others: Arc::default(),
            arrivals: Arrivals::usual(),
            public: false,
        }
    }

    /// Returns the same for a server that anybody may use: whoever matches no policy, and has not
    /// proved who it is, gets [`Policy::for_strangers`], and fewer new sessions of an address are
    /// taken.
    #[must_use]
    pub fn public(mut self) -> Self {
        if !self.public {
            self.public = true;
            self.strangers = Arc::new(Policy::for_strangers());
            if self.arrivals == Arrivals::usual() {
                self.arrivals = Arrivals::of_strangers();
            }
        }
        self
    }

    /// Returns the same where new sessions come no faster than this from one address.
    #[must_use]
    pub fn arriving(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Returns whether clients that have not proved who they are may use the server though it knows
    /// some that have.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.public
    }

    /// Returns how fast new sessions of one address may come.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// Returns what holds for the client at this address, which has proved this identity.
    #[must_use]
    pub fn of(&self, ip: IpAddr, identity: Option<&str>) -> &Arc<Policy> {
        let ip = ip.to_canonical();
        let rest = if identity.is_some() { &self.others } else { &self.strangers };
        self.list.iter().find(|policy| policy.matches(ip, identity)).unwrap_or(rest)
    }

    /// Returns the policy that turns away every client at this address, whoever it is.
    pub(crate) fn closed_to(&self, ip: IpAddr) -> Option<&Policy> {
        let ip = ip.to_canonical();
        let first = self.list.iter().find(|policy| policy.covers(ip))?;
        (first.deny && first.identities.is_empty()).then_some(first.as_ref())
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self::new([])
    }
}

impl Arrivals {
    /// As many as a crowd of honest clients behind one address can be.
    fn usual() -> Self {
        Self { per_second: count(256), burst: count(2048) }
    }

    fn of_strangers() -> Self {
        Self { per_second: count(8), burst: count(64) }
    }
}

impl Policy {
    /// Returns what a client without an identity may do on a public server.
    #[must_use]
    pub fn for_strangers() -> Self {
        Self {
            name: "public".to_owned(),
            // Both hold back where the network is full, whatever a client asks for.
            transports: Some(vec!["tcp".to_owned(), "quic".to_owned()]),
            max_streams: Some(8),
            max_duration: Some(Duration::from_secs(30)),
            max_sessions: NonZeroU32::new(1),
            bytes_per_day: Some(10 << 30),
            ..Self::default()
        }
    }

    /// Checks a test against everything but what depends on the client's other tests.
    pub(crate) fn check(&self, spec: &TestSpec) -> Result<(), Breach> {
        self.enter()?;
        if let Some(names) = &self.transports
            && !names.contains(&spec.transport)
        {
            let text = format!("{}, not {}", names.join(", "), spec.transport);
            return Err(self.breach(Forbidden::Kind, &text));
        }
        if let Some(directions) = &self.directions
            && !directions.contains(&spec.direction)
        {
            let names: Vec<_> = directions.iter().map(|direction| name(*direction)).collect();
            let text = format!("tests {}, not {}", names.join(", "), name(spec.direction));
            return Err(self.breach(Forbidden::Kind, &text));
        }
        if let Some(most) = self.max_streams.filter(|most| spec.streams > *most) {
            let text = format!("{most} streams, not {}; ask for less with -P", spec.streams);
            return Err(self.breach(Forbidden::Streams, &text));
        }
        if let (Some(most), Some(asked)) = (self.max_rate, spec.total_rate())
            && asked > most
        {
            let text = format!(
                "{most} bit/s, and the test asks for {asked} bit/s over all its streams; ask for less with -b"
            );
            return Err(self.breach(Forbidden::Rate, &text));
        }
        if let (Some(longest), Some(asked)) = (self.max_duration, spec.duration())
            && asked > longest
        {
            let text = format!(
                "{} s, and the test would take {} s; ask for less with -t or -O",
                longest.as_secs_f64(),
                asked.as_secs_f64()
            );
            return Err(self.breach(Forbidden::Duration, &text));
        }
        Ok(())
    }

    /// Checks whether such a client may come in at all.
    pub(crate) fn enter(&self) -> Result<(), Breach> {
        if !self.deny {
            return Ok(());
        }
        let text = format!("this server's policy {:?} lets in no such client", self.name);
        let failure = Failure::new(FailureCode::Denied, text);
        Err(Breach { what: Forbidden::Entry, failure })
    }

    /// Checks whether the bytes that a test is to move are among those that are left.
    pub(crate) fn check_bytes(
        &self,
        spec: &TestSpec,
        left: Option<u64>,
        until: Duration,
    ) -> Result<(), Breach> {
        let Some(left) = left else { return Ok(()) };
        let ways = if spec.direction == Direction::Bidirectional { 2 } else { 1 };
        let asked = match spec.limit {
            Limit::Bytes(bytes) => bytes.saturating_mul(ways),
            Limit::Time(_) | Limit::Blocks(_) | Limit::Endless => 1,
        };
        if asked > left { Err(self.spent(left, until)) } else { Ok(()) }
    }

    /// Returns what a client is told that may not move so many bytes on this day.
    pub(crate) fn spent(&self, left: u64, until: Duration) -> Breach {
        let most = Bytes(self.bytes_per_day.unwrap_or(0));
        let text = format!("{most} a day, of which {left} bytes are left until midnight UTC");
        let mut breach = self.breach(Forbidden::Bytes, &text);
        breach.failure.retry_after = Some(until);
        breach
    }

    /// Returns what a client is told that has as many tests as it may.
    pub(crate) fn crowded(&self, retry_after: Option<Duration>) -> Breach {
        let most = self.max_sessions.map_or(0, NonZeroU32::get);
        let text = format!(
            "this server's policy {:?} permits {most} of a client's tests at once; wait for the others to end",
            self.name
        );
        let failure = Failure { retry_after, ..Failure::new(FailureCode::Busy, text) };
        Breach { what: Forbidden::Crowd, failure }
    }

    /// Returns what of a policy a guest, which tells nothing of itself, cannot be held to.
    pub(crate) fn beyond_guests(&self, transport: &str) -> Option<&'static str> {
        let other = |names: &Vec<String>| !names.iter().any(|name| name == transport);
        if self.deny {
            Some("a policy lets in no such client")
        } else if self.transports.as_ref().is_some_and(other) {
            Some("a policy does not permit its transport")
        } else if self.directions.is_some() {
            Some("its protocol says nothing of directions, and a policy limits them")
        } else if self.max_streams.is_some() {
            Some("its protocol says nothing of streams, and a policy limits them")
        } else if self.max_rate.is_some() {
            Some("its protocol has no rates, and a policy limits them")
        } else {
            None
        }
    }

    /// Says in words what is left of a day's bytes, where they are limited.
    pub(crate) fn note(&self, left: Option<u64>) -> Option<String> {
        let left = Bytes(left?);
        Some(format!("the server's policy {:?} leaves {left} until midnight UTC", self.name))
    }

    fn matches(&self, ip: IpAddr, identity: Option<&str>) -> bool {
        let named = self.identities.is_empty()
            || identity
                .is_some_and(|own| self.identities.iter().any(|name| name == own || name == "*"));
        named && self.covers(ip)
    }

    fn covers(&self, ip: IpAddr) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| prefix.contains(&ip))
    }

    fn breach(&self, what: Forbidden, permitted: &str) -> Breach {
        let text = format!("this server's policy {:?} permits {permitted}", self.name);
        Breach { what, failure: Failure::new(FailureCode::Denied, text) }
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
        Direction::Bidirectional => "bidirectional",
    }
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
