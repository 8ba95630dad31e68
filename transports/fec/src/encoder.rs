//! The end that makes parity.

use polyperf_socket::Output;
use reed_solomon_erasure::galois_8::ReedSolomon;

use crate::{DATA, FecConfig, FecStats, HEADER, PARITY, SHARD, SIZE};

/// Numbers datagrams, and adds parity behind each group.
pub struct Encoder {
    config: FecConfig,
    codec: ReedSolomon,
    seqid: u32,
    /// The group as far as it has been sent, from offset 6 on. All are the longest's length once it
    /// is complete.
    shards: Vec<Vec<u8>>,
    filled: usize,
    parity: Vec<Vec<u8>>,
}

impl Encoder {
    /// Returns one to which nothing has been given yet.
    #[must_use]
    pub fn new(config: FecConfig) -> Self {
        Self {
            config,
            codec: config.codec(),
            seqid: 0,
            shards: vec![Vec::new(); config.data()],
            filled: 0,
            parity: vec![Vec::new(); config.parity()],
        }
    }

    /// Begins with this number, which is the first of a group.
    #[cfg(test)]
    pub(super) fn starting_at(mut self, seqid: u32) -> Self {
        self.seqid = seqid;
        self
    }

    /// Moves the datagrams of `plain`, which have their first eight bytes free, to `output`, and with
    /// them what parity there is then.
    pub fn encode(&mut self, plain: &mut Output, output: &mut Output, stats: &mut FecStats) {
        for index in 0..plain.len() {
            let seqid = self.next_seqid();
            let datagram = plain.datagram_mut(index);
            let size = u16::try_from(datagram.len() - SHARD).unwrap_or(u16::MAX);
            let Some((header, _)) = datagram.split_first_chunk_mut::<HEADER>() else { continue };
            header[..4].copy_from_slice(&seqid.to_le_bytes());
            header[4..SHARD].copy_from_slice(&DATA.to_le_bytes());
            header[SHARD..SHARD + SIZE].copy_from_slice(&size.to_le_bytes());
            output.push_whole([datagram, &[]]);
            let shard = &mut self.shards[self.filled];
            shard.clear();
            shard.extend_from_slice(&datagram[SHARD..]);
            self.filled += 1;
            if self.filled == self.config.data() {
                self.add_parity(output, stats);
            }
        }
    }

    fn add_parity(&mut self, output: &mut Output, stats: &mut FecStats) {
        self.filled = 0;
        let longest = self.shards.iter().map(Vec::len).max().unwrap_or(0);
        for shard in self.shards.iter_mut().chain(&mut self.parity) {
            shard.resize(longest, 0);
        }
        // All are equally long, and as many as the code takes.
        let coded = self.codec.encode_sep(&self.shards, &mut self.parity);
        debug_assert!(coded.is_ok());
        for index in 0..self.parity.len() {
            let seqid = self.next_seqid();
            let mut header = [0; SHARD];
            header[..4].copy_from_slice(&seqid.to_le_bytes());
            header[4..].copy_from_slice(&PARITY.to_le_bytes());
            output.push_whole([&header, &self.parity[index]]);
            stats.parity_sent += 1;
            stats.parity_bytes_sent += (SHARD + longest) as u64;
        }
    }

    fn next_seqid(&mut self) -> u32 {
        let seqid = self.seqid;
        self.seqid = (seqid + 1) % (self.config.groups() * self.config.group());
        seqid
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .field("seqid", &self.seqid)
            .finish_non_exhaustive()
    }
}
