use std::{future::Future, io, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use polyperf_transport::{Home, RecvHalf, SendHalf, Setting, Stream};
use tokio::sync::mpsc;

use super::{
    Clock, Drive,
    account::Account,
    arrivals,
    buffer::Buffer,
    churn::Tally,
    counters::Counters,
    cpu::CpuTime,
    framing::{Framing, Outbox},
    means::{Means, Tape},
    signals::{Bell, Phase, Signals},
    sleep,
};
use crate::{
    measure::{ExchangeSummary, FlowId, Lateness, Pacing, Role},
    workload::{Asker, Source, Step},
};

/// A stream of a test, and what this end does on it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) role: Role,
    pub(crate) stream: Stream,
}

/// Both halves of a stream.
pub(crate) type Halves = (Box<dyn SendHalf>, Box<dyn RecvHalf>);

/// How a flow ended.
#[derive(Debug)]
pub(crate) struct FlowEnd {
    pub(crate) flow: FlowId,
    /// When the last bytes were moved.
    pub(crate) at: Duration,
    /// When the flow had nothing more to do.
    pub(crate) noticed: Duration,
    /// Why it ended before it was told to.
    pub(crate) error: Option<String>,
    /// What its thread cost, if it had one.
    pub(crate) cpu: Option<CpuTime>,
    /// What it kept beyond its counters.
    pub(crate) record: Record,
    /// Which processor its thread kept to, if it was to keep to one.
    pub(crate) affinity: Option<Setting>,
    /// The stream, kept open until the test is over at both ends: closing it earlier would look
    /// like a failure to a peer that has not heard yet why.
    #[allow(dead_code, reason = "held, not used")]
    pub(crate) halves: Option<Halves>,
}

/// What a flow kept beyond its counters.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Of a sender that has a schedule.
    pub(crate) lateness: Option<Box<Lateness>>,
    /// Of a sender that has a rate.
    pub(crate) pacing: Option<Box<Pacing>>,
    /// Of a receiver of datagrams.
    pub(crate) account: Option<Box<Account>>,
    /// Of who asks.
    pub(crate) asker: Option<Box<Asker>>,
    /// Of a lane on which connections are made.
    pub(crate) churn: Option<Box<Tally>>,
    /// What the first connection of a lane was set to.
    pub(crate) settings: Vec<Setting>,
}

impl Record {
    /// Returns what became of requests, of who asked.
    pub(super) fn exchanges(&self) -> Option<ExchangeSummary> {
        let asked = self.asker.as_ref().map(|asker| asker.summary());
        asked.or_else(|| self.churn.as_ref().map(|tally| tally.summary()))
    }

    fn is_carried_elsewhere(&self) -> bool {
        self.churn.as_ref().is_some_and(|tally| tally.elsewhere)
    }
}

/// What every flow of a test shares.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) drive: Drive,
    /// Where a flow is a task, if not on the current runtime.
    pub(crate) home: Option<Arc<dyn Home>>,
    pub(crate) framing: Framing,
    /// How long the totals leave out what happens.
    pub(crate) omit: Duration,
    /// Whether a sender says that it is done by closing its direction.
    pub(crate) finish: bool,
    /// How long a sender that has said so waits for the other end to close its own direction.
    pub(crate) confirm: Option<Duration>,
    pub(crate) means: Means,
    /// Whether the payload is digits, which compress.
    pub(crate) digits: bool,
    /// Whether bytes come as fast as they can until their sender closes its direction.
    pub(crate) bulk: bool,
    pub(crate) signals: Arc<Signals>,
    pub(crate) ends: mpsc::UnboundedSender<FlowEnd>,
}

/// Sends what `source` says on a stream until it is done, and says so.
pub(crate) fn start_sender(
    stage: &Stage,
    flow: FlowId,
    mut halves: Halves,
    source: Source,
    block: NonZeroUsize,
    counters: Arc<Counters>,
) {
    launch(stage, flow, Arc::clone(&counters), move |stage| async move {
        halves.0.block_for(stage.block_limit());
        halves.1.block_for(stage.block_limit());
        let longest = source.longest();
        let payload = if stage.digits { Buffer::digits(longest) } else { Buffer::payload(longest) };
        let outbox = Outbox::new(stage.framing, block, payload);
        let outbox = outbox.reading(stage.means.tape());
        let mut schedule = source.rate().map(|rate| Schedule::new(rate, stage.omit));
        let half = halves.0.as_mut();
        let mut result = send(&stage, half, source, outbox, &counters, schedule.as_mut()).await;
        if let (Ok(()), Some(limit)) = (&result, stage.confirm) {
            result = confirmed(&stage, halves.1.as_mut(), limit).await;
        }
        (result, schedule.map(Schedule::into_record).unwrap_or_default(), halves)
    });
}

