//! Places for segments, found by their numbers.

use crate::seq::before;

/// A place for each of so many neighbouring numbers.
#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: Box<[T]>,
    mask: u32,
}

impl<T: Clone + Default> Ring<T> {
    /// Returns a ring for `len` neighbouring numbers or more.
    pub(super) fn new(len: u32) -> Self {
        let len = ring_len(len);
        Self { slots: vec![T::default(); len as usize].into(), mask: len - 1 }
    }

    pub(super) fn at(&self, sn: u32) -> &T {
        &self.slots[(sn & self.mask) as usize]
    }

    pub(super) fn at_mut(&mut self, sn: u32) -> &mut T {
        &mut self.slots[(sn & self.mask) as usize]
    }
}

/// A mark, there or not, for each of so many neighbouring numbers.
#[derive(Debug)]
pub(super) struct Marks {
    words: Box<[u64]>,
    mask: u32,
}

impl Marks {
    /// Returns marks for `len` neighbouring numbers or more, none of which is there.
    pub(super) fn new(len: u32) -> Self {
        let len = ring_len(len);
        Self { words: vec![0; (len / BLOCK) as usize].into(), mask: len - 1 }
    }

    pub(super) fn set(&mut self, sn: u32) {
        let (word, bit) = self.place(sn);
        self.words[word] |= 1 << bit;
    }

    /// Removes a mark, and returns whether it was there.
    pub(super) fn clear(&mut self, sn: u32) -> bool {
        let (word, bit) = self.place(sn);
        let was = self.words[word] >> bit & 1 == 1;
        self.words[word] &= !(1 << bit);
        was
    }

    pub(super) fn is_set(&self, sn: u32) -> bool {
        let (word, bit) = self.place(sn);
        self.words[word] >> bit & 1 == 1
    }

    /// Returns the first number with a mark from `from` on, and before `end`.
    ///
    /// Takes a step for each block of 64 numbers.
    #[inline]
    pub(super) fn next(&self, from: u32, end: u32) -> Option<u32> {
        let mut sn = from;
        while before(sn, end) {
            let (word, bit) = self.place(sn);
            let rest = self.words[word] >> bit;
            if rest != 0 {
                let found = sn.wrapping_add(rest.trailing_zeros());
                return before(found, end).then_some(found);
            }
            sn = block_end(sn);
        }
        None
    }

    fn place(&self, sn: u32) -> (usize, u32) {
        let at = sn & self.mask;
        ((at / BLOCK) as usize, at % BLOCK)
    }
}

/// The earliest time at which something has to be done about any number of a block of 64.
///
/// What is known is no later than what is true: times of numbers that are done with stay until the
/// block is looked at. So nothing is ever late, and looking costs nothing while nothing is due.
#[derive(Debug)]
pub(super) struct Dues {
    blocks: Box<[u64]>,
    mask: u32,
    earliest: u64,
}

impl Dues {
    /// Returns times for `len` neighbouring numbers or more, at none of which there is anything to
    /// do.
    pub(super) fn new(len: u32) -> Self {
        let len = ring_len(len);
        Self { blocks: vec![NEVER; (len / BLOCK) as usize].into(), mask: len - 1, earliest: NEVER }
    }

    /// Has `sn` looked at when it is `due`.
    pub(super) fn add(&mut self, sn: u32, due: u64) {
        let block = self.block(sn);
        *block = due.min(*block);
        self.earliest = due.min(self.earliest);
    }

    /// Returns the start of the first block with something due by `now` among the numbers from
    /// `from` on, and before `end`.
    pub(super) fn next(&self, from: u32, end: u32, now: u64) -> Option<u32> {
        let mut sn = from;
        while before(sn, end) {
            if self.blocks[((sn & self.mask) / BLOCK) as usize] <= now {
                return Some(sn);
            }
            sn = block_end(sn);
        }
        None
    }

    /// Says what is true for the block that `sn` is in.
    pub(super) fn set(&mut self, sn: u32, due: u64) {
        *self.block(sn) = due;
    }

    /// Says that all blocks with numbers from `from` on, and before `end`, are as they are, and
    /// that there are no others.
    pub(super) fn settle(&mut self, from: u32, end: u32) {
        self.earliest = NEVER;
        let mut sn = from;
        while before(sn, end) {
            self.earliest = self.earliest.min(*self.block(sn));
            sn = block_end(sn);
        }
    }

    /// Returns when to look next.
    pub(super) fn earliest(&self) -> u64 {
        self.earliest
    }

    fn block(&mut self, sn: u32) -> &mut u64 {
        &mut self.blocks[((sn & self.mask) / BLOCK) as usize]
    }
}

/// Returns the first number behind the block of 64 that `sn` is in.
pub(super) fn block_end(sn: u32) -> u32 {
    (sn | (BLOCK - 1)).wrapping_add(1)
}

/// No time at all.
pub(super) const NEVER: u64 = u64::MAX;

/// How many places a ring needs so that no block is at the head and the tail at once.
fn ring_len(len: u32) -> u32 {
    (len + BLOCK).next_power_of_two()
}

const BLOCK: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_order_across_the_wrap() {
        let mut marks = Marks::new(200);
        let start = u32::MAX - 70;
        let set = [0, 1, 69, 70, 71, 72, 150].map(|at| start.wrapping_add(at));
        set.iter().for_each(|&sn| marks.set(sn));
        assert_eq!(walk(&marks, start, start.wrapping_add(200)), set);
        assert_eq!(walk(&marks, start, start.wrapping_add(70)), set[..3]);
        assert!(marks.clear(set[3]) && !marks.clear(set[3]));
        assert!(marks.is_set(set[4]) && !marks.is_set(set[3]));
    }

    #[test]
    fn only_blocks_with_something_due_are_looked_at() {
        let mut dues = Dues::new(1000);
        dues.add(10, 50);
        dues.add(500, 70);
        assert_eq!((dues.earliest(), dues.next(0, 1000, 49)), (50, None));
        assert_eq!(dues.next(0, 1000, 60), Some(0));
        dues.set(0, NEVER);
        dues.settle(0, 1000);
        assert_eq!((dues.earliest(), dues.next(0, 1000, 70)), (70, Some(448)));
    }

    fn walk(marks: &Marks, from: u32, end: u32) -> Vec<u32> {
        let mut at = from;
        std::iter::from_fn(|| {
            let found = marks.next(at, end)?;
            at = found.wrapping_add(1);
            Some(found)
        })
        .collect()
    }
}
