//! The options about packets, the kernel and the data itself.

use std::{
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::values::{Mistakes, natural, positive_rate, whole};
use crate::transport::{KeepAlive, Tuning};

#[derive(Debug, Args)]
#[command(next_help_heading = "Packets and data")]
pub(super) struct RawPackets {
    /// Type of service or traffic class: the whole byte, decimal, 0x or 0.
    #[arg(short = 'S', long, value_name = "N")]
    pub(super) tos: Option<String>,
    /// The same by its six upper bits: a number, or a name such as ef, cs3, af41.
    #[arg(long, value_name = "N|NAME")]
    pub(super) dscp: Option<String>,
    /// IPv6 flow label, 1 to 1048575.
    #[arg(short = 'L', long, value_name = "N")]
    pub(super) flowlabel: Option<String>,
    /// Forbid IPv4 routers to fragment datagrams.
    #[arg(long)]
    pub(super) dont_fragment: bool,
    /// Pace in the kernel, at this many bits per second of each stream.
    #[arg(long, value_name = "RATE[KMGT]")]
    pub(super) fq_rate: Option<String>,
    /// Send each datagram by itself, without segmentation offload.
    #[arg(long)]
    pub(super) no_gso: bool,
    /// Send and receive many datagrams at a time, as is done by default.
    #[arg(long)]
    pub(super) gsro: bool,
    /// Several paths under each TCP stream.
    #[arg(short, long)]
    pub(super) mptcp: bool,
    /// Send without copying to the kernel.
    #[arg(short = 'Z', long)]
    pub(super) zerocopy: bool,
    /// Receive without copying from the kernel.
    #[arg(long)]
    pub(super) skip_rx_copy: bool,
    /// Milliseconds that a receiver may get nothing before the test fails.
    #[arg(long, value_name = "MS")]
    pub(super) rcv_timeout: Option<String>,
    /// Milliseconds that sent data may stay unacknowledged.
    #[arg(long, value_name = "MS")]
    pub(super) snd_timeout: Option<String>,
    /// Ask a silent server whether it is there: seconds of silence, between questions, questions.
    #[arg(
        long,
        value_name = "IDLE/INTERVAL/COUNT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0/0/0"
    )]
    pub(super) cntl_ka: Option<String>,
    /// Processor for the data threads, here and on the server.
    #[arg(short = 'A', long, value_name = "N|N,M|,M")]
    pub(super) affinity: Option<String>,
    /// Send the bytes of a file, or write what is received to it.
    #[arg(short = 'F', long, value_name = "FILE")]
    pub(super) file: Option<String>,
    /// Send the digits over and over, in place of bytes that do not compress.
    #[arg(long)]
    pub(super) repeating_payload: bool,
    /// Number datagrams with 64 bits towards an iperf3 server.
    #[arg(long)]
    pub(super) udp_counters_64bit: bool,
}

/// What concerns this end alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) affinity: Option<u16>,
    pub(super) server_affinity: Option<u16>,
    pub(super) file: Option<PathBuf>,
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) receive_timeout: Option<Duration>,
}

/// Adds to `tuning` what is asked for on the streams of the test.
pub(super) fn tuning(raw: &RawPackets, tuning: Tuning, mistakes: &mut Mistakes) -> Tuning {
    let tos = mistakes.value("-S", raw.tos.as_ref(), byte);
    let dscp = mistakes.value("--dscp", raw.dscp.as_ref(), dscp);
    if tos.is_some() && dscp.is_some() {
        mistakes.add("-S and --dscp exclude each other: they set the same byte");
    }
    if raw.gsro && raw.no_gso {
        mistakes.add("--gsro and --no-gso exclude each other: keep one");
    }
    let label = mistakes.value("-L", raw.flowlabel.as_ref(), whole(1..=0xf_ffff_u32));
    let rate = mistakes.value("--fq-rate", raw.fq_rate.as_ref(), positive_rate);
    let timeout = mistakes.value("--snd-timeout", raw.snd_timeout.as_ref(), whole(1..=MAX_MS));
    Tuning {
        tos: tos.or(dscp),
        flow_label: label.and_then(NonZeroU32::new),
        fq_rate: rate.and_then(NonZeroU64::new),
        dont_fragment: raw.dont_fragment,
        zero_copy: raw.zerocopy,
        skip_rx_copy: raw.skip_rx_copy,
        send_timeout_ms: timeout.and_then(NonZeroU32::new),
        mptcp: raw.mptcp,
        no_gso: raw.no_gso,
        ..tuning
    }
}

