//! What a server's service costs the tests that it serves: history, metrics, web interface with many
//! who look on, and charts on a terminal.
//!
//! ```text
//! cargo bench --bench service -- [--pairs N] [--time SECONDS] [--readers N]
//! ```
//!
//! Two servers run all the time, one with nothing beside its tests and one with everything on:
//! `--history`, `--web` with readers of its event stream and a scrape of `/metrics` a second, and
//! `--tui` on a terminal whose other end is read. Clients take turns between them (A B, B A), each
//! with a test of TCP as fast as it goes, one at a rate that leaves the machine room, and one of UDP
//! at a rate. All are processes of their own.
//!
//! A ratio is the median over the pairs. Asserts that the paced test loses less than [`TOLERANCE`]
//! and that UDP loses no more datagrams than beside nothing; on a machine with few processors, readers and
//! charts take turns with the unpaced test for them, and its ratio is shown beside what they cost.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[allow(dead_code)]
mod support;

use std::{
    cell::RefCell,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::{FromRawFd as _, OwnedFd},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use clap::Parser;
use serde_json::Value;

use self::support::{Result, cpu_of, median};

#[derive(Debug, Parser)]
struct Args {
    /// Pairs of runs of each test.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 2)]
    time: u64,
    /// Readers of the event stream.
    #[arg(long, default_value_t = 50)]
    readers: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server in a process of its own, ended when it is dropped.
#[derive(Debug)]
struct Served {
    child: Child,
    addr: SocketAddr,
    site: Option<SocketAddr>,
    over: Arc<AtomicBool>,
    /// Events that its readers have been told.
    told: Arc<AtomicU64>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
struct Run {
    goodput: f64,
    lost: f64,
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let history = format!("--history={}", folder.path().join("history.db").display());
    let plain = Served::start(&[], false)?;
    let full = Served::start(&[&history, "--web=127.0.0.1:0", "--tui"], true)?;
    full.read(args.readers)?;
    let time = args.time.to_string();
    let tests: [(&str, &[&str]); 3] = [
        ("tcp, unpaced", &[]),
        ("tcp at 2 Gbit/s", &["-b", "2G"]),
        ("udp at 1 Gbit/s", &["--transport", "udp", "-b", "1G"]),
    ];
    println!(
        "{:<18}{:>16}{:>16}{:>10}{:>12}{:>12}",
        "", "nothing", "everything", "ratio", "lost", "lost"
    );
    let mut holds = true;
    for (name, options) in tests {
        let mut ratios = Vec::new();
        let mut runs = [Vec::new(), Vec::new()];
        for pair in 0..args.pairs {
            let order: [usize; 2] = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut of_pair = [None, None];
            for at in order {
                let run = [&plain, &full][at].test(&time, options)?;
                of_pair[at] = Some(run);
                runs[at].push(run);
            }
            if let [Some(plain), Some(full)] = of_pair {
                ratios.push(full.goodput / plain.goodput);
            }
        }
        let goodput = |at: usize| {
            median(&runs[at].iter().map(|run| run.goodput / 1e9).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        let lost = |at: usize| runs[at].iter().map(|run| run.lost).sum::<f64>();
        let ratio = median(&ratios).unwrap_or(0.0);
        println!(
            "{name:<18}{:>9.2} Gbit/s{:>9.2} Gbit/s{ratio:>10.3}{:>12}{:>12}",
            goodput(0),
            goodput(1),
            lost(0),
            lost(1)
        );
        if name != "tcp, unpaced" {
            holds &= ratio > 1.0 - TOLERANCE && lost(1) <= lost(0);
        }
    }
    let spent = [&plain, &full].map(|served| cpu_of(served.child.id()));
    if let [Ok(plain), Ok(full)] = spent {
        let all = |(user, system): (Duration, Duration)| (user + system).as_secs_f64();
        println!("processor time of the servers: {:.2} s and {:.2} s", all(plain), all(full));
    }
    println!("{} events were told to {} readers", full.told.load(Relaxed), args.readers);
    println!("{}", if holds { "holds" } else { "BROKEN: paced tests are to lose nothing" });
    Ok(holds)
}

impl Served {
    fn start(options: &[&str], on_terminal: bool) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polyperf"));
        command.args(["server", "-B", "127.0.0.1", "-p", "0", "--log-format", "json"]);
        command.args(options).env("POLYPERF_CONFIG", "none").env("TERM", "xterm-256color");
        let over = Arc::new(AtomicBool::new(false));
        if on_terminal {
            let (outside, inside) = terminal()?;
            command.stdin(inside.try_clone()?).stdout(inside);
            thread::spawn(move || drain(outside));
        } else {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        // What holds the terminal here would keep it open.
        drop(command);
        let log = child.stderr.take().ok_or("no log")?;
        let found = RefCell::new((None, None));
        let mut lines = BufReader::new(log).lines();
        let has_site = options.iter().any(|option| option.starts_with("--web"));
        while let Some(line) = lines.next().transpose()? {
            let line: Value = serde_json::from_str(&line)?;
            let mut found = found.borrow_mut();
            if let Some(addr) = line["addr"].as_str() {
                found.0 = addr.parse().ok();
            }
            if let Some(url) = line["url"].as_str() {
                found.1 = url.trim_start_matches("http://").trim_end_matches('/').parse().ok();
            }
            if found.0.is_some() && found.1.is_some() == has_site {
                break;
            }
        }
        thread::spawn(move || lines.for_each(drop));
        let (addr, site) = found.into_inner();
        let addr = addr.ok_or("the server has ended before it listened")?;
        Ok(Self { child, addr, site, over, told: Arc::default() })
    }

    /// Has so many look on, and a scrape a second.
    fn read(&self, readers: usize) -> Result<()> {
        let site = self.site.ok_or("there is no site")?;
        for _ in 0..readers {
            let mut stream = TcpStream::connect(site)?;
            write!(stream, "GET /api/v1/events HTTP/1.1\r\nhost: {site}\r\n\r\n")?;
            let told = Arc::clone(&self.told);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
                    told.fetch_add(u64::from(line.starts_with("data:")), Relaxed);
                }
            });
        }
        let over = Arc::clone(&self.over);
        thread::spawn(move || {
            while !over.load(Relaxed) {
                let scraped = TcpStream::connect(site).and_then(|mut stream| {
                    write!(
                        stream,
                        "GET /metrics HTTP/1.1\r\nhost: {site}\r\nconnection: close\r\n\r\n"
                    )?;
                    stream.read_to_end(&mut Vec::new())
                });
                if let Err(error) = scraped {
                    eprintln!("cannot scrape: {error}");
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        Ok(())
    }

    fn test(&self, time: &str, options: &[&str]) -> Result<Run> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polyperf"));
        let port = self.addr.port().to_string();
        command.args(["client", "127.0.0.1", "-p", &port, "-t", time, "-i", "0.1", "-J"]);
        command.args(options).env("POLYPERF_CONFIG", "none").stdin(Stdio::null());
        let output = command.output()?;
        let document: Value = serde_json::from_slice(&output.stdout)?;
        let received = match &document["end"]["sum_received"] {
            Value::Null => &document["end"]["sum"],
            received => received,
        };
        let goodput = received["bits_per_second"].as_f64();
        let goodput = goodput.ok_or_else(|| format!("no goodput: {}", document["error"]))?;
        Ok(Run { goodput, lost: received["lost_packets"].as_f64().unwrap_or(0.0) })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn terminal() -> Result<(File, OwnedFd)> {
    let (mut outside, mut inside) = (0, 0);
    let size = libc::winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
    let name = std::ptr::null_mut();
    // SAFETY: the three places exist, and nothing else is written to.
    let opened = unsafe {
        libc::openpty(&raw mut outside, &raw mut inside, name, std::ptr::null(), &raw const size)
    };
    if opened != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: both have just been opened, and belong to nobody else.
    unsafe { Ok((File::from_raw_fd(outside), OwnedFd::from_raw_fd(inside))) }
}

fn drain(mut outside: File) {
    let mut bytes = [0; 65_536];
    while matches!(outside.read(&mut bytes), Ok(1..)) {}
}

/// What everything together may cost.
const TOLERANCE: f64 = 0.02;
