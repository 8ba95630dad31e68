//! A process that is killed as it writes.

use std::{
    collections::HashSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use polyperf::history::{Location, Store};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg32;

use crate::tests::{asking, at, finished, outcome};

/// Names the file to write to, in a process that is to be killed.
const FILE: &str = "POLYPERF_TEST_HISTORY";
const KILLS: usize = 50;

/// Writes until it is killed, and acknowledges each test that is kept. Does nothing, unless it runs
/// in a process of its own for that.
#[test]
fn writes_until_it_is_killed() {
    let Some(file) = env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Location::File(file.into())).await.unwrap();
        for number in 0.. {
            let entry = match number % 3 {
                0 => finished(asking(at(number), 1..5000)),
                _ => finished(outcome(at(number), 8_000)),
            };
            store.keep(&entry).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nkept {}", entry.key).unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test]
async fn a_history_survives_a_kill_at_any_moment_with_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let mut random = Pcg32::seed_from_u64(42);
    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        let mut child = start(&file);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let kept = |line: String| line.strip_prefix("kept ").map(str::to_owned);
        let before = random.random_range(0..12);
        acknowledged.extend(lines.by_ref().filter_map(kept).take(before));
        // Somewhere within the next one.
        for _ in 0..random.random_range(0..500_000_u32) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it has said until then, it has kept; a line that was cut is no word.
        let rest = lines.filter_map(kept).filter(|key| key.len() == 32);
        acknowledged.extend(rest);
    }
    assert!(acknowledged.len() > KILLS, "{}", acknowledged.len());
    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let sound: (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&pool).await.unwrap();
    assert_eq!(sound.0, "ok");
    let orphans: (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM tests WHERE id NOT IN (SELECT test_id FROM documents)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(orphans.0, 0, "a test is there as a whole, or not at all");
    let keys: Vec<(String,)> =
        sqlx::query_as("SELECT key FROM tests").fetch_all(&pool).await.unwrap();
    let keys: HashSet<String> = keys.into_iter().map(|(key,)| key).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    // At most one for each kill was kept and not acknowledged any more.
    assert!(keys.len() <= acknowledged.len() + KILLS);
}

fn start(file: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "killed::writes_until_it_is_killed", "--nocapture"]);
    command.env(FILE, file).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}
