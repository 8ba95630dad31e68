use std::{collections::BTreeSet, fs, time::Duration};

use polyperf_memory::link::{Aqm, CoDel, Loss, Probability, QueueLimit, Rate};

use super::*;

#[test]
fn every_file_that_ships_is_listed_and_is_named_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/presets");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: Vec<_> = builtin().map(|preset| format!("{}.toml", preset.label())).collect();
    assert_eq!(listed.len(), files.len());
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), files);
    for (preset, (label, _)) in builtin().zip(SHIPPED) {
        assert_eq!(preset.label(), label);
        assert!(!preset.about.is_empty() && !preset.source.is_empty(), "{label}");
        assert_eq!(find(label).unwrap(), preset);
    }
}

#[test]
fn the_table_is_the_one_that_was_checked_by_eye() {
    let shown = table(&builtin().collect::<Vec<_>>());
    assert_eq!(shown, include_str!("golden/list.txt"), "{shown}");
    let longest = shown.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(140), "{longest:?}");
}

#[test]
fn the_page_has_the_table_the_sources_and_an_example_that_is_read() {
    let page = include_str!("../../../docs/lab-links.md");
    let presets: Vec<_> = builtin().collect();
    assert!(page.contains(&table(&presets)), "docs/lab-links.md has another table");
    for preset in presets {
        let source = format!("- `{}`: {}\n", preset.label(), preset.source);
        assert!(page.contains(&source), "docs/lab-links.md is to have: {source}");
    }
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.down"), "1\n").unwrap();
    let path = folder.path().join("train.toml");
    fs::write(&path, example.unwrap()).unwrap();
    assert_eq!(load(&path).unwrap().label(), "train@1");
}

#[test]
fn a_preset_is_shown_in_full() {
    let shown: Vec<_> = ["leo", "lossy-burst", "lte-trace-codel", "policer", "interop-blackhole"]
        .map(|name| show(&find(name).unwrap()))
        .into();
    let shown = shown.join("\n");
    assert_eq!(shown, include_str!("golden/show.txt"), "{shown}");
}

#[test]
fn near_is_the_client_so_down_is_towards_it() {
    let (to_far, to_near) = find("broadband").unwrap().links(1);
    let rate = |mbps| Some(Rate::Fixed(polyperf_memory::link::BitRate::mbps(mbps)));
    assert_eq!((to_far.rate, to_near.rate), (rate(20), rate(100)));
}

#[test]
fn a_preset_becomes_the_link_that_it_describes() {
    let (up, down) = find("bufferbloat-codel-ecn").unwrap().links(7);
    assert_eq!(up.aqm, Aqm::CoDel(CoDel::new().with_ecn()));
    assert_eq!(up.queue, QueueLimit::Time(Duration::from_millis(500)));
    assert_eq!(down.delay, Duration::from_millis(10));
    let (_, down) = find("lossy-burst").unwrap().links(7);
    let chain = Loss::GilbertElliott {
        to_bad: Probability::new(0.0033),
        to_good: Probability::new(0.33),
        in_good: Probability::ZERO,
        in_bad: Probability::ONE,
    };
    assert_eq!(down.loss, chain);
    let (_, down) = find("leo").unwrap().links(7);
    assert_eq!(down.longest_delay(), Duration::from_millis(25));
    let dark = down.blackouts.unwrap();
    assert!(dark.is_dark(Duration::from_millis(14_950)));
    assert!(!dark.is_dark(Duration::from_millis(15_000)));
    let (_, down) = find("pantheon-default").unwrap().links(7);
    assert_eq!(down.mean_rate(), Some(polyperf_memory::link::BitRate::mbps(12)));
}

#[test]
fn directions_have_seeds_of_their_own_and_the_same_each_time() {
    let geo = find("geo").unwrap();
    let (up, down) = geo.links(7);
    assert_ne!(up.seed, down.seed);
    assert_eq!(geo.links(7), (up.clone(), down));
    assert_ne!(geo.links(8).0, up);
}

#[test]
fn what_ships_stays_in_the_exact_range_but_for_the_whole_packet_one() {
    for preset in builtin() {
        for link in [preset.links(1).0, preset.links(1).1] {
            assert_eq!(link.is_per_packet(), preset.name != "lan", "{}", preset.label());
            let rate = link.mean_rate().map_or(0, |rate| rate.bits_per_second());
            assert!(rate <= 1_000_000_000, "{}", preset.label());
        }
    }
}

