//! From the text of a file to a preset.

use std::{num::NonZeroU32, ops::RangeInclusive, path::Path, time::Duration};

use toml::de::DeTable;

use super::{
    AqmFile, BlackoutFile, LinkFile, LossFile, Mistake, PolicerFile, Preset, QueueFile, RateFile,
    ReorderFile, StepsFile, amounts,
    reader::{Notes, Section},
    traces,
};

/// Reads a preset from the text of the file at `path`. Traces are looked for beside that file;
/// what ships names none.
pub(super) fn preset(path: &Path, text: &str) -> Result<Preset, Vec<Mistake>> {
    let notes = Notes::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        notes.add(error.span().map_or(0, |span| span.start), error.message().to_owned());
    }
    let preset = Parser { path }.preset(Section::top(&notes, document.get_ref()));
    let mistakes = notes.into_mistakes();
    if mistakes.is_empty() { Ok(preset) } else { Err(mistakes) }
}

struct Parser<'a> {
    path: &'a Path,
}

impl Parser<'_> {
    fn preset(&self, mut top: Section<'_>) -> Preset {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let stem = stem.split('@').next().unwrap_or_default();
        let name = match top.text("name", NAME, name) {
            None if !top.has("name") => name(stem).unwrap_or_else(|| {
                top.note(None, "has no name, and that of its file is none; write name = \"…\"");
                String::new()
            }),
            name => name.unwrap_or_default(),
        };
        let version = top.whole("version", 1, 9999).and_then(|number| u32::try_from(number).ok());
        let about = top.text("about", ABOUT, sentence(ABOUT_LEN));
        let source = top.text("source", SOURCE, sentence(SOURCE_LEN));
        let mtu = top.whole("mtu", 1280, 9216).and_then(|mtu| u16::try_from(mtu).ok());
        let [down, up] = self.directions(&mut top, mtu.unwrap_or(Preset::MTU));
        top.end();
        Preset {
            name,
            version: version.unwrap_or(1),
            about: about.unwrap_or_default(),
            source: source.unwrap_or_default(),
            mtu,
            to_far: up,
            to_near: down,
        }
    }

    fn directions(&self, top: &mut Section<'_>, mtu: u16) -> [LinkFile; 2] {
        let [both, down, up] = ["both", "down", "up"].map(|key| {
            let section = top.section(key, "[down]")?;
            Some(self.link(section, mtu))
        });
        let [has_both, has_down, has_up] = ["both", "down", "up"].map(|key| top.has(key));
        let clear = if has_both { !has_down && !has_up } else { has_down && has_up };
        if !clear {
            let problem = "says nothing clear of its directions; write [both], or [down] (towards \
                           the client) and [up]";
            top.note(None, problem);
        }
        let empty = LinkFile::empty;
        match both {
            Some(both) => [both.clone(), both],
            None => [down.unwrap_or_else(empty), up.unwrap_or_else(empty)],
        }
    }

    fn link(&self, mut link: Section<'_>, mtu: u16) -> LinkFile {
        let times = |range| move |text: &str| time(text, range);
        let rate = self.rate(&mut link);
        let delay = link.text("delay", DELAY, times(DELAYS)).unwrap_or_default();
        let jitter = link.text("jitter", JITTER, times(DELAYS)).unwrap_or_default();
        // A delay is never negative: more jitter would cut off one side of the curve, and raise
        // the mean.
        if jitter * 2 > delay && !jitter.is_zero() {
            let most = amounts::show_time(delay / 2);
            link.refuse("jitter", &format!("at most half of the delay, which is {most}"));
        }
        let queue = queue(&mut link, rate.as_ref(), mtu);
        let file = LinkFile {
            queue,
            aqm: aqm(&mut link),
            policer: link.section("policer", POLICER).map(|section| policer(section, mtu)),
            overhead_bytes: link
                .text("overhead", OVERHEAD, |text| bytes(text, 0..=1000))
                .unwrap_or_default(),
            delay,
            jitter,
            steps: link.section("steps", STEPS).map(steps),
            blackout: link.section("blackout", BLACKOUT).map(blackout),
            loss: loss(&mut link),
            reorder: link.section("reorder", REORDER).map(reorder),
            duplicate: link.text("duplicate", SHARE, share),
            rate,
        };
        for key in ["queue", "codel", "mark_above"] {
            if link.has(key) && !link.has("rate") && !link.has("trace") {
                link.note(Some(key), "needs a rate or a trace: without one nothing ever waits");
            }
        }
        link.end();
        file
    }

    fn rate(&self, link: &mut Section<'_>) -> Option<RateFile> {
        let fixed = link.text("rate", RATE, rate);
        let trace = link.field("trace").and_then(|field| traces::read(field, self.path));
        if link.has("rate") && link.has("trace") {
            link.note(Some("trace"), "stands beside a rate; leave out one of them");
        }
        match trace {
            Some(trace) => Some(RateFile::Trace(trace)),
            None => fixed.map(|bits_per_second| RateFile::Fixed { bits_per_second }),
        }
    }
}

