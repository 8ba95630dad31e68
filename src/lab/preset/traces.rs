//! Traces that presets name, or have computed.

use std::path::Path;

use polyperf_memory::link::Trace;

use super::{
    TraceFile, amounts, bounded,
    parse::{EVERY, RATE, rate, time},
    reader::{Field, Section},
    synthetic::Wander,
};
use crate::report::safe;

/// Reads what a preset says of a trace: a file beside the preset at `path`, or settings of one that
/// is computed.
pub(super) fn read(field: Field<'_>, path: &Path) -> Option<TraceFile> {
    if field.is_text() {
        return file(&field, path);
    }
    wander(field.section(WANDER)?)
}

fn file(field: &Field<'_>, preset: &Path) -> Option<TraceFile> {
    let name = field.text("the name of a file", |name| Some(name.to_owned()))?;
    let path = preset.parent().unwrap_or(Path::new("")).join(&name);
    let shown = path.display().to_string();
    let problem = match bounded::read(&path, Trace::MAX_LEN) {
        Ok(text) => match Trace::parse(&text) {
            Ok(trace) => return Some(TraceFile::new(name, trace)),
            Err(error) => format!("{} is no trace: {error}", safe::line(&shown)),
        },
        Err(error) => format!("cannot read {}: {error}", safe::line(&shown)),
    };
    field.note(&problem);
    None
}

fn wander(mut section: Section<'_>) -> Option<TraceFile> {
    for (key, example) in
        [("from", "\"5 Mbit/s\""), ("to", "\"40 Mbit/s\""), ("length", "\"60 s\"")]
    {
        section.require(key, example);
    }
    let (from, to) = (section.text("from", RATE, rate), section.text("to", RATE, rate));
    let length = section.text("length", EVERY, |text| time(text, (1000, 3_600_000_000)));
    let seed = section.whole("seed", 0, u64::from(u32::MAX)).unwrap_or(0);
    let wander =
        from.zip(to).zip(length).map(|((from, to), length)| Wander { from, to, length, seed });
    let trace = wander.and_then(|wander| trace(&section, wander));
    section.end();
    trace
}

fn trace(section: &Section<'_>, wander: Wander) -> Option<TraceFile> {
    let Wander { from, to, length, seed } = wander;
    let [low, high] = [from, to].map(amounts::show_rate);
    if to < from {
        section.refuse("to", &format!("at least from, which is {low}"));
        return None;
    }
    // What is computed is bounded as what is read is.
    if u128::from(to) * length.as_millis() > MOST_BITS * 1000 {
        let most = amounts::show_bytes(u64::try_from(MOST_BITS / 8).unwrap_or(u64::MAX));
        section.refuse("length", &format!("a time in which {high} brings at most {most}"));
        return None;
    }
    let source =
        format!("computed: from {low} to {high}, {}, seed {seed}", { amounts::show_time(length) });
    match wander.trace() {
        Ok(trace) => Some(TraceFile::new(source, trace)),
        Err(error) => {
            section.note(None, &format!("makes no trace: {error}"));
            None
        }
    }
}

const WANDER: &str = "{ from = \"5 Mbit/s\", to = \"40 Mbit/s\", length = \"60 s\", seed = 1 }, or the name of a file";
/// Bits that a computed trace brings at most: five million opportunities.
const MOST_BITS: u128 = 5_000_000 * 12_000;
