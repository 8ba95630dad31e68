//! Frames that are used again, so that carrying a packet allocates nothing.

use std::rc::Rc;

use super::frame::Frame;

/// Frames that nobody uses at present, of three sizes: a packet that waits on a link must not keep
/// the room of the largest.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: [Vec<Rc<Frame>>; SIZES.len()],
}

impl Pool {
    /// Returns a frame with room for anything that can be read.
    pub(super) fn largest(&mut self) -> Rc<Frame> {
        self.take(SIZES.len() - 1)
    }

    /// Returns `read` in a frame of its size, and leaves one there into which can be read again.
    pub(super) fn fit(&mut self, read: &mut Rc<Frame>) -> Rc<Frame> {
        let len = read.bytes().len();
        let size = SIZES.iter().position(|(room, _)| len <= *room).unwrap_or(SIZES.len() - 1);
        let mut fitting = self.take(size);
        if size == SIZES.len() - 1 {
            std::mem::swap(read, &mut fitting);
        } else if let Some(frame) = Rc::get_mut(&mut fitting) {
            frame.copy(read);
        }
        fitting
    }

    /// Takes back what one user of a frame is done with.
    pub(super) fn give_back(&mut self, mut frame: Rc<Frame>) {
        let Some(room) = Rc::get_mut(&mut frame).map(|frame| frame.room().len()) else { return };
        let size = SIZES.iter().position(|(size, _)| *size == room);
        if let Some(size) = size
            && self.free[size].len() < SIZES[size].1
        {
            self.free[size].push(frame);
        }
    }

    fn take(&mut self, size: usize) -> Rc<Frame> {
        self.free[size].pop().unwrap_or_else(|| Rc::new(Frame::with_room(SIZES[size].0)))
    }
}

/// Bytes of each size, and how many of it are kept: 32 MiB at most.
const SIZES: [(usize, usize); 3] = [(2048, 16_384), (16_384, 1024), (LARGEST, 512)];

/// A packet of the longest that there is, with what precedes it.
const LARGEST: usize = 66_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pool: &mut Pool, len: usize) -> Rc<Frame> {
        let mut frame = pool.largest();
        let room = Rc::get_mut(&mut frame).unwrap();
        room.room()[..len].fill(7);
        room.fill(len, 0);
        frame
    }

    #[test]
    fn a_frame_is_as_large_as_it_has_to_be_and_used_again() {
        let mut pool = Pool::default();
        for (len, room) in [(60, 2048), (2048, 2048), (2049, 16_384), (65_000, LARGEST)] {
            let mut from = read(&mut pool, len);
            let mut frame = pool.fit(&mut from);
            assert_eq!(frame.bytes(), vec![7; len]);
            assert_eq!(Rc::get_mut(&mut frame).unwrap().room().len(), room);
            assert_eq!(Rc::get_mut(&mut from).unwrap().room().len(), LARGEST);
            let place = Rc::as_ptr(&frame);
            pool.give_back(frame);
            let mut from = read(&mut pool, len);
            let again = pool.fit(&mut from);
            assert!(Rc::as_ptr(&again) == place || room == LARGEST);
        }
    }

    #[test]
    fn what_somebody_still_uses_is_not_given_out_again() {
        let mut pool = Pool::default();
        let mut from = read(&mut pool, 100);
        let frame = pool.fit(&mut from);
        let other = Rc::clone(&frame);
        pool.give_back(frame);
        let next = pool.fit(&mut from);
        assert!(!Rc::ptr_eq(&other, &next));
    }
}
