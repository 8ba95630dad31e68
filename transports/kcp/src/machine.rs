//! A conversation, as it is driven over a socket.

use std::{io, time::Duration};

use polyperf_socket::{Flushed, MAX_DATAGRAM, Machine, Output};

use crate::{Conversation, Stats};

impl Machine for Conversation {
    type Stats = Stats;

    fn send(&mut self, bytes: &[u8]) -> usize {
        // In a stream there is nothing too long.
        Conversation::send(self, bytes).unwrap_or(0)
    }

    fn finish(&mut self) {
        Conversation::finish(self);
    }

    fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        Conversation::recv(self, buf)
    }

    fn input(&mut self, datagram: &[u8], _: bool, now: Duration) {
        // What is rejected is counted there.
        let _ = Conversation::input(self, datagram, now);
    }

    fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed {
        Conversation::flush(self, now, output)
    }

    fn deadline(&self, now: Duration) -> Option<Duration> {
        Conversation::deadline(self, now)
    }

    fn has_room(&self) -> bool {
        let config = self.config();
        let call = MAX_DATAGRAM / usize::from(config.mtu).max(1);
        let enough = call.min(usize::from(config.send_window.get()) / 2).max(1);
        self.room() >= enough
    }

    fn is_readable(&self) -> bool {
        Conversation::is_readable(self)
    }

    fn is_ended(&self) -> bool {
        Conversation::is_ended(self)
    }

    fn is_drained(&self) -> bool {
        Conversation::is_drained(self)
    }

    fn failure(&self) -> Option<(io::ErrorKind, String)> {
        self.dead().map(|dead| (io::ErrorKind::TimedOut, format!("is gone: {dead}")))
    }

    fn stats(&self) -> Stats {
        Conversation::stats(self)
    }
}

#[cfg(test)]
mod tests;