fn queue(link: &mut Section<'_>, rate: Option<&RateFile>, mtu: u16) -> QueueFile {
    let queue = link.text("queue", QUEUE, |text| {
        let packets = amounts::packets(text).filter(|count| (1..=MOST_PACKETS).contains(count));
        let packets = packets.and_then(|count| u32::try_from(count).ok());
        if text.trim() == "unlimited" {
            Some(QueueFile::Unlimited)
        } else if let Some(packets) = packets {
            Some(QueueFile::Packets { packets })
        } else if let Some(bytes) = bytes(text, 1..=MOST_BYTES) {
            Some(QueueFile::Bytes { bytes })
        } else {
            time(text, (1, 60_000_000)).map(|time| QueueFile::Time { time })
        }
    });
    let queue = queue.unwrap_or(QueueFile::Unlimited);
    let holds = match (queue, rate) {
        (QueueFile::Bytes { bytes }, _) => Some(u128::from(bytes)),
        (QueueFile::Time { time }, Some(RateFile::Fixed { bits_per_second })) => {
            Some(time.as_micros() * u128::from(*bits_per_second) / 8_000_000)
        }
        _ => None,
    };
    if holds.is_some_and(|bytes| bytes < u128::from(mtu)) {
        let allowed = format!("what holds a packet of {mtu} bytes at the rate of the link");
        link.refuse("queue", &allowed);
    }
    queue
}

fn aqm(link: &mut Section<'_>) -> Option<AqmFile> {
    let codel = link.section("codel", CODEL).map(codel);
    let above = link.text("mark_above", MARK_ABOVE, |text| {
        let packets = amounts::packets(text).filter(|count| *count <= MOST_PACKETS)?;
        Some(AqmFile::MarkAbove { packets: u32::try_from(packets).ok()? })
    });
    if link.has("codel") && link.has("mark_above") {
        link.note(Some("mark_above"), "stands beside codel; leave out one of them");
    }
    codel.or(above)
}

fn codel(mut section: Section<'_>) -> AqmFile {
    let target = section.text("target", TARGET, |text| time(text, (100, 1_000_000)));
    let interval = section.text("interval", INTERVAL, |text| time(text, (1000, 10_000_000)));
    let ecn = section.flag("ecn").unwrap_or(false);
    let target = target.unwrap_or(Duration::from_millis(5));
    let interval = interval.unwrap_or(Duration::from_millis(100));
    if target >= interval {
        let interval = amounts::show_time(interval);
        section.note(None, &format!("has a target that is not below its interval of {interval}"));
    }
    section.end();
    AqmFile::Codel { target, interval, ecn }
}

fn policer(mut section: Section<'_>, mtu: u16) -> PolicerFile {
    section.require("rate", "\"50 Mbit/s\"");
    section.require("burst", "\"8 KB\"");
    let rate = section.text("rate", RATE, rate);
    let allowed = format!(
        "a size such as \"8 KB\", from a packet of {mtu} bytes, or nothing passes, to 1 GB"
    );
    let burst = section.text("burst", &allowed, |text| bytes(text, mtu.into()..=MOST_BYTES));
    section.end();
    PolicerFile {
        bits_per_second: rate.unwrap_or_default(),
        burst_bytes: burst.unwrap_or_default(),
    }
}

