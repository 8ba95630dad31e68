//! A test of connections that are made for one request each.

use std::{net::SocketAddr, sync::Arc};

use polyperf_transport::{Peer, Transport};

use super::Config;
use crate::{
    engine::{Asking, Errand, Lane},
    measure::{FlowId, Role},
    outcome::{Dialect, Failure, FailureCode, FlowInfo},
    protocol::native::{Agree, Hello, Token},
    spec::{Exchange, Workload, churn},
};

/// Returns what is exchanged on each connection, if that is what the test is about.
pub(super) fn exchange(workload: Workload) -> Option<Exchange> {
    match workload {
        Workload::Churn(exchange) => Some(exchange),
        Workload::Bulk | Workload::Rr(_) => None,
    }
}

/// Checks, before anybody is asked for the test, that it can be had over this transport and with
/// what else is asked for.
///
/// # Errors
///
/// Says what it cannot be had with.
pub(super) fn check(config: &Config, transport: &dyn Transport) -> Result<(), Failure> {
    let Some(exchange) = exchange(config.spec.workload) else { return Ok(()) };
    let refuse = |text: String| Err(Failure::new(FailureCode::Unsupported, text));
    if let Err(why) = churn::check_sizes(exchange, transport.name(), transport.delivery()) {
        return refuse(format!("{why}; see --request and --response"));
    }
    if config.perf {
        return refuse(NO_WORDS.replace("{}", "perf"));
    }
    if config.file.is_some() {
        return refuse("requests are not read from a file; leave out -F".to_owned());
    }
    if let Some(port) = config.client_port {
        return refuse(format!(
            "one connection after another cannot all come from port {port}; leave out --cport"
        ));
    }
    Ok(())
}

/// Checks that the server's dialect has words for the test.
///
/// # Errors
///
/// Says that it has none.
pub(super) fn check_dialect(config: &Config, dialect: Dialect) -> Result<(), Failure> {
    if exchange(config.spec.workload).is_none() || dialect == Dialect::Native {
        return Ok(());
    }
    Err(Failure::new(FailureCode::Unsupported, NO_WORDS.replace("{}", "iperf3")))
}

/// Returns the lanes of a test that was agreed on, on each of which connections are made to `peer`.
///
/// # Errors
///
/// Refuses a token that is none.
pub(super) fn lanes(
    transport: &Arc<dyn Transport>,
    peer: &Peer,
    agree: &Agree,
    exchange: Exchange,
) -> Result<Vec<Lane>, Failure> {
    let token = Token::parse(agree.token.as_bytes()).ok_or_else(|| {
        Failure::new(FailureCode::Protocol, "the server's token is not 24 characters of a-z2-7")
    })?;
    let peer = Peer { mark: Some(token.mark()), ..peer.clone() };
    let lane = |id| {
        let asking = Asking {
            transport: Arc::clone(transport),
            peer: peer.clone(),
            hello: Hello::Attach(token, id).encode(),
            exchange,
        };
        Lane { id, errand: Errand::Ask(Box::new(asking)) }
    };
    Ok((1..=agree.spec.flows()).map(FlowId).map(lane).collect())
}

/// Returns what is to be told of each lane: its connections have ports of their own.
pub(super) fn infos(lanes: &[Lane], local: SocketAddr, peer: SocketAddr) -> Vec<FlowInfo> {
    let local = SocketAddr::new(local.ip(), 0);
    let info =
        |lane: &Lane| FlowInfo { flow: lane.id, role: Role::Sender, datagrams: false, local, peer };
    lanes.iter().map(info).collect()
}

const NO_WORDS: &str = "the server speaks {}, which has no word for connections with one request each; it has to be polyperf";
