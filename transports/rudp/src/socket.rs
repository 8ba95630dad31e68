//! What a flow needs of its socket.

use polyperf_socket::{DatagramSocket, Endpoint, set_tos};
use polyperf_transport::Tuning;

use crate::Config;

/// Returns what is left of `tuning` for the socket: the window is the flow's.
pub(crate) fn tuning(tuning: &Tuning) -> Tuning {
    Tuning { window: None, ..tuning.clone() }
}

/// Has the socket take what the window permits, and marks what is sent as able to be marked instead
/// of dropped (RFC 3168, ECT(0)), as far as the system permits either.
pub(crate) fn prepare(endpoint: &Endpoint, config: &Config, tuning: &Tuning) {
    let datagrams = config.window / u32::from(config.mtu).max(1);
    endpoint.ask_for_window(u16::try_from(datagrams).unwrap_or(u16::MAX));
    if let Some(socket) = endpoint.own_socket() {
        let tos = tuning.tos.unwrap_or(0) & !ECN | ECT_0;
        // Without, loss says the same, later.
        let _ = set_tos(&socket.as_ref(), tos);
    }
}

/// Returns `config` with datagrams no longer than the path takes, as far as the system knows.
pub(crate) fn fitted(config: Config, endpoint: &Endpoint) -> Config {
    let headers = if endpoint.peer().is_ipv4() { 20 + 8 } else { 40 + 8 };
    let known = endpoint.own_socket().and_then(DatagramSocket::mtu);
    let longest = known.map(|mtu| mtu.saturating_sub(headers)).unwrap_or(u32::MAX);
    let longest = u16::try_from(longest).unwrap_or(u16::MAX).max(crate::MIN_MTU);
    Config { mtu: config.mtu.min(longest), ..config }
}

/// The bits of the type of service that are for congestion, and those that say that what is sent may
/// be marked.
const ECN: u8 = 0b11;
const ECT_0: u8 = 0b10;
