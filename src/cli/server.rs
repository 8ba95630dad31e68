//! The options of `polyperf server`.

use std::time::Duration;

use super::{
    access,
    args::{LogLevel, ServerArgs},
    client::{DEFAULT_PORT, report},
    config, governance, history, identity, quic,
    raw::{RawLimits, RawServer},
    shared,
    values::{Mistakes, positive_rate, seconds_up_to, whole},
    web,
};

/// Checks every option.
pub(super) fn server(raw: &RawServer, mistakes: &mut Mistakes) -> ServerArgs {
    config::source(&raw.source, mistakes);
    let port = mistakes.value("-p", raw.port.as_ref(), whole(0..=u16::MAX));
    let local = shared::local(&raw.local, None, mistakes);
    let RawLimits { max_sessions, max_queue, max_duration, max_rate, one_off, idle_timeout } =
        &raw.limits;
    let max_sessions =
        mistakes.value("--max-sessions", max_sessions.as_ref(), whole(1..=MAX_SESSIONS));
    let max_queue = mistakes.value("--max-queue", max_queue.as_ref(), whole(0..=MAX_QUEUE));
    let max_duration =
        mistakes.value("--max-duration", max_duration.as_ref(), seconds_up_to(MONTH, false));
    let max_rate = mistakes.value("--max-rate", max_rate.as_ref(), positive_rate);
    let reports = raw.json || raw.json_stream;
    let remedy = "reports and charts would go to the same terminal";
    mistakes.exclusive(&[("--tui", raw.tui), ("--json", reports)], remedy);
    let idle_timeout =
        mistakes.value("--idle-timeout", idle_timeout.as_ref(), seconds_up_to(MONTH, false));
    let data_processors =
        mistakes.value("--data-processors", raw.data_processors.as_ref(), |text| {
            text.parse()
                .map_err(|why: &str| format!("{why}: write numbers and ranges, as in 2-7,9"))
        });
    ServerArgs {
        port: port.unwrap_or(DEFAULT_PORT),
        local,
        max_sessions: max_sessions.unwrap_or(64),
        max_queue: max_queue.unwrap_or(256),
        one_off: *one_off,
        idle_timeout,
        max_duration: max_duration.unwrap_or(Duration::from_secs(86_400)),
        max_rate,
        data_processors,
        access: access::access(&raw.access, mistakes),
        governance: governance::governance(&raw.governance, mistakes),
        identity: identity::place(&raw.identity, mistakes),
        tls: quic::tls(&raw.tls, mistakes),
        tui: raw.tui,
        web: web::web(&raw.web, mistakes),
        history: history::kept(&raw.history, mistakes),
        report: report(raw.json, raw.json_stream, false, mistakes),
        log: shared::log(&raw.log, LogLevel::Info, mistakes),
    }
}

const MAX_SESSIONS: usize = 10_000;
const MAX_QUEUE: usize = 100_000;
/// Thirty days, in seconds.
const MONTH: u64 = 30 * 86_400;