#[test]
fn a_name_finds_the_newest_version_and_a_label_exactly_that() {
    assert_eq!(find("wifi-bad").unwrap().label(), "wifi-bad@1");
    assert_eq!(find("wifi-bad@1").unwrap().label(), "wifi-bad@1");
    assert!(matches!(find("wifi-bad@2"), Err(PresetError::Unknown { .. })));
}

#[test]
fn an_unknown_name_is_refused_with_those_that_look_like_it() {
    let error = find("bufferbloated").unwrap_err().to_string();
    let near = "bufferbloat@1, bufferbloat-codel@1, bufferbloat-codel-ecn@1";
    let start = format!("there is no preset \"bufferbloated\"; there is {near}; see all with");
    assert!(error.starts_with(&start), "{error}");
    let error = find("xyz").unwrap_err().to_string();
    assert!(error.starts_with("there is no preset \"xyz\"; see all with"), "{error}");
    let error = find(&"\u{1b}[2J".repeat(10_000)).unwrap_err().to_string();
    assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_file_of_ones_own_needs_little() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.toml");
    fs::write(&path, "[both]\ndelay = \"30 ms\"\n").unwrap();
    let preset = find(path.to_str().unwrap()).unwrap();
    assert_eq!((preset.label().as_str(), preset.mtu), ("train@1", None));
    assert_eq!(preset.to_far, preset.to_near);
    assert_eq!(preset.to_far.delay, Duration::from_millis(30));
}

#[test]
fn every_key_is_read() {
    let preset = parse::preset(Path::new("all.toml"), EVERY_KEY).unwrap();
    assert_eq!((preset.label().as_str(), preset.mtu), ("all@3", Some(9000)));
    let json = serde_json::to_value(&preset).unwrap();
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("golden/all.json")).unwrap();
    assert_eq!(json, expected, "{json:#}");
    assert!(show(&preset).contains("10 KB"));
}

#[test]
fn a_trace_lies_beside_the_preset_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("traces")).unwrap();
    fs::write(folder.path().join("traces/slow.txt"), "1\n2\n4\n").unwrap();
    let path = folder.path().join("own.toml");
    fs::write(&path, "[both]\ntrace = \"traces/slow.txt\"\n").unwrap();
    let preset = load(&path).unwrap();
    let Some(RateFile::Trace(trace)) = &preset.to_far.rate else { panic!("{preset:?}") };
    assert_eq!((trace.source.as_str(), trace.opportunities), ("traces/slow.txt", 3));
    assert_eq!((trace.mean_bits_per_second, trace.length_ms), (9_000_000, 4));
    let link = preset.links(1).0;
    assert_eq!(link.mean_rate().unwrap().bits_per_second(), 9_000_000);
}

#[test]
fn a_trace_that_is_none_is_refused_with_its_file_line_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    fs::write(&path, "[both]\ntrace = \"bad.txt\"\n").unwrap();
    let cases: [(Option<&[u8]>, &str); 5] = [
        (None, "cannot read {}: No such file"),
        (Some(b"1\nx\n"), "{} is no trace: line 2 is \"x\"; allowed is a whole number"),
        (Some(b"5\n4\n"), "{} is no trace: line 2 is 4, after 5 in the line above"),
        (Some(b""), "{} is no trace: the trace is empty"),
        (Some(b"\xff\xfe\n"), "cannot read {}: it is no text"),
    ];
    let bad = folder.path().join("bad.txt");
    for (bytes, message) in cases {
        if let Some(bytes) = bytes {
            fs::write(&bad, bytes).unwrap();
        }
        let error = load(&path).unwrap_err().to_string();
        let message = message.replace("{}", bad.to_str().unwrap());
        let message = format!("own.toml:2: both.trace is \"bad.txt\": {message}");
        assert!(error.contains(&message), "{error}");
    }
    let huge = fs::File::create(&bad).unwrap();
    huge.set_len(1 << 40).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("it has more than 16777216 bytes"), "{error}");
}

#[test]
fn what_is_no_file_of_a_preset_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let error = load(&missing).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the preset {}", missing.display()));
    assert!(matches!(error, PresetError::Read { .. }));
    let long = folder.path().join("long.toml");
    fs::write(&long, "#".repeat(100_000)).unwrap();
    let PresetError::Read { source, .. } = load(&long).unwrap_err() else { panic!("it is read") };
    assert_eq!(source.to_string(), "it has more than 65536 bytes, and no more are allowed");
    let PresetError::Read { source, .. } = load(folder.path()).unwrap_err() else {
        panic!("a folder is read")
    };
    assert_eq!(source.to_string(), "it is no plain file");
}

