//! Histories on the command line.

use std::time::Duration;

use super::{super::*, client, line, refused::assert_mistakes, server};
use crate::{
    history::{Filter, How, Location, Retention},
    outcome::Side,
    spec::Direction,
};

fn history(text: &str) -> HistoryArgs {
    match line(text) {
        Ok(Command::History(args)) => args,
        other => panic!("{text}: {other:?}"),
    }
}

fn file(path: &str) -> HistoryAt {
    HistoryAt::Location(Location::File(path.into()))
}

#[test]
fn a_history_is_kept_where_and_for_as_long_as_it_is_wanted() {
    assert_eq!(server("server").history, None);
    let kept = HistoryKept { at: HistoryAt::Default, retention: Retention::default() };
    assert_eq!(server("-s --history").history, Some(kept));
    let retention =
        Retention { max_age: Some(Duration::from_secs(30 * 86_400)), max_bytes: Some(2 << 30) };
    let kept = HistoryKept { at: file("h.db"), retention };
    let text = "server --history=h.db --history-days 30 --history-size 2G";
    assert_eq!(server(text).history, Some(kept));
    assert_eq!(client("client host").history, None);
    // A value has to be attached, or the host could be one.
    assert_eq!(client("client --history host").history, Some(HistoryAt::Default));
    let Some(HistoryAt::Location(url)) = client("-c host --history=postgres://h/d").history else {
        panic!("it was named")
    };
    assert_eq!(url.to_string(), "postgres://h/d");
}

#[test]
fn each_command_of_history_has_its_own_options() {
    let since = Some(When::Ago(Duration::from_secs(7 * 86_400)));
    let until = Some(When::At(Duration::from_secs(1_795_996_800)));
    let filter = Filter {
        transport: Some("quic".to_owned()),
        direction: Some(Direction::Reverse),
        host: Some("h".to_owned()),
        side: Some(Side::Client),
        user: Some("u".to_owned()),
        text: Some("t".to_owned()),
        ended: vec![How::Failed, How::Nothing],
        limit: 5,
        ..Filter::default()
    };
    let text = "history list --since 7d --until 2026-11-30 --transport quic --direction reverse \
                --host h --side client --user u --text t --failed --limit 5 --history=f --csv";
    let filter = HistoryFilter { since, until, filter };
    let list = HistoryArgs::List { at: file("f"), filter, report: Report::Csv };
    assert_eq!(history(text), list);
    let at = HistoryAt::Default;
    assert_eq!(history("history show 42 -J"), HistoryArgs::Show { at, id: 42, json: true });
    let diff = HistoryArgs::Diff {
        at: HistoryAt::Default,
        ids: [1, 2],
        threshold: Some(0.1),
        metrics: Vec::new(),
        json: false,
    };
    assert_eq!(history("history diff 1 2 --threshold 10"), diff);
    let filter = HistoryFilter::default();
    let output = Some("f".into());
    let export = HistoryArgs::Export { at: HistoryAt::Default, filter, csv: false, output };
    assert_eq!(history("history export -o f"), export);
    let retention = Retention { max_bytes: Some(1 << 20), ..Retention::default() };
    let prune = HistoryArgs::Prune { at: HistoryAt::Default, retention };
    assert_eq!(history("history prune --history-size 1M"), prune);
    for (text, seconds) in
        [("2026-11-30T08:00:00Z", 1_796_025_600), ("2026-11-30T08:00:00", 1_796_025_600)]
    {
        let HistoryArgs::List { filter, .. } = history(&format!("history list --since {text}"))
        else {
            panic!("{text}")
        };
        assert_eq!(filter.since, Some(When::At(Duration::from_secs(seconds))));
    }
}

#[test]
fn mistakes_about_histories_say_what_to_do() {
    assert_mistakes("history", &["a command is missing: write polyperf history list, show, diff"]);
    assert_mistakes("history show", &["name one test, as in polyperf history show 42"]);
    assert_mistakes("history show 1 2", &["name one test"]);
    assert_mistakes("history show x", &["ID x is not a whole number"]);
    assert_mistakes("history diff 1", &["name two tests, as in polyperf history diff 41 42"]);
    assert_mistakes("history prune", &["nothing says what is to go: give --history-days"]);
    assert_mistakes("history list --since soon", &["--since soon is no time: write 2026-11-30"]);
    assert_mistakes("history list --limit 0", &["--limit 0 is out of range: 1 to 1000"]);
    assert_mistakes("history list -J --csv", &["-J and --csv exclude each other"]);
    assert_mistakes(
        "history list --side both",
        &["--side both is not known: write client, server"],
    );
    assert_mistakes("history list h.db", &["h.db is too much"]);
    assert_mistakes("server --history-days 1", &["--history-days needs --history as well"]);
    assert_mistakes("server --history --history-size 1K", &["--history-size 1K is too little"]);
    assert_mistakes("server --history=", &["--history is empty: give the path of a file"]);
    assert_mistakes("client h --history=mysql://a:b@c/d", &["--history is a URL of no database"]);
    let text = line("client h --history=mysql://a:b@c/d").unwrap_err().text;
    assert!(!text.contains("a:b"), "{text}");
}
