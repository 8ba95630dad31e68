//! The web interface of a server in a browser.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use polyperf::{
    Client, Server,
    history::{Entry, Options, Record, Store, Writer},
    outcome::{Ended, Outcome, Side},
    server::Handle,
    web::{Admin, Config, Peer, Site, hash_password},
};
use polyperf_interop::Browser;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// A server and its site, which end when this is dropped.
struct World {
    port: u16,
    site: SocketAddr,
    handle: Handle,
    history: Writer,
    _folder: TempDir,
    _keep: [oneshot::Sender<()>; 2],
}

impl World {
    async fn new() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::builder().listen(loopback).bind().await.expect("a free port");
        let (port, handle) = (server.local_addrs()[0].1.port(), server.handle());
        let (serve, served) = oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = served.await;
        }));
        let hash = hash_password(PASSWORD).expect("it is long enough");
        let peers =
            vec![Peer { name: "this very server".to_owned(), host: "127.0.0.1".to_owned(), port }];
        let admin = Some(Admin::new().password(&hash).expect("it is one"));
        let config = Config { peers, admin, ..Config::new(loopback) };
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("history.db").display().to_string();
        let options = Options::new(place.parse().expect("a file"), folder.path());
        let history = Writer::start(options, handle.events()).await.expect("a history");
        let site = Site::bind(config, handle.clone()).expect("a free port");
        let site = site.with_history(history.place().clone());
        let addr = site.local_addr();
        let (open, closed) = oneshot::channel::<()>();
        tokio::spawn(site.serve(async {
            let _ = closed.await;
        }));
        Self { port, site: addr, handle, history, _folder: folder, _keep: [serve, open] }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.site)
    }

    /// Starts a test that does not end by itself soon.
    fn test(&self, title: &str) -> JoinHandle<Outcome> {
        let client = Client::builder("127.0.0.1").port(self.port).bidirectional().rate(40_000_000);
        let client = client.time(Duration::from_secs(600)).spec(|spec| {
            spec.interval = Some(Duration::from_millis(200));
            spec.title = Some(title.to_owned());
        });
        let client = client.build().expect("it is a test");
        tokio::spawn(async move { (*client.run().await.expect("it begins")).clone() })
    }
}

/// Runs a test of a second to its end.
async fn finished(world: &World, title: &str) -> Outcome {
    let client = Client::builder("127.0.0.1").port(world.port).bidirectional().rate(40_000_000);
    let client = client.time(Duration::from_secs(1)).spec(|spec| {
        spec.interval = Some(Duration::from_millis(200));
        spec.title = Some(title.to_owned());
    });
    let client = client.build().expect("it is a test");
    (*client.run().await.expect("it begins")).clone()
}

async fn log_in(browser: &mut Browser, world: &World) {
    browser.visit(&world.url("/login?to=/run")).await;
    browser.until("!document.getElementById('form').hidden").await;
    browser.evaluate("document.getElementById('password').focus()").await;
    for letter in PASSWORD.chars() {
        browser.press(&letter.to_string()).await;
    }
    browser.leave("document.getElementById('enter').click()").await;
    browser
        .until(
            "location.pathname === '/run' && document.getElementById('peer')?.options.length === 1",
        )
        .await;
}

/// Leaves a picture of the page for whoever wants to look at it.
async fn kept(browser: &mut Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    std::fs::create_dir_all(&folder).expect("it can be made");
    let picture = browser.whole().await;
    std::fs::write(folder.join(format!("web-{name}.png")), picture).expect("it can be written");
}

/// Asserts that nothing on the page is in the way of who cannot see it, or has no mouse.
async fn is_accessible(browser: &mut Browser, what: &str) {
    browser.evaluate(include_str!("../vendor/axe/axe.min.js")).await;
    let script = "axe.run().then(({ violations }) => violations
        .filter(({ impact }) => ['serious', 'critical', 'moderate'].includes(impact))
        .map(({ id, nodes }) => [id, nodes.map((node) => node.html)]))";
    assert_eq!(browser.evaluate(script).await, json!([]), "{what}");
}

async fn fits(browser: &mut Browser, width: u32, what: &str) {
    let wide = browser.evaluate("document.documentElement.scrollWidth").await;
    assert!(wide.as_u64() <= Some(width.into()), "{what}: {wide} of {width}");
}

/// Asserts that the page has complained of nothing, and asked nobody but its own server.
fn is_content(browser: &Browser, world: &World) {
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    let own = world.url("/");
    let foreign = |url: &&&str| !url.starts_with(&own) && !url.starts_with("data:");
    assert_eq!(browser.requests().iter().find(foreign), None);
}

const RUNNING: &str = "document.querySelector('#sessions .stage[data-stage=running]') !== null";
const DRAWN: &str = "document.querySelector('#sessions canvas') !== null";

