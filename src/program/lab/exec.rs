use std::{
    fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    Refused,
    beside::{Side, code},
    holds_programs, open, refuse,
};
use crate::{
    cli::{LabLink, exit},
    lab::Passage,
    program::{complain, on_threads, signals::Signals},
    report::{link, safe},
    tui::Stage,
};

/// Runs a command on either side; all ends with the far one.
pub(super) fn both(
    link: &LabLink,
    near: String,
    far: String,
    truth: Option<PathBuf>,
) -> Result<u8, Refused> {
    let (lab, passage) = open(link)?;
    holds_programs(&lab)?;
    passage.begin()?;
    Ok(on_threads(async move {
        let sides = async {
            let aside = Stdio::from(io::stderr());
            let near = Side::start(&lab, lab.near(), "near", &near, aside)?.ready().await?;
            let far = Side::start(&lab, lab.far(), "far", &far, Stdio::inherit())?;
            Ok((far, near))
        };
        finish(sides.await, &passage, truth, true).await
    }))
}

/// Opens a shell on the near side, with a command on the far one.
pub(super) fn shell(link: &LabLink, far: Option<String>) -> Result<u8, Refused> {
    let (lab, passage) = open(link)?;
    holds_programs(&lab)?;
    passage.begin()?;
    Ok(on_threads(async move {
        let sides = async {
            let aside = Stdio::from(io::stderr());
            let far = match far {
                Some(line) => Side::start(&lab, lab.far(), "far", &line, aside)?,
                None => Side::spawn(&lab, lab.far(), "far", own_server(aside)?)?,
            };
            let far = far.ready().await?;
            complain(&format!(
                "this shell is on the near side, {} in $POLYPERF_NEAR; {} in $POLYPERF_FAR is the \
                 far side; exit leaves the lab",
                lab.near().v4(),
                lab.far().v4()
            ));
            let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
            let near = Side::spawn(&lab, lab.near(), "near", Command::new(shell))?;
            Ok((near, far))
        };
        // The terminal's interrupt is the shell's.
        finish(sides.await, &passage, None, false).await
    }))
}

fn own_server(output: Stdio) -> Result<Command, Refused> {
    let program = std::env::current_exe().map_err(|error| {
        Refused::local(format!("cannot find this program to serve with: {error}; give --far"))
    })?;
    let mut command = Command::new(program);
    command.args(["server", "--log-level", "warn"]).stdin(Stdio::null()).stdout(output);
    Ok(command)
}

/// Waits for one side to end, and has the other follow. Then says what the link saw.
async fn finish(
    sides: Result<(Side, Side), Refused>,
    passage: &Passage,
    truth: Option<PathBuf>,
    heeds_interrupts: bool,
) -> u8 {
    let ended = async {
        let (mut first, mut second) = sides?;
        let mut signals = Signals::listen(Stage::default())
            .map_err(|error| Refused::local(format!("cannot listen for signals: {error}")))?;
        let interrupted =
            async { while signals.next().await != Signals::TERMINATE && !heeds_interrupts {} };
        let ended = tokio::select! {
            ended = first.ended() => Some(ended?),
            () = interrupted => None,
        };
        if ended.is_none() {
            first.end().await;
        }
        // What the end of the other side puts on the link is no part of it.
        let report = passage.report();
        second.end().await;
        Ok((ended, report))
    };
    let (ended, report) = match ended.await {
        Ok(ended) => ended,
        Err(refused) => return refuse(&refused),
    };
    for line in link::lines(&report) {
        complain(&line);
    }
    let code = ended.map_or(exit::INTERRUPTED, code);
    let Some(path) = truth else { return code };
    let written = serde_json::to_string_pretty(&report)
        .map_err(io::Error::other)
        .and_then(|text| fs::write(&path, safe::json(text) + "\n"));
    match written {
        Ok(()) => code,
        Err(error) => refuse(&Refused::local(format!(
            "cannot write what the link counted to {}: {error}",
            path.display()
        ))),
    }
}
