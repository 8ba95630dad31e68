use std::{io, io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    compare::Step,
    event::Event,
    measure::{Role, bits_per_second},
    outcome::TestInfo,
    spec::Limit,
    units::BitRate,
};

/// A bar on a terminal while a test runs; nothing at all anywhere else.
#[derive(Debug)]
pub(super) struct Progress {
    wanted: bool,
    bar: ProgressBar,
}

impl Progress {
    /// Returns a bar that shows itself only if both streams are a terminal and it is `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted: wanted && on_terminal(), bar: ProgressBar::hidden() }
    }

    /// Lets `print` write to the terminal without the bar in between.
    pub(super) fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    pub(super) fn handle(&mut self, event: &Event) {
        match event {
            Event::Connected(info) if self.wanted => self.bar = bar(info),
            Event::Interval(event) => {
                let local = &event.interval.local;
                match event.info.spec.limit {
                    Limit::Time(_) => self.bar.set_position(millis(local.end)),
                    _ => self.bar.inc(local.flows.iter().map(|flow| flow.bytes).sum()),
                }
                let received = event.info.flows.iter().filter_map(|flow| {
                    let (seen, over) = event.interval.seen_by(Role::Receiver, flow.flow)?;
                    bits_per_second(seen.bytes, over)
                });
                self.bar.set_message(BitRate(received.sum()).to_string());
            }
            Event::Finished(_) | Event::Failed(_) => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}

/// A bar over the tests of a comparison.
#[derive(Debug)]
pub(super) struct Steps {
    bar: ProgressBar,
}

impl Steps {
    /// Returns a bar, on a terminal and if it is `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        if !wanted || !on_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(0);
        bar.set_style(style("{wide_bar} {percent:>3}% {msg}"));
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Shows that a test begins.
    pub(super) fn show(&self, step: &Step) {
        self.bar.set_length(u64::try_from(step.of).unwrap_or(u64::MAX));
        self.bar.set_position(u64::try_from(step.index).unwrap_or(0).saturating_sub(1));
        let (arm, part, left) = (&step.arm, step.part.label(), step.remaining.as_secs());
        self.bar.set_message(format!("block {}: {arm} {part}, {left} s left", step.block));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn on_terminal() -> bool {
    io::stderr().is_terminal() && io::stdout().is_terminal()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn bar(info: &TestInfo) -> ProgressBar {
    let bar = match info.spec.limit {
        Limit::Time(_) => ProgressBar::new(millis(info.spec.duration().unwrap_or_default())),
        Limit::Bytes(bytes) => ProgressBar::new(bytes),
        Limit::Blocks(blocks) => ProgressBar::new(blocks.saturating_mul(info.spec.block.into())),
        Limit::Endless => ProgressBar::new_spinner(),
    };
    let template = match info.spec.limit {
        Limit::Endless => "{spinner} {elapsed} {msg}",
        _ => "{wide_bar} {percent:>3}% {elapsed} {msg}",
    };
    bar.set_style(style(template));
    bar.enable_steady_tick(TICK);
    bar
}

const TICK: Duration = Duration::from_millis(250);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
