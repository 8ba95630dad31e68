use std::{io, sync::Arc};

use polyperf_socket::{Buffers, setting};
use polyperf_transport::{Path, PathStats, Setting, Tuning};
use socket2::Socket;

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
        tune(self.shared.socket(), tuning)
    }
}

/// Sets what `tuning` asks for, and reads each value back.
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
    tuning.answer_rest(&mut settings, crate::NAME);
    settings
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