/// Receives on a stream until everything has come, and says so.
pub(crate) fn start_receiver(
    stage: &Stage,
    flow: FlowId,
    mut halves: Halves,
    block: NonZeroUsize,
    counters: Arc<Counters>,
) {
    launch(stage, flow, Arc::clone(&counters), move |stage| async move {
        halves.0.block_for(stage.block_limit());
        halves.1.block_for(stage.block_limit());
        let half = halves.1.as_mut();
        if stage.bulk {
            half.expect_bulk();
        }
        if !stage.framing.is_datagrams() {
            let tape = stage.means.tape();
            let result = receive(&stage, half, block, tape, &counters).await;
            return (result, Record::default(), halves);
        }
        let mut account = Box::new(Account::new(stage.framing, block, stage.omit));
        let result = arrivals::receive(&stage, half, block, &mut account, None, &counters).await;
        (result, Record { account: Some(account), ..Record::default() }, halves)
    });
}

async fn send(
    stage: &Stage,
    half: &mut dyn SendHalf,
    mut source: Source,
    mut outbox: Outbox,
    counters: &Counters,
    mut schedule: Option<&mut Schedule>,
) -> io::Result<()> {
    let bell = stage.signals.bell();
    let halted = || stage.signals.reached(Phase::Halt);
    let mut pause = Pause::default();
    let mut now = stage.clock.now();
    while !halted() {
        let begins = !source.is_resuming();
        let len = match source.next(now) {
            Step::Send(len) => len,
            Step::Wait(until) => {
                schedule.iter_mut().for_each(|schedule| schedule.pacing.waits());
                stage.rest(until, &bell).await;
                now = stage.clock.now();
                continue;
            }
            Step::Done => break,
        };
        let len = outbox.ready(len)?;
        if len == 0 {
            break;
        }
        let taken = bell.until(halted, |cx| half.poll_send(cx, outbox.chunk(len, stage.clock)));
        let Some(taken) = taken.await else { break };
        let taken = taken?;
        let datagrams = outbox.took(taken);
        // A block that goes in parts is as late as its first.
        let blocks = if stage.framing.is_datagrams() { datagrams } else { u64::from(begins) };
        if let Some(schedule) = &mut schedule {
            schedule.kept(&source, now, blocks, taken);
        }
        source.took(taken);
        now = stage.clock.now();
        counters.add(taken, now);
        counters.add_datagrams(datagrams);
        pause.between_batches(stage.drive).await;
    }
    schedule.into_iter().for_each(|schedule| schedule.pacing.ends(now));
    if stage.finish {
        // A stream that fails at saying that there is no more has carried all.
        let _ = bell.until(halted, |cx| half.poll_finish(cx)).await;
    }
    Ok(())
}

