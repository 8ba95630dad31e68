//! An experiment for spreadsheets and statistics: one line for each value of each run, in the order
//! in which they were done, and one for each part of a run that failed.
//!
//! The columns are stable: a new one comes last. A cell that does not apply is empty.

use serde::Serialize;

use super::{
    Metric, Unit,
    experiment::{Experiment, PartKind, PartResult, Run},
};
use crate::report::safe;

/// Returns the lines, the first of which names the columns.
///
/// Strings of the other end are never a formula to a spreadsheet.
///
/// # Panics
///
/// Never: memory takes every line.
#[must_use]
pub fn render(experiments: &[Experiment]) -> String {
    let mut writer = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS).expect("memory takes it");
    for experiment in experiments {
        for line in experiment.runs.iter().flat_map(|run| lines(experiment, run)) {
            writer.serialize(line).expect("memory takes it");
        }
    }
    let bytes = writer.into_inner().expect("memory takes it");
    String::from_utf8(bytes).expect("strings make a string")
}

#[derive(Debug, Default, Serialize)]
struct Line {
    block: u32,
    arm: String,
    transport: String,
    metric: Option<Metric>,
    unit: &'static str,
    value: Option<f64>,
    /// What failed, in lines without a metric.
    part: Option<PartKind>,
    failure: String,
    /// The emulated link, where there is one.
    link: String,
}

const COLUMNS: [&str; 9] =
    ["block", "arm", "transport", "metric", "unit", "value", "part", "failure", "link"];

fn lines(experiment: &Experiment, run: &Run) -> Vec<Line> {
    let arm = experiment.plan.arms.iter().find(|arm| arm.name == run.arm);
    let of_run = || Line {
        block: run.block,
        arm: safe::cell(&run.arm),
        transport: safe::cell(arm.map_or("", |arm| &arm.transport)),
        link: safe::cell(experiment.plan.link.as_ref().map_or("", |link| &link.name)),
        ..Line::default()
    };
    let values = run.values.iter().map(|(&metric, &value)| Line {
        metric: Some(metric),
        unit: unit(metric.unit()),
        value: Some(value),
        ..of_run()
    });
    let failures = run.parts.iter().filter_map(|part| match &part.result {
        PartResult::Failed { failure } => {
            Some(Line { part: Some(part.part), failure: safe::cell(&failure.message), ..of_run() })
        }
        PartResult::Measured { .. } | PartResult::Skipped => None,
    });
    values.chain(failures).collect()
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::BitsPerSecond => "bit/s",
        Unit::Seconds => "s",
        Unit::PerSecond => "1/s",
        Unit::PerMinute => "1/min",
        Unit::Share | Unit::Factor => "1",
        Unit::PerGigabyte => "1/GB",
        Unit::SecondsPerGigabyte => "s/GB",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    fn records(experiment: &Experiment) -> Vec<::csv::StringRecord> {
        let text = render(std::slice::from_ref(experiment));
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        reader.records().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_value_of_every_run_has_a_line_that_gives_it_back() {
        let experiment = samples::of(&["tcp", "udp"], 2, 1);
        let records = records(&experiment);
        let mut lines = records.iter();
        for run in &experiment.runs {
            for (metric, value) in &run.values {
                let line = lines.next().unwrap();
                let name = serde_json::to_value(metric).unwrap();
                assert_eq!(line[0].parse(), Ok(run.block));
                assert_eq!((&line[1], &line[2]), (run.arm.as_str(), run.arm.as_str()));
                assert_eq!(&line[3], name.as_str().unwrap());
                assert_eq!(line[5].parse(), Ok(*value), "{line:?}");
            }
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn what_failed_has_a_line_and_no_value() {
        let records = records(&samples::in_vain());
        assert_eq!(records.len(), 4);
        for record in records {
            assert_eq!((&record[3], &record[5], &record[6]), ("", "", "churn"));
            assert!(record[7].starts_with("cannot reach server.example"), "{record:?}");
        }
    }

    #[test]
    fn no_cell_is_a_formula_or_acts_on_a_terminal() {
        let experiment = samples::hostile();
        assert!(
            !render(std::slice::from_ref(&experiment))
                .contains(|c: char| c.is_control() && c != '\n')
        );
        for record in records(&experiment) {
            let texts = [1, 2, 7].map(|column| record[column].to_owned());
            assert!(!texts.iter().any(|text| text.starts_with(['=', '+', '-', '@'])), "{texts:?}");
        }
    }
}
