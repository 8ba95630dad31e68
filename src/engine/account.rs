use std::{num::NonZeroUsize, time::Duration};

use polyperf_transport::Received;

use super::framing::{Framing, nanos};
use crate::{
    measure::{Arrival, DatagramCounts, DatagramHeader, DatagramSummary, Delays, Sequence, Window},
    protocol::iperf3::{
        Datagrams,
        udp::{Counter, Header, Iperf3Receiver},
    },
};

/// What became of the datagrams of one flow, as its receiver keeps it.
#[derive(Debug)]
pub(super) struct Account {
    framing: Framing,
    block: usize,
    /// When the totals begin, until they have.
    omit: Option<Duration>,
    sequence: Sequence,
    delays: Delays,
    /// iperf3's own arithmetic, for its end of a test.
    iperf3: Iperf3Receiver,
    sent: Option<u64>,
}

impl Account {
    /// Returns the account of a flow of datagrams of up to `block` bytes.
    pub(super) fn new(framing: Framing, block: NonZeroUsize, omit: Duration) -> Self {
        let first = u64::from(matches!(framing, Framing::Iperf3(_)));
        Self {
            framing,
            block: block.get(),
            omit: Some(omit).filter(|omit| !omit.is_zero()),
            sequence: Sequence::new(first, Window::default()),
            delays: Delays::new(),
            iperf3: Iperf3Receiver::default(),
            sent: None,
        }
    }

    /// Takes what was received into `buffer` at `now`, and returns the bytes of datagrams that were
    /// not received before.
    pub(super) fn take(&mut self, buffer: &[u8], received: Received, now: Duration) -> usize {
        if self.omit.is_some_and(|omit| now >= omit) {
            self.begin_totals();
        }
        let batch = &buffer[..received.len.min(buffer.len())];
        if batch.is_empty() || received.stride == 0 {
            self.sequence.strays(1);
            return 0;
        }
        // Only differences of arrival times matter, so that the kernel's clock is as good as ours.
        let at = nanos(received.kernel_time.unwrap_or(now));
        let mut bytes = 0;
        let mut rest = batch;
        while !rest.is_empty() {
            let run = self.take_run(rest, received.stride, at);
            if run > 0 {
                bytes += run;
                rest = &rest[run..];
                continue;
            }
            let (datagram, others) = rest.split_at(received.stride.min(rest.len()));
            rest = others;
            let arrival = match self.framing {
                Framing::Iperf3(counter) => self.take_iperf3(datagram, counter, at, now),
                Framing::Native | Framing::Bytes => self.take_native(datagram, at),
            };
            if !matches!(arrival, Arrival::Duplicate | Arrival::Stray) {
                bytes += datagram.len();
            }
        }
        bytes
    }

    /// Takes the datagrams at the start of `batch` that were sent together and are the next ones,
    /// as nearly all are, and returns their bytes. To take them one by one comes to the same.
    fn take_run(&mut self, batch: &[u8], stride: usize, at: u64) -> usize {
        if matches!(self.framing, Framing::Iperf3(_)) || stride > self.block {
            return 0;
        }
        let Some((first, count)) = DatagramHeader::read_run(batch, stride) else { return 0 };
        if !self.sequence.observe_run(first.sequence, count) {
            return 0;
        }
        self.delays.observe_run(first.sent, at, count);
        usize::try_from(count).map_or(batch.len(), |count| batch.len().min(count * stride))
    }

    /// Takes note of how many datagrams the sender has sent in all.
    pub(super) fn expect(&mut self, sent: u64) {
        self.sent = Some(sent);
        self.sequence.sent(sent);
    }

    /// Returns whether everything that was sent has come.
    pub(super) fn is_complete(&self) -> bool {
        self.sent.is_some_and(|sent| self.counts().received >= sent)
    }

    pub(super) fn counts(&self) -> DatagramCounts {
        self.sequence.counts()
    }

    pub(super) fn jitter(&self) -> Option<Duration> {
        self.delays.jitter()
    }

