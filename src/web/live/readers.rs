use axum::body::Bytes;
use tokio::sync::mpsc;

/// Who watches, each with some room for what it has not taken yet.
///
/// A reader that has no room left is let go of: nobody waits for it, and what is kept for it is
/// bounded. Its browser connects again by itself, and begins with how things are then.
#[derive(Debug)]
pub(super) struct Readers {
    readers: Vec<mpsc::Sender<Bytes>>,
    most: usize,
    dropped: u64,
}

impl Readers {
    pub(super) fn new(most: usize) -> Self {
        Self { readers: Vec::new(), most, dropped: 0 }
    }

    /// Adds a reader, whose first message this is; `None` if there are too many.
    pub(super) fn join(&mut self, first: Bytes) -> Option<mpsc::Receiver<Bytes>> {
        self.readers.retain(|reader| !reader.is_closed());
        if self.readers.len() >= self.most {
            return None;
        }
        let (reader, messages) = mpsc::channel(BACKLOG);
        reader.try_send(first).ok()?;
        self.readers.push(reader);
        Some(messages)
    }

    /// Hands a message to each. It is kept once, for however many.
    pub(super) fn send(&mut self, message: &Bytes) {
        let dropped = &mut self.dropped;
        self.readers.retain(|reader| match reader.try_send(message.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *dropped += 1;
                false
            }
        });
    }

    /// Lets go of all.
    pub(super) fn dismiss(&mut self) {
        self.readers.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.readers.iter().filter(|reader| !reader.is_closed()).count()
    }

    /// Returns how many were let go of because they did not read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Messages that a reader may be behind: some seconds of a busy server.
const BACKLOG: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_is_let_go_of_and_the_others_miss_nothing() {
        let mut readers = Readers::new(2);
        let slow = readers.join(Bytes::from_static(b"0")).unwrap();
        let mut quick = readers.join(Bytes::from_static(b"0")).unwrap();
        assert!(readers.join(Bytes::new()).is_none(), "there is room for two");
        for number in 1..100 {
            readers.send(&Bytes::from(number.to_string()));
            assert_eq!(quick.try_recv().unwrap(), (number - 1).to_string());
        }
        assert_eq!((readers.len(), readers.dropped()), (1, 1));
        assert_eq!(slow.len(), BACKLOG, "what is kept for it is bounded");
        assert!(slow.is_closed());
    }

    #[test]
    fn who_leaves_makes_room() {
        let mut readers = Readers::new(1);
        drop(readers.join(Bytes::new()).unwrap());
        let _next = readers.join(Bytes::new()).unwrap();
        assert_eq!((readers.len(), readers.dropped()), (1, 0));
    }
}
