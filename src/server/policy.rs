use std::time::Duration;

use polyperf_transport::Delivery;

use super::Limits;
use crate::{
    engine::Drive,
    measure::DatagramHeader,
    outcome::{Failure, FailureCode},
    registry::Registry,
    spec::{Exchange, Limit, MAX_BLOCK, Rate, TestSpec},
    units::BitRate,
};

/// Checks a proposal against what the server offers and permits, before it takes a place.
pub(crate) fn check(
    spec: &TestSpec,
    transports: &Registry,
    limits: &Limits,
) -> Result<(), Failure> {
    let Some(transport) = transports.get(&spec.transport) else {
        let names = transports.names().join(", ");
        let text = format!("this server does not offer {}; it offers {names}", spec.transport);
        return Err(Failure::new(FailureCode::Unsupported, text));
    };
    let fits = |len: u32| match transport.delivery() {
        Delivery::Messages { max, .. } => usize::try_from(len).is_ok_and(|len| len <= max.get()),
        Delivery::Bytes => true,
    };
    if let (Some((_, len)), Delivery::Messages { max, .. }) =
        (spec.messages().find(|(_, len)| !fits(*len)), transport.delivery())
    {
        let text = format!("{} carries messages of at most {max} bytes, not {len}", spec.transport);
        return Err(Failure::new(FailureCode::Unsupported, text));
    }
    match spec.limit {
        Limit::Time(_) if spec.duration() > Some(limits.max_duration) => {
            let text = format!(
                "the test would take {} s, and this server permits {} s; ask for less with -t or -O",
                spec.duration().unwrap_or(Duration::ZERO).as_secs(),
                limits.max_duration.as_secs()
            );
            Err(Failure::new(FailureCode::Denied, text))
        }
        _ => Ok(()),
    }
}

/// Checks that every datagram has room for its header, where a test is of datagrams.
pub(crate) fn check_header(spec: &TestSpec, delivery: Delivery) -> Result<(), Failure> {
    let least = DatagramHeader::LEN;
    let short = |len: u32| len > 0 && usize::try_from(len).is_ok_and(|len| len < least);
    match (spec.messages().find(|(_, len)| short(*len)), delivery) {
        (Some((option, len)), Delivery::Messages { .. }) => {
            let text = format!(
                "a datagram needs {least} bytes for its number and its time; {option} {len} is too short"
            );
            Err(Failure::new(FailureCode::Unsupported, text))
        }
        (_, Delivery::Messages { .. } | Delivery::Bytes) => Ok(()),
    }
}

/// Fills in what the proposal left open, and lowers what it may not have: `rate` is what the test
/// gets in total. Returns the changes in words, too.
pub(crate) fn settle(
    spec: TestSpec,
    rate: Option<u64>,
    delivery: Delivery,
) -> (TestSpec, Vec<String>) {
    let mut changes = Vec::new();
    let mut each = spec.rate;
    if let (Some(total), None) = (rate, each) {
        let bits_per_second = (total / u64::from(spec.load_flows())).max(1);
        each = Some(Rate { bits_per_second, burst: None });
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let shown = BitRate(total as f64);
        changes.push(format!("the server limits this test to {shown} in total"));
    }
    let block = match spec.block {
        0 => default_block(&spec, delivery, each),
        block => block,
    };
    (spec.settled(block, each), changes)
}

/// Checks that a client which has sent so much in this time is no faster than was agreed, with some
/// room for its clock and its buffers.
pub(crate) fn too_fast(spec: &TestSpec, received: u64, ran: Duration) -> Option<Failure> {
    let rate = u128::from(spec.rate?.bits_per_second) * u128::from(spec.streams);
    // The rate holds for the longer of a request and its response, and requests are what is received.
    let rate = match spec.workload.exchange() {
        Some(Exchange { request, response, .. }) => {
            rate * u128::from(request) / u128::from(request.max(response).max(1))
        }
        None => rate,
    };
    let slack = u128::from(spec.block) * u128::from(spec.streams) * 2;
    let most = rate * (ran + RATE_SLACK).as_millis() * 5 / 4 / 8 / 1000 + slack;
    (u128::from(received) > most).then(|| {
        let text = format!("the client sent {received} bytes where the agreed rate allows {most}");
        Failure::new(FailureCode::Denied, text)
    })
}

/// Returns where the flows of a test run that is one of so many.
///
/// In a crowd a slow flow is not worth a thread: threads that wake up for a block each cost several
/// times what the blocks do, and one that wakes up for many flows does not.
pub(super) fn drive(spec: &TestSpec, running: usize, usual: Drive) -> Drive {
    let needs_thread = spec.block_time() < SLOW || spec.server_affinity.is_some();
    if running > CROWD && !needs_thread { Drive::Inline } else { usual }
}

/// A block that keeps the system calls few, a paced flow smooth (no longer than some 5 ms of its
/// rate), and a small test small.
fn default_block(spec: &TestSpec, delivery: Delivery, rate: Option<Rate>) -> u32 {
    if let Some(exchange) = spec.workload.exchange() {
        return exchange.request;
    }
    let longest = (BUFFERS / u32::from(spec.load_flows().max(1))).clamp(SHARED_BLOCK, BLOCK);
    let smooth = rate.map(|rate| rate.bits_per_second / 8 / 200);
    let share = match spec.limit {
        Limit::Bytes(bytes) => Some(bytes.div_ceil(u64::from(spec.streams))),
        Limit::Time(_) | Limit::Blocks(_) | Limit::Endless => None,
    };
    match delivery {
        Delivery::Bytes => {
            let block = [smooth, share].into_iter().flatten().fold(longest.into(), u64::min);
            u32::try_from(block).unwrap_or(longest).max(MIN_BLOCK)
        }
        Delivery::Messages { max, usual, .. } => {
            u32::try_from(usual.min(max).get()).unwrap_or(MAX_BLOCK).min(MAX_BLOCK)
        }
    }
}

