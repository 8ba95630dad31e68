//! What became of numbered datagrams, as their receiver sees it.

mod counts;
mod held;
mod runs;
#[cfg(test)]
mod tests;

pub use self::{counts::DatagramCounts, runs::LossRuns};
use self::{held::Held, runs::Tally};

/// Accounts for datagrams that carry a sequence number.
///
/// - *Lost*: expected, and not received so far. One that arrives later takes its loss back.
/// - *Reordered*: received for the first time after one with a higher number (RFC 4737).
/// - *Duplicated*: received before.
/// - *Late*: so far below the highest number that its place in the window has been given up. Nobody
///   remembers whether it is a first copy, so its loss stands, but for two cases that are certain:
///   where nothing below the window is missing it is a duplicate and counted as such, and where all
///   of it is missing, its loss is taken back. The true loss is never above `lost`, and never below
///   `lost - late`.
///
/// # Strays
///
/// A number that leaps ahead of the highest by more than [`Window::LEAP`] is held, and counts as
/// nothing, until three more from its neighbourhood have come: then the leap was an outage, and all
/// four count. If they do not come within [`Window::PATIENCE`] other datagrams, it was a stray.
/// Numbers below the first, and from 2⁶³ on, are strays at once. While a number is held, those that
/// arrive below it are not taken for reordered.
///
/// # Cost
///
/// Nothing is allocated after construction. A datagram costs constant time, a leap at most one pass
/// over the window's bitmap.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// One bit per number, set when it was received; block `n` of 64 lies at `n & mask`.
    words: Box<[u64]>,
    mask: u64,
    first: u64,
    /// One above the highest number received.
    next: u64,
    /// The newest block in the window.
    head: u64,
    /// What the sender says that it sent, once it has said so.
    sent: Option<u64>,
    received: u64,
    reordered: u64,
    duplicated: u64,
    late: u64,
    strays: u64,
    /// Numbers below the window that were never received.
    missing_below: u64,
    held: Held,
    tally: Tally,
}

/// How many numbers below the highest are remembered one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(u32);

/// What a datagram turned out to be on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The highest so far, with or without a gap before it.
    Next,
    /// A first copy, below the highest.
    Reordered,
    /// Another copy.
    Duplicate,
    /// Too old to tell.
    Late,
    /// Far ahead of all others: what it is, those that follow will tell.
    Held,
    /// No datagram of this flow.
    Stray,
}

impl Sequence {
    /// Returns the accounts of a flow whose sender begins with number `first`.
    #[must_use]
    pub fn new(first: u64, window: Window) -> Self {
        let first = first.min(END);
        let blocks = u64::from(window.0) / BLOCK;
        let mut words = vec![u64::MAX; index(blocks)].into_boxed_slice();
        let head = first / BLOCK;
        // What is below the first is not missing.
        words[index(head & (blocks - 1))] = below(first % BLOCK);
        Self {
            words,
            mask: blocks - 1,
            first,
            next: first,
            head,
            sent: None,
            received: 0,
            reordered: 0,
            duplicated: 0,
            late: 0,
            strays: 0,
            missing_below: 0,
            held: Held::default(),
            tally: Tally::starting_at(first),
        }
    }

    /// Takes the number of a datagram that arrived.
    #[inline]
    pub fn observe(&mut self, number: u64) -> Arrival {
        // Next in order, within a block that is open: nearly all are.
        if number == self.next && !number.is_multiple_of(BLOCK) {
            self.place(number);
            return Arrival::Next;
        }
        self.sort(number)
    }

    /// Takes `count` numbers that arrived in order from `first` on, if they are the next ones; if
    /// not, returns `false` and takes none.
    #[inline]
    pub fn observe_run(&mut self, first: u64, count: u64) -> bool {
        let Some(end) = first.checked_add(count).filter(|&end| end <= END) else { return false };
        if first != self.next {
            return false;
        }
        let mut number = first;
        while number < end {
            let block = number / BLOCK;
            let stop = end.min((block + 1) * BLOCK);
            self.open(block);
            self.words[index(block & self.mask)] |= between(number % BLOCK, stop - number);
            number = stop;
        }
        self.next = end;
        self.received += count;
        true
    }

