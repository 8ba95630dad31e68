use std::{io, num::NonZeroU32, sync::Arc, time::Duration};

use polyperf_socket::{Buffers, set_pacing_rate, set_tos, setting};
use polyperf_transport::{KeepAlive, Path, PathStats, Setting, Tuning};
use socket2::{Protocol, Socket, TcpKeepalive};

use crate::{
    info::{self, name},
    socket::Shared,
};

#[derive(Debug)]
pub(crate) struct TcpPath {
    shared: Arc<Shared>,
}

impl TcpPath {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Path for TcpPath {
    fn stats(&self) -> PathStats {
        info::stats(self.shared.socket())
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = tune(self.shared.socket(), tuning);
        settings.extend(self.shared.copies().tune(tuning));
        tuning.answer_rest(&mut settings, crate::NAME);
        settings
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

/// Sets on the socket what `tuning` asks for, and reads each value back.
pub(crate) fn tune(socket: &Socket, tuning: &Tuning) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(window) = tuning.window {
        let granted = Buffers::set(socket, window);
        settings.push(setting("window", window, granted, Buffers::objection));
    }
    if let Some(mss) = tuning.mss {
        let granted = socket.set_tcp_mss(mss.get()).and_then(|()| socket.tcp_mss());
        settings.push(setting("mss", mss, granted, |asked, granted| {
            match granted.cmp(&asked.get()) {
                std::cmp::Ordering::Greater => Some("it was agreed in the handshake"),
                // Options in the header, such as timestamps, take their bytes from the segment.
                std::cmp::Ordering::Less | std::cmp::Ordering::Equal => None,
            }
        }));
    }
    if tuning.no_delay {
        let granted = socket.set_tcp_nodelay(true).and_then(|()| socket.tcp_nodelay());
        settings.push(setting("no_delay", true, granted, |_, _| None));
    }
    if let Some(congestion) = &tuning.congestion {
        let granted = set_congestion(socket, congestion);
        settings.push(setting("congestion", congestion.as_str(), granted, |_, _| None));
    }
    if let Some(tos) = tuning.tos {
        settings.push(setting("tos", tos, set_tos(socket, tos), |_, _| None));
    }
    if let Some(rate) = tuning.fq_rate {
        let granted = set_pacing_rate(socket, rate.get());
        settings.push(setting("fq_rate", rate, granted, |_, _| None));
    }
    if let Some(limit) = tuning.send_timeout_ms {
        let asked = Duration::from_millis(limit.get().into());
        let granted = socket
            .set_tcp_user_timeout(Some(asked))
            .and_then(|()| Ok(socket.tcp_user_timeout()?.map_or(0, |granted| granted.as_millis())));
        settings.push(setting("send_timeout_ms", limit, granted, |_, _| None));
    }
    if let Some(keep_alive) = tuning.keep_alive {
        let granted = set_keep_alive(socket, keep_alive);
        settings.push(setting("keep_alive", keep_alive, granted, |_, _| None));
    }
    if let Some(label) = tuning.flow_label {
        let in_force = socket.peer_addr().ok().and_then(|peer| peer.as_socket_ipv6());
        let in_force = in_force.map(|peer| u32::from_be(peer.flowinfo()) & 0xf_ffff);
        let granted = in_force.and_then(NonZeroU32::new);
        settings.push(before_connecting("flow_label", label, granted, "only IPv6 has one, and "));
    }
    if tuning.mptcp {
        let multipath = socket.protocol().is_ok_and(|protocol| protocol == Some(Protocol::MPTCP));
        settings.push(before_connecting("mptcp", true, multipath.then_some(true), ""));
    }
    settings
}

/// Returns a setting that is made when a socket is connected, by the end that connects.
fn before_connecting<T: ToString>(
    option: &str,
    asked: T,
    granted: Option<T>,
    also: &str,
) -> Setting {
    let reason = || format!("{also}it is set by the end that connects, and before it does");
    let refused = granted.is_none().then(reason);
    let granted = granted.map(|granted| granted.to_string());
    Setting { option: option.to_owned(), asked: asked.to_string(), granted, refused }
}

fn set_keep_alive(socket: &Socket, asked: KeepAlive) -> io::Result<KeepAlive> {
    let seconds = |seconds: u16| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    let mut wanted = TcpKeepalive::new();
    if let Some(idle) = seconds(asked.idle) {
        wanted = wanted.with_time(idle);
    }
    if let Some(interval) = seconds(asked.interval) {
        wanted = wanted.with_interval(interval);
    }
    if asked.count > 0 {
        wanted = wanted.with_retries(asked.count.into());
    }
    socket.set_tcp_keepalive(&wanted)?;
    let whole = |time: Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
    Ok(KeepAlive {
        idle: whole(socket.tcp_keepalive_time()?),
        interval: whole(socket.tcp_keepalive_interval()?),
        count: u8::try_from(socket.tcp_keepalive_retries()?).unwrap_or(u8::MAX),
    })
}

fn set_congestion(socket: &Socket, congestion: &str) -> io::Result<String> {
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.tcp_congestion().map(name)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        num::NonZeroU32,
    };

    use super::*;

    fn connected() -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap().into()
    }

    #[test]
    fn settings_are_read_back() {
        let tuning =
            Tuning { window: NonZeroU32::new(65_536), no_delay: true, ..Tuning::default() };
        let settings = tune(&connected(), &tuning);
        let options: Vec<_> = settings.iter().map(|setting| setting.option.as_str()).collect();
        assert_eq!(options, ["window", "no_delay"]);
        assert_eq!(settings[1].granted.as_deref(), Some("true"));
        assert!(settings.iter().all(|setting| setting.refused.is_none()), "{settings:?}");
    }

    #[test]
    fn a_setting_that_fails_says_why() {
        let tuning = Tuning { congestion: Some("no-such".to_owned()), ..Tuning::default() };
        let settings = tune(&connected(), &tuning);
        assert_eq!(settings[0].granted, None);
        assert!(settings[0].refused.is_some());
    }

    #[test]
    fn a_buffer_beyond_the_systems_limit_is_told() {
        let tuning = Tuning { window: NonZeroU32::new(512 << 20), ..Tuning::default() };
        let settings = tune(&connected(), &tuning);
        assert!(settings[0].granted.is_some() && settings[0].refused.is_some(), "{settings:?}");
    }
}
