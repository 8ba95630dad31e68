//! The options of KCP, and of error correction.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use clap::Args;

use super::values::{Mistakes, whole};
use crate::transport::{Fec, Tuning};

#[derive(Debug, Args)]
#[command(next_help_heading = "KCP")]
pub(super) struct RawKcp {
    /// The settings of KCP under one name: normal, fast, fast2 or fast3; fast3 unless given.
    #[arg(long, value_name = "NAME")]
    pub(super) kcp_mode: Option<String>,
    /// How soon to send again what was not acknowledged: 0, 1 or 2; the mode's unless given.
    #[arg(long, value_name = "N")]
    pub(super) kcp_nodelay: Option<String>,
    /// Milliseconds of KCP's clock, 1 to 5000; the mode's unless given.
    #[arg(long, value_name = "MS")]
    pub(super) kcp_interval: Option<String>,
    /// Acknowledgements of later data after which to send again at once, up to 255; 0 never
    /// does; the mode's unless given.
    #[arg(long, value_name = "N")]
    pub(super) kcp_resend: Option<String>,
    /// 1: the windows alone limit what is under way; 0: congestion control does as well; the
    /// mode's unless given.
    #[arg(long, value_name = "0|1")]
    pub(super) kcp_nc: Option<String>,
    /// Segments that wait or are under way, 1 to 16384; 1024 unless given.
    #[arg(long, value_name = "N")]
    pub(super) kcp_sndwnd: Option<String>,
    /// Segments held for the reader, 1 to 16384; 1024 unless given.
    #[arg(long, value_name = "N")]
    pub(super) kcp_rcvwnd: Option<String>,
    /// Bytes of the longest datagram, above UDP, 50 to 65507; 1400 unless given.
    #[arg(long, value_name = "N")]
    pub(super) kcp_mtu: Option<String>,
    /// When data leaves: batch, as soon as it can; interval, at KCP's clock; batch unless given.
    #[arg(long, value_name = "NAME")]
    pub(super) kcp_flush: Option<String>,
    /// Forward error correction of kcp and rudp: P datagrams of parity for each D of data, such as
    /// 10:3, together 255 at most; none unless given.
    #[arg(long, value_name = "D:P")]
    pub(super) fec: Option<String>,
}

/// Adds to `tuning` what is asked of KCP.
pub(super) fn tuning(raw: &RawKcp, tuning: Tuning, mistakes: &mut Mistakes) -> Tuning {
    let interval = mistakes.value("--kcp-interval", raw.kcp_interval.as_ref(), whole(1..=5000_u32));
    let mut window = |option, text: &Option<String>| {
        mistakes.value(option, text.as_ref(), whole(1..=MAX_WINDOW)).and_then(NonZeroU16::new)
    };
    let kcp_sndwnd = window("--kcp-sndwnd", &raw.kcp_sndwnd);
    let kcp_rcvwnd = window("--kcp-rcvwnd", &raw.kcp_rcvwnd);
    let mtu = mistakes.value("--kcp-mtu", raw.kcp_mtu.as_ref(), whole(50..=MAX_MTU));
    Tuning {
        kcp_mode: mistakes.name("--kcp-mode", raw.kcp_mode.as_ref(), &MODES),
        kcp_nodelay: mistakes.value("--kcp-nodelay", raw.kcp_nodelay.as_ref(), whole(0..=2)),
        kcp_interval_ms: interval.and_then(NonZeroU32::new),
        kcp_resend: mistakes.value("--kcp-resend", raw.kcp_resend.as_ref(), whole(0..=u8::MAX)),
        kcp_nc: mistakes.value("--kcp-nc", raw.kcp_nc.as_ref(), whole(0..=1_u8)).map(|nc| nc == 1),
        kcp_sndwnd,
        kcp_rcvwnd,
        kcp_mtu: mtu.and_then(NonZeroU16::new),
        kcp_flush: mistakes.name("--kcp-flush", raw.kcp_flush.as_ref(), &FLUSHES),
        fec: mistakes.value("--fec", raw.fec.as_ref(), fec),
        ..tuning
    }
}

fn fec(text: &str) -> Result<Fec, String> {
    let parts = || {
        let (data, parity) = text.split_once(':')?;
        Some((data.parse().ok()?, parity.parse().ok()?))
    };
    let (data, parity): (NonZeroU8, NonZeroU8) = parts()
        .ok_or_else(|| "is not DATA:PARITY, each 1 to 254: write it as in 10:3".to_owned())?;
    match data.checked_add(parity.get()) {
        Some(_) => Ok(Fec { data, parity }),
        None => Err("makes groups of more than 255 datagrams, the most that can be".to_owned()),
    }
}

const MODES: [&str; 4] = ["normal", "fast", "fast2", "fast3"];
const FLUSHES: [&str; 2] = ["batch", "interval"];
const MAX_WINDOW: u16 = 16_384;
const MAX_MTU: u16 = 65_507;
