//! A sender and a receiver of datagrams, as either dialect has them, over an emulated link.

mod exchanges;

use std::{
    future::poll_fn,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use polyperf_memory::{
    Memory, Network,
    link::{LinkConfig, Script},
};
use polyperf_transport::{Anyone, Hello, Home, Peer, Stream, Transport};

use super::{Drive, Flow, Framing, QUIET, Setup, Test, TestEvent};
use crate::{
    measure::{FlowId, FlowSummary, Role},
    protocol::{
        iperf3::{Datagrams, Omitted, udp::Counter},
        native::Sent,
    },
    spec::{Limit, Rate, SpecFields, TestSpec},
};

const FRAMINGS: [Framing; 3] =
    [Framing::Native, Framing::Iperf3(Counter::Bits32), Framing::Iperf3(Counter::Bits64)];
const MS: Duration = Duration::from_millis(1);

/// A home that counts who is sent to it.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl Home for Counting {
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(work);
    }
}

/// A hundred datagrams of a kilobyte: nine lost (four in a row, four at the very end), two
/// delivered twice, one held back.
fn script() -> Script {
    Script::new().drop([10, 11, 12, 13, 50, 96, 97, 98, 99]).duplicate([20, 30]).delay([60], 5 * MS)
}

fn spec(set: impl FnOnce(&mut SpecFields)) -> TestSpec {
    let mut fields = SpecFields { limit: Limit::Blocks(100), block: 1000, ..SpecFields::default() };
    set(&mut fields);
    TestSpec::try_from(fields).unwrap()
}

async fn streams(link: LinkConfig) -> [Stream; 2] {
    streams_of(Memory::messages(&Network::new(link), NonZeroUsize::new(65_507).unwrap())).await
}

async fn streams_of(memory: Memory) -> [Stream; 2] {
    let addr = "127.0.0.1:0".parse().unwrap();
    let mut listener = memory.listen(addr, Arc::new(Anyone)).await.unwrap();
    let connection = memory.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let sender = connection.open(Hello::Own(b"hello")).await.unwrap();
    let mut receiver = listener.accept().await.unwrap();
    let mut hello = [0; 5];
    poll_fn(|cx| receiver.recv.poll_recv(cx, &mut hello)).await.unwrap();
    [sender, receiver]
}

/// Both ends of a flow, and nobody between them.
struct Ends {
    sender: Test,
    receiver: Test,
}

impl Ends {
    async fn start(spec: &TestSpec, framing: Framing, drive: Drive, link: LinkConfig) -> Self {
        let [sender, receiver] = streams(link).await;
        let begin = |stream, role| {
            let flows = vec![Flow { id: FlowId(1), role, stream }];
            Test::begin(spec, flows, setup(framing, drive))
        };
        Self { sender: begin(sender, Role::Sender), receiver: begin(receiver, Role::Receiver) }
    }

    async fn sent(&mut self) -> Vec<Sent> {
        loop {
            if let TestEvent::SendingDone(sent) = self.sender.next().await {
                return sent;
            }
        }
    }

    async fn done(&mut self) {
        while !matches!(self.receiver.next().await, TestEvent::Done) {}
    }

    fn summaries(&self) -> [FlowSummary; 2] {
        [&self.sender, &self.receiver].map(|test| test.summary().flows[0].clone())
    }
}

fn assert_scripted(flow: &FlowSummary, lost: u64) {
    let counts = flow.datagrams.unwrap();
    assert_eq!((counts.received, counts.lost), (91, Some(lost)));
    assert_eq!((counts.duplicated, counts.reordered), (Some(2), Some(1)));
    assert_eq!((counts.late, counts.strays), (Some(0), Some(0)));
    assert_eq!((flow.bytes, flow.error.as_deref()), (91_000, None));
}

fn paced() -> TestSpec {
    spec(|fields| fields.rate = Some(Rate { bits_per_second: 8_000_000, burst: None }))
}

fn link() -> LinkConfig {
    LinkConfig::perfect().delay(MS).script(script())
}

