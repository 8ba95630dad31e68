use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use polyperf_transport::{Delivery, Transport};
use tokio::time::Instant;

use super::{Config, churn, connect, iperf3::Iperf3Session, means, native::NativeSession, perf};
use crate::{
    auth::ClientProof,
    control::{FirstByte, Wire},
    engine::Means,
    event::Bus,
    outcome::{Dialect, Ended, Failure, FailureCode, Outcome},
    protocol::iperf3::Cookie,
    spec::Workload,
};

/// A server that has answered.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    pub(super) config: &'a Config,
    pub(super) bus: &'a Bus,
    /// What the test measures.
    pub(super) transport: Arc<dyn Transport>,
    pub(super) means: Means,
    pub(super) wire: Wire,
    /// The hello that was sent.
    pub(super) cookie: Cookie,
}

/// Runs one test from the first connection to the last goodbye, in the dialect of the server.
pub(super) async fn run(
    config: &Config,
    bus: &Bus,
    stop: impl Future<Output = String> + Send,
) -> Result<Arc<Outcome>, Failure> {
    let transport = connect::transport(config, &config.spec.transport)?;
    check_block(config, transport.as_ref())?;
    check_tuning(config, transport.as_ref())?;
    churn::check(config, transport.as_ref())?;
    let means = means::means(config, transport.as_ref())?;
    let mut stop = pin!(stop);
    if config.perf {
        check_stock(config, "perf")?;
        return perf::run(config, bus, transport, means, stop).await;
    }
    let (wire, cookie, dialect) = tokio::select! {
        reached = reach(config) => reached?,
        reason = &mut stop => return Err(cancelled(&reason)),
    };
    churn::check_dialect(config, dialect)?;
    let reached = Reached { config, bus, transport, means, wire, cookie };
    match dialect {
        Dialect::Native => NativeSession::new(reached)?.run(stop).await,
        // Nobody answers so.
        Dialect::Iperf3 | Dialect::Perf => {
            check_stock(config, "iperf3")?;
            Iperf3Session::new(reached)?.run(stop).await
        }
    }
}

/// What ends a test from outside, with a reason.
pub(super) type Stop<'a, F> = Pin<&'a mut F>;

/// Returns what a client has to show once a test is over.
pub(super) fn shown(outcome: Option<Outcome>, ended: Ended) -> Result<Arc<Outcome>, Failure> {
    match (outcome, ended) {
        (Some(outcome), _) => Ok(Arc::new(outcome)),
        (None, Ended::Failed(failure)) => Err(failure),
        (None, Ended::Stopped { reason, .. }) => Err(cancelled(&reason)),
        (None, Ended::Complete) => {
            Err(Failure::new(FailureCode::Internal, "complete before it began"))
        }
    }
}

/// Returns how long the last message may take.
pub(super) fn farewell(config: &Config) -> Duration {
    config.deadlines.answer.min(FAREWELL)
}

/// Says where the server is.
pub(super) fn server_at(config: &Config) -> String {
    format!("the server at {} port {}", config.host, config.port)
}

async fn reach(config: &Config) -> Result<(Wire, Cookie, Dialect), Failure> {
    let deadline = Instant::now() + config.connect_timeout;
    let (mut wire, cookie) = connect::control(config, deadline).await?;
    let first = tokio::time::timeout_at(deadline, wire.dialect()).await;
    let at = server_at(config);
    let (code, text) = match first {
        Ok(Ok(FirstByte::Native)) => return Ok((wire, cookie, Dialect::Native)),
        Ok(Ok(FirstByte::Iperf3)) => return Ok((wire, cookie, Dialect::Iperf3)),
        Ok(Ok(FirstByte::Unknown)) => {
            let text = format!("{at} is neither polyperf nor iperf3; is the port right?");
            (FailureCode::Protocol, text)
        }
        Ok(Err(reason)) => {
            let text = format!(
                "{at} ended the connection without a word: {reason}; an iperf3 server does so between two tests: try again"
            );
            (FailureCode::PeerLost, text)
        }
        Err(_) => {
            let text = format!("{at} said nothing within {:?}", config.connect_timeout);
            (FailureCode::Timeout, text)
        }
    };
    Err(Failure::new(code, text))
}

fn check_block(config: &Config, transport: &dyn Transport) -> Result<(), Failure> {
    let Delivery::Messages { max, .. } = transport.delivery() else { return Ok(()) };
    let long = |len: u32| usize::try_from(len).is_ok_and(|len| len > max.get());
    match config.spec.messages().find(|(_, len)| long(*len)) {
        Some((option, len)) => {
            let name = transport.name();
            let text = format!(
                "{name} carries messages of at most {max} bytes; {option} {len} is too long"
            );
            Err(Failure::new(FailureCode::Unsupported, text))
        }
        None => Ok(()),
    }
}

/// Checks that nothing is asked for which polyperf's own servers alone can do.
pub(super) fn check_stock(config: &Config, server: &str) -> Result<(), Failure> {
    let spec = &config.spec;
    if let Some(proof) = &config.proof {
        let (keys, option) = match proof {
            ClientProof::Psk(_) => ("pre-shared keys", "--psk-file"),
            ClientProof::Key(_) => ("keys of clients", "--key-file"),
        };
        let text = format!(
            "{} speaks {server}, which knows no {keys}; leave out {option}",
            server_at(config)
        );
        return Err(Failure::new(FailureCode::Unsupported, text));
    }
    let what = match spec.workload {
        Workload::Bulk if spec.probe.is_none() => return Ok(()),
        Workload::Bulk => "--probe",
        Workload::Rr(_) => "--workload rr",
        Workload::Churn(_) => "--workload churn",
    };
    let text = format!(
        "{} speaks {server}, which has bulk alone; {what} needs a server that is polyperf",
        server_at(config)
    );
    Err(Failure::new(FailureCode::Unsupported, text))
}

fn check_tuning(config: &Config, transport: &dyn Transport) -> Result<(), Failure> {
    let tuning = &config.spec.tuning;
    if tuning.connections.is_some_and(|connections| connections.get() > config.spec.streams.into())
    {
        let text = "there are more connections than streams; see --connections and -P";
        return Err(Failure::new(FailureCode::Unsupported, text));
    }
    let checked = transport.check(tuning);
    checked.map_err(|error| Failure::new(FailureCode::Unsupported, connect::chain(&error)))
}

pub(super) fn cancelled(reason: &str) -> Failure {
    Failure::new(FailureCode::Cancelled, format!("stopped before the test began: {reason}"))
}

/// How long a last message may take.
const FAREWELL: Duration = Duration::from_secs(1);