/// The longer a system call, the fewer there are, and the less often a receiver wakes up;
/// docs/performance.md has the figures.
const BLOCK: u32 = 1 << 20;
/// The block of many flows, whose buffers would take too much together.
const SHARED_BLOCK: u32 = 256 << 10;
/// What the buffers of a test's flows may take at each end before blocks get shorter.
const BUFFERS: u32 = 8 << 20;
const MIN_BLOCK: u32 = 1460;

/// So many tests at once are no crowd: as many as run by default.
const CROWD: usize = 64;
/// From so long between two blocks on, a runtime's timer is good enough, which is precise to a
/// millisecond.
const SLOW: Duration = Duration::from_millis(4);

/// A client's clock and buffers may be ahead of ours by so much.
const RATE_SLACK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Direction, SpecFields};

    fn spec(fields: SpecFields) -> TestSpec {
        TestSpec::try_from(fields).unwrap()
    }

    #[test]
    fn what_is_not_offered_or_too_long_is_refused_with_the_remedy() {
        let limits = Limits { max_duration: Duration::from_secs(60), ..Limits::default() };
        let offered = Registry::standard();
        let check = |spec: &TestSpec| check(spec, &offered, &limits);
        let quic =
            spec(SpecFields { transport: "carrier-pigeon".to_owned(), ..SpecFields::default() });
        let refused = check(&quic).unwrap_err();
        assert_eq!(refused.code, FailureCode::Unsupported);
        assert!(refused.message.contains("it offers tcp"), "{refused}");
        let long = spec(SpecFields {
            limit: Limit::Time(Duration::from_secs(61)),
            ..SpecFields::default()
        });
        assert_eq!(check(&long).unwrap_err().code, FailureCode::Denied);
        assert_eq!(check(&spec(SpecFields::default())), Ok(()));
    }

    #[test]
    fn a_datagram_has_room_for_its_header() {
        let most = std::num::NonZeroUsize::MAX;
        let messages = Delivery::Messages { max: most, usual: most, controlled: false };
        let checked = |block, delivery| {
            check_header(&spec(SpecFields { block, ..SpecFields::default() }), delivery)
        };
        assert_eq!([0, 20].map(|block| checked(block, messages)), [Ok(()), Ok(())]);
        let refused = checked(19, messages).unwrap_err();
        assert_eq!(refused.code, FailureCode::Unsupported);
        assert!(refused.message.contains("20 bytes"), "{refused}");
        assert_eq!(checked(1, Delivery::Bytes), Ok(()));
    }

    #[test]
    fn a_servers_rate_is_shared_between_the_streams() {
        let four = spec(SpecFields { streams: 4, ..SpecFields::default() });
        let (settled, changes) = settle(four, Some(1_000_000), Delivery::Bytes);
        assert_eq!(settled.rate.map(|rate| rate.bits_per_second), Some(250_000));
        assert_eq!(changes.len(), 1);
    }

    fn block(fields: SpecFields) -> u32 {
        settle(spec(fields), None, Delivery::Bytes).0.block
    }

    #[test]
    fn only_slow_flows_of_a_crowd_have_no_threads() {
        let driven = |rate: Option<u64>, server_affinity, running| {
            let rate = rate.map(|bits_per_second| Rate { bits_per_second, burst: None });
            let fields = SpecFields { rate, server_affinity, ..SpecFields::default() };
            let settled = settle(spec(fields), None, Delivery::Bytes).0;
            drive(&settled, running, Drive::Threads)
        };
        let slow = Some(1_000_000);
        assert_eq!(driven(slow, None, CROWD), Drive::Threads);
        assert_eq!(driven(slow, None, CROWD + 1), Drive::Inline);
        assert_eq!(driven(slow, Some(0), CROWD + 1), Drive::Threads, "it is to keep to a core");
        assert_eq!(driven(None, None, CROWD + 1), Drive::Threads);
        assert_eq!(driven(Some(100_000_000_000), None, CROWD + 1), Drive::Threads);
    }

    #[test]
    fn slow_flows_get_small_blocks() {
        let paced = |bits_per_second| {
            let rate = Some(Rate { bits_per_second, burst: None });
            block(SpecFields { rate, ..SpecFields::default() })
        };
        assert_eq!(paced(64_000), MIN_BLOCK);
        assert_eq!(paced(10_000_000), 6250);
        assert_eq!(paced(100_000_000_000), BLOCK);
    }

    #[test]
    fn the_buffers_of_many_flows_do_not_take_more_and_more() {
        let flows =
            |streams, direction| block(SpecFields { streams, direction, ..SpecFields::default() });
        assert_eq!(flows(1, Direction::Reverse), BLOCK);
        assert_eq!(flows(4, Direction::Bidirectional), BLOCK);
        assert_eq!(flows(16, Direction::Forward), 512 << 10);
        assert_eq!(flows(128, Direction::Forward), SHARED_BLOCK);
    }

    #[test]
    fn blocks_are_no_longer_than_a_streams_share_of_the_bytes() {
        let share = |bytes, streams| {
            block(SpecFields { streams, limit: Limit::Bytes(bytes), ..SpecFields::default() })
        };
        assert_eq!(share(1024, 1), MIN_BLOCK);
        assert_eq!(share(100_000, 4), 25_000);
        assert_eq!(share(1 << 30, 1), BLOCK);
    }
}