#[test]
fn a_label_that_ships_is_not_given_to_a_file_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo.toml");
    fs::write(&path, "[both]\ndelay = \"30 ms\"\n").unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("geo@1 ships with the program; give it another name"), "{error}");
    fs::write(&path, "version = 2\n[both]\ndelay = \"30 ms\"\n").unwrap();
    assert_eq!(load(&path).unwrap().label(), "geo@2");
}

#[test]
fn each_bad_value_is_refused_with_key_value_and_what_is_allowed() {
    let time = "allowed is a time such as \"20 ms\", from 0 ms to 60 s, in whole microseconds";
    let share = "allowed is a share such as \"1 %\", from 0 % to less than 100 %";
    let rate = "allowed is a rate such as \"50 Mbit/s\", from 1 kbit/s to 1000 Gbit/s";
    let cases = [
        ("delay = \"20\"", format!("both.delay is \"20\"; {time}")),
        ("delay = 20", format!("both.delay is 20; {time}")),
        ("delay = \"-1 ms\"", format!("both.delay is \"-1 ms\"; {time}")),
        ("delay = \"61 s\"", format!("both.delay is \"61 s\"; {time}")),
        ("delay = \"0.5 us\"", format!("both.delay is \"0.5 us\"; {time}")),
        ("delay = [\"20 ms\"]", format!("both.delay is [\"20 ms\"]; {time}")),
        ("rate = \"0 Mbit/s\"", format!("both.rate is \"0 Mbit/s\"; {rate}")),
        ("rate = \"50 MB/s\"", format!("both.rate is \"50 MB/s\"; {rate}")),
        ("rate = \"2000 Gbit/s\"", format!("both.rate is \"2000 Gbit/s\"; {rate}")),
        ("loss = \"100 %\"", format!("both.loss is \"100 %\"; {share}")),
        ("loss = \"-1 %\"", format!("both.loss is \"-1 %\"; {share}")),
        ("loss = \"0.01\"", format!("both.loss is \"0.01\"; {share}")),
        ("duplicate = \"nan %\"", format!("both.duplicate is \"nan %\"; {share}")),
    ];
    for (line, message) in cases {
        assert_eq!(mistakes(&format!("[both]\n{line}\n")), [format!("2: {message}")]);
    }
}

