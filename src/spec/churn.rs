//! What a test of one connection after another can be.

use polyperf_transport::Delivery;

use super::{Direction, Exchange, Limit, MAX_BLOCK, SpecFields, exchange::Require};
use crate::measure::DatagramHeader;

/// Says of each field of a test of this kind whether it can be so, with its name, its value and what
/// is allowed.
pub(super) fn check(fields: &SpecFields, exchange: Exchange, require: Require<'_>) {
    let size = 1..=MAX_BLOCK;
    require(size.contains(&exchange.request), "request", &exchange.request, SIZES);
    // A long one costs no memory: a connection may stand for a download.
    require(
        (1..=MAX_RESPONSE).contains(&exchange.response),
        "response",
        &exchange.response,
        "1 byte to 64 MiB",
    );
    require(
        exchange.in_flight == 1,
        "in_flight",
        &exchange.in_flight,
        "1, where each connection has one request; more streams make more at once",
    );
    if let Some(rate) = exchange.per_second {
        require((1..=MAX_PER_SECOND).contains(&rate), "per_second", &rate, "1 to 1000000");
    }
    require(
        fields.direction == Direction::Forward,
        "direction",
        &fields.direction,
        "forward, where the client asks",
    );
    require(
        !matches!(fields.limit, Limit::Bytes(_)),
        "limit",
        &fields.limit,
        "a time, or a number of blocks, each of which is a connection",
    );
    require(fields.probe.is_none(), "probe", &fields.probe, "none beside connections");
}

/// Checks that a request and its response each fit what carries them.
///
/// # Errors
///
/// Says which does not, and what would.
pub(crate) fn check_sizes(
    exchange: Exchange,
    transport: &str,
    delivery: Delivery,
) -> Result<(), String> {
    let Delivery::Messages { max, .. } = delivery else { return Ok(()) };
    for (what, size) in [("request", exchange.request), ("response", exchange.response)] {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size < DatagramHeader::LEN || size > max.get() {
            return Err(format!(
                "{transport} carries a {what} as one message of {} to {max} bytes, not {size}",
                DatagramHeader::LEN
            ));
        }
    }
    Ok(())
}

const SIZES: &str = "1 byte to 1 MiB";
const MAX_RESPONSE: u32 = 64 << 20;
const MAX_PER_SECOND: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::super::{Probe, TestSpec, Workload};
    use super::*;

    fn churn(exchange: Exchange) -> SpecFields {
        SpecFields { workload: Workload::Churn(exchange), ..SpecFields::default() }
    }

    #[test]
    fn whatever_churn_cannot_be_is_reported_at_once() {
        assert!(TestSpec::try_from(churn(Exchange::default())).is_ok());
        let errors = TestSpec::try_from(SpecFields {
            direction: Direction::Reverse,
            limit: Limit::Bytes(1),
            probe: Some(Probe::default()),
            ..churn(Exchange {
                request: 0,
                response: MAX_RESPONSE + 1,
                in_flight: 2,
                per_second: Some(0),
            })
        })
        .unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
        for field in
            ["request", "response", "in_flight", "per_second", "direction", "limit", "probe"]
        {
            assert!(fields.contains(&field), "{field}: {fields:?}");
        }
    }

    #[test]
    fn a_message_has_room_for_its_number_and_is_no_longer_than_any() {
        let max = NonZeroUsize::new(1000).unwrap();
        let messages = Delivery::Messages { max, usual: max, controlled: false };
        let of = |request, response| Exchange { request, response, ..Exchange::default() };
        assert_eq!(check_sizes(of(20, 1000), "udp", messages), Ok(()));
        assert_eq!(check_sizes(of(1, 1 << 20), "tcp", Delivery::Bytes), Ok(()));
        for (exchange, word) in [(of(19, 64), "request"), (of(64, 1001), "response")] {
            let refused = check_sizes(exchange, "udp", messages).unwrap_err();
            assert!(refused.contains(word) && refused.contains("20 to 1000"), "{refused}");
        }
    }
}
