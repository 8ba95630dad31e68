//! The HTML report of an experiment in a browser.

#[path = "../../support/experiment/mod.rs"]
mod experiment;

use std::path::{Path, PathBuf};

use polyperf::compare::{experiment::Experiment, html};
use polyperf_interop::Browser;
use tempfile::TempDir;

/// Writes the report where the browser can read it.
fn written(experiment: &Experiment) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.html");
    std::fs::write(&path, html::render(experiment)).expect("it can be written");
    (folder, path)
}

async fn opened(path: &Path, width: u32, dark: bool) -> Browser {
    let mut browser = Browser::start(width, 900, dark).await;
    browser.open(path).await;
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    browser
}

/// Returns the colours in which the page shows so many arms.
async fn colours(browser: &mut Browser, arms: usize) -> Vec<[u8; 3]> {
    let mut colours = Vec::new();
    for arm in 0..arms {
        let script =
            format!("getComputedStyle(document.documentElement).getPropertyValue('--arm-{arm}')");
        let text = browser.evaluate(&script).await;
        let hex = text.as_str().expect("a colour").trim().trim_start_matches('#').to_owned();
        let number = u32::from_str_radix(&hex, 16).expect("six digits");
        let [_, red, green, blue] = number.to_be_bytes();
        colours.push([red, green, blue]);
    }
    colours
}

/// Leaves a picture of the page for whoever wants to look at it.
async fn kept(browser: &mut Browser, name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}.png"));
    std::fs::write(path, browser.whole().await).expect("it can be written");
}

async fn every_arm_is_in_every_chart(width: u32, dark: bool, name: &str) {
    let experiment = experiment::full();
    let (_folder, path) = written(&experiment);
    let mut browser = opened(&path, width, dark).await;
    kept(&mut browser, name).await;
    let colours = colours(&mut browser, experiment.plan.arms.len()).await;
    let pictures = browser.pictures("[data-chart]").await;
    assert_eq!(pictures.len(), 5 + 12, "every chart has its place");
    for (chart, picture) in pictures {
        for (arm, colour) in experiment.plan.arms.iter().zip(&colours) {
            // Nobody knows what this one puts on the wire.
            let unknown = arm.name == "tokio-kcp" && chart.starts_with("Wire");
            let shown = picture.count(*colour);
            assert!(unknown || shown >= 8, "{} in {chart}: {shown} pixels", arm.name);
        }
    }
    let width_of_page = browser.evaluate("document.documentElement.scrollWidth").await;
    assert!(width_of_page.as_u64() <= Some(width.into()), "{width_of_page} of {width}");
    assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}

#[tokio::test]
async fn every_arm_is_drawn_in_every_chart_in_light_colours() {
    every_arm_is_in_every_chart(1280, false, "light").await;
}

#[tokio::test]
async fn every_arm_is_drawn_in_every_chart_in_dark_colours() {
    every_arm_is_in_every_chart(1280, true, "dark").await;
}

#[tokio::test]
async fn a_telephone_shows_every_chart_and_nothing_is_wider_than_it() {
    every_arm_is_in_every_chart(360, false, "telephone").await;
}

#[tokio::test]
async fn a_space_on_its_key_takes_an_arm_out_of_the_charts_and_brings_it_back() {
    let (_folder, path) = written(&experiment::full());
    let mut browser = opened(&path, 1280, false).await;
    let colour = colours(&mut browser, 6).await[5];
    let scatter = "[data-chart=scatter]";
    let mut counts = Vec::new();
    browser.evaluate("document.querySelector('[data-arm=\"5\"]').focus()").await;
    for _ in 0..3 {
        counts.push(browser.pictures(scatter).await[0].1.count(colour));
        browser.press(" ").await;
        browser.evaluate("new Promise((done) => setTimeout(done))").await;
    }
    assert!(counts[0] >= 8 && counts[1] == 0 && counts[2] == counts[0], "{counts:?}");
}

#[tokio::test]
async fn the_page_turns_with_the_colours_of_the_system() {
    let (_folder, path) = written(&experiment::of_one_arm());
    let mut browser = opened(&path, 1280, false).await;
    let light = colours(&mut browser, 1).await[0];
    browser.wear("dark").await;
    let dark = colours(&mut browser, 1).await[0];
    assert_ne!(light, dark);
    for (chart, picture) in browser.pictures("[data-chart]").await {
        assert!(picture.count(dark) >= 8, "{chart}");
    }
}

#[tokio::test]
async fn what_a_server_says_runs_nothing_and_asks_for_nothing() {
    let (_folder, path) = written(&experiment::hostile());
    let mut browser = opened(&path, 1280, false).await;
    let title = browser.evaluate("document.title").await;
    assert!(title.as_str().is_some_and(|title| title.starts_with("polyperf compare: ")), "{title}");
    assert_eq!(browser.evaluate("document.images.length").await, 0);
    assert_eq!(browser.evaluate("document.scripts.length").await, 3);
    assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
}

#[tokio::test]
async fn what_was_measured_in_part_or_not_at_all_has_a_page() {
    for experiment in [experiment::in_vain(), experiment::stopped_early()] {
        let (_folder, path) = written(&experiment);
        let mut browser = opened(&path, 360, true).await;
        let [places, drawn] = [
            "document.querySelectorAll('[data-chart]').length",
            "Number(document.documentElement.dataset.drawn)",
        ];
        assert_eq!(browser.evaluate(places).await, browser.evaluate(drawn).await);
    }
}
