use std::time::Duration;

use polyperf_transport::Delivery;

use super::Config;
use crate::{
    outcome::{Failure, FailureCode},
    spec::{Limit, MAX_BLOCK, Rate, TestSpec},
    units::BitRate,
};

/// Checks a proposal against what the server offers and permits, before it takes a place.
pub(crate) fn check(spec: &TestSpec, config: &Config) -> Result<(), Failure> {
    let Some(transport) = config.transports.get(&spec.transport) else {
        let names = config.transports.names().join(", ");
        let text = format!("this server does not offer {}; it offers {names}", spec.transport);
        return Err(Failure::new(FailureCode::Unsupported, text));
    };
    if let Delivery::Messages { max } = transport.delivery()
        && usize::try_from(spec.block).is_ok_and(|block| block > max.get())
    {
        let text = format!(
            "{} carries messages of at most {max} bytes, not {}",
            spec.transport, spec.block
        );
        return Err(Failure::new(FailureCode::Unsupported, text));
    }
    match spec.limit {
        Limit::Time(_) if spec.duration() > Some(config.max_duration) => {
            let text = format!(
                "the test would take {} s, and this server permits {} s; ask for less with -t or -O",
                spec.duration().unwrap_or(Duration::ZERO).as_secs(),
                config.max_duration.as_secs()
            );
            Err(Failure::new(FailureCode::Denied, text))
        }
        _ => Ok(()),
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
        let bits_per_second = (total / u64::from(spec.flows())).max(1);
        each = Some(Rate { bits_per_second, burst: None });
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let shown = BitRate(total as f64);
        changes.push(format!("the server limits this test to {shown} in total"));
    }
    let block = match spec.block {
        0 => default_block(delivery, each),
        block => block,
    };
    (spec.settled(block, each), changes)
}

/// A block that keeps the system calls few, and a paced flow smooth: no longer than some 5 ms of
/// its rate.
fn default_block(delivery: Delivery, rate: Option<Rate>) -> u32 {
    match delivery {
        Delivery::Bytes => rate.map_or(BLOCK, |rate| {
            let smooth = rate.bits_per_second / 8 / 200;
            u32::try_from(smooth).unwrap_or(BLOCK).clamp(MIN_PACED_BLOCK, BLOCK)
        }),
        Delivery::Messages { max } => u32::try_from(max.get()).unwrap_or(MAX_BLOCK).min(MESSAGE),
    }
}

/// iperf3's default for TCP.
const BLOCK: u32 = 128 << 10;
const MIN_PACED_BLOCK: u32 = 1460;
/// What fits into an Ethernet frame below IPv6 and UDP.
const MESSAGE: u32 = 1448;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SpecFields;

    fn spec(fields: SpecFields) -> TestSpec {
        TestSpec::try_from(fields).unwrap()
    }

    #[test]
    fn what_is_not_offered_or_too_long_is_refused_with_the_remedy() {
        let config = Config { max_duration: Duration::from_secs(60), ..Config::default() };
        let quic =
            spec(SpecFields { transport: "carrier-pigeon".to_owned(), ..SpecFields::default() });
        let refused = check(&quic, &config).unwrap_err();
        assert_eq!(refused.code, FailureCode::Unsupported);
        assert!(refused.message.contains("it offers tcp"), "{refused}");
        let long = spec(SpecFields {
            limit: Limit::Time(Duration::from_secs(61)),
            ..SpecFields::default()
        });
        assert_eq!(check(&long, &config).unwrap_err().code, FailureCode::Denied);
        assert_eq!(check(&spec(SpecFields::default()), &config), Ok(()));
    }

    #[test]
    fn a_servers_rate_is_shared_between_the_streams() {
        let four = spec(SpecFields { streams: 4, ..SpecFields::default() });
        let (settled, changes) = settle(four, Some(1_000_000), Delivery::Bytes);
        assert_eq!(settled.rate.map(|rate| rate.bits_per_second), Some(250_000));
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn slow_flows_get_small_blocks() {
        let rate = |bits_per_second| Some(Rate { bits_per_second, burst: None });
        assert_eq!(default_block(Delivery::Bytes, None), BLOCK);
        assert_eq!(default_block(Delivery::Bytes, rate(64_000)), MIN_PACED_BLOCK);
        assert_eq!(default_block(Delivery::Bytes, rate(10_000_000_000)), BLOCK);
    }
}
