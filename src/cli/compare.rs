//! The options of `polyperf compare`.

use std::{num::NonZeroU32, time::Duration};

use super::{
    access,
    args::{CompareArgs, LinksArgs},
    client::{report, target},
    config, diff, governance, host, identity, lab,
    raw::{RawCompare, RawExperiment, RawLinks},
    values::{Mistakes, file, natural, one_of, seconds_up_to, shown, size, whole},
};
use crate::{
    compare::{
        Thresholds,
        cross::Cross,
        experiment::{Arm, MAX_BLOCKS, PartKind},
    },
    spec::{Limit, MAX_BLOCK, MAX_STREAMS, SpecFields},
};

/// Checks every option.
pub(super) fn compare(
    raw: &RawCompare,
    transports: &[&str],
    mistakes: &mut Mistakes,
) -> CompareArgs {
    config::source(&raw.source, mistakes);
    let host = mistakes.value("HOST", raw.host.as_ref(), host::without_device);
    let port = mistakes.value("-p", raw.port.as_ref(), whole(1..=u16::MAX));
    if let (None, Some(port)) = (&raw.host, port) {
        mistakes
            .add(format!("-p {port} is of no use without HOST: name the host, or leave out -p"));
    }
    let arms = mistakes
        .value("--transport", raw.transport.as_ref(), |text| arms(text, transports))
        .unwrap_or_default();
    let login = access::login(&raw.login, mistakes);
    if let (None, Some(login)) = (&raw.host, &login) {
        mistakes.add(format!(
            "--username {} is of no use without HOST: name the host, or leave it out",
            shown(&login.user)
        ));
    }
    let trust = identity::trust(&raw.trust, mistakes);
    let given = raw.trust.given().into_iter().chain(raw.proof.given());
    for (option, _) in given.filter(|(_, given)| *given && raw.host.is_none()) {
        mistakes.add(format!("{option} is of no use without HOST: name the host, or leave it out"));
    }
    let experiment = &raw.experiment;
    let compared: Vec<_> = match arms.is_empty() {
        true => transports.to_vec(),
        false => arms.iter().map(|arm| arm.name.as_str()).collect(),
    };
    let baseline = mistakes.name("--baseline", experiment.baseline.as_ref(), &compared);
    let parts = mistakes.value("--parts", experiment.parts.as_ref(), parts);
    let gap = mistakes.value("--gap", experiment.gap.as_ref(), seconds_up_to(HOUR, true));
    let test = test(raw, mistakes);
    let asked = match test.limit {
        Limit::Time(time) if raw.time.is_some() => Some(time),
        _ => None,
    };
    let links = links(raw, transports, mistakes).map(|links| LinksArgs {
        time: asked,
        warm_up: raw.omit.as_ref().map(|_| test.omit),
        gap,
        parts: parts.clone(),
        ..links
    });
    CompareArgs {
        target: host.map(|host| target(host, port, mistakes)),
        test,
        arms,
        blocks: mistakes.value("--repeat", experiment.repeat.as_ref(), whole(1..=MAX_BLOCKS)),
        baseline,
        seed: mistakes.value("--seed", experiment.seed.as_ref(), natural),
        gap: gap.unwrap_or(DEFAULT_GAP),
        links,
        negative_control: experiment.aa,
        parts: parts.unwrap_or_else(|| PartKind::ALL.to_vec()),
        thresholds: thresholds(experiment, mistakes),
        report: report(raw.json, false, raw.csv, mistakes),
        html: mistakes.value("--html", raw.html.as_ref(), file),
        save: mistakes.value("--save", raw.save.as_ref(), file),
        progress: !raw.no_progress,
        login,
        proof: governance::proof(&raw.proof, mistakes),
        control_tls: raw.proof.tls,
        trust,
        again: again(raw),
    }
}

fn test(raw: &RawCompare, mistakes: &mut Mistakes) -> SpecFields {
    let time = mistakes.value("-t", raw.time.as_ref(), |text| {
        let time = seconds_up_to(DAY, false)(text)?;
        let short = format!("is too short: {} s or more", SHORTEST.as_secs_f64());
        if time < SHORTEST { Err(short) } else { Ok(time) }
    });
    let omit = mistakes.value("-O", raw.omit.as_ref(), seconds_up_to(MAX_OMIT, true));
    let streams = mistakes.value("-P", raw.parallel.as_ref(), whole(1..=MAX_STREAMS));
    let bytes = |most: u32| {
        move |text: &str| {
            let bytes = u32::try_from(size(text)?).ok().filter(|bytes| *bytes <= most);
            bytes.ok_or_else(|| format!("is out of range: 1 to {most} bytes"))
        }
    };
    let mut fields = SpecFields {
        limit: Limit::Time(time.unwrap_or(DEFAULT_TIME)),
        omit: omit.unwrap_or(DEFAULT_OMIT),
        streams: streams.unwrap_or(1),
        block: mistakes.value("-l", raw.length.as_ref(), bytes(MAX_BLOCK)).unwrap_or(0),
        ..SpecFields::default()
    };
    let window = mistakes.value("-w", raw.window.as_ref(), bytes(MAX_WINDOW));
    fields.tuning.window = window.and_then(NonZeroU32::new);
    fields
}

