//! What the two ends tell each other when a flow is opened.

use std::num::NonZeroU8;

use polyperf_fec::FecConfig;

use crate::config::{Config, MAX_MTU, MAX_WINDOW, MIN_MTU, MIN_WINDOW};

/// What one end tells the other in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// What packets to this end bear.
    pub id: u32,
    /// Bytes of the longest datagram that this end sends or wants.
    pub mtu: u16,
    /// Bytes that may be sent to it before it says more.
    pub window: u32,
    /// Forward error correction of what this end sends.
    pub fec: Option<FecConfig>,
}

impl Parameters {
    /// Returns those of an end that works as `config` says; `bits` are random.
    #[must_use]
    pub fn new(config: &Config, bits: u32) -> Self {
        let Config { mtu, window, fec, .. } = *config;
        Self { id: id(bits), mtu, window, fec }
    }

    /// Returns what is told.
    #[must_use]
    pub fn encode(&self) -> [u8; PARAMETERS] {
        let (data, parity) = self.fec.map_or((0, 0), |fec| (fec.data(), fec.parity()));
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        let mut bytes = [0; PARAMETERS];
        bytes[..4].copy_from_slice(&self.id.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.mtu.to_be_bytes());
        bytes[6..8].copy_from_slice(&[byte(data), byte(parity)]);
        bytes[8..12].copy_from_slice(&self.window.to_be_bytes());
        bytes
    }

    /// Returns what `bytes` tell; `None` if no end can work like this.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [i0, i1, i2, i3, m0, m1, data, parity, w0, w1, w2, w3, _, _, _, _] =
            <[u8; PARAMETERS]>::try_from(bytes).ok()?;
        let fec = match (NonZeroU8::new(data), NonZeroU8::new(parity)) {
            (None, None) => None,
            (Some(data), Some(parity)) => Some(FecConfig::new(data, parity).ok()?),
            _ => return None,
        };
        let own = u32::from_be_bytes([i0, i1, i2, i3]);
        let mtu = u16::from_be_bytes([m0, m1]);
        let window = u32::from_be_bytes([w0, w1, w2, w3]);
        let fits = own == id(own)
            && (MIN_MTU..=MAX_MTU).contains(&mtu)
            && (MIN_WINDOW..=MAX_WINDOW).contains(&window);
        fits.then_some(Self { id: own, mtu, window, fec })
    }
}

/// Returns the name that these bits make: not one whose first two bytes are those by which datagrams
/// of error correction are told from others.
fn id(bits: u32) -> u32 {
    match bits.to_be_bytes() {
        [0xF1 | 0xF2, 0, ..] => bits ^ 0x0100_0000,
        _ => bits,
    }
}

/// Bytes of what one end tells.
pub const PARAMETERS: usize = 16;
