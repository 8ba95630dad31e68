//! A disk without room.

use std::{env, fs, path::Path, process::Command, sync::Arc, time::Duration};

use polyperf::{
    Client, Server,
    event::Event,
    history::{Filter, Location, Options, Record, Store, Writer},
    outcome::Ended,
};
use tokio::sync::broadcast;

use crate::tests::{at, outcome};

/// Names the folder to write to, in a process whose files may not grow.
const FOLDER: &str = "POLYPERF_TEST_FULL";

/// A limit on the size of files is the process's, so the test is one of its own.
#[test]
fn a_full_disk_does_not_stop_a_test_which_is_counted_and_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "full::runs_out_of_room", "--nocapture"]);
    let ended = command.env(FOLDER, folder.path()).output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    assert!(ended.status.success() && said[0].contains("all of it was seen"), "{}", said.concat());
}

/// Does nothing, unless it runs in a process of its own for that.
#[test]
fn runs_out_of_room() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    // SAFETY: it sets what a signal does, and no handler of ours runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(Path::new(&folder)));
    println!("all of it was seen");
}

async fn fill(folder: &Path) {
    let location = Location::in_folder(folder);
    let server = Server::builder().listen("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
    let (_, addr) = server.local_addrs()[0];
    let options = Options::new(location.clone(), folder);
    let writer = Writer::start(options.clone(), server.handle().events()).await.unwrap();
    let stats = writer.stats();
    tokio::spawn(server.run(std::future::pending()));
    let test = || async {
        let client = Client::builder("127.0.0.1").port(addr.port()).bytes(1 << 20).build().unwrap();
        let outcome = client.run().await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete, "a test never notices");
    };
    test().await;
    stats.wait_for(|counts| counts.written == 1).await;

    // Neither the database's log nor the database may grow any more; the spool file has a little room.
    let wal = fs::metadata(folder.join("history.db-wal")).unwrap().len();
    let room = 64 << 10;
    assert!(wal > room, "{wal}");
    limit(room);
    test().await;
    let counts = stats.wait_for(|counts| counts.spooled == 1).await;
    assert!(counts.errors >= 1 && counts.written == 1 && counts.dropped == 0, "{counts:?}");

    // Then the spool file is full as well, and memory is what is left.
    limit(fs::metadata(&options.spool).unwrap().len());
    test().await;
    test().await;
    let counts = stats.wait_for(|counts| counts.in_memory == 2).await;
    assert_eq!((counts.written, counts.spooled, counts.dropped), (1, 1, 0), "{counts:?}");

    // However often it is tried, and however far an attempt gets.
    for further in 0..40 {
        let errors = stats.counts().errors;
        limit(wal + further * 1024);
        writer.retry();
        if stats.wait_for(|counts| counts.errors > errors || counts.written > 1).await.written > 1 {
            break;
        }
    }

    // There is room again.
    limit(u64::from(u32::MAX));
    writer.retry();
    stats.wait_for(|counts| counts.written == 4).await;
    let others = Store::open_existing(&location).await.unwrap();
    assert_eq!(others.size().await.unwrap().0, 4, "others see what is called written");
    test().await;
    let counts = writer.finish().await;
    assert_eq!((counts.written, counts.in_memory, counts.dropped), (5, 0, 0), "{counts:?}");
    assert_eq!(fs::metadata(&options.spool).unwrap().len(), 0);
    let store = Store::open_existing(&location).await.unwrap();
    let page = store.list(&Filter::default()).await.unwrap();
    assert_eq!(page.tests.len(), 5);
    for test in page.tests {
        let record = store.get(test.id).await.unwrap().unwrap().record;
        assert!(matches!(record, Record::Finished(_)));
    }
}

/// Lets no file of this process become larger.
fn limit(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a limit that lives as long as the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
}

/// A device that is always full stands for a spool file on a full disk.
#[tokio::test]
async fn a_spool_that_takes_nothing_leaves_tests_in_memory_and_counts_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let location: Location = "postgres://nobody@127.0.0.1:1/none".parse().unwrap();
    let mut options = Options::new(location, folder.path());
    options.spool = "/dev/full".into();
    let (events, subscription) = broadcast::channel(1024);
    let writer = Writer::start(options, subscription).await.unwrap();
    let stats = writer.stats();
    for second in 0..300 {
        events.send(Event::Finished(Arc::new(outcome(at(second), 8_000)))).unwrap();
    }
    let counts = stats.wait_for(|counts| counts.in_memory + counts.dropped == 300).await;
    assert!((200..300).contains(&counts.in_memory), "{counts:?}");
    let ended = tokio::time::timeout(Duration::from_secs(60), writer.finish()).await.unwrap();
    assert_eq!((ended.written, ended.dropped), (0, 300), "{ended:?}");
}