#[test]
fn each_bad_combination_is_refused_with_what_is_allowed() {
    let cases = [
        ("delay = \"10 ms\"\njitter = \"6 ms\"", "at most half of the delay, which is 5 ms"),
        ("jitter = \"1 ms\"", "at most half of the delay, which is 0 ms"),
        ("rate = \"1 Mbit/s\"\nqueue = \"0 packets\"", "allowed is \"100 packets\" (1 to 1000000)"),
        ("rate = \"1 Mbit/s\"\nqueue = \"2 GB\"", "allowed is \"100 packets\" (1 to 1000000)"),
        ("rate = \"1 Mbit/s\"\nqueue = \"1 KB\"", "what holds a packet of 1500 bytes"),
        ("rate = \"1 Mbit/s\"\nqueue = \"11 ms\"", "what holds a packet of 1500 bytes"),
        ("queue = \"5 packets\"", "needs a rate or a trace: without one nothing ever waits"),
        ("codel = {}", "needs a rate or a trace"),
        ("mark_above = \"5 packets\"", "needs a rate or a trace"),
        ("rate = \"1 Mbit/s\"\ncodel = true", "codel is true; allowed is a table such as { target"),
        (
            "rate = \"1 Mbit/s\"\ncodel = { target = \"2 s\" }",
            "codel.target is \"2 s\"; allowed is a time such as \"5 ms\", from 0.1 ms to 1 s",
        ),
        (
            "rate = \"1 Mbit/s\"\ncodel = { interval = \"0 ms\" }",
            "codel.interval is \"0 ms\"; allowed is a time such as \"100 ms\", from 1 ms to 10 s",
        ),
        (
            "rate = \"1 Mbit/s\"\ncodel = { target = \"9 ms\", interval = \"9 ms\" }",
            "codel has a target that is not below its interval of 9 ms",
        ),
        ("rate = \"1 Mbit/s\"\ncodel = { ecn = 1 }", "codel.ecn is 1; allowed is true or false"),
        (
            "rate = \"1 Mbit/s\"\ncodel = {}\nmark_above = \"5 packets\"",
            "mark_above stands beside codel; leave out one of them",
        ),
        (
            "rate = \"1 Mbit/s\"\nmark_above = \"65\"",
            "mark_above is \"65\"; allowed is a number such as \"65 packets\", up to 1000000",
        ),
        ("policer = { rate = \"5 Mbit/s\" }", "policer has no burst; write for instance burst ="),
        (
            "policer = { rate = \"5 Mbit/s\", burst = \"1 KB\" }",
            "policer.burst is \"1 KB\"; allowed is a size such as \"8 KB\", from a packet of 1500",
        ),
        ("overhead = \"2 KB\"", "overhead is \"2 KB\"; allowed is a size such as \"38 bytes\""),
        ("steps = { to = \"9 ms\" }", "steps has no every; write for instance every = \"15 s\""),
        (
            "steps = { every = \"0 s\", to = \"9 ms\" }",
            "steps.every is \"0 s\"; allowed is a time such as \"5 s\", from 1 ms to 60 min",
        ),
        (
            "steps = { every = \"9 s\", from = \"9 ms\", to = \"9 ms\" }",
            "steps.to is \"9 ms\"; allowed is more than from, which is 9 ms",
        ),
        ("blackout = { on = \"5 s\" }", "blackout has no off; write for instance off = \"2 s\""),
        (
            "blackout = { on = \"0 s\", off = \"2 s\" }",
            "blackout.on is \"0 s\"; allowed is a time such as \"5 s\", from 1 ms to 60 min",
        ),
        (
            "blackout = { on = \"5 s\", off = \"2 s\", rounds = 0 }",
            "blackout.rounds is 0; allowed is a whole number from 1 to 1000000",
        ),
        ("loss = 5", "loss is 5; allowed is a table such as { share = \"2 %\""),
        ("loss = { burst = \"3 packets\" }", "loss has no share; write for instance share ="),
        (
            "loss = { share = \"2 %\", burst = \"3\" }",
            "loss.burst is \"3\"; allowed is a mean length such as \"3 packets\", from 1 to 10000",
        ),
        (
            "loss = { share = \"80 %\", burst = \"3 packets\" }",
            "loss.burst is \"3 packets\"; allowed is from 4 packets, at this share, to 10000",
        ),
        (
            "loss = { share = \"2 %\", longest = 0 }",
            "loss.longest is 0; allowed is a whole number from 1 to 1000",
        ),
        (
            "loss = { share = \"2 %\", burst = \"3 packets\", longest = 3 }",
            "loss.longest stands beside burst; leave out one of them",
        ),
        (
            "loss = { to_bad = \"1 %\" }",
            "loss has no to_good; write for instance to_good = \"33 %\"",
        ),
        (
            "loss = { to_bad = \"0 %\", to_good = \"33 %\" }",
            "loss.to_bad is \"0 %\"; allowed is a probability such as \"33 %\", more than 0 %",
        ),
        (
            "loss = { to_bad = \"1 %\", to_good = \"9 %\", in_good = \"5 %\", in_bad = \"5 %\" }",
            "loss loses no more in the bad state than in the good one",
        ),
        ("reorder = { share = \"1 %\" }", "reorder has no hold; write for instance hold ="),
        (
            "reorder = { share = \"1 %\", hold = \"0 ms\" }",
            "reorder.hold is \"0 ms\"; allowed is a time such as \"5 ms\", from 1 us to 10 s",
        ),
        (
            "rate = \"1 Mbit/s\"\ntrace = { from = \"1 Mbit/s\", to = \"2 Mbit/s\", length = \"1 s\" }",
            "trace stands beside a rate; leave out one of them",
        ),
        ("trace = 5", "trace is 5; allowed is a table such as { from ="),
        (
            "trace = { from = \"2 Mbit/s\", to = \"1 Mbit/s\", length = \"1 s\" }",
            "trace.to is \"1 Mbit/s\"; allowed is at least from, which is 2 Mbit/s",
        ),
        (
            "trace = { from = \"1 Gbit/s\", to = \"1 Gbit/s\", length = \"2 min\" }",
            "trace.length is \"2 min\"; allowed is a time in which 1 Gbit/s brings at most 7.5 GB",
        ),
        ("trace = { from = \"1 Mbit/s\", to = \"2 Mbit/s\" }", "trace has no length; write"),
        (
            "dealy = \"20 ms\"",
            "both.dealy is not known; there are rate, trace, delay, jitter, queue",
        ),
        (
            "loss = { share = \"2 %\", brust = 3 }",
            "loss.brust is not known; there are share, burst",
        ),
    ];
    for (lines, message) in cases {
        let found = mistakes(&format!("[both]\n{lines}\n"));
        assert!(found.len() == 1 && found[0].contains(message), "{lines}: {found:?}");
    }
}