/// Waits until the other end has closed its direction, whatever it says before.
async fn confirmed(stage: &Stage, half: &mut dyn RecvHalf, limit: Duration) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let bell = stage.signals.bell();
    let halted = || stage.signals.reached(Phase::Halt);
    let closed = async {
        while let Some(received) = bell.until(halted, |cx| half.poll_recv(cx, &mut buffer)).await {
            if received?.is_none() {
                break;
            }
        }
        Ok(())
    };
    tokio::time::timeout(limit, closed).await.unwrap_or_else(|_| {
        let text = format!("the other end did not answer within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

async fn receive(
    stage: &Stage,
    half: &mut dyn RecvHalf,
    block: NonZeroUsize,
    mut tape: Option<Tape>,
    counters: &Counters,
) -> io::Result<()> {
    if let Some(tape) = &tape {
        tape.clear()?;
    }
    let mut buffer = Buffer::new(block.get());
    let bell = stage.signals.bell();
    let over = || stage.signals.reached(Phase::Close) || counters.is_full();
    let mut pause = Pause::default();
    while !over() {
        let Some(received) = bell.until(over, |cx| half.poll_recv(cx, buffer.bytes_mut())).await
        else {
            break;
        };
        match received {
            Ok(Some(batch)) => {
                if let Some(tape) = &mut tape {
                    tape.write(&buffer.bytes_mut()[..batch.len])?;
                }
                counters.add(batch.len, stage.clock.now());
            }
            Ok(None) => break,
            // A reset after the sender's last byte is an end like any other.
            Err(_) if stage.signals.reached(Phase::Drain) => break,
            Err(error) => return Err(error),
        };
        pause.between_batches(stage.drive).await;
    }
    Ok(())
}

/// How well a sender keeps its schedule, without the time that totals leave out.
#[derive(Debug)]
struct Schedule {
    lateness: Lateness,
    pacing: Pacing,
    omit: Option<Duration>,
}

impl Schedule {
    fn new(bits_per_second: u64, omit: Duration) -> Self {
        let omit = Some(omit).filter(|omit| !omit.is_zero());
        Self { lateness: Lateness::new(), pacing: Pacing::new(bits_per_second), omit }
    }

    /// Takes note that so many blocks and bytes of `source` went at `now`.
    fn kept(&mut self, source: &Source, now: Duration, blocks: u64, bytes: usize) {
        let Some(due) = source.due() else { return };
        self.pacing.slipped(source.slips());
        if let Some(omit) = self.omit.take_if(|omit| now >= *omit) {
            self.lateness.reset();
            self.pacing.restart(omit);
        }
        self.lateness.record_batch(due, now, u32::try_from(blocks).unwrap_or(u32::MAX));
        self.pacing.sent(now, blocks, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn into_record(self) -> Record {
        let Self { lateness, mut pacing, omit } = self;
        if omit.is_some() {
            return Record::default();
        }
        // After a failure, what went last was not followed by a wait.
        pacing.waits();
        Record {
            lateness: Some(Box::new(lateness)),
            pacing: Some(Box::new(pacing)),
            ..Record::default()
        }
    }
}

impl Stage {
    /// Returns the stage of a flow whose stream has this home: what carries its connection is a
    /// thread of its own already, and moving bytes from there to another one costs more than it
    /// gains.
    pub(crate) fn at(&self, home: Option<Arc<dyn Home>>) -> Self {
        match home {
            Some(_) => Self { drive: Drive::Inline, home, ..self.clone() },
            None => self.clone(),
        }
    }

    /// Waits until `until`, or for a halt, which a thread notices after [`REST_LIMIT`].
    pub(super) async fn rest(&self, until: Duration, bell: &Bell) {
        match self.drive {
            // A runtime's timer is precise to a millisecond alone.
            Drive::Threads => {
                let wait = until.saturating_sub(self.clock.now());
                std::thread::sleep(wait.min(REST_LIMIT));
            }
            Drive::Inline => {
                let mut sleep = pin!(tokio::time::sleep_until(self.clock.at(until)));
                let halted = || self.signals.reached(Phase::Halt);
                bell.until(halted, |cx| sleep.as_mut().poll(cx)).await;
            }
        }
    }

    pub(super) fn block_limit(&self) -> Option<Duration> {
        (self.drive == Drive::Threads).then_some(BLOCK_LIMIT)
    }
}

/// Lets other tasks run now and then, where there are any.
#[derive(Debug, Default)]
pub(super) struct Pause {
    batches: u32,
}

impl Pause {
    pub(super) async fn between_batches(&mut self, drive: Drive) {
        self.batches = self.batches.wrapping_add(1);
        if drive == Drive::Inline && self.batches.is_multiple_of(BATCHES_PER_TURN) {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a flow where the stage says, and reports its end, also when it panics.
pub(super) fn launch<F, H>(
    stage: &Stage,
    flow: FlowId,
    counters: Arc<Counters>,
    work: impl FnOnce(Stage) -> F + Send + 'static,
) where
    F: Future<Output = (io::Result<()>, Record, H)> + Send + 'static,
    H: Into<Option<Halves>> + Send,
{
    let mut report = Report { stage: stage.clone(), flow, counters, end: None };
    let stage = stage.clone();
    match stage.drive {
        Drive::Inline => {
            let home = stage.home.clone();
            let task = async move {
                let affinity = stage.means.settle_among_others(stage.home.is_some());
                let (result, record, halves) = work(stage).await;
                report.end(result, None, record, affinity, halves.into());
            };
            match home {
                Some(home) => home.spawn(Box::pin(task)),
                None => drop(tokio::spawn(task)),
            }
        }
        Drive::Threads => {
            let thread = std::thread::Builder::new().name(format!("flow-{}", flow.0));
            let body = move || {
                let affinity = stage.means.settle();
                sleep::be_punctual();
                match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        let (result, record, halves) = runtime.block_on(work(stage));
                        // What other threads did for it is known of the whole process alone.
                        let cpu = CpuTime::of_thread().filter(|_| !record.is_carried_elsewhere());
                        report.end(result, cpu, record, affinity, halves.into());
                    }
                    Err(error) => report.end(Err(error), None, Record::default(), affinity, None),
                }
            };
            // Where no thread can be had, the closure is dropped, and the report with it says so.
            let _ = thread.stack_size(STACK).spawn(body);
        }
    }
}

/// Says how a flow ended, at the latest when it is dropped.
#[derive(Debug)]
struct Report {
    stage: Stage,
    flow: FlowId,
    counters: Arc<Counters>,
    end: Option<FlowEnd>,
}

impl Report {
    fn end(
        &mut self,
        result: io::Result<()>,
        cpu: Option<CpuTime>,
        record: Record,
        affinity: Option<Setting>,
        halves: Option<Halves>,
    ) {
        let error = result.err().map(|error| error.to_string());
        self.end = Some(FlowEnd { error, cpu, record, affinity, halves, ..self.broken_down() });
    }

    fn broken_down(&self) -> FlowEnd {
        FlowEnd {
            flow: self.flow,
            at: self.counters.last(),
            noticed: self.stage.clock.now(),
            error: Some("its task could not be started, or broke down".to_owned()),
            cpu: None,
            record: Record::default(),
            affinity: None,
            halves: None,
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| self.broken_down());
        // Nobody may be waiting any more, after an early end.
        let _ = self.stage.ends.send(end);
    }
}

/// How long a half may sit in a system call: how late it notices that the test is over, and how late
/// bytes are counted that come too slowly to fill the buffer.
const BLOCK_LIMIT: Duration = Duration::from_millis(10);
/// How long a sender sleeps before it looks whether the test is over: twice as long as most wait
/// that a rate makes wait, which so wake up once for each block.
const REST_LIMIT: Duration = Duration::from_millis(25);
const BATCHES_PER_TURN: u32 = 8;
const STACK: usize = 256 << 10;
