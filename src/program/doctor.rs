//! `polyperf doctor`: whether this host is fit for a server, and what would make it so.

mod facts;
mod holder;
mod judge;
mod sockets;

use serde::Serialize;

use self::facts::Facts;
use super::{complain, print};
use crate::{
    cli::{DoctorArgs, exit},
    report::safe,
};

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    verdict: Verdict,
    /// What there is.
    found: String,
    /// The command that mends it; `None` if nothing is to be mended, or nothing can.
    remedy: Option<String>,
}

/// Whether what there is suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It does.
    Ok,
    /// A server works, but figures suffer, or some tests cannot be had.
    Poor,
    /// A server does not work.
    Bad,
    /// It cannot be told.
    Unknown,
}

/// Looks at this host, and says what it finds.
pub(super) fn run(args: DoctorArgs) -> u8 {
    let findings = judge::all(&Facts::of_host(args.port));
    let well = |finding: &Finding| matches!(finding.verdict, Verdict::Ok | Verdict::Unknown);
    let code = if findings.iter().all(well) { exit::SUCCESS } else { exit::FAILED };
    if !args.json {
        return print(&findings.iter().map(Finding::text).collect::<String>(), code);
    }
    let document = Document { well: code == exit::SUCCESS, findings };
    match serde_json::to_string_pretty(&document) {
        Ok(text) => print(&(safe::json(text) + "\n"), code),
        Err(error) => {
            complain(&format!("cannot write JSON: {error}"));
            exit::LOCAL_IO
        }
    }
}

#[derive(Serialize)]
struct Document {
    /// Whether nothing is to be mended.
    well: bool,
    findings: Vec<Finding>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::ok(check, found) }
    }

    fn poor(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Poor, remedy: Some(remedy.into()), ..Self::ok(check, found) }
    }

    fn bad(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::poor(check, found, remedy) }
    }

    fn text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Poor => "POOR",
            Verdict::Bad => "BAD",
            Verdict::Unknown => "?",
        };
        let found = safe::line(&self.found);
        let mut text = format!("{verdict:<4}  {:<20}  {found}\n", self.check);
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("{:28}mend: {}\n", "", safe::line(remedy)));
        }
        text
    }
}
