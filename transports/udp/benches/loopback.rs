//! How much one flow carries over loopback, a thread per half.
//!
//! `cargo bench -p polyperf-udp -- [message length] [seconds] [receive buffer in KiB]`

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::{
    env,
    future::poll_fn,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use polyperf_transport::{
    Anyone, Chunk, Hello, HostSockets, Peer, RecvHalf, SendHalf, Stream, Transport, Tuning,
};
use polyperf_udp::Udp;
use tokio::runtime::Runtime;

fn main() {
    let numbers: Vec<usize> = env::args().filter_map(|arg| arg.parse().ok()).collect();
    let message = numbers.first().copied().unwrap_or(1448);
    let length = Duration::from_secs(numbers.get(1).copied().unwrap_or(2) as u64);
    let window = numbers.get(2).and_then(|&kib| NonZeroU32::new(u32::try_from(kib).ok()? << 10));
    for no_gso in [false, true] {
        for block in [false, true] {
            let tuning = Tuning { no_gso, window, ..Tuning::default() };
            let runtime = runtime();
            let (client, server) = runtime.block_on(open(&tuning));
            run(client, server, message, length, block, no_gso);
        }
    }
}

async fn open(tuning: &Tuning) -> (Stream, Stream) {
    let udp = Udp::new(Arc::new(HostSockets::new()));
    let mut listener = udp.bind("127.0.0.1:0".parse().unwrap(), Arc::new(Anyone)).unwrap();
    let addr = polyperf_transport::Listener::local_addr(&listener);
    let peer = Peer { tuning: tuning.clone(), ..Peer::at(addr) };
    let connection = udp.connect(&peer).await.unwrap();
    let accept = polyperf_transport::Listener::accept(&mut listener);
    let (client, server) = tokio::join!(connection.open(Hello::Own(b"bench")), accept);
    let server = server.unwrap();
    server.path.tune(tuning);
    (client.unwrap(), server)
}

fn run(
    client: Stream,
    server: Stream,
    message: usize,
    length: Duration,
    block: bool,
    no_gso: bool,
) {
    let ended = Arc::new(AtomicBool::new(false));
    let (send_path, recv_path) = (Arc::clone(&client.path), Arc::clone(&server.path));
    let limit = block.then_some(Duration::from_millis(50));
    let receiver = {
        let ended = Arc::clone(&ended);
        thread::spawn(move || runtime().block_on(receive(server.recv, limit, &ended)))
    };
    let before = cpu();
    let started = Instant::now();
    let sent = runtime().block_on(send(client.send, limit, message, started + length));
    let took = started.elapsed().as_secs_f64();
    ended.store(true, Relaxed);
    let received = receiver.join().unwrap();
    let gbits = |bytes: u64| bytes as f64 * 8e-9 / took;
    println!(
        "{message} bytes, {}, {}: sent {:.2}, received {:.2} Gbit/s, lost {:.3} %, dropped here {:?}, {:.2} CPU-s/GB, gso {:?}",
        if no_gso { "single" } else { "offload" },
        if block { "blocking" } else { "readiness" },
        gbits(sent),
        gbits(received),
        100.0 * (1.0 - received as f64 / sent as f64),
        recv_path.stats().local_drops,
        (cpu() - before) / (received as f64 * 1e-9),
        send_path.stats().gso_segments,
    );
}

async fn send(
    mut half: Box<dyn SendHalf>,
    limit: Option<Duration>,
    message: usize,
    end: Instant,
) -> u64 {
    half.block_for(limit);
    let bytes = vec![7; message * half.batch().get()];
    let stride = NonZeroUsize::new(message).unwrap();
    let mut sent = 0;
    while Instant::now() < end {
        let mut at = 0;
        while at < bytes.len() {
            let chunk = Chunk { bytes: &bytes[at..], stride };
            at += poll_fn(|cx| half.poll_send(cx, chunk)).await.unwrap();
        }
        sent += at as u64;
    }
    sent
}

async fn receive(mut half: Box<dyn RecvHalf>, limit: Option<Duration>, ended: &AtomicBool) -> u64 {
    half.block_for(limit);
    let mut buf = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        let received = poll_fn(|cx| half.poll_recv(cx, &mut buf));
        match tokio::time::timeout(Duration::from_millis(200), received).await {
            Ok(received) => total += received.unwrap().unwrap().len as u64,
            Err(_) if ended.load(Relaxed) => return total,
            Err(_) => {}
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns the processor time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}
