//! How long a history of many tests takes to be looked at.
//!
//! ```text
//! cargo bench --bench history
//! cargo bench --bench history -- --tests 1000000
//! ```
//!
//! Fills a history with tests of half a year, and asks for what people and charts ask for, each several
//! times. Exits with 1 if the median of a list takes longer than [`LIST`], or that of a series longer
//! than [`SERIES`]. PostgreSQL is measured as well where it is installed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[allow(dead_code, clippy::unwrap_used, reason = "it is shared with tests")]
#[path = "../tests/history/postgres.rs"]
mod postgres;

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use polyperf::{
    history::{Filter, How, Location, Metric, Store},
    outcome::Side,
    spec::Direction,
};
use postgres::Postgres;

#[derive(Debug, Parser)]
struct Args {
    /// How many tests there are.
    #[arg(long, default_value_t = 100_000)]
    tests: i64,
    /// How often each question is asked.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = Location::in_folder(folder.path());
    let store = Store::open(&file).await?;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await?;
    let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
                   WHERE n < $1) ";
    let fill = format!("{numbers} {} FROM numbers", insert());
    sqlx::query(sqlx::AssertSqlSafe(fill)).bind(args.tests).execute(&pool).await?;
    println!("SQLite, {} tests", args.tests);
    let mut good = measure(&store, args).await?;
    let Some(server) = Postgres::start() else { return Ok(good) };
    let url = server.database();
    let store = Store::open(&url.parse()?).await?;
    let pool = sqlx::PgPool::connect(&url).await?;
    let fill = format!("{} FROM generate_series(CAST(1 AS BIGINT), $1) AS numbers (n)", insert());
    sqlx::query(sqlx::AssertSqlSafe(fill)).bind(args.tests).execute(&pool).await?;
    sqlx::query("ANALYZE tests").execute(&pool).await?;
    println!("PostgreSQL, {} tests", args.tests);
    good &= measure(&store, args).await?;
    Ok(good)
}

/// Returns what makes a test of each `n`: 150 s apart, with hosts, users, transports and figures as
/// varied as those of a service.
fn insert() -> String {
    format!(
        "INSERT INTO tests (key, started_us, side, ended, failure, message, session, dialect, \
         transport, workload, direction, streams, host, peer, peer_port, username, program, \
         duration_us, bytes_up, goodput_up, goodput_down, rtt_us, intervals, intervals_left_out, \
         search, size) SELECT CAST(n AS TEXT), {START} + n * 150000000, 'server', \
         CASE WHEN n % 97 = 0 THEN 'failed' ELSE 'complete' END, \
         CASE WHEN n % 97 = 0 THEN 'peer_lost' END, CASE WHEN n % 97 = 0 THEN 'it fell silent' END, \
         'a1b2c3d4-' || CAST(n AS TEXT), 'native', \
         CASE n % 5 WHEN 0 THEN 'quic' WHEN 1 THEN 'udp' WHEN 2 THEN 'kcp' ELSE 'tcp' END, 'bulk', \
         CASE n % 3 WHEN 0 THEN 'reverse' ELSE 'forward' END, 1, NULL, \
         '192.0.2.' || CAST(n % 250 AS TEXT), 50000, 'user' || CAST(n % 40 AS TEXT), \
         'polyperf 0.1.0', 10000000, 1250000000, 1000000000.0 + (n * 7919) % 100000, NULL, \
         n % 5000, 10, 0, '192.0.2.' || CAST(n % 250 AS TEXT) || ' user' || \
         CAST(n % 40 AS TEXT) || ' a1b2c3d4-' || CAST(n AS TEXT) || ' polyperf 0.1.0', 5000"
    )
}

async fn measure(store: &Store, args: &Args) -> Result<bool, Box<dyn Error>> {
    let text = |text: &str| Some(text.to_owned());
    let all = || Filter { limit: 50, ..Filter::default() };
    let end = START + args.tests * 150_000_000;
    let (start, end) = (micros(START)?, micros(end)?);
    let middle = start + (end - start) / 2;
    let mut good = true;
    for (what, filter) in [
        ("first page", all()),
        ("a page in the middle", Filter { until: Some(middle), ..all() }),
        ("of a transport", Filter { transport: text("quic"), ..all() }),
        ("that failed", Filter { ended: vec![How::Failed, How::Nothing], ..all() }),
        ("of a host", Filter { host: text("192.0.2.77"), ..all() }),
        ("of a user", Filter { user: text("user7"), ..all() }),
        ("of a user who is not there", Filter { user: text("nobody"), ..all() }),
        (
            "in a direction that is not there",
            Filter { direction: Some(Direction::Bidirectional), ..all() },
        ),
        ("of an end that is not there", Filter { side: Some(Side::Client), ..all() }),
        (
            "of a host over a transport, that failed",
            Filter {
                host: text("192.0.2.97"),
                transport: text("udp"),
                ended: vec![How::Failed],
                ..all()
            },
        ),
        ("with a text that is not there", Filter { text: text("no such text"), ..all() }),
    ] {
        let mut times = Vec::new();
        for _ in 0..args.rounds {
            let begun = Instant::now();
            store.list(&filter).await?;
            times.push(begun.elapsed());
        }
        good &= told(&format!("list, {what}"), times, LIST);
    }
    for (what, from) in [("all", start), ("the last week", end - Duration::from_secs(7 * 86_400))] {
        let mut times = Vec::new();
        for _ in 0..args.rounds {
            let begun = Instant::now();
            store.series(&Filter::default(), Metric::GoodputUp, from, end, 500).await?;
            times.push(begun.elapsed());
        }
        good &= told(&format!("series, {what}, 500 times"), times, SERIES);
    }
    Ok(good)
}

/// Prints how long something took, and returns whether that is short enough.
fn told(what: &str, mut times: Vec<Duration>, most: Duration) -> bool {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let good = median < most;
    let verdict = if good { "" } else { "  TOO LONG" };
    println!("  {what:<48} {:>8.2} ms{verdict}", median.as_secs_f64() * 1000.0);
    good
}

fn micros(time: i64) -> Result<Duration, std::num::TryFromIntError> {
    Ok(Duration::from_micros(time.try_into()?))
}

/// When the first test was, in microseconds since the Unix epoch.
const START: i64 = 1_780_000_000_000_000;
/// What people do not notice.
const LIST: Duration = Duration::from_millis(100);
/// What a chart may take.
const SERIES: Duration = Duration::from_millis(500);
