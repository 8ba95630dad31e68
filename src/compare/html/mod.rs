//! An experiment as one HTML file: tables, charts, and all of its data.
//!
//! The file needs no other and asks for none: its policy permits the script and the styles that it
//! was written with, by their hashes, and nothing else. Strings of the other end are escaped by the
//! template; in the data, nothing can end the element that holds it.

mod charts;
mod figures;
mod verdicts;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use self::{
    charts::{Charts, Mark},
    figures::{Table, all_runs, latencies, over_time},
    verdicts::Row,
};
use super::{
    Target, conditions,
    experiment::Experiment,
    words::{self, Trouble},
};
use crate::report::safe;

/// Returns the file.
///
/// # Panics
///
/// Never: memory takes it.
#[must_use]
pub fn render(experiment: &Experiment) -> String {
    page(experiment).render().expect("memory takes it")
}

#[derive(Debug, Template)]
#[template(path = "page.html")]
struct Page {
    policy: String,
    style: String,
    script: String,
    target: String,
    date: String,
    stopped: Option<String>,
    baseline: String,
    thresholds: String,
    arms: Vec<Named>,
    verdicts: Vec<Row>,
    troubles: Vec<Trouble>,
    notes: Vec<String>,
    conditions: Vec<(&'static str, String)>,
    explained: Vec<&'static str>,
    command: Option<String>,
    charts: Charts,
    runs: Table,
    latencies: Table,
    over_time: Table,
    charts_json: String,
    experiment_json: String,
}

/// An arm in the legend.
#[derive(Debug)]
struct Named {
    index: usize,
    name: String,
    mark: Mark,
    is_baseline: bool,
    /// In how many blocks it was compared, if not in all.
    compared: Option<String>,
}

fn page(experiment: &Experiment) -> Page {
    let plan = &experiment.plan;
    let style = format!("{UPLOT_STYLE}\n{STYLE}");
    let script = format!("/*!\n{UPLOT_LICENCE}*/\n{UPLOT}\n{DRAWING}\n{SCRIPT}");
    let charts = Charts::of(experiment);
    let arms = plan.arms.iter().enumerate().map(|(index, arm)| Named {
        index,
        name: safe::short(&arm.name),
        mark: Mark::of(index),
        is_baseline: arm.name == plan.baseline,
        compared: words::compared(experiment, &arm.name),
    });
    let loopback =
        (experiment.target == Target::InProcess && plan.link.is_none()).then_some(words::LOOPBACK);
    Page {
        policy: policy(&style, &script),
        target: match (&experiment.target, &plan.link) {
            (Target::InProcess, Some(link)) => {
                format!("this machine, over {}", safe::short(&link.name))
            }
            (Target::InProcess, None) => "this machine, over loopback".to_owned(),
            (Target::Host { host, port }, _) => format!("{} port {port}", safe::short(host)),
        },
        date: conditions::date(experiment.started),
        stopped: experiment.stopped.as_deref().map(|reason| safe::line(reason).into_owned()),
        baseline: safe::short(&plan.baseline),
        thresholds: words::thresholds(&plan.thresholds),
        arms: arms.collect(),
        verdicts: verdicts::rows(experiment),
        troubles: words::troubles(experiment),
        notes: experiment.notes.iter().map(|note| safe::line(note).into_owned()).collect(),
        conditions: conditions::lines(experiment),
        explained: words::EXPLAINED.into_iter().chain(loopback).collect(),
        command: experiment.command.as_deref().map(|command| safe::line(command).into_owned()),
        runs: all_runs(experiment),
        latencies: latencies(experiment),
        over_time: over_time(experiment, &charts),
        charts_json: inert(&charts),
        experiment_json: inert(experiment),
        charts,
        style,
        script,
    }
}

/// Returns what a browser may do with the file.
fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(style),
        hash(script)
    )
}

/// Returns `value` as JSON that is inert inside a `script` element of any type.
fn inert(value: &impl Serialize) -> String {
    let json = safe::json(serde_json::to_string(value).expect("memory takes it"));
    // These occur only in strings, where an escape means the same.
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

const STYLE: &str = include_str!("style.css");
const DRAWING: &str = include_str!("drawing.js");
const SCRIPT: &str = include_str!("page.js");
const UPLOT: &str = include_str!("uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("uplot/uPlot.min.css");
/// A copy has to have it with it.
const UPLOT_LICENCE: &str = include_str!("uplot/LICENSE");

#[cfg(test)]
mod tests;
