//! Random walks: whatever happens, and in whatever order, a machine neither panics nor hangs.

use std::time::Duration;

use polyperf::{
    outcome::{FailureCode, Side},
    protocol::native::{Action, Admission, Client, Deadlines, Input, Message, Sent, Server},
    spec::{Direction, Limit, TestSpec},
};

use crate::fixtures::{
    SECOND, agree, busy, failure, one_of_each, propose, results, sample, spec, stopped, timed,
    welcome,
};

/// A machine of either kind, and whether it is over.
enum Walker {
    Client(Box<Client>),
    Server(Box<Server>),
}

/// SplitMix64: the same walk for the same seed, for ever.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}

impl Walker {
    fn new(side: Side, spec: &TestSpec, now: Duration) -> Self {
        let deadlines = Deadlines::default();
        match side {
            Side::Client => {
                Self::Client(Box::new(Client::new(propose(spec), 60 * SECOND, deadlines, now)))
            }
            Side::Server => {
                Self::Server(Box::new(Server::new(welcome(), 600 * SECOND, deadlines, now)))
            }
        }
    }

    fn handle(&mut self, input: Input, now: Duration) {
        match self {
            Self::Client(client) => client.handle(input, now),
            Self::Server(server) => server.handle(input, now),
        }
    }

    fn admission(&mut self, admission: Admission, now: Duration) {
        if let Self::Server(server) = self {
            server.admission(admission, now);
        }
    }

    /// Does what is due, and returns whether it is over.
    fn check(&mut self, now: Duration) -> bool {
        let deadline = match self {
            Self::Client(client) => {
                client.check(now);
                client.deadline()
            }
            Self::Server(server) => {
                server.check(1, now);
                server.deadline()
            }
        };
        let mut over = false;
        while let Some(action) = self.poll() {
            assert!(!over, "{action:?} after the end");
            over = matches!(action, Action::Conclude(..));
        }
        assert_eq!(deadline.is_none(), over, "there is a deadline until it is over");
        assert!(deadline.is_none_or(|at| at > now), "due for ever at {now:?}");
        over
    }

    fn poll(&mut self) -> Option<Action> {
        match self {
            Self::Client(client) => client.poll(),
            Self::Server(server) => server.poll(),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Client(client) => client.deadline(),
            Self::Server(server) => server.deadline(),
        }
    }
}

/// The next message of a test that goes well, mostly, so that walks get far.
fn likely(side: Side, spec: &TestSpec, step: usize) -> Input {
    let messages = one_of_each(spec, side.other());
    let names: &[&str] = match side {
        Side::Client => &["welcome", "busy", "agree", "start", "sent", "results"],
        Side::Server => &["propose", "sent", "results", "bye"],
    };
    let name = names[step % names.len()];
    Input::Message(messages.into_iter().find(|message| message.name() == name).unwrap())
}

fn odd(dice: &mut Dice, side: Side, spec: &TestSpec) -> Input {
    let by = [Side::Client, Side::Server][dice.roll(2)];
    let mut messages = one_of_each(spec, by);
    match dice.roll(11) {
        0 => Input::StreamsOpen,
        1 => Input::Sample(sample([])),
        2 => Input::Received(u64::MAX - dice.roll(3) as u64),
        3 => Input::SendingDone(Vec::new()),
        4 => Input::Done(results([])),
        5 => Input::Stop(stopped(side)),
        6 if dice.roll(50) == 0 => Input::GiveUp(failure(FailureCode::Stream)),
        7 if dice.roll(50) == 0 => Input::Lost("the walk has it so".to_owned()),
        8 => Input::Message(Message::Ping { received: dice.roll(1 << 40) as u64 }),
        9 if dice.roll(10) == 0 => {
            let sent =
                Sent { flow: polyperf::measure::FlowId(1), bytes: u64::MAX, datagrams: None };
            Input::Message(Message::Sent(vec![sent; dice.roll(2000)]))
        }
        _ if dice.roll(20) == 0 => Input::Message(messages.swap_remove(dice.roll(messages.len()))),
        _ => Input::Message(Message::Ping { received: 0 }),
    }
}

fn admission(dice: &mut Dice, spec: &TestSpec) -> Admission {
    match dice.roll(4) {
        0 => Admission::Wait(busy(1)),
        1 if dice.roll(20) == 0 => Admission::Deny(failure(FailureCode::Denied)),
        _ => Admission::Grant(Box::new(agree(spec))),
    }
}

fn walk(side: Side, spec: &TestSpec, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let (mut now, mut ends, mut step) = (Duration::ZERO, 0, 0);
    let mut walker = Walker::new(side, spec, now);
    for _ in 0..STEPS {
        match dice.roll(8) {
            0 => now += Duration::from_millis(dice.roll(5000) as u64),
            1 => now = walker.deadline().expect("it is not over"),
            2 => walker.admission(admission(&mut dice, spec), now),
            3 | 4 => {
                walker.handle(likely(side, spec, step), now);
                step += 1;
            }
            _ => walker.handle(odd(&mut dice, side, spec), now),
        }
        if walker.check(now) {
            ends += 1;
            step = 0;
            walker = Walker::new(side, spec, now);
        }
    }
    cut(walker, now);
    ends
}

/// Nothing comes any more: the end must, by itself.
fn cut(mut walker: Walker, cut_at: Duration) {
    let mut now = cut_at;
    while !walker.check(now) {
        now = walker.deadline().expect("it is not over");
        assert!(now < cut_at + 120 * SECOND, "did not end");
    }
}

#[test]
fn random_walks_neither_panic_nor_hang() {
    let specs = [timed(Direction::Forward), spec(Direction::Bidirectional, Limit::Endless)];
    for spec in &specs {
        for side in [Side::Client, Side::Server] {
            for seed in 1..=SEEDS {
                let ends = walk(side, spec, seed);
                assert!(ends > 10, "a walk of the {side:?} came to {ends} ends");
            }
        }
    }
}

#[test]
fn a_walk_may_be_cut_after_any_step() {
    let spec = timed(Direction::Bidirectional);
    for side in [Side::Client, Side::Server] {
        for steps in 0..12 {
            let mut walker = Walker::new(side, &spec, Duration::ZERO);
            for step in 0..steps {
                walker.handle(likely(side, &spec, step), Duration::ZERO);
                walker.handle(Input::StreamsOpen, Duration::ZERO);
                walker.admission(Admission::Grant(Box::new(agree(&spec))), Duration::ZERO);
                if step == 4 {
                    walker.handle(Input::Done(results([])), Duration::ZERO);
                }
                if walker.check(Duration::ZERO) {
                    walker = Walker::new(side, &spec, Duration::ZERO);
                }
            }
            cut(walker, Duration::ZERO);
        }
    }
}

const STEPS: usize = 5000;
const SEEDS: u64 = 8;