/// Checks what concerns this end alone.
pub(super) fn here(raw: &RawPackets, mistakes: &mut Mistakes) -> Here {
    let affinity = mistakes.value("-A", raw.affinity.as_ref(), affinity);
    let (affinity, server_affinity) = affinity.unwrap_or_default();
    let timeout = mistakes.value("--rcv-timeout", raw.rcv_timeout.as_ref(), whole(100..=MAX_MS));
    Here {
        affinity,
        server_affinity,
        file: mistakes.text("-F", raw.file.as_ref()).map(PathBuf::from),
        keep_alive: mistakes.value("--cntl-ka", raw.cntl_ka.as_ref(), keep_alive),
        receive_timeout: timeout.map(|ms| Duration::from_millis(ms.into())),
    }
}

/// Parses a byte as C writes it.
fn byte(text: &str) -> Result<u8, String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => match text.strip_prefix('0').filter(|digits| !digits.is_empty()) {
            Some(digits) => (digits, 8),
            None => (text, 10),
        },
    };
    let whole = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = whole.then(|| u8::from_str_radix(digits, radix).ok()).flatten();
    byte.ok_or_else(|| "is no byte: write 0 to 255, 0x0 to 0xff, or 00 to 0377".to_owned())
}

/// Parses a code point of differentiated services, and returns the byte that carries it.
fn dscp(text: &str) -> Result<u8, String> {
    let name = text.to_ascii_lowercase();
    let named = match name.as_bytes() {
        b"ef" => Some(46),
        b"va" => Some(44),
        b"le" => Some(1),
        [b'c', b's', class @ b'0'..=b'7'] => Some((class - b'0') * 8),
        [b'a', b'f', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
            Some((class - b'0') * 8 + (drop - b'0') * 2)
        }
        _ => None,
    };
    let point = named.or_else(|| byte(text).ok().filter(|&point| point < 64));
    point.map(|point| point << 2).ok_or_else(|| {
        "is no code point: write 0 to 63, ef, va, le, cs0 to cs7 or af11 to af43".to_owned()
    })
}

/// Parses `N`, `N,M` or `,M`: processors here and on the server.
fn affinity(text: &str) -> Result<(Option<u16>, Option<u16>), String> {
    let processor = |text: &str| match text {
        "" => Ok(None),
        text => whole(0..=1024_u16)(text).map(Some),
    };
    let (here, there) = text.split_once([',', '/']).unwrap_or((text, ""));
    Ok((processor(here)?, processor(there)?))
}

/// Parses `IDLE/INTERVAL/COUNT`, each of which may be left out.
fn keep_alive(text: &str) -> Result<KeepAlive, String> {
    let mut numbers =
        text.split('/').map(|text| if text.is_empty() { Ok(0) } else { natural(text) });
    let mut next = |most: u16| match numbers.next().transpose()? {
        Some(number) if number > most.into() => Err(format!("is out of range: 0 to {most} each")),
        number => u16::try_from(number.unwrap_or(0)).map_err(|error| error.to_string()),
    };
    let (idle, interval, count) = (next(MAX_IDLE)?, next(MAX_IDLE)?, next(MAX_QUESTIONS)?);
    if numbers.next().is_some() {
        return Err("has more than three numbers: write IDLE/INTERVAL/COUNT".to_owned());
    }
    Ok(KeepAlive { idle, interval, count: u8::try_from(count).unwrap_or(u8::MAX) })
}

/// A day.
const MAX_MS: u32 = 86_400_000;
/// Linux takes no more, in seconds and questions.
const MAX_IDLE: u16 = 32_767;
const MAX_QUESTIONS: u16 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_in_c() {
        for (text, value) in [("0", 0), ("16", 16), ("0x10", 16), ("020", 16), ("255", 255)] {
            assert_eq!(byte(text), Ok(value), "{text}");
        }
        for text in ["256", "0x100", "-1", "+1", "0x", "08", "", "ef"] {
            assert!(byte(text).is_err(), "{text}");
        }
    }

    #[test]
    fn code_points_have_names() {
        for (text, value) in [("ef", 184), ("CS1", 32), ("af41", 136), ("0", 0), ("46", 184)] {
            assert_eq!(dscp(text), Ok(value), "{text}");
        }
        for text in ["64", "af14", "cs8", "af", "best"] {
            assert!(dscp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_named_for_either_end() {
        assert_eq!(affinity("3"), Ok((Some(3), None)));
        assert_eq!(affinity("3,5"), Ok((Some(3), Some(5))));
        assert_eq!(affinity(",5"), Ok((None, Some(5))));
        assert!(affinity("3,5,7").is_err() && affinity("x").is_err());
    }

    #[test]
    fn questions_to_a_silent_peer_may_be_left_to_the_system() {
        let asked = |idle, interval, count| Ok(KeepAlive { idle, interval, count });
        assert_eq!(keep_alive("0/0/0"), asked(0, 0, 0));
        assert_eq!(keep_alive("10"), asked(10, 0, 0));
        assert_eq!(keep_alive("10/2/3"), asked(10, 2, 3));
        assert_eq!(keep_alive("//3"), asked(0, 0, 3));
        assert!(keep_alive("1/2/3/4").is_err() && keep_alive("40000").is_err());
    }
}
