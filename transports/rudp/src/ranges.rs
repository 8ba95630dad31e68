//! Sets of numbers that lie close together.

use std::{collections::VecDeque, ops::Range};

/// Numbers, as ranges that neither touch nor overlap, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(VecDeque<Range<u64>>);

impl RangeSet {
    /// Adds `range`.
    #[inline]
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.0.back_mut() {
            // Nearly always it continues what is there, or is behind it.
            Some(last) if last.start <= range.start => {
                if range.start <= last.end {
                    last.end = last.end.max(range.end);
                } else {
                    self.0.push_back(range);
                }
            }
            None => self.0.push_back(range),
            Some(_) => self.insert_within(range),
        }
    }

    fn insert_within(&mut self, mut range: Range<u64>) {
        let from = self.0.partition_point(|held| held.end < range.start);
        let to = self.0.partition_point(|held| held.start <= range.end);
        if from == to {
            self.0.insert(from, range);
            return;
        }
        range.start = range.start.min(self.0[from].start);
        range.end = range.end.max(self.0[to - 1].end);
        self.0[from] = range;
        self.0.drain(from + 1..to);
    }

    /// Takes the numbers of `range` out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() || self.0.is_empty() {
            return;
        }
        let from = self.0.partition_point(|held| held.end <= range.start);
        let to = self.0.partition_point(|held| held.start < range.end);
        if from >= to {
            return;
        }
        let before = self.0[from].start..range.start;
        let after = range.end..self.0[to - 1].end;
        self.0.drain(from..to);
        for left in [after, before] {
            if !left.is_empty() {
                self.0.insert(from, left);
            }
        }
    }

    /// Returns the parts of `range` that are not in the set.
    pub(crate) fn missing(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut next = self.0.partition_point(|held| held.end <= range.start);
        let mut at = range.start;
        std::iter::from_fn(move || {
            while at < range.end {
                let held = self.0.get(next).filter(|held| held.start < range.end);
                let Some(held) = held else {
                    let rest = at..range.end;
                    at = range.end;
                    return Some(rest);
                };
                next += 1;
                let gap = at..held.start.max(at);
                at = held.end;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Returns the parts of `range` that are in the set.
    pub(crate) fn present(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.0.partition_point(|held| held.end <= range.start);
        let part = move |held: &Range<u64>| held.start.max(range.start)..held.end.min(range.end);
        self.0.range(from..).map(part).take_while(|part| !part.is_empty())
    }

    /// Returns whether `number` is in the set.
    #[inline]
    pub(crate) fn contains(&self, number: u64) -> bool {
        let index = self.0.partition_point(|held| held.end <= number);
        self.0.get(index).is_some_and(|held| held.start <= number)
    }

    pub(crate) fn first(&self) -> Option<&Range<u64>> {
        self.0.front()
    }

    pub(crate) fn last(&self) -> Option<&Range<u64>> {
        self.0.back()
    }

    pub(crate) fn pop_first(&mut self) -> Option<Range<u64>> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the ranges from the highest down.
    pub(crate) fn iter_down(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_touches_is_joined() {
        let mut set = RangeSet::default();
        for range in [5..7, 9..10, 7..9, 0..2, 3..4, 1..3] {
            set.insert(range);
        }
        assert_eq!(set.0, [0..4, 5..10]);
        set.insert(4..5);
        assert_eq!((set.len(), set.first()), (1, Some(&(0..10))));
    }

    /// Anything that can be done, against a set of single numbers.
    #[test]
    fn it_holds_what_was_put_in_and_not_taken_out() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for _ in 0..60 {
                let start = random(60);
                let range = start..start + random(12);
                match random(4) {
                    0 => {
                        set.remove(range.clone());
                        model.retain(|number| !range.contains(number));
                    }
                    _ => {
                        set.insert(range.clone());
                        model.extend(range.clone());
                    }
                }
                let probe = start.saturating_sub(3)..start + 20;
                let missing: Vec<_> = set.missing(probe.clone()).flatten().collect();
                let present: Vec<_> = set.present(probe.clone()).flatten().collect();
                let (held, absent): (Vec<_>, Vec<_>) = probe.partition(|n| model.contains(n));
                assert_eq!((missing, present), (absent, held));
                assert!((0..90).all(|number| set.contains(number) == model.contains(&number)));
                let apart = set.0.iter().zip(set.0.iter().skip(1)).all(|(a, b)| a.end < b.start);
                assert!(apart && set.0.iter().all(|range| !range.is_empty()));
            }
        }
    }
}
