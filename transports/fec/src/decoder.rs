//! The end that rebuilds what was lost.

use reed_solomon_erasure::galois_8::ReedSolomon;

use crate::{FecConfig, FecStats, Framed, Kind, payload};

/// Keeps the last few groups, and rebuilds what is missing in them.
pub struct Decoder {
    config: FecConfig,
    codec: ReedSolomon,
    groups: [Group; GROUPS],
    /// The newest group of which anything has come; `None` before the first.
    newest: Option<u32>,
    longest: usize,
    /// Places of a group whose datagrams are being rebuilt.
    lost: Vec<usize>,
}

/// Datagrams that belong together, from offset 6 on.
#[derive(Debug, Default)]
struct Group {
    number: u32,
    /// Where what has come lies, and whether it has: first of data, then of parity. Empty before the
    /// place was first used.
    shards: Vec<(Vec<u8>, bool)>,
    came: usize,
    data_came: usize,
    /// Whether there is nothing more to do about it.
    settled: bool,
}

impl Decoder {
    /// Returns one that takes shards of up to `longest` bytes.
    #[must_use]
    pub fn new(config: FecConfig, longest: usize) -> Self {
        let groups = std::array::from_fn(|_| Group { settled: true, ..Group::default() });
        Self { config, codec: config.codec(), groups, newest: None, longest, lost: Vec::new() }
    }

    /// Notes a datagram, and hands over what can be rebuilt by now to `take`, which says whether it is
    /// good for anything.
    pub fn take(
        &mut self,
        datagram: &Framed<'_>,
        stats: &mut FecStats,
        take: impl FnMut(&[u8]) -> bool,
    ) {
        let (size, place) = (self.config.group(), datagram.seqid % self.config.group());
        let number = datagram.seqid / size;
        let place = place as usize;
        let is_data = place < self.config.data();
        let fits = is_data == (datagram.kind == Kind::Data)
            && number < self.config.groups()
            && datagram.shard.len() <= self.longest;
        if !fits {
            stats.malformed += 1;
            return;
        }
        if !self.reach(number, stats) {
            return;
        }
        let group = &mut self.groups[number as usize % GROUPS];
        if group.settled || !group.add(place, is_data, datagram.shard) {
            return;
        }
        group.settle(self.config.data(), &self.codec, &mut self.lost, stats, take);
    }

    /// Makes room for group `number`, and returns whether it is not too old.
    fn reach(&mut self, number: u32, stats: &mut FecStats) -> bool {
        let ahead = match self.newest {
            None => 1,
            Some(newest) => match self.ahead(number, newest) {
                far if far.abs() > FAR => {
                    // The sender has begun anew, or this is from elsewhere, and the next is far from it.
                    self.groups.iter_mut().for_each(|group| group.settled = true);
                    1
                }
                near => near,
            },
        };
        if ahead <= 0 {
            return self.groups[number as usize % GROUPS].number == number;
        }
        let (data, size) = (self.config.data(), self.config.group() as usize);
        // Those of which nothing has come, and for which there is no room.
        let skipped = usize::try_from(ahead).unwrap_or(0).saturating_sub(GROUPS);
        stats.unrecoverable += (skipped * data) as u64;
        let steps = u32::try_from(ahead).map_or(KEPT, |ahead| ahead.min(KEPT));
        for steps in (0..steps).rev() {
            let at = self.behind(number, steps);
            let group = &mut self.groups[at as usize % GROUPS];
            stats.unrecoverable += group.missing(data);
            group.begin(at, size);
        }
        self.newest = Some(number);
        true
    }

    /// Returns how far group `a` is ahead of `b`, by the shorter way around.
    fn ahead(&self, a: u32, b: u32) -> i64 {
        let groups = i64::from(self.config.groups());
        let ahead = (i64::from(a) - i64::from(b)).rem_euclid(groups);
        if ahead > groups / 2 { ahead - groups } else { ahead }
    }

    /// Returns the group that is so many steps behind `number`.
    fn behind(&self, number: u32, steps: u32) -> u32 {
        number.checked_sub(steps).unwrap_or_else(|| number + (self.config.groups() - steps))
    }
}

impl Group {
    fn begin(&mut self, number: u32, size: usize) {
        self.number = number;
        self.shards.resize_with(size, Default::default);
        self.shards.iter_mut().for_each(|(_, came)| *came = false);
        (self.came, self.data_came, self.settled) = (0, 0, false);
    }

    /// Keeps a datagram, and returns whether it is new.
    fn add(&mut self, place: usize, is_data: bool, bytes: &[u8]) -> bool {
        let (shard, came) = &mut self.shards[place];
        if *came {
            return false;
        }
        *came = true;
        shard.clear();
        shard.extend_from_slice(bytes);
        self.came += 1;
        self.data_came += usize::from(is_data);
        true
    }

    /// Rebuilds what is missing, if that is possible by now.
    fn settle(
        &mut self,
        data: usize,
        codec: &ReedSolomon,
        lost: &mut Vec<usize>,
        stats: &mut FecStats,
        mut take: impl FnMut(&[u8]) -> bool,
    ) {
        if self.data_came == data {
            self.settled = true;
            return;
        }
        if self.came < data {
            return;
        }
        self.settled = true;
        let missing = data - self.data_came;
        let (of_data, of_parity) = self.shards.split_at(data);
        // Something of parity has come, or everything of data would have.
        let mut lengths = of_parity.iter().filter(|(_, came)| *came).map(|(shard, _)| shard.len());
        let Some(length) = lengths.next() else { return };
        let too_long = of_data.iter().any(|(shard, came)| *came && shard.len() > length);
        if too_long || lengths.any(|other| other != length) {
            stats.malformed += 1;
            stats.unrecoverable += missing as u64;
            return;
        }
        lost.clear();
        lost.extend((0..data).filter(|&place| !self.shards[place].1));
        for (shard, came) in &mut self.shards {
            if !*came {
                shard.clear();
            }
            shard.resize(length, 0);
        }
        if codec.reconstruct_data(&mut self.shards).is_err() {
            stats.unrecoverable += missing as u64;
            return;
        }
        for &mut place in lost {
            match payload(&self.shards[place].0) {
                Some(datagram) => stats.recovered += u64::from(take(datagram)),
                None => stats.malformed += 1,
            }
        }
    }

    /// Returns how many datagrams of data are missing for good, once it is given up.
    fn missing(&self, data: usize) -> u64 {
        if self.settled { 0 } else { (data - self.data_came) as u64 }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("config", &self.config)
            .field("newest", &self.newest)
            .finish_non_exhaustive()
    }
}

/// How many groups are kept: the newest, and those that its datagrams may have overtaken.
const GROUPS: usize = KEPT as usize;
const KEPT: u32 = 4;

/// How many groups may be lost at once, or overtaken, before the numbers count as new ones.
const FAR: i64 = 1024;