fn steps(mut section: Section<'_>) -> StepsFile {
    section.require("every", "\"15 s\"");
    section.require("to", "\"10 ms\"");
    let every = section.text("every", EVERY, |text| time(text, (1000, HOUR)));
    let from = section.text("from", DELAY, |text| time(text, DELAYS)).unwrap_or_default();
    let to = section.text("to", DELAY, |text| time(text, DELAYS));
    if to.is_some_and(|to| to <= from) {
        let from = amounts::show_time(from);
        section.refuse("to", &format!("more than from, which is {from}"));
    }
    section.end();
    StepsFile { every: every.unwrap_or_default(), from, to: to.unwrap_or_default() }
}

fn blackout(mut section: Section<'_>) -> BlackoutFile {
    section.require("on", "\"5 s\"");
    section.require("off", "\"2 s\"");
    let on = section.text("on", EVERY, |text| time(text, (1000, HOUR)));
    let off = section.text("off", EVERY, |text| time(text, (1000, HOUR)));
    let offset = section.text("offset", OFFSET, |text| time(text, (0, HOUR)));
    let rounds = section.whole("rounds", 1, 1_000_000);
    section.end();
    BlackoutFile {
        offset: offset.unwrap_or_default(),
        on: on.unwrap_or_default(),
        off: off.unwrap_or_default(),
        rounds: rounds.and_then(nonzero),
    }
}

fn loss(link: &mut Section<'_>) -> Option<LossFile> {
    let field = link.field("loss")?;
    if field.is_text() {
        return field.text(SHARE, share).map(|share| LossFile::Independent { share });
    }
    let mut section = field.section(LOSS)?;
    let loss = if section.has("to_bad") || section.has("to_good") {
        chain(&mut section)
    } else {
        spread(&mut section)
    };
    section.end();
    loss
}

fn chain(section: &mut Section<'_>) -> Option<LossFile> {
    section.require("to_bad", "\"0.33 %\"");
    section.require("to_good", "\"33 %\"");
    let turn = |text: &str| amounts::share(text).filter(|share| *share > 0.0 && *share <= 1.0);
    let part = |text: &str| amounts::share(text).filter(|share| *share <= 1.0);
    let to_bad = section.text("to_bad", TURN, turn);
    let to_good = section.text("to_good", TURN, turn);
    let in_good = section.text("in_good", PART, part).unwrap_or(0.0);
    let in_bad = section.text("in_bad", PART, part).unwrap_or(1.0);
    if in_good >= in_bad {
        section.note(None, "loses no more in the bad state than in the good one");
    }
    Some(LossFile::GilbertElliott { to_bad: to_bad?, to_good: to_good?, in_good, in_bad })
}

fn spread(section: &mut Section<'_>) -> Option<LossFile> {
    section.require("share", "\"2 %\"");
    let share = section.text("share", SHARE, share);
    let burst = section.text("burst", BURST, |text| {
        text.trim().strip_suffix("packets")?.trim().parse::<f64>().ok()
    });
    let longest = section.whole("longest", 1, 1000).and_then(nonzero);
    if section.has("burst") && section.has("longest") {
        section.note(Some("longest"), "stands beside burst; leave out one of them");
    }
    let share = share?;
    // More than that is lost only if bursts are longer.
    let least = (share / (1.0 - share)).max(1.0);
    if burst.is_some_and(|burst| !(least..=10_000.0).contains(&burst)) {
        let least = amounts::rounded(least);
        section.refuse("burst", &format!("from {least} packets, at this share, to 10000"));
    }
    Some(match (burst, longest) {
        (Some(burst), _) => LossFile::Bursts { share, burst },
        (None, Some(longest)) => LossFile::Bounded { share, longest },
        (None, None) => LossFile::Independent { share },
    })
}