async fn every_page_can_be_used(width: u32, dark: bool, name: &str) {
    let world = World::new().await;
    let mut browser = Browser::start(width, 800, dark).await;
    let tests = ["monday, <b>bold</b>", "a second one"].map(|title| world.test(title));
    log_in(&mut browser, &world).await;
    is_content(&browser, &world);
    for (path, ready) in [
        ("/", format!("{RUNNING} && {DRAWN} && document.querySelector('.u-over') !== null")),
        ("/run", "document.getElementById('transport').options.length > 3".to_owned()),
        ("/server", "!document.getElementById('tables').hidden".to_owned()),
        ("/login", "!document.getElementById('form').hidden".to_owned()),
    ] {
        browser.visit(&world.url(path)).await;
        browser.until(&ready).await;
        if path == "/" {
            // A chart is to show something.
            browser.until("[...document.querySelectorAll('.up dd')].some((it) => it.textContent.includes('Mbit'))").await;
            browser.evaluate("new Promise((done) => setTimeout(done, 1500))").await;
        }
        let what = format!("{name}{}", path.replace('/', "-"));
        kept(&mut browser, what.trim_end_matches('-')).await;
        fits(&mut browser, width, &what).await;
        is_accessible(&mut browser, &what).await;
        is_content(&browser, &world);
    }
    for session in world.handle.sessions() {
        assert!(world.handle.cancel(&session.session, "that is enough"));
    }
    for test in tests {
        test.await.expect("it ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_on_a_desk_in_light_colours() {
    every_page_can_be_used(1280, false, "1280-light").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_on_a_desk_in_dark_colours() {
    every_page_can_be_used(1280, true, "1280-dark").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_on_a_telephone() {
    every_page_can_be_used(360, false, "360-light").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_started_from_its_page_watched_and_kept() {
    let world = World::new().await;
    let mut browser = Browser::start(360, 800, true).await;
    log_in(&mut browser, &world).await;
    browser.evaluate("document.getElementById('time').value = 2").await;
    browser.evaluate("document.getElementById('direction').value = 'reverse'").await;
    browser.evaluate("document.getElementById('start').focus()").await;
    browser.press(" ").await;
    browser.until("document.querySelector('#result .stage[data-stage=running]')").await;
    browser.until("document.querySelector('#result-chart canvas')").await;
    browser.until("document.querySelector('#result .stage[data-stage=complete]')").await;
    let told = browser.evaluate("document.getElementById('status').textContent").await;
    assert_eq!(told, "The test towards this very server is complete.");
    let link = browser.evaluate("document.getElementById('permalink').pathname").await;
    let link = link.as_str().expect("a path").to_owned();
    assert_eq!(browser.evaluate("location.pathname").await, link);
    fits(&mut browser, 360, "result").await;
    is_accessible(&mut browser, "result").await;
    kept(&mut browser, "360-dark-result").await;
    is_content(&browser, &world);
    browser.visit(&world.url(&link)).await;
    browser.until("document.querySelector('#result .stage[data-stage=complete]')").await;
    let command = browser.evaluate("document.getElementById('command').textContent").await;
    let expected = format!("polyperf client 127.0.0.1 -p {} --transport tcp -R -t 2", world.port);
    assert_eq!(command, expected);
    is_content(&browser, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_cancelled_from_its_page_and_its_client_is_told_why() {
    let world = World::new().await;
    let mut browser = Browser::start(1280, 800, false).await;
    log_in(&mut browser, &world).await;
    browser.visit(&world.url("/")).await;
    browser.until("!document.getElementById('nobody').hidden").await;
    let title = "<img src=x onerror=alert(1)>";
    let test = world.test(title);
    browser.until(RUNNING).await;
    let shown = browser.evaluate("document.querySelector('.title').textContent").await;
    assert_eq!(shown, title, "as text");
    browser.evaluate("document.querySelector('.actions:not([hidden]) button').focus()").await;
    browser.press(" ").await;
    browser.until("document.getElementById('cancel').open").await;
    is_accessible(&mut browser, "the question").await;
    kept(&mut browser, "1280-light-cancel").await;
    browser.evaluate("document.getElementById('reason').focus()").await;
    for letter in "too loud".chars() {
        browser.press(&letter.to_string()).await;
    }
    browser.evaluate("document.querySelector('#cancel-form button').click()").await;
    let outcome = test.await.expect("it ends");
    let Ended::Stopped { by: Side::Server, reason } = outcome.ended else { panic!("{outcome:?}") };
    assert_eq!(reason, "the server's operator ended the test: too loud");
    browser.until("document.querySelector('#sessions .stage[data-stage=stopped]')").await;
    is_content(&browser, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_logged_in_sees_everything_and_is_offered_nothing_to_do() {
    let world = World::new().await;
    let mut browser = Browser::start(1280, 800, false).await;
    let test = world.test("watched");
    browser.visit(&world.url("/")).await;
    browser.until(RUNNING).await;
    let buttons = "[...document.querySelectorAll('#sessions button')].filter((it) => it.checkVisibility()).length";
    assert_eq!(browser.evaluate(buttons).await, 0);
    browser.until("!document.getElementById('log-in').hidden").await;
    browser.visit(&world.url("/run")).await;
    browser.until("!document.getElementById('cannot').hidden").await;
    let hidden = browser.evaluate("document.getElementById('form').checkVisibility()").await;
    assert_eq!(hidden, Value::Bool(false));
    is_content(&browser, &world);
    test.abort();
}

async fn tests_are_found_in_the_history_and_compared(width: u32, dark: bool, name: &str) {
    let world = World::new().await;
    let evil = "<img src=x onerror=alert(1)>";
    finished(&world, evil).await;
    finished(&world, "a second one").await;
    world.history.stats().wait_for(|counts| counts.written == 2).await;
    let mut browser = Browser::start(width, 800, dark).await;
    browser.visit(&world.url("/history")).await;
    browser.until("document.getElementById('tests').rows.length === 2").await;
    browser.until("document.querySelector('#chart canvas')").await;
    let links = "[...document.querySelectorAll('#tests a')].map((it) => it.textContent)";
    let expected = ["#2 tcp a second one".to_owned(), format!("#1 tcp {evil}")];
    assert_eq!(browser.evaluate(links).await, json!(expected), "as text");
    browser.evaluate("document.querySelectorAll('#tests a')[1].focus()").await;
    browser.evaluate("document.activeElement.click()").await;
    browser.until("document.querySelector('#result-chart canvas')").await;
    assert_eq!(browser.evaluate("location.hash").await, "#1");
    let told = browser.evaluate("document.getElementById('status').textContent").await;
    assert_eq!(told, "Test 1 is shown.");
    fits(&mut browser, width, "history").await;
    is_accessible(&mut browser, "history").await;
    kept(&mut browser, &format!("{name}-history")).await;
    is_content(&browser, &world);
    for row in 0..2 {
        let focus = format!("document.querySelectorAll('#tests input')[{row}].focus()");
        browser.evaluate(&focus).await;
        browser.press(" ").await;
    }
    browser.leave("document.getElementById('compare').click()").await;
    browser.until("document.querySelector('#chart canvas')").await;
    browser.until("document.getElementById('key').children.length === 2").await;
    let summary = browser.evaluate("document.getElementById('summary').textContent").await;
    assert_eq!(summary, "2 tests over tcp");
    let medians = "document.querySelector('#figures tr').textContent";
    let medians = browser.evaluate(medians).await;
    let medians = medians.as_str().unwrap_or_default();
    assert!(medians.contains("Mbit/s [") && medians.contains(" to "), "{medians}");
    let dashes = "new Set([...document.querySelectorAll('#key line')].map((it) => it.getAttribute('stroke-dasharray'))).size";
    assert_eq!(browser.evaluate(dashes).await, 2, "no colour alone tells them apart");
    fits(&mut browser, width, "compare").await;
    is_accessible(&mut browser, "compare").await;
    kept(&mut browser, &format!("{name}-compare")).await;
    is_content(&browser, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_are_found_in_the_history_and_compared_on_a_desk() {
    tests_are_found_in_the_history_and_compared(1280, false, "1280-light").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_are_found_in_the_history_and_compared_on_a_telephone() {
    tests_are_found_in_the_history_and_compared(360, true, "360-dark").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_a_thousand_tests_is_drawn() {
    let world = World::new().await;
    let outcome = finished(&world, "one of many").await;
    world.history.stats().wait_for(|counts| counts.written == 1).await;
    let store = Store::open(world.history.place()).await.expect("it is there");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    for minute in 1..1000 {
        let mut info = (*outcome.info).clone();
        info.started = now - Duration::from_secs(60 * minute);
        let outcome = Outcome { info: Arc::new(info), ..outcome.clone() };
        let entry = Entry::new(Record::Finished(Arc::new(outcome)), now);
        store.keep(&entry).await.expect("there is room");
    }
    let mut browser = Browser::start(1280, 800, false).await;
    let begun = Instant::now();
    browser.visit(&world.url("/history")).await;
    browser.until("document.querySelector('#chart canvas')").await;
    println!("drawn after {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(browser.evaluate("document.getElementById('tests').rows.length").await, 100);
    browser.evaluate("document.querySelector('[data-seconds=\"86400\"]').click()").await;
    browser.until("document.querySelector('[data-seconds=\"86400\"]').getAttribute('aria-pressed') === 'true'").await;
    browser.until("!document.getElementById('more').disabled").await;
    browser.evaluate("document.getElementById('more').click()").await;
    browser.until("document.getElementById('tests').rows.length === 200").await;
    kept(&mut browser, "1280-light-thousand").await;
    is_content(&browser, &world);
}

const PASSWORD: &str = "correct horse";