    /// Returns what the flow came to after `omitted`.
    pub(super) fn summary(&self, omitted: &DatagramCounts) -> DatagramSummary {
        DatagramSummary::new(&self.sequence, omitted, &self.delays)
    }

    /// Returns the figures as iperf3 would have them.
    pub(super) fn iperf3(&self) -> Datagrams {
        self.iperf3.figures()
    }

    fn take_native(&mut self, datagram: &[u8], at: u64) -> Arrival {
        let header = DatagramHeader::read(datagram).filter(|_| datagram.len() <= self.block);
        let Some(header) = header else { return self.stray() };
        let arrival = self.sequence.observe(header.sequence);
        self.delay(arrival, header.sent, at);
        arrival
    }

    fn take_iperf3(
        &mut self,
        datagram: &[u8],
        counter: Counter,
        at: u64,
        now: Duration,
    ) -> Arrival {
        let Some(header) = Header::read(datagram, counter) else { return self.stray() };
        self.iperf3.receive(header, now);
        let arrival = match counter {
            Counter::Bits64 => self.sequence.observe(header.sequence),
            #[allow(clippy::cast_possible_truncation, reason = "it was read from 32 bits")]
            Counter::Bits32 => self.sequence.observe_wrapping(header.sequence as u32),
        };
        self.delay(arrival, nanos(header.sent), at);
        arrival
    }

    /// Copies and strays say nothing of how evenly datagrams arrive.
    fn delay(&mut self, arrival: Arrival, sent: u64, at: u64) {
        if matches!(arrival, Arrival::Next | Arrival::Reordered) {
            self.delays.observe(sent, at);
        }
    }

    fn stray(&mut self) -> Arrival {
        self.sequence.strays(1);
        Arrival::Stray
    }

    fn begin_totals(&mut self) {
        self.omit = None;
        self.sequence.restart_runs();
        self.delays.reset();
        self.iperf3.omit();
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    const BLOCK: NonZeroUsize = NonZeroUsize::new(100).unwrap();
    const MS: Duration = Duration::from_millis(1);

    fn datagram(sequence: u64, len: usize) -> Vec<u8> {
        let mut bytes = DatagramHeader { sequence, sent: 0 }.to_bytes().to_vec();
        bytes.resize(len, 0xaa);
        bytes
    }

    fn train(numbers: &[u64], stride: usize) -> Vec<u8> {
        numbers.iter().flat_map(|&number| datagram(number, stride)).collect()
    }

    fn take(account: &mut Account, bytes: &[u8], stride: usize, now: Duration) -> usize {
        account.take(bytes, Received { stride, ..Received::whole(bytes.len()) }, now)
    }

    #[test]
    fn a_train_is_taken_apart_datagram_by_datagram() {
        let mut account = Account::new(Framing::Native, BLOCK, Duration::ZERO);
        let bytes = train(&[0, 1, 3, 2, 2, 5], 100);
        assert_eq!(take(&mut account, &bytes, 100, MS), 500, "a copy is no goodput");
        account.expect(8);
        let counts = account.counts();
        assert_eq!((counts.received, counts.lost, counts.expected), (5, 3, 8));
        assert_eq!((counts.reordered, counts.duplicated, counts.strays), (1, 1, 0));
        assert!(!account.is_complete());
        take(&mut account, &train(&[4, 6, 7], 100), 100, MS);
        assert!(account.is_complete());
    }

    #[test]
    fn datagrams_that_were_sent_together_count_as_if_they_came_one_by_one() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut together = Account::new(Framing::Native, BLOCK, Duration::ZERO);
        let mut singly = Account::new(Framing::Native, BLOCK, Duration::ZERO);
        let mut number = 0;
        for round in 0..5000 {
            let now = MS * round + Duration::from_nanos(rng.random_range(0..900_000));
            let mut batch = Vec::new();
            for _ in 0..rng.random_range(1..200) {
                number += match rng.random_range(0..400) {
                    0 => rng.random_range(1..100),
                    _ => 1,
                };
                let sequence = number - u64::from(rng.random_bool(0.005)) * number.min(3);
                let sent = nanos(MS * round) + u64::from(rng.random_bool(0.01));
                let header = DatagramHeader { sequence, sent }.to_bytes();
                batch.extend(header.into_iter().chain([0xaa; 10]));
            }
            batch.truncate(batch.len() - rng.random_range(0..12));
            let bytes = take(&mut together, &batch, 30, now);
            let each = batch.chunks(30).map(|datagram| take(&mut singly, datagram, 30, now));
            assert_eq!(bytes, each.sum::<usize>());
        }
        assert_eq!(together.counts(), singly.counts());
        assert_eq!(together.jitter(), singly.jitter());
        let none = DatagramCounts::default();
        assert_eq!(together.summary(&none), singly.summary(&none));
        assert!(together.counts().lost > 0 && together.counts().reordered > 0);
    }

