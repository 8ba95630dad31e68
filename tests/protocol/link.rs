//! One direction of a control connection: ordered, with a latency, and with faults by script.

use std::time::Duration;

/// What happens to one message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It never arrives, and what follows does.
    Lost,
    /// It arrives this much later, and everything behind it waits, as on TCP.
    Late(Duration),
    /// It arrives this much later, and what follows overtakes it.
    Overtaken(Duration),
    /// It arrives twice.
    Repeated,
    /// Neither it nor anything after it arrives, not even the end of the connection.
    Cut,
    /// The connection ends instead.
    Ended,
}

#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Bytes(Vec<u8>),
    End,
}

#[derive(Debug, Default)]
pub(crate) struct Link {
    faults: Vec<(usize, Fault)>,
    cut_at: Option<Duration>,
    cut: bool,
    messages: usize,
    /// Nothing that keeps its place arrives before this.
    floor: Duration,
    flying: Vec<(Duration, Packet)>,
}

impl Link {
    /// Lets this happen to the `message`-th message, counted from 0.
    pub(crate) fn fault(&mut self, message: usize, fault: Fault) {
        self.faults.push((message, fault));
    }

    /// Lets nothing pass that is sent at `at` or later.
    pub(crate) fn cut_at(&mut self, at: Duration) {
        self.cut_at = Some(at);
    }

    pub(crate) fn send(&mut self, bytes: Vec<u8>, now: Duration) {
        let index = self.messages;
        self.messages += 1;
        let fault = self.faults.iter().find(|(message, _)| *message == index);
        let packet = Packet::Bytes(bytes);
        match fault.map(|(_, fault)| *fault) {
            None => self.fly(packet, now, Duration::ZERO),
            Some(Fault::Lost) => {}
            Some(Fault::Late(by)) => self.fly(packet, now, by),
            Some(Fault::Overtaken(by)) => self.flying.push((now + LATENCY + by, packet)),
            Some(Fault::Repeated) => {
                self.fly(packet.clone(), now, Duration::ZERO);
                self.fly(packet, now, Duration::ZERO);
            }
            Some(Fault::Cut) => self.cut = true,
            Some(Fault::Ended) => {
                self.close(now);
                self.cut = true;
            }
        }
    }

    /// Ends the connection behind what was sent.
    pub(crate) fn close(&mut self, now: Duration) {
        self.fly(Packet::End, now, Duration::ZERO);
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.flying.iter().map(|(at, _)| *at).min()
    }

    /// Returns the next packet that has arrived by `now`.
    pub(crate) fn receive(&mut self, now: Duration) -> Option<Packet> {
        let next = self.next_arrival().filter(|at| *at <= now)?;
        let index = self.flying.iter().position(|(at, _)| *at == next)?;
        Some(self.flying.remove(index).1)
    }

    fn fly(&mut self, packet: Packet, now: Duration, extra: Duration) {
        if self.cut || self.cut_at.is_some_and(|at| now >= at) {
            return;
        }
        self.floor = self.floor.max(now + LATENCY + extra);
        self.flying.push((self.floor, packet));
    }
}

/// How long a message takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);
