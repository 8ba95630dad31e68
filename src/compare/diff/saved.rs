use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Source,
    experiments::{SavedExperiment, SavedPlan, SavedRun},
    points::{Document, SavedTest},
};
use crate::{
    compare::{Target, experiment},
    outcome::HostInfo,
    report::{self, safe},
};

/// A result that was read.
#[derive(Debug)]
pub struct Saved {
    /// The file that it is from, as it was named.
    pub file: String,
    program: Option<String>,
    started_us: Option<u64>,
    /// What is in it.
    pub content: Content,
}

/// What a saved result is of.
#[derive(Debug)]
pub enum Content {
    /// An experiment: what `polyperf compare -J` writes.
    Experiment(SavedExperiment),
    /// A single test: what `polyperf client -J` and `iperf3 -J` write.
    Test(SavedTest),
}

/// Why something is no saved result, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not one JSON document.
    #[error(
        "it is not one whole JSON document ({0}): save the output of polyperf compare -J, or of -J \
         of a test, as it is"
    )]
    Json(String),
    /// It is JSON of something else.
    #[error(
        "it is JSON, but neither an experiment (polyperf compare -J) nor a test (-J of polyperf or \
         of iperf3)"
    )]
    Unknown,
    /// It is from another version.
    #[error("it is {what} of version {found}, and this program reads version {read}: {remedy}")]
    Version {
        /// What it is.
        what: &'static str,
        /// Its version.
        found: u64,
        /// The version that can be read.
        read: u32,
        /// What to do.
        remedy: &'static str,
    },
    /// It lacks something, or something is not what it has to be.
    #[error("it is {what}, but not a whole one: {problem}")]
    Broken {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// It is larger than any experiment.
    #[error("it has more than {most} {what}, so it is no experiment of ours")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many may be.
        most: usize,
    },
    /// It is of a test that came to nothing.
    #[error("it is of a test that has nothing to show: {0}")]
    Nothing(String),
}

impl Saved {
    /// Reads a saved result. Of what it does not know, it keeps nothing.
    ///
    /// # Errors
    ///
    /// Fails if it is no result, or one that this program does not understand.
    pub fn read(file: impl Into<String>, json: &[u8]) -> Result<Self, Unreadable> {
        let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
        let shape: Shape =
            serde_json::from_slice(json).map_err(|error| Unreadable::Json(short(&error)))?;
        match shape {
            Shape { schema: Some(schema), rows: None, plan: Some(_), .. }
                if schema == Version::from(experiment::SCHEMA) =>
            {
                Self::experiment(file.into(), json)
            }
            Shape { schema: Some(schema), rows, plan, .. } if rows.is_some() || plan.is_some() => {
                let remedy = if schema.0 == Some(1) {
                    "each transport ran once, so there is nothing to compare chance with; run \
                     polyperf compare -J again"
                } else {
                    "read it with the polyperf that wrote it, or run polyperf compare -J again"
                };
                let (found, read) = (schema.0.unwrap_or(u64::MAX), experiment::SCHEMA);
                Err(Unreadable::Version { what: EXPERIMENT, found, read, remedy })
            }
            Shape { start: Some(_), end: Some(_), .. } => Self::test(file.into(), json),
            _ => Err(Unreadable::Unknown),
        }
    }

    pub(super) fn source(&self) -> Source {
        let Self { file, program, started_us, .. } = self;
        Source { file: file.clone(), program: program.clone(), started_us: *started_us }
    }

    fn experiment(file: String, json: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Written {
            target: Target,
            started_us: u64,
            host: HostInfo,
            plan: SavedPlan,
            runs: Vec<SavedRun>,
        }
        let broken = |error: serde_json::Error| broken(EXPERIMENT, &error);
        let written: Written = serde_json::from_slice(json).map_err(broken)?;
        let Written { target, started_us, host, plan, runs } = written;
        let names = plan.names();
        if names.len() > MOST_ARMS {
            return Err(Unreadable::TooMany { what: "transports", most: MOST_ARMS });
        }
        let mut by_arm: HashMap<String, BTreeMap<u32, SavedRun>> =
            names.into_iter().map(|name| (name, BTreeMap::new())).collect();
        for run in runs {
            let Some(of_arm) = by_arm.get_mut(&run.arm) else { continue };
            of_arm.entry(run.block).or_insert(run);
            if of_arm.len() > MOST_RUNS {
                return Err(Unreadable::TooMany { what: "runs of a transport", most: MOST_RUNS });
            }
        }
        let program = Some(host.program.clone());
        let content =
            Content::Experiment(SavedExperiment { target, system: host.system, plan, by_arm });
        Ok(Self { file, program, started_us: Some(started_us), content })
    }

    fn test(file: String, json: &[u8]) -> Result<Self, Unreadable> {
        let document: Document =
            serde_json::from_slice(json).map_err(|error| broken("a test", &error))?;
        if let Some(found) = document.schema().filter(|of| *of != u64::from(report::SCHEMA)) {
            let remedy = "read it with the polyperf that wrote it, or run the test again";
            let (what, read) = ("a test", report::SCHEMA);
            return Err(Unreadable::Version { what, found, read, remedy });
        }
        let (program, started_us) = (document.program(), document.started_us());
        let test = document.test().map_err(|error| Unreadable::Nothing(safe::short(&error)))?;
        Ok(Self { file, program, started_us, content: Content::Test(test) })
    }
}

/// What tells one kind of document from another.
#[derive(Deserialize)]
struct Shape {
    schema: Option<Version>,
    rows: Option<IgnoredAny>,
    plan: Option<IgnoredAny>,
    start: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
}

/// A version, or something in its place that is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version(Option<u64>);

impl From<u32> for Version {
    fn from(version: u32) -> Self {
        Self(Some(u64::from(version)))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Number(u64),
            Other(IgnoredAny),
        }
        Ok(match Any::deserialize(deserializer)? {
            Any::Number(number) => Self(Some(number)),
            Any::Other(_) => Self(None),
        })
    }
}

fn broken(what: &'static str, error: &serde_json::Error) -> Unreadable {
    Unreadable::Broken { what, problem: short(error) }
}

/// Returns what is wrong, without a page of the file in it.
fn short(error: &serde_json::Error) -> String {
    safe::short(&error.to_string())
}

const EXPERIMENT: &str = "an experiment";
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Statistics of more take long, and no experiment has as many.
const MOST_ARMS: usize = 64;
const MOST_RUNS: usize = 1000;
