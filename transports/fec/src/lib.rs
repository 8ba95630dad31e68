//! Forward error correction as kcp-go does it.
//!
//! Datagrams are numbered, and form groups: so many of data, and then so many of parity, from any
//! of which, as many as there are of data, the others can be rebuilt. Each begins with a header, all
//! little-endian:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 4 | `seqid`: the datagram's number, of both kinds together |
//! | 4 | 2 | `00F1` data, `00F2` parity |
//! | 6 | 2 | of data: how many bytes are from here on, these two included |
//!
//! Parity is Reed-Solomon over GF(2^8) with the polynomial 11D, over everything from offset 6 on, with
//! zeros behind what is shorter than the longest.
//!
//! Source: `fec.go` of xtaci/kcp-go.

mod decoder;
mod encoder;

use std::{fmt, num::NonZeroU8, str::FromStr};

use reed_solomon_erasure::galois_8::ReedSolomon;

pub use self::{decoder::Decoder, encoder::Encoder};

/// How many datagrams form a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FecConfig {
    data: NonZeroU8,
    parity: NonZeroU8,
}

/// Why there can be no such groups.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FecError {
    /// The field has no more elements.
    #[error("{data} datagrams of data and {parity} of parity are more than 255, the largest group")]
    TooMany {
        /// Those of data.
        data: NonZeroU8,
        /// Those of parity.
        parity: NonZeroU8,
    },
    /// It is not written like one.
    #[error("`{0}` is not DATA:PARITY, such as 10:3, each 1 or more")]
    Syntax(String),
}

impl FecConfig {
    /// Returns groups of so many datagrams of data and of parity.
    ///
    /// # Errors
    ///
    /// Fails if that is more than 255 together.
    pub fn new(data: NonZeroU8, parity: NonZeroU8) -> Result<Self, FecError> {
        match data.checked_add(parity.get()) {
            Some(_) => Ok(Self { data, parity }),
            None => Err(FecError::TooMany { data, parity }),
        }
    }

    /// Returns the datagrams of data in a group.
    #[must_use]
    pub fn data(self) -> usize {
        self.data.get().into()
    }

    /// Returns the datagrams of parity in a group.
    #[must_use]
    pub fn parity(self) -> usize {
        self.parity.get().into()
    }

    /// Returns the datagrams of a group.
    fn group(self) -> u32 {
        u32::from(self.data.get()) + u32::from(self.parity.get())
    }

    /// Returns how many groups there are until numbers begin anew.
    fn groups(self) -> u32 {
        u32::MAX / self.group()
    }

    fn codec(self) -> ReedSolomon {
        match ReedSolomon::new(self.data(), self.parity()) {
            Ok(codec) => codec,
            Err(_) => unreachable!("there are 2 to 255 in a group"),
        }
    }
}

impl fmt::Display for FecConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.data, self.parity)
    }
}

impl FromStr for FecConfig {
    type Err = FecError;

    fn from_str(text: &str) -> Result<Self, FecError> {
        let parse = || {
            let (data, parity) = text.split_once(':')?;
            Some((data.parse().ok()?, parity.parse().ok()?))
        };
        let (data, parity) = parse().ok_or_else(|| FecError::Syntax(text.to_owned()))?;
        Self::new(data, parity)
    }
}

/// What forward error correction has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FecStats {
    /// Datagrams of parity written.
    pub parity_sent: u64,
    /// Bytes of those, their headers included.
    pub parity_bytes_sent: u64,
    /// Datagrams of parity received.
    pub parity_received: u64,
    /// Bytes of those, their headers included.
    pub parity_bytes_received: u64,
    /// Datagrams that were rebuilt, and of which something was taken.
    pub recovered: u64,
    /// Datagrams of data that were missing when their group was given up.
    pub unrecoverable: u64,
    /// Datagrams dropped for what their headers say, and groups whose lengths do not fit together.
    pub malformed: u64,
}

/// A datagram with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Its number.
    pub seqid: u32,
    /// What it is.
    pub kind: Kind,
    /// From offset 6 on.
    pub shard: &'a [u8],
}

/// What a datagram with a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A datagram that was sent anyway.
    Data,
    /// One by which others can be rebuilt.
    Parity,
}

impl<'a> Framed<'a> {
    /// Returns the datagram that `bytes` are; `None` if there is no such header, as before a segment
    /// alone.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, shard) = bytes.split_first_chunk::<SHARD>()?;
        let kind = match u16::from_le_bytes([header[4], header[5]]) {
            DATA => Kind::Data,
            PARITY => Kind::Parity,
            _ => return None,
        };
        let seqid = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        Some(Self { seqid, kind, shard })
    }
}

/// Returns the datagram within a shard of data; `None` if the length that it tells cannot be.
#[inline]
#[must_use]
pub fn payload(shard: &[u8]) -> Option<&[u8]> {
    let (size, _) = shard.split_first_chunk()?;
    shard.get(SIZE..usize::from(u16::from_le_bytes(*size)))
}

/// Bytes of the header in front of data.
pub const HEADER: usize = SHARD + SIZE;

/// Where a shard begins.
const SHARD: usize = 6;
/// Bytes of the length within a shard.
const SIZE: usize = 2;

const DATA: u16 = 0xF1;
const PARITY: u16 = 0xF2;

#[cfg(test)]
mod tests;