#[test]
fn what_stands_above_the_directions_is_checked_too() {
    let both = "\n[both]\ndelay = \"1 ms\"\n";
    let cases = [
        ("name = \"Mine\"", "name is \"Mine\"; allowed is small letters, digits and hyphens"),
        ("name = \"\"", "name is \"\"; allowed is small letters"),
        ("version = 0", "version is 0; allowed is a whole number from 1 to 9999"),
        ("version = \"1\"", "version is \"1\"; allowed is a whole number from 1 to 9999"),
        ("about = \"\"", "about is \"\"; allowed is a line of 1 to 80 characters"),
        ("source = 5", "source is 5; allowed is a line of 1 to 400 characters"),
        ("mtu = 576", "mtu is 576; allowed is a whole number from 1280 to 9216"),
        ("seed = 7", "seed is not known; there are name, version, about, source, mtu, both"),
    ];
    for (line, message) in cases {
        let found = mistakes(&format!("{line}{both}"));
        assert!(found.len() == 1 && found[0].starts_with("1: "), "{found:?}");
        assert!(found[0].contains(message), "{found:?}");
    }
    let unclear = "says nothing clear of its directions; write [both], or [down]";
    for text in ["", "[down]\n", "[both]\n[up]\n"] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].contains(unclear), "{text}: {found:?}");
    }
    let found = parse::preset(Path::new("My Link.toml"), both).unwrap_err();
    assert!(found[0].problem.contains("has no name, and that of its file is none"), "{found:?}");
}

#[test]
fn all_mistakes_come_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    fs::write(&path, "[down]\ndelay = \"x\"\n\n[up]\nloss = \"y\"\nraet = 1\n").unwrap();
    let error = load(&path).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    let file = path.display();
    assert_eq!(lines.len(), 3, "{error}");
    for (line, start) in lines.iter().zip(["2: down.delay is", "5: up.loss is", "6: up.raet is"]) {
        assert!(line.starts_with(&format!("{file}:{start}")), "{error}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_line_and_acts_on_no_terminal() {
    assert!(mistakes("[both]\ndelay = \n")[0].starts_with("2: "));
    for text in ["\u{1b}[2J", "[both]\ndelay = \"\\u001b[2J\"\n", "\u{0}", "both = 5", "[[both]]"] {
        let found = mistakes(text);
        assert!(!found.is_empty() && !found.concat().contains('\u{1b}'), "{found:?}");
    }
    let long = format!("[both]\ndelay = \"{}\"\n", "9".repeat(50_000));
    assert!(mistakes(&long)[0].len() < 400);
}

#[test]
fn results_describe_presets_by_a_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(Preset)).unwrap();
    for key in ["name", "version", "to_far", "to_near"] {
        assert!(schema["properties"][key].is_object(), "{schema:#}");
    }
    assert_eq!(schema["$defs"]["LinkFile"]["properties"]["delay_us"]["type"], "integer");
}

fn mistakes(text: &str) -> Vec<String> {
    let found = parse::preset(Path::new("own.toml"), text).expect_err(text);
    found.iter().map(Mistake::to_string).collect()
}

const EVERY_KEY: &str = r#"
name = "all"
version = 3
about = "All of it"
source = "Nowhere"
mtu = 9000

[down]
rate = "50 Mbit/s"
queue = "100 packets"
codel = { target = "4 ms", interval = "80 ms", ecn = true }
overhead = "38 bytes"
delay = "20 ms"
jitter = "2 ms"
loss = { share = "2 %", burst = "3 packets" }
reorder = { share = "1 %", hold = "5 ms" }
duplicate = "0.5 %"

[up]
policer = { rate = "5 Mbit/s", burst = "10 KB" }
trace = { from = "1 Mbit/s", to = "1 Mbit/s", length = "1.2 s", seed = 4 }
queue = "1 MB"
mark_above = "65 packets"
delay = "15 ms"
steps = { every = "15 s", from = "1 ms", to = "10 ms" }
blackout = { on = "5 s", off = "2 s", offset = "1 s", rounds = 3 }
loss = { to_bad = "0.33 %", to_good = "33 %", in_good = "0.1 %", in_bad = "90 %" }
"#;
