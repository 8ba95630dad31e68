//! One JSON value for each event, each on a line of its own: iperf3's `--json-stream`.

use std::io;

use serde::Serialize;

use super::{
    Options,
    document::Polyperf,
    iperf3::{End, IntervalPart, Start},
    json::{self, ServerOutput},
    safe,
};
use crate::{event::Event, outcome::Outcome};

#[derive(Debug, Serialize)]
struct Line<'a, T> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    polyperf: Option<Polyperf>,
}

/// Returns the lines that `event` makes.
pub(super) fn event(event: &Event, options: &Options) -> io::Result<String> {
    match event {
        Event::Queued(place) => line("queued", None, place, None),
        Event::Connected(info) => {
            let polyperf = Polyperf::started(info);
            line("start", tag(&info.session, options), Start::new(info, None), Some(polyperf))
        }
        Event::Interval(_) if options.summary_only => Ok(String::new()),
        Event::Interval(event) => {
            let data = IntervalPart::new(&event.info, &event.interval);
            line(
                "interval",
                tag(&event.info.session, options),
                data,
                Some(Polyperf::interval(event)),
            )
        }
        Event::Finished(outcome) => finished(outcome, tag(&outcome.info.session, options)),
        Event::Failed(event) => {
            let session = event.session.as_deref().filter(|_| options.sessions);
            line("error", session, &event.failure.message, Some(Polyperf::failed(event)))
        }
    }
}

/// Returns what came with the end, and the end as the last line, as iperf3 does.
fn finished(outcome: &Outcome, session: Option<&str>) -> io::Result<String> {
    let mut lines = String::new();
    if let Some(error) = json::error(outcome) {
        lines += &line("error", session, error, None)?;
    }
    let output = ServerOutput::new(outcome);
    if let Some(json) = output.json {
        lines += &line("server_output_json", session, json, None)?;
    }
    if let Some(text) = output.text {
        lines += &line("server_output_text", session, text, None)?;
    }
    // The intervals have been told, each at its time.
    let polyperf = Polyperf { intervals: Vec::new(), ..Polyperf::finished(outcome) };
    lines += &line("end", session, End::new(outcome), Some(polyperf))?;
    Ok(lines)
}

fn line<T: Serialize>(
    event: &'static str,
    session: Option<&str>,
    data: T,
    polyperf: Option<Polyperf>,
) -> io::Result<String> {
    let line = serde_json::to_string(&Line { event, session, data, polyperf })?;
    Ok(safe::json(line) + "\n")
}

fn tag<'a>(session: &'a str, options: &Options) -> Option<&'a str> {
    options.sessions.then_some(session)
}
