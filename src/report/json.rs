//! One document for each test: iperf3's `-J`, key by key, and the `polyperf` object.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    document::Polyperf,
    iperf3::{End, IntervalPart, Start},
    safe,
};
use crate::{
    event::{Event, FailedEvent},
    measure::Role,
    outcome::{Ended, Outcome},
};

#[derive(Debug, Serialize)]
struct Document {
    start: Start,
    intervals: Vec<IntervalPart>,
    end: EndOrNothing,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_data: Option<String>,
    #[serde(flatten)]
    server_output: ServerOutput,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    polyperf: Polyperf,
}

/// `end`, which is an empty object where there is nothing to show.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EndOrNothing {
    End(Box<End>),
    Nothing {},
}

/// The server's own report, as a document if it is one.
#[derive(Debug, Default, Serialize)]
pub(super) struct ServerOutput {
    #[serde(rename = "server_output_json", skip_serializing_if = "Option::is_none")]
    pub(super) json: Option<Map<String, Value>>,
    #[serde(rename = "server_output_text", skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

/// Returns the document that `event` ends a test with, if it does.
pub(super) fn event(event: &Event) -> io::Result<String> {
    let document = match event {
        Event::Finished(outcome) => Document::finished(outcome),
        Event::Failed(event) => Document::failed(event),
        Event::Queued(_) | Event::Connected(_) | Event::Interval(_) => return Ok(String::new()),
    };
    Ok(safe::json(serde_json::to_string_pretty(&document)?) + "\n")
}

/// Returns iperf3's `error` of a test that has something to show.
pub(super) fn error(outcome: &Outcome) -> Option<String> {
    match &outcome.ended {
        Ended::Failed(failure) => Some(failure.message.clone()),
        Ended::Complete | Ended::Stopped { .. } => None,
    }
}

impl Document {
    fn finished(outcome: &Outcome) -> Self {
        let info = &outcome.info;
        let senders = outcome.local.flows.iter().filter(|flow| flow.role == Role::Sender);
        let path = senders.chain(&outcome.local.flows).map(|flow| &flow.path).next();
        let intervals = outcome.intervals.iter();
        Self {
            start: Start::new(info, path),
            intervals: intervals.map(|interval| IntervalPart::new(info, interval)).collect(),
            end: EndOrNothing::End(Box::new(End::new(outcome))),
            title: info.spec.title.clone(),
            extra_data: info.spec.extra_data.clone(),
            server_output: ServerOutput::new(outcome),
            error: error(outcome),
            polyperf: Polyperf::finished(outcome),
        }
    }

    fn failed(event: &FailedEvent) -> Self {
        Self {
            start: Start::of_nothing(),
            intervals: Vec::new(),
            end: EndOrNothing::Nothing {},
            title: None,
            extra_data: None,
            server_output: ServerOutput::default(),
            error: Some(event.failure.message.clone()),
            polyperf: Polyperf::failed(event),
        }
    }
}

impl ServerOutput {
    pub(super) fn new(outcome: &Outcome) -> Self {
        let Some(text) = &outcome.server_output else { return Self::default() };
        match serde_json::from_str(text) {
            Ok(document) => Self { json: Some(document), text: None },
            Err(_) => Self { json: None, text: Some(text.clone()) },
        }
    }
}