    /// Takes the numbers of a batch, in the order of arrival.
    #[inline]
    pub fn observe_all(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.observe(number);
        }
    }

    /// Takes a number that is 32 bits wide on the wire.
    ///
    /// It stands for the nearest to the one expected next, so it may wrap as often as it likes; gaps
    /// of less than 2³¹ are exact.
    #[inline]
    pub fn observe_wrapping(&mut self, number: u32) -> Arrival {
        match self.unwrap_number(number) {
            Some(number) => self.observe(number),
            None => self.stray(1),
        }
    }

    /// Takes the sender's final count, which makes known what is lost at the very end.
    ///
    /// What is still under way counts when it arrives. A count below what has been seen changes
    /// nothing. Whether a count is plausible is for the caller to judge: here it is believed, and
    /// so are the numbers that it covers, however far they leap.
    pub fn sent(&mut self, count: u64) {
        self.sent = Some(self.sent.map_or(count, |sent| sent.max(count)));
        for number in self.held.take() {
            if self.is_vouched_for(number) {
                self.admit(number);
            } else {
                self.stray(1);
            }
        }
    }

    /// Counts datagrams that carry no number of this flow.
    pub fn strays(&mut self, count: u64) {
        self.strays = self.strays.saturating_add(count);
    }

    /// Forgets the runs of losses so far: those of the time that totals leave out.
    pub fn restart_runs(&mut self) {
        self.tally = Tally::starting_at(self.next);
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counts(&self) -> DatagramCounts {
        let expected = self.expected();
        DatagramCounts {
            expected,
            received: self.received,
            lost: expected - self.received,
            reordered: self.reordered,
            duplicated: self.duplicated,
            late: self.late,
            strays: self.strays,
        }
    }

    /// Returns the runs of losses so far, at the cost of a pass over the window.
    ///
    /// Gaps of which a part may still arrive count as they are now. Those that have left the window
    /// count as they were then.
    #[must_use]
    pub fn loss_runs(&self) -> LossRuns {
        let mut tally = self.tally;
        for block in self.oldest()..=self.head {
            let known = self.next.saturating_sub(block * BLOCK).min(BLOCK);
            tally.read(block, self.words[index(block & self.mask)], known);
        }
        tally.lose(self.expected() - (self.next - self.first));
        tally.runs()
    }

    fn expected(&self) -> u64 {
        (self.next - self.first).max(self.sent.unwrap_or(0))
    }

    #[inline]
    fn unwrap_number(&self, number: u32) -> Option<u64> {
        #[allow(clippy::cast_possible_truncation, reason = "the low half is what the wire carries")]
        let ahead = number.wrapping_sub(self.next as u32).cast_signed();
        self.next.checked_add_signed(i64::from(ahead))
    }

    #[cold]
    fn sort(&mut self, number: u64) -> Arrival {
        if number < self.first || number >= END {
            return self.stray(1);
        }
        let leaps = number > self.next.saturating_add(Window::LEAP);
        if leaps && !self.is_vouched_for(number) {
            return self.hold(number);
        }
        self.admit(number)
    }

    /// Returns whether the sender has said that it sent this number.
    fn is_vouched_for(&self, number: u64) -> bool {
        self.sent.is_some_and(|sent| number - self.first < sent)
    }

    fn hold(&mut self, number: u64) -> Arrival {
        if !self.held.accepts(number, self.received) {
            let strays = self.held.take().count();
            self.strays += strays as u64;
        }
        if self.held.add(number, self.received) {
            for number in self.held.take() {
                self.admit(number);
            }
            return Arrival::Next;
        }
        Arrival::Held
    }

    fn admit(&mut self, number: u64) -> Arrival {
        if number >= self.next {
            self.open(number / BLOCK);
            self.place(number);
            return Arrival::Next;
        }
        if number < self.oldest() * BLOCK {
            return self.give_up();
        }
        let bit = 1 << (number % BLOCK);
        let word = &mut self.words[index((number / BLOCK) & self.mask)];
        if *word & bit != 0 {
            self.duplicated += 1;
            return Arrival::Duplicate;
        }
        *word |= bit;
        self.received += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// Counts the highest number so far. Its block is open.
    #[inline]
    fn place(&mut self, number: u64) {
        self.words[index((number / BLOCK) & self.mask)] |= 1 << (number % BLOCK);
        self.next = number + 1;
        self.received += 1;
    }

    /// Makes room in the window for `block` and those before it.
    fn open(&mut self, block: u64) {
        let blocks = self.mask + 1;
        let steps = block.saturating_sub(self.head);
        for opened in self.head + 1..=self.head + steps.min(blocks) {
            let slot = index(opened & self.mask);
            let closed = std::mem::take(&mut self.words[slot]);
            self.missing_below += u64::from(closed.count_zeros());
            // Before the window has filled up, the words that were never used are complete.
            self.tally.read(opened.saturating_sub(blocks), closed, BLOCK);
        }
        // Of a leap beyond the window, the blocks between never get a place.
        let skipped = steps.saturating_sub(blocks) * BLOCK;
        self.missing_below += skipped;
        self.tally.lose(skipped);
        self.head += steps;
    }

    /// Returns the oldest block in the window.
    fn oldest(&self) -> u64 {
        self.head.saturating_sub(self.mask).max(self.first / BLOCK)
    }

    /// Counts one whose place in the window has been given up.
    fn give_up(&mut self) -> Arrival {
        if self.missing_below == 0 {
            self.duplicated += 1;
            return Arrival::Duplicate;
        }
        if self.missing_below == self.oldest() * BLOCK - self.first {
            self.missing_below -= 1;
            self.received += 1;
        }
        self.late += 1;
        Arrival::Late
    }

    fn stray(&mut self, count: u64) -> Arrival {
        self.strays += count;
        Arrival::Stray
    }
}

impl Window {
    /// How far a number may be ahead of the one expected, and be believed at once.
    pub const LEAP: u64 = 4096;
    /// How many other datagrams a held number waits for its neighbours.
    pub const PATIENCE: u64 = 256;

    /// Returns a window of at least `count` numbers, of 16,384 at least and of 2²⁴ at most.
    #[must_use]
    pub fn packets(count: u32) -> Self {
        Self(count.clamp(SMALLEST, LARGEST).next_power_of_two())
    }
}

impl Default for Window {
    /// Returns a window of 65,536 numbers, which takes 8 KiB: 65 ms at a million in a second.
    fn default() -> Self {
        Self(1 << 16)
    }
}

/// Returns a word with the lowest `count` bits set, of fewer than 64.
fn below(count: u64) -> u64 {
    (1 << count) - 1
}

/// Returns a word with `count` bits set, 64 at most, from `start` on.
fn between(start: u64, count: u64) -> u64 {
    if count < BLOCK { below(count) << start } else { u64::MAX }
}

#[allow(clippy::cast_possible_truncation, reason = "a place in the window, at most 2^18")]
fn index(block: u64) -> usize {
    block as usize
}

/// Numbers in a word of the bitmap.
const BLOCK: u64 = 64;
/// Numbers end here, so that sums of two never overflow.
const END: u64 = 1 << 63;
/// Four times the leap: whatever a stray within the leap pushed away stays in the window.
const SMALLEST: u32 = 1 << 14;
const LARGEST: u32 = 1 << 24;
