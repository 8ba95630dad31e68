use super::{super::samples, *};
use crate::compare::experiment::PartKind;

/// Returns what is between the last occurrence of `open` and `close` after it.
fn between<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let start = page.rfind(open).unwrap() + open.len();
    let end = page[start..].find(close).unwrap() + start;
    &page[start..end]
}

fn data<'a>(page: &'a str, id: &str) -> &'a str {
    between(page, &format!("<script type=\"application/json\" id=\"{id}\">"), "</script>")
}

#[test]
fn what_is_in_the_file_is_the_whole_experiment() {
    for experiment in [samples::of(&["tcp", "quic"], 2, 1), samples::in_vain(), samples::hostile()]
    {
        let page = render(&experiment);
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        let written = value(&serde_json::to_string(&experiment).unwrap());
        assert!(value(data(&page, "experiment")) == written);
    }
}

#[test]
fn the_policy_permits_the_script_and_the_styles_of_the_file_and_nothing_else() {
    let page = render(&samples::of_one_arm());
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let style = hash(between(&page, "<style>", "</style>"));
    let script = hash(between(&page, "<script>", "</script>"));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         base-uri 'none'; form-action 'none'"
    );
    assert!(page.contains(&policy.replace('\'', "&#39;")), "{}", &page[..600]);
    // A hash is of what a browser reads, which has no carriage returns.
    assert!(
        ![STYLE, DRAWING, SCRIPT, UPLOT, UPLOT_STYLE, UPLOT_LICENCE]
            .iter()
            .any(|t| t.contains('\r'))
    );
}

#[test]
fn the_file_asks_for_no_other() {
    let page = render(&samples::full());
    let script = between(&page, "<script>", "</script>");
    let page = page.replace(data(&page, "experiment"), "").replace(script, "");
    for tag in page.split('<').map(|tag| format!("<{}", tag.split('>').next().unwrap())) {
        let asks =
            ["<link", "<iframe", "<object", "<base"].iter().any(|name| tag.starts_with(name));
        let mut attributes = tag.split(' ').filter(|word| word.contains("=\""));
        let acts = |word: &str| ["on", "style=", "src="].iter().any(|name| word.starts_with(name));
        assert!(!asks && !attributes.any(acts), "{tag}");
    }
    assert!(
        ![STYLE, UPLOT_STYLE].iter().any(|css| css.contains("url(") || css.contains("@import"))
    );
}

#[test]
fn nothing_that_anybody_says_is_markup() {
    let page = render(&samples::hostile());
    let plain = render(&samples::of(&["tcp", "quic"], 7, 5));
    let tags = |page: &str, tag: &str| page.matches(tag).count();
    assert_eq!(tags(&page, "<img"), 0);
    assert_eq!(tags(&page, "<script"), tags(&plain, "<script"));
    assert_eq!(tags(&page, "</script"), tags(&plain, "</script"));
    assert!(!page.contains("<!--"));
    assert!(!page.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
    for id in ["charts", "experiment"] {
        assert!(!data(&page, id).contains(['<', '>', '&', '\u{2028}']), "{id}");
    }
    assert!(page.contains("&#60;img src=x onerror="), "it is shown, as text");
}

#[test]
fn what_nobody_knows_has_no_chart_and_is_a_dash_in_tables() {
    let charts = |page: &str| {
        let names = page.split("data-chart=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        names.filter(|name| *name != "strip").map(str::to_owned).collect::<Vec<_>>()
    };
    let all = render(&samples::of(&["tcp", "quic"], 2, 1));
    assert_eq!(charts(&all), ["scatter", "idle", "loaded", "up", "down"]);
    let down = render(&samples::with_parts(&[PartKind::Down]));
    assert_eq!(charts(&down), ["down"]);
    let none = render(&samples::in_vain());
    assert_eq!(charts(&none), [""; 0]);
    assert!(none.contains("Nothing was measured.") && none.contains("connection refused"));
    let unlike = render(&samples::of(&["tcp", "udp"], 2, 1));
    assert!(unlike.contains("<span class=\"unknown\" title=\"not known\">-</span>"));
}

#[test]
fn one_arm_is_compared_with_nobody() {
    let page = render(&samples::of_one_arm());
    assert!(!page.contains("class=\"chip"), "{page}");
    assert!(!page.contains("The ratio is"));
}

#[test]
fn every_verdict_is_in_words() {
    let page = render(&samples::full());
    for words in ["better</span>", "worse</span>", "no difference shown</span>"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("0.63 × ("), "quic's goodput");
    assert!(page.contains("<small>9 of 10 blocks</small>"), "kcp failed once");
}

#[test]
fn arms_are_told_apart_without_colour() {
    let marks: Vec<_> = (0..8).map(|arm| Mark::of(arm).points()).collect();
    for (nth, one) in marks.iter().enumerate() {
        assert!(!marks[..nth].contains(one), "{nth}");
    }
    let looks = |arm: usize| (arm % 8, Mark::of(arm).dashes());
    let all: Vec<_> = (0..56).map(looks).collect();
    for (nth, one) in all.iter().enumerate() {
        assert!(!all[..nth].contains(one), "{nth}");
    }
}

fn charts(experiment: &Experiment) -> serde_json::Value {
    serde_json::to_value(Charts::of(experiment)).unwrap()
}

#[test]
fn a_curve_of_latencies_rises_and_ends_where_its_requests_do() {
    let charts = charts(&samples::of(&["tcp"], 2, 1));
    let nines = charts["latency"]["nines"].as_array().unwrap();
    let curve = charts["latency"]["loaded"][0].as_array().unwrap();
    assert_eq!(curve.len(), nines.len());
    let known: Vec<_> = curve.iter().filter_map(serde_json::Value::as_f64).collect();
    assert!(known.is_sorted() && known[0] > 20.0, "{known:?}");
    let reach = nines[known.len() - 1].as_f64().unwrap();
    assert!((2.88..=2.91).contains(&reach), "800 requests have 2.9 nines: {reach}");
}

#[test]
fn the_median_over_time_is_that_of_the_runs_at_each_time() {
    let charts = charts(&samples::of(&["tcp", "quic"], 3, 1));
    let up = &charts["up"];
    let times = up["times"].as_array().unwrap();
    assert_eq!((times.len(), &times[0]), (40, &serde_json::json!(0.05)));
    assert_eq!(up["measured_from"], 1.0);
    for arm in 0..2 {
        for at in [0, 20, 39] {
            let runs = up["runs"].as_array().unwrap().iter().filter(|run| run["arm"] == arm);
            let mut rates: Vec<_> = runs.map(|run| run["rates"][at].as_f64().unwrap()).collect();
            rates.sort_by(f64::total_cmp);
            assert_eq!((rates.len(), up["medians"][arm][at].as_f64()), (3, Some(rates[1])));
        }
    }
}

#[test]
fn every_run_is_a_point_and_one_that_failed_is_none() {
    let charts = charts(&samples::full());
    let points = |arm: usize| charts["scatter"][0]["arms"][arm].as_array().unwrap().len();
    assert_eq!((points(0), points(3)), (10, 9));
    let first = &charts["strips"][0];
    assert_eq!(first["runs"][3].as_array().unwrap().len(), 9);
    let [value, low, high] = [0, 1, 2].map(|part| first["medians"][0][part].as_f64().unwrap());
    assert!(low < value && value < high && low > 30.0, "milliseconds: {value}");
}