#[tokio::test(start_paused = true)]
async fn every_datagram_of_the_script_is_counted_with_the_senders_word() {
    for framing in FRAMINGS {
        let mut ends = Ends::start(&paced(), framing, Drive::Inline, link()).await;
        let sent = ends.sent().await;
        assert_eq!(sent, [Sent { flow: FlowId(1), bytes: 100_000, datagrams: Some(100) }]);
        ends.receiver.expect(&sent);
        ends.done().await;
        let [sender, receiver] = ends.summaries();
        assert_eq!(sender.datagrams_sent, Some(100));
        assert_scripted(&receiver, 9);
        let counts = receiver.datagrams.unwrap();
        assert_eq!((counts.loss_runs, counts.longest_loss_run), (Some(3), Some(4)));
        assert!(sender.lateness.is_some_and(|late| late.count == 100), "{:?}", sender.lateness);
        let pacing = sender.pacing.unwrap();
        assert!(pacing.burst_blocks.max <= 2 && pacing.burst_bytes.max <= 2000, "{pacing:?}");
        assert!(pacing.max_token_error <= 3000 && receiver.pacing.is_none(), "{pacing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_senders_word_a_close_ends_it_and_the_tail_is_unknown() {
    for framing in FRAMINGS {
        let mut ends = Ends::start(&paced(), framing, Drive::Inline, link()).await;
        ends.sent().await;
        tokio::time::sleep(100 * MS).await;
        ends.receiver.halt();
        ends.done().await;
        assert_scripted(&ends.summaries()[1], 5);
    }
}

#[tokio::test(start_paused = true)]
async fn iperf3s_own_figures_are_kept_for_the_wire() {
    let framing = Framing::Iperf3(Counter::Bits32);
    let mut ends = Ends::start(&paced(), framing, Drive::Inline, link()).await;
    ends.sent().await;
    tokio::time::sleep(100 * MS).await;
    ends.receiver.halt();
    ends.done().await;
    let [sent, received] = [&ends.sender, &ends.receiver].map(Test::iperf3_datagrams);
    let sent = sent[&FlowId(1)];
    assert_eq!((sent.packets, sent.omitted), (100, Some(Omitted::default())));
    let Datagrams { packets, lost, out_of_order, .. } = received[&FlowId(1)];
    // A copy takes back a loss, in its arithmetic.
    assert_eq!((packets, lost, out_of_order), (96, 3, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_waited_for_until_it_is_quiet() {
    let script = Script::new().delay([98], 400 * MS).delay([99], 800 * MS);
    let link = LinkConfig::perfect().delay(MS).script(script);
    let mut ends = Ends::start(&paced(), Framing::Native, Drive::Inline, link).await;
    let sent = ends.sent().await;
    ends.receiver.expect(&sent);
    ends.done().await;
    let counts = ends.summaries()[1].datagrams.unwrap();
    assert_eq!((counts.received, counts.lost), (100, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_when_the_test_is_over_counts() {
    let spec = spec(|_| {});
    let [sender, receiver] = streams(LinkConfig::perfect()).await;
    let begin = |stream, role| {
        let flows = vec![Flow { id: FlowId(1), role, stream }];
        Test::begin(&spec, flows, setup(Framing::Native, Drive::Inline))
    };
    let mut sender = begin(sender, Role::Sender);
    while !matches!(sender.next().await, TestEvent::SendingDone(_)) {}
    let mut receiver = begin(receiver, Role::Receiver);
    receiver.halt();
    while !matches!(receiver.next().await, TestEvent::Done) {}
    let counts = receiver.summary().flows[0].datagrams.unwrap();
    assert_eq!((counts.received, counts.lost), (100, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn who_has_everything_when_the_count_is_told_waits_for_nothing() {
    let link = LinkConfig::perfect().delay(MS);
    let mut ends = Ends::start(&paced(), Framing::Native, Drive::Inline, link).await;
    let sent = ends.sent().await;
    tokio::time::sleep(100 * MS).await;
    ends.receiver.expect(&sent);
    let told = tokio::time::Instant::now();
    ends.done().await;
    assert!(told.elapsed() < QUIET, "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_got_nothing_is_done_as_well() {
    let link = LinkConfig::perfect().delay(MS).script(Script::new().drop(0..100));
    let mut ends = Ends::start(&paced(), Framing::Native, Drive::Inline, link).await;
    let sent = ends.sent().await;
    ends.receiver.expect(&sent);
    ends.done().await;
    let flow = &ends.summaries()[1];
    let counts = flow.datagrams.unwrap();
    assert_eq!((counts.received, counts.lost, flow.bytes), (0, Some(100), 0));
    assert_eq!((flow.error.as_deref(), counts.jitter), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_full_window_that_takes_part_of_a_batch_loses_nothing() {
    let unpaced = spec(|fields| fields.limit = Limit::Bytes(9_999_500));
    let link = LinkConfig::perfect().delay(MS);
    let mut ends = Ends::start(&unpaced, Framing::Native, Drive::Inline, link).await;
    let sent = ends.sent().await;
    assert_eq!(sent[0].datagrams, Some(10_000), "rounded up to whole datagrams");
    ends.receiver.expect(&sent);
    ends.done().await;
    let [sender, receiver] = ends.summaries();
    let counts = receiver.datagrams.unwrap();
    assert_eq!((counts.received, counts.lost, counts.reordered), (10_000, Some(0), Some(0)));
    assert_eq!((receiver.bytes, sender.lateness, sender.pacing), (10_000_000, None, None));
}

#[tokio::test]
async fn threads_count_as_exactly() {
    let script = Script::new().drop([3, 4, 70, 98, 99]).duplicate([20]);
    let link = LinkConfig::perfect().script(script);
    for framing in FRAMINGS {
        let mut ends = Ends::start(&paced(), framing, Drive::Threads, link.clone()).await;
        let sent = ends.sent().await;
        ends.receiver.expect(&sent);
        ends.done().await;
        let counts = ends.summaries()[1].datagrams.unwrap();
        assert_eq!((counts.received, counts.lost), (95, Some(5)));
        assert_eq!((counts.duplicated, counts.reordered), (Some(1), Some(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_keeps_its_rate_in_every_second() {
    let spec = spec(|fields| {
        fields.limit = Limit::Time(Duration::from_secs(4));
        fields.rate = Some(Rate { bits_per_second: 100_000_000, burst: None });
    });
    let link = LinkConfig::perfect();
    let mut ends = Ends::start(&spec, Framing::Native, Drive::Inline, link).await;
    let mut seconds = Vec::new();
    loop {
        match ends.sender.next().await {
            TestEvent::Sample(sample) => seconds.push(sample.flows[0].bytes),
            TestEvent::Done => break,
            _ => {}
        }
    }
    assert_eq!(seconds.len(), 4);
    for bytes in seconds {
        assert!(bytes.abs_diff(12_500_000) < 62_500, "{bytes}");
    }
    let sender = &ends.sender.summary().flows[0];
    assert!(sender.lateness.is_some_and(|late| late.max <= 2 * MS));
    let pacing = sender.pacing.unwrap();
    // The runtime's timer is as coarse as that, and a burst waits for its last datagram.
    assert!(pacing.max_token_error <= 2 * 12_500 + 12_000, "{pacing:?}");
    assert_eq!((pacing.slips, pacing.slipped), (0, Duration::ZERO));
    assert!(pacing.burst_blocks.p99 <= 36 && pacing.bursts >= 1000, "{pacing:?}");
}

fn setup(framing: Framing, drive: Drive) -> Setup {
    Setup { framing, ..Setup::of_bytes(drive, true) }
}

#[tokio::test]
async fn a_flow_runs_at_its_streams_home_wherever_others_run() {
    for drive in [Drive::Inline, Drive::Threads] {
        let home = Arc::new(Counting::default());
        let [sender, receiver] = streams(LinkConfig::perfect()).await;
        let sender = Stream { home: Some(Arc::clone(&home) as Arc<dyn Home>), ..sender };
        let flows = vec![Flow { id: FlowId(1), role: Role::Sender, stream: sender }];
        let mut test = Test::begin(&spec(|_| {}), flows, setup(Framing::Native, drive));
        while !matches!(test.next().await, TestEvent::Done) {}
        assert_eq!(home.0.load(Ordering::Relaxed), 1, "{drive:?}");
        drop(receiver);
    }
}
