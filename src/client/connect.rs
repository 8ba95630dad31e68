use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use polyperf_transport::{Delivery, Error, Peer, Transport, Tuning};
use tokio::time::Instant;

use super::{Config, Family};
use crate::{
    control::{Channel, Wire},
    outcome::{Failure, FailureCode},
    protocol::{
        iperf3::Cookie,
        native::{Hello, Token},
    },
};

/// Reaches the server's control port, and sends the hello, which to an iperf3 server is a cookie.
pub(super) async fn control(config: &Config, deadline: Instant) -> Result<(Wire, Cookie), Failure> {
    let name = control_name(config);
    let transport = transport(config, name)?;
    if transport.delivery() != Delivery::Bytes {
        let text =
            format!("the control connection needs a transport that carries bytes, not {name}");
        return Err(Failure::new(FailureCode::Unsupported, text));
    }
    first(config, deadline, name, |addr| open_control(transport.as_ref(), config, addr)).await
}

/// Tries each of the server's addresses in turn, and returns what came of the first that can be
/// reached with the transport of this name.
pub(super) async fn first<T, F>(
    config: &Config,
    deadline: Instant,
    name: &str,
    mut reach: impl FnMut(SocketAddr) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, String>>,
{
    let addrs = within(deadline, config, "resolve", resolve(config)).await?;
    let mut failures = Vec::new();
    for (index, &addr) in addrs.iter().enumerate() {
        // Each address gets a fair share of the time that is left: one that drops what it is sent
        // must not use up that of the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addrs.len() - index).unwrap_or(1);
        match tokio::time::timeout(share, reach(addr)).await {
            Ok(Ok(reached)) => return Ok(reached),
            Ok(Err(error)) => failures.push(error),
            Err(_) => failures.push(format!("{addr}: no answer within {share:.1?}")),
        }
    }
    let text = format!(
        "cannot connect to {} port {} with {}: {}; is a server running there, and does a firewall let it through?",
        config.host,
        config.port,
        name,
        failures.join("; ")
    );
    Err(Failure::new(FailureCode::Connect, text))
}

/// Returns the peer that the test's streams are opened to: this port of the address that control
/// has reached.
pub(super) fn data_peer(config: &Config, control: SocketAddr, port: u16) -> Peer {
    Peer {
        name: Some(config.host.clone()),
        local: local(config, control, config.client_port.unwrap_or(0)),
        tuning: config.spec.tuning.clone(),
        ..Peer::at(with_port(control, port))
    }
}

/// Returns the transport of the control connection.
pub(super) fn control_name(config: &Config) -> &str {
    let own = || config.transports.control_of(&config.spec.transport);
    config.control.as_deref().unwrap_or_else(own)
}

/// Returns the transport of this name.
pub(super) fn transport(config: &Config, name: &str) -> Result<Arc<dyn Transport>, Failure> {
    config.transports.get(name).cloned().ok_or_else(|| {
        let names = config.transports.names().join(", ");
        Failure::new(
            FailureCode::Unsupported,
            format!("there is no transport {name}; there are {names}"),
        )
    })
}

async fn open_control(
    transport: &dyn Transport,
    config: &Config,
    addr: SocketAddr,
) -> Result<(Wire, Cookie), String> {
    let open = async {
        let peer = Peer {
            name: Some(config.host.clone()),
            local: local(config, addr, 0),
            ..Peer::at(addr)
        };
        let hello = Hello::Control(Token::from_bits(rand::random())).encode();
        let connection = transport.connect(&peer).await.map_err(|error| reason(&error))?;
        let first = |hello| polyperf_transport::Hello::Own(hello);
        let (stream, channel) = match &config.tls {
            None => (connection.open(first(&hello)).await.map_err(|e| reason(&e))?, Channel::new()),
            Some(tls) => {
                let stream = connection.open(first(&[])).await.map_err(|e| reason(&e))?;
                let protected = tls.protect(config, stream).await;
                let (stream, channel) = protected.map_err(|error| format!("{addr}: {error}"))?;
                (stream.begin_with(first(&hello)).await.map_err(|e| reason(&e))?, channel)
            }
        };
        // Asked of the open stream, where a transport that has no such delay may say so.
        let keep_alive = config.keep_alive;
        stream.path.tune(&Tuning { no_delay: true, keep_alive, ..Tuning::default() });
        Ok((Wire::new(stream).over(connection).inside(channel), Cookie::from_bytes(hello)))
    };
    open.await
}

/// Returns why an address could not be reached. It stands before the reason, which would say it
/// again.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Connect { addr, source } => format!("{addr}: {source}"),
        other => chain(other),
    }
}

async fn resolve(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let failure = |reason: String| {
        let text = format!("cannot resolve {}: {reason}", config.host);
        Failure::new(FailureCode::Connect, text)
    };
    let addrs = tokio::net::lookup_host((config.host.as_str(), config.port)).await;
    let addrs: Vec<_> = addrs
        .map_err(|error| failure(error.to_string()))?
        .filter(|addr| match config.family {
            None => config.bind.is_none_or(|bind| bind.is_ipv4() == addr.is_ipv4()),
            Some(Family::V4) => addr.is_ipv4(),
            Some(Family::V6) => addr.is_ipv6(),
        })
        .collect();
    if addrs.is_empty() {
        let family = match (config.family, config.bind) {
            (Some(Family::V4), _) | (None, Some(IpAddr::V4(_))) => "IPv4",
            (Some(Family::V6), _) | (None, Some(IpAddr::V6(_))) => "IPv6",
            (None, None) => "known",
        };
        return Err(failure(format!("it has no {family} address")));
    }
    Ok(addrs)
}

async fn within<T>(
    deadline: Instant,
    config: &Config,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| {
        let text = format!("cannot {what} {} within {:?}", config.host, config.connect_timeout);
        Err(Failure::new(FailureCode::Connect, text))
    })
}

fn local(config: &Config, peer: SocketAddr, port: u16) -> Option<SocketAddr> {
    let any = if peer.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    match (config.bind, port) {
        (None, 0) => None,
        (bind, port) => Some(SocketAddr::new(bind.unwrap_or(any), port)),
    }
}

/// Keeps the zone of a link-local address.
fn with_port(mut addr: SocketAddr, port: u16) -> SocketAddr {
    addr.set_port(port);
    addr
}

/// Returns an error with everything that caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