/// Checks the links; what is common to all comparisons is filled in by the caller.
fn links(raw: &RawCompare, transports: &[&str], mistakes: &mut Mistakes) -> Option<LinksArgs> {
    let RawLinks { link, cross, dice } = &raw.links;
    let made = lab::made(dice, mistakes);
    let cross = mistakes
        .value("--cross", cross.as_ref(), |text| competitors(text, transports))
        .unwrap_or_default();
    if link.is_none() {
        let given = [
            ("--cross", raw.links.cross.is_some()),
            ("--link-seed", dice.link_seed.is_some()),
            ("--tier", dice.tier.is_some()),
            ("--link-late", dice.link_late.is_some()),
        ];
        for (option, _) in given.into_iter().filter(|(_, given)| *given) {
            mistakes
                .add(format!("{option} is of no use without --link: name a link, or leave it out"));
        }
    }
    if let (Some(host), Some(_)) = (&raw.host, link) {
        mistakes.add(format!(
            "{} cannot be behind an emulated link, which ends in this process: leave out the host, or \
             --link",
            shown(host)
        ));
    }
    let presets = mistakes.value("--link", link.as_ref(), |text| {
        each(text, "link", |name| match name {
            "" => Err("is empty: give a name".to_owned()),
            name => Ok(name.to_owned()),
        })
    })?;
    let (time, warm_up, gap, parts) = (None, None, None, None);
    Some(LinksArgs { presets, made, cross, time, warm_up, gap, parts })
}

/// Parses competitors between commas: a transport each, and how many streams.
fn competitors(text: &str, transports: &[&str]) -> Result<Vec<Cross>, String> {
    let competitor = |text: &str| {
        let (name, streams) = match text.rsplit_once(':') {
            Some((name, count)) => (name, whole(1..=MAX_STREAMS)(count)?),
            None => (text, 1),
        };
        match Arm::named(name, transports) {
            Some(arm) => Ok(Cross { arm, streams }),
            None => one_of(name, transports).map(|name| Cross { arm: Arm::of(&name), streams }),
        }
    };
    text.split(',')
        .map(|one| competitor(one).map_err(|problem| format!("has {}, that {problem}", shown(one))))
        .collect()
}

fn thresholds(raw: &RawExperiment, mistakes: &mut Mistakes) -> Thresholds {
    let default = Thresholds::default();
    let mut part = |option, text: &Option<String>, default| {
        mistakes.value(option, text.as_ref(), diff::part).unwrap_or(default)
    };
    Thresholds {
        goodput: part("--threshold-goodput", &raw.threshold_goodput, default.goodput),
        latency: part("--threshold-latency", &raw.threshold_latency, default.latency),
        ..default
    }
}

fn parts(text: &str) -> Result<Vec<PartKind>, String> {
    let all = PartKind::ALL.map(PartKind::label);
    let names = list(text, &all, "part")?;
    Ok(PartKind::ALL.into_iter().filter(|part| names.iter().any(|n| n == part.label())).collect())
}

/// Parses what is compared: transports between commas, each with its congestion control behind a
/// dash or as it is.
fn arms(text: &str, transports: &[&str]) -> Result<Vec<Arm>, String> {
    let parse = |name: &str| match Arm::named(name, transports) {
        Some(arm) => Ok(arm.name),
        None => one_of(name, transports),
    };
    let names = each(text, "name", parse)?;
    Ok(names.iter().filter_map(|name| Arm::named(name, transports)).collect())
}

/// Parses names between commas, each once.
fn list(text: &str, known: &[&str], what: &str) -> Result<Vec<String>, String> {
    each(text, what, |name| one_of(name, known))
}

fn each(
    text: &str,
    what: &str,
    parse: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',') {
        let name = parse(name)
            .map_err(|problem| format!("has a {what}, {}, that {problem}", shown(name)))?;
        if names.contains(&name) {
            return Err(format!("has {name} twice: keep one"));
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns the options that decide what is measured, but for the seed.
fn again(raw: &RawCompare) -> Vec<String> {
    let RawCompare { experiment, .. } = raw;
    let valued = [
        ("-p", &raw.port),
        ("-t", &raw.time),
        ("-O", &raw.omit),
        ("-P", &raw.parallel),
        ("-l", &raw.length),
        ("-w", &raw.window),
        ("--transport", &raw.transport),
        ("--baseline", &experiment.baseline),
        ("--gap", &experiment.gap),
        ("--parts", &experiment.parts),
        ("--link", &raw.links.link),
        ("--cross", &raw.links.cross),
        ("--link-seed", &raw.links.dice.link_seed),
        ("--tier", &raw.links.dice.tier),
        ("--link-late", &raw.links.dice.link_late),
        ("--threshold-goodput", &experiment.threshold_goodput),
        ("--threshold-latency", &experiment.threshold_latency),
    ];
    let mut words: Vec<String> = raw.host.iter().map(|host| shown(host)).collect();
    for (option, value) in valued {
        words.extend(value.iter().flat_map(|value| [option.to_owned(), shown(value)]));
    }
    if experiment.aa {
        words.push("--aa".to_owned());
    }
    words
}

const DEFAULT_TIME: Duration = Duration::from_millis(400);
const DEFAULT_OMIT: Duration = Duration::from_millis(100);
const DEFAULT_GAP: Duration = Duration::from_millis(50);
/// Below this there are too few probes to say anything of.
const SHORTEST: Duration = Duration::from_millis(50);
/// In seconds.
const MAX_OMIT: u64 = 500;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const MAX_WINDOW: u32 = 512 << 20;