    #[test]
    fn what_is_no_datagram_of_the_flow_is_a_stray() {
        for framing in [Framing::Native, Framing::Iperf3(Counter::Bits64)] {
            let mut account = Account::new(framing, BLOCK, Duration::ZERO);
            assert_eq!(take(&mut account, &[], 0, MS), 0);
            assert_eq!(take(&mut account, &[1, 2, 3], 0, MS), 0);
            assert_eq!(take(&mut account, &[1, 2, 3], 3, MS), 0);
            assert_eq!(account.counts().strays, 3);
        }
        let mut account = Account::new(Framing::Native, BLOCK, Duration::ZERO);
        assert_eq!(take(&mut account, &datagram(0, 101), 101, MS), 0, "longer than was agreed");
        assert_eq!(take(&mut account, &[0xff; 100], 100, MS), 0);
        assert_eq!(take(&mut account, &datagram(u64::MAX, 100), 100, MS), 0);
        assert_eq!((account.counts().strays, account.counts().received), (3, 0));
        let beyond = Received { len: usize::MAX, stride: usize::MAX, kernel_time: None };
        assert_eq!(account.take(&[0xff; 10], beyond, MS), 0);
    }

    #[test]
    fn numbers_of_32_bits_may_wrap() {
        let mut account = Account::new(Framing::Iperf3(Counter::Bits32), BLOCK, Duration::ZERO);
        account.sequence = Sequence::new(u64::from(u32::MAX) - 1, Window::default());
        for number in [u64::from(u32::MAX) - 1, u64::from(u32::MAX), 0, 2] {
            let mut bytes = [0; 100];
            Header { sent: MS, sequence: number }.write(&mut bytes, Counter::Bits32);
            take(&mut account, &bytes, 100, MS);
        }
        let counts = account.counts();
        assert_eq!((counts.received, counts.lost, counts.strays), (4, 1, 0));
    }

    #[test]
    fn iperf3s_figures_stand_beside_ours() {
        let mut account = Account::new(Framing::Iperf3(Counter::Bits64), BLOCK, Duration::ZERO);
        for number in [1, 2, 2, 5] {
            let mut bytes = [0; 100];
            Header { sent: MS, sequence: number }.write(&mut bytes, Counter::Bits64);
            take(&mut account, &bytes, 100, MS);
        }
        let (theirs, ours) = (account.iperf3(), account.summary(&DatagramCounts::default()));
        assert_eq!((theirs.packets, theirs.lost, theirs.out_of_order), (5, 2, Some(1)));
        assert_eq!((ours.received, ours.lost, ours.duplicated), (3, Some(2), Some(1)));
    }

    #[test]
    fn runs_and_delays_begin_with_the_totals() {
        let mut account = Account::new(Framing::Native, BLOCK, 10 * MS);
        take(&mut account, &train(&[0, 9], 100), 100, MS);
        let omitted = account.counts();
        take(&mut account, &train(&[10, 12], 100), 100, 10 * MS);
        let summary = account.summary(&omitted);
        assert_eq!((summary.received, summary.lost), (2, Some(1)));
        assert_eq!((summary.loss_runs, summary.longest_loss_run), (Some(1), Some(1)));
    }
}
