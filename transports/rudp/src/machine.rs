//! A flow's end, as it is driven over a socket.

use std::{io, time::Duration};

use polyperf_socket::{Flushed, Machine, Output};

use crate::{Connection, Stats};

impl Machine for Connection {
    type Stats = Stats;

    fn send(&mut self, bytes: &[u8]) -> usize {
        Connection::send(self, bytes)
    }

    fn finish(&mut self) {
        Connection::finish(self);
    }

    fn desert(&mut self) {
        Connection::desert(self);
    }

    fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        Connection::recv(self, buf)
    }

    fn input(&mut self, datagram: &[u8], marked: bool, now: Duration) {
        Connection::input(self, datagram, marked, now);
    }

    fn flush(&mut self, now: Duration, output: &mut Output) -> Flushed {
        Connection::flush(self, now, output)
    }

    fn deadline(&self, now: Duration) -> Option<Duration> {
        Connection::deadline(self, now)
    }

    fn has_room(&self) -> bool {
        self.room() >= self.call().min(u64::from(self.config().window) / 2)
    }

    fn is_readable(&self) -> bool {
        Connection::is_readable(self)
    }

    fn is_ended(&self) -> bool {
        Connection::is_ended(self)
    }

    fn is_drained(&self) -> bool {
        Connection::is_drained(self)
    }

    fn failure(&self) -> Option<(io::ErrorKind, String)> {
        self.over().map(|over| ((&over).into(), over.to_string()))
    }

    fn stats(&self) -> Stats {
        Connection::stats(self)
    }
}