fn reorder(mut section: Section<'_>) -> ReorderFile {
    section.require("share", "\"1 %\"");
    section.require("hold", "\"5 ms\"");
    let share = section.text("share", SHARE, share);
    let hold = section.text("hold", HOLD, |text| time(text, (1, 10_000_000)));
    section.end();
    ReorderFile { share: share.unwrap_or_default(), hold: hold.unwrap_or_default() }
}

fn name(text: &str) -> Option<String> {
    let fits = (1..=40).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-');
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (fits && plain).then(|| text.to_owned())
}

/// Takes a text of one line.
fn sentence(most: usize) -> impl Fn(&str) -> Option<String> {
    move |text| {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= most;
        (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
    }
}

pub(super) fn rate(text: &str) -> Option<u64> {
    amounts::rate(text).filter(|rate| (1000..=1_000_000_000_000).contains(rate))
}

/// Reads a time from so many microseconds to so many.
pub(super) fn time(text: &str, (from, to): (u64, u64)) -> Option<Duration> {
    let range = Duration::from_micros(from)..=Duration::from_micros(to);
    amounts::time(text).filter(|time| range.contains(time))
}

fn bytes(text: &str, range: RangeInclusive<u64>) -> Option<u32> {
    let bytes = amounts::bytes(text).filter(|bytes| range.contains(bytes))?;
    u32::try_from(bytes).ok()
}

fn share(text: &str) -> Option<f64> {
    amounts::share(text).filter(|share| *share < 1.0)
}

fn nonzero(number: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(number).ok()?)
}

const ABOUT_LEN: usize = 80;
const SOURCE_LEN: usize = 400;
const MOST_PACKETS: u64 = 1_000_000;
const MOST_BYTES: u64 = 1_000_000_000;
const DELAYS: (u64, u64) = (0, 60_000_000);
const HOUR: u64 = 3_600_000_000;

const NAME: &str = "small letters, digits and hyphens between them, 40 at most";
const ABOUT: &str = "a line of 1 to 80 characters";
const SOURCE: &str = "a line of 1 to 400 characters";
pub(super) const RATE: &str = "a rate such as \"50 Mbit/s\", from 1 kbit/s to 1000 Gbit/s";
const DELAY: &str = "a time such as \"20 ms\", from 0 ms to 60 s, in whole microseconds";
const JITTER: &str = "a time such as \"2 ms\", up to half of the delay, in whole microseconds";
const QUEUE: &str = "\"100 packets\" (1 to 1000000), \"64 KB\" (to 1 GB), \"200 ms\" (to 60 s) or \
                     \"unlimited\"";
const CODEL: &str = "{ target = \"5 ms\", interval = \"100 ms\", ecn = true }";
const TARGET: &str = "a time such as \"5 ms\", from 0.1 ms to 1 s";
const INTERVAL: &str = "a time such as \"100 ms\", from 1 ms to 10 s";
const MARK_ABOVE: &str = "a number such as \"65 packets\", up to 1000000";
const POLICER: &str = "{ rate = \"50 Mbit/s\", burst = \"8 KB\" }";
const OVERHEAD: &str = "a size such as \"38 bytes\", up to 1000 bytes";
const STEPS: &str = "{ every = \"15 s\", from = \"0 ms\", to = \"10 ms\" }";
pub(super) const EVERY: &str = "a time such as \"5 s\", from 1 ms to 60 min";
const OFFSET: &str = "a time such as \"5 s\", from 0 ms to 60 min";
const BLACKOUT: &str = "{ on = \"5 s\", off = \"2 s\" }";
const SHARE: &str = "a share such as \"1 %\", from 0 % to less than 100 %";
const TURN: &str = "a probability such as \"33 %\", more than 0 % and up to 100 %";
const PART: &str = "a probability such as \"50 %\", from 0 % to 100 %";
const LOSS: &str = "{ share = \"2 %\", burst = \"3 packets\" }, or a text such as \"1 %\"";
const BURST: &str = "a mean length such as \"3 packets\", from 1 to 10000";
const REORDER: &str = "{ share = \"1 %\", hold = \"5 ms\" }";
const HOLD: &str = "a time such as \"5 ms\", from 1 us to 10 s";
