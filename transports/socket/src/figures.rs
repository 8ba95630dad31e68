//! What the contract asks of a path, as far as the socket knows.

use std::io;

use polyperf_transport::{PathStats, Setting, Tuning};

use crate::{Buffers, DatagramSocket, Endpoint, set_pacing_rate, set_tos, setting};

impl Endpoint {
    /// Returns what is known of the flow.
    ///
    /// Bytes on the wire are the payload and the headers of UDP and IP, those of fragments and of
    /// layers below not among them.
    ///
    /// Drops are the kernel's count, which takes datagrams that it joined into one for one; those of
    /// a socket that other flows share are nobody's.
    #[must_use]
    pub fn stats(&self) -> PathStats {
        let traffic = self.traffic();
        let headers = UDP_HEADER + if self.peer().is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
        let own = self.own_socket();
        let dropped = own.and_then(DatagramSocket::drops);
        let buffers = own.and_then(|socket| socket.buffers().ok());
        PathStats {
            mtu: own.and_then(DatagramSocket::mtu),
            packets_sent: Some(traffic.packets_sent()),
            packets_received: Some(traffic.packets_received()),
            wire_bytes_sent: Some(traffic.bytes_sent() + headers * traffic.packets_sent()),
            wire_bytes_received: Some(
                traffic.bytes_received() + headers * traffic.packets_received(),
            ),
            local_drops: dropped.map(|dropped| dropped + traffic.overflowed()),
            send_buffer: buffers.and_then(|buffers| buffers.send.try_into().ok()),
            recv_buffer: buffers.and_then(|buffers| buffers.receive.try_into().ok()),
            gso_segments: u32::try_from(self.gso_segments()).ok(),
            gro_segments: own.and_then(|socket| u32::try_from(socket.gro_segments()).ok()),
            ..PathStats::default()
        }
    }

    /// Sets what `tuning` asks for and a socket has, and returns what came of each.
    pub fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = Vec::new();
        let own = || self.own_socket().ok_or_else(shared);
        if let Some(window) = tuning.window {
            let granted = own().and_then(|socket| socket.set_buffers(window));
            settings.push(setting("window", window, granted, Buffers::objection));
        }
        if let Some(tos) = tuning.tos {
            let granted = own().and_then(|socket| set_tos(&socket.as_ref(), tos));
            settings.push(setting("tos", tos, granted, |_, _| None));
        }
        if let Some(rate) = tuning.fq_rate {
            let granted = own().and_then(|socket| set_pacing_rate(&socket.as_ref(), rate.get()));
            settings.push(setting("fq_rate", rate, granted, |_, _| None));
        }
        if tuning.dont_fragment {
            let granted = own().and_then(|socket| forbid_fragments(socket, self));
            settings.push(setting("dont_fragment", true, granted, |_, _| None));
        }
        if tuning.no_gso {
            self.limit_gso(1);
            settings.push(setting("no_gso", true, Ok(true), |_, _| None));
        }
        settings
    }
}

fn forbid_fragments(socket: &DatagramSocket, endpoint: &Endpoint) -> io::Result<bool> {
    if endpoint.peer().is_ipv6() {
        return Err(unsupported("routers never fragment IPv6"));
    }
    socket.forbid_fragments().map(|()| true)
}

fn shared() -> io::Error {
    unsupported("the socket is shared with other flows")
}

fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

const UDP_HEADER: u64 = 8;
const IPV4_HEADER: u64 = 20;
const IPV6_HEADER: u64 = 40;
