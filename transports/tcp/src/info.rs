//! What Linux tells of a connection (`TCP_INFO`).
//!
//! The kernel's structure grows at its end with each version. It says how much of it there is, and
//! what lies beyond that is unknown, not zero.

use std::time::Duration;

use polyperf_socket::Buffers;
use polyperf_transport::PathStats;
use socket2::Socket;

/// Returns the connection's figures, each `None` where this kernel does not tell.
pub(crate) fn stats(socket: &Socket) -> PathStats {
    let known = Info::read(socket).map(|info| {
        let ip = match socket.local_addr().ok().and_then(|addr| addr.as_socket()) {
            Some(addr) if addr.is_ipv4() => Some(IPV4_HEADER),
            Some(_) => Some(IPV6_HEADER),
            None => None,
        };
        PathStats { wire_bytes_sent: ip.and_then(|ip| info.wire_bytes(ip)), ..info.stats() }
    });
    let buffers = Buffers::of(socket).ok();
    PathStats {
        congestion: socket.tcp_congestion().ok().map(name),
        send_buffer: buffers.and_then(|buffers| buffers.send.try_into().ok()),
        recv_buffer: buffers.and_then(|buffers| buffers.receive.try_into().ok()),
        ..known.unwrap_or_default()
    }
}

/// Returns a name that the kernel padded with NULs.
pub(crate) fn name(padded: Vec<u8>) -> String {
    let end = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

struct Info {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Info {
    #[cfg(target_os = "linux")]
    fn read(socket: &Socket) -> Option<Self> {
        use std::os::fd::AsRawFd;

        let mut bytes = [0; CAPACITY];
        let mut len = libc::socklen_t::try_from(CAPACITY).ok()?;
        // SAFETY: the kernel writes at most `len` bytes into `bytes`, which has that many.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        (result == 0).then_some(Self { bytes, len: usize::try_from(len).ok()?.min(CAPACITY) })
    }

    #[cfg(not(target_os = "linux"))]
    fn read(_: &Socket) -> Option<Self> {
        None
    }

    fn stats(&self) -> PathStats {
        let mss = self.u32(SND_MSS);
        let micros = |offset| self.u32(offset).map(|us| Duration::from_micros(us.into()));
        let measured = |offset| micros(offset).filter(|rtt| !rtt.is_zero());
        let bits = |offset| self.u64(offset).filter(|&rate| rate != 0 && rate != u64::MAX);
        PathStats {
            rtt: measured(RTT),
            rttvar: measured(RTT).and(micros(RTTVAR)),
            min_rtt: measured(MIN_RTT).filter(|rtt| rtt.as_micros() < u128::from(u32::MAX)),
            cwnd: mss.zip(self.u32(SND_CWND)).map(|(mss, cwnd)| u64::from(mss) * u64::from(cwnd)),
            peer_window: self.u32(SND_WND).map(u64::from),
            mtu: self.u32(PMTU),
            mss,
            retransmits: self.u32(TOTAL_RETRANS).map(u64::from),
            bytes_retransmitted: self.u64(BYTES_RETRANS),
            bytes_acked: self.u64(BYTES_ACKED),
            reordering: self.u32(REORDERING),
            delivery_rate: bits(DELIVERY_RATE).map(|rate| rate.saturating_mul(8)),
            pacing_rate: bits(PACING_RATE).map(|rate| rate.saturating_mul(8)),
            packets_sent: self.u32(SEGS_OUT).map(u64::from),
            packets_received: self.u32(SEGS_IN).map(u64::from),
            rwnd_limited: self.u64(RWND_LIMITED).map(Duration::from_micros),
            sndbuf_limited: self.u64(SNDBUF_LIMITED).map(Duration::from_micros),
            ..PathStats::default()
        }
    }

    /// Returns what went out in bytes, repetitions and the headers of TCP and IP among them, but for
    /// options other than timestamps.
    fn wire_bytes(&self, ip_header: u64) -> Option<u64> {
        let [options] = self.field(OPTIONS)?;
        let options = if options & TIMESTAMPS != 0 { TIMESTAMPS_LEN } else { 0 };
        let segments = u64::from(self.u32(SEGS_OUT)?);
        Some(self.u64(BYTES_SENT)? + segments * (ip_header + TCP_HEADER + options))
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        self.field(offset).map(u32::from_ne_bytes)
    }

    fn u64(&self, offset: usize) -> Option<u64> {
        self.field(offset).map(u64::from_ne_bytes)
    }

    fn field<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.bytes[..self.len].get(offset..offset + N)?.try_into().ok()
    }
}

/// More than any kernel has so far.
const CAPACITY: usize = 512;

// Offsets in `struct tcp_info` of linux/tcp.h; fields are only ever added at its end.
const OPTIONS: usize = 5;
const SND_MSS: usize = 16;
const PMTU: usize = 60;
const RTT: usize = 68;
const RTTVAR: usize = 72;
const SND_CWND: usize = 80;
const REORDERING: usize = 88;
const TOTAL_RETRANS: usize = 100;
const PACING_RATE: usize = 104;
const BYTES_ACKED: usize = 120;
const SEGS_OUT: usize = 136;
const SEGS_IN: usize = 140;
const MIN_RTT: usize = 148;
const DELIVERY_RATE: usize = 160;
const RWND_LIMITED: usize = 176;
const SNDBUF_LIMITED: usize = 184;
const BYTES_SENT: usize = 200;
const BYTES_RETRANS: usize = 208;
const SND_WND: usize = 228;

/// The bit of the options that says so (`TCPI_OPT_TIMESTAMPS`), and what they take in each segment.
const TIMESTAMPS: u8 = 1;
const TIMESTAMPS_LEN: u64 = 12;
const TCP_HEADER: u64 = 20;
const IPV4_HEADER: u64 = 20;
const IPV6_HEADER: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_wire_is_the_payload_and_a_header_for_each_segment() {
        let mut bytes = [0; CAPACITY];
        bytes[OPTIONS] = TIMESTAMPS | 2;
        bytes[SEGS_OUT..SEGS_OUT + 4].copy_from_slice(&10_u32.to_ne_bytes());
        bytes[BYTES_SENT..BYTES_SENT + 8].copy_from_slice(&14_480_u64.to_ne_bytes());
        let info = Info { bytes, len: BYTES_SENT + 8 };
        assert_eq!(info.wire_bytes(IPV4_HEADER), Some(14_480 + 10 * 52));
        assert_eq!(info.wire_bytes(IPV6_HEADER), Some(14_480 + 10 * 72));
        assert_eq!(Info { len: BYTES_SENT, ..info }.wire_bytes(IPV4_HEADER), None);
    }

    #[test]
    fn fields_beyond_the_returned_length_are_unknown() {
        let mut bytes = [0; CAPACITY];
        bytes[SND_MSS..SND_MSS + 4].copy_from_slice(&1448_u32.to_ne_bytes());
        bytes[SND_CWND..SND_CWND + 4].copy_from_slice(&10_u32.to_ne_bytes());
        let stats = Info { bytes, len: TOTAL_RETRANS + 4 }.stats();
        assert_eq!(stats.cwnd, Some(14_480));
        assert_eq!(stats.retransmits, Some(0), "a zero that was told is a zero");
        assert_eq!(stats.bytes_acked, None, "what was not told is not");
        let stats = Info { bytes, len: TOTAL_RETRANS + 3 }.stats();
        assert_eq!(stats.retransmits, None, "half a field is no field");
    }

    #[test]
    fn what_was_never_measured_is_unknown() {
        let mut bytes = [0; CAPACITY];
        bytes[MIN_RTT..MIN_RTT + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        bytes[PACING_RATE..PACING_RATE + 8].copy_from_slice(&u64::MAX.to_ne_bytes());
        let stats = Info { bytes, len: CAPACITY }.stats();
        assert_eq!((stats.rtt, stats.min_rtt, stats.pacing_rate), (None, None, None));
    }
}
