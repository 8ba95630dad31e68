use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    complain, config, governance, login, print, progress::Steps, security, signals::Signals,
};
use crate::{
    cli::{CompareArgs, Local, Report, Tls, exit},
    client::ControlTls,
    compare::{
        self, Config,
        experiment::{Experiment, PartResult, Run},
    },
    outcome::{Ended, FailureCode},
    registry::{Registry, Security},
    spec::SpecErrors,
    tui::Stage,
};

/// Runs every transport in turns, and shows what came of each.
pub(super) async fn run(args: CompareArgs, warnings: &[String]) -> u8 {
    warnings.iter().for_each(|warning| complain(warning));
    let auth = match args.login.as_ref().map(login::credentials).transpose() {
        Ok(auth) => auth,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let proof = match args.proof.as_ref().map(governance::proof).transpose() {
        Ok(proof) => proof,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    // A server inside this process is new each time, so it is not one to remember.
    let security = match args.target {
        Some(_) => security::of_client(&args.trust, &Tls::default()),
        None => Ok(Security::default()),
    };
    let security = match security {
        Ok(security) => security,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let mut signals = match Signals::listen(Stage::default()) {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return exit::LOCAL_IO;
        }
    };
    // What cannot be written had better be known before the measurements.
    for path in [&args.html, &args.save].into_iter().flatten() {
        if let Err(error) = check(path) {
            complain(&error);
            return exit::LOCAL_IO;
        }
    }
    let steps = Steps::new(args.progress);
    let stop = async {
        let signal = signals.next().await;
        signals.then_leave();
        format!("the user sent {signal}")
    };
    let tls = args
        .control_tls
        .then(|| ControlTls { trust: security.trust.clone(), provider: security.provider });
    let config = Config { auth, proof, tls, ..config(&args, security) };
    let experiment = compare::run(&config, |step| steps.show(&step), stop).await;
    steps.finish();
    match experiment {
        Ok(mut experiment) => {
            experiment.command = Some(command(&args, &experiment));
            show(&args, &experiment)
        }
        Err(errors) => refused(&errors),
    }
}

fn config(args: &CompareArgs, security: Security) -> Config {
    let transports = config::transports(&Local::default(), security);
    let mut config = match &args.target {
        Some(target) => Config::against(&target.host, target.port),
        None => Config::in_process(),
    };
    config.transports = match &args.transports {
        Some(names) => {
            let wanted = |name: &String| transports.get(name).cloned();
            names.iter().filter_map(wanted).fold(Registry::empty(), Registry::with)
        }
        None => transports.usual(),
    };
    Config {
        test: args.test.clone(),
        parts: args.parts.clone(),
        blocks: args.blocks,
        seed: args.seed,
        gap: args.gap,
        baseline: args.baseline.clone(),
        negative_control: args.negative_control,
        thresholds: args.thresholds,
        ..config
    }
}

/// Returns the command that does it again, in the same order.
fn command(args: &CompareArgs, experiment: &Experiment) -> String {
    let mut words = vec!["polyperf".to_owned(), "compare".to_owned()];
    words.extend(args.again.iter().cloned());
    let plan = &experiment.plan;
    words.extend(["--repeat".to_owned(), plan.blocks.to_string()]);
    words.extend(["--seed".to_owned(), plan.seed.to_string()]);
    words.join(" ")
}

fn show(args: &CompareArgs, experiment: &Experiment) -> u8 {
    let json = compare::json::render(experiment);
    let json = match json {
        Ok(json) => json,
        Err(error) => {
            complain(&format!("cannot write the comparison: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let code = code(experiment);
    let mut written = Ok(());
    if let Some(path) = &args.save {
        written = write(path, &json);
    }
    if let (Some(path), Ok(())) = (&args.html, &written) {
        written = write(path, &compare::html::render(experiment));
    }
    let text = match args.report {
        Report::Json => json,
        Report::Csv => compare::csv::render(experiment),
        Report::Text | Report::JsonStream => compare::text::render(experiment),
    };
    // What was measured is shown even where it cannot be kept.
    let shown = print(&text, code);
    match written {
        Ok(()) => shown,
        Err(error) => {
            complain(&error);
            exit::LOCAL_IO
        }
    }
}

/// Checks that a file can be written, and leaves nothing behind.
fn check(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!("cannot write {}: it is a folder", path.display()));
    }
    let place = unfinished(path);
    fs::File::create(&place)
        .and_then(|_| fs::remove_file(&place))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Writes a file beside its place first, so that what was there stays until there is a better one.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let place = unfinished(path);
    let written = fs::write(&place, text).and_then(|()| fs::rename(&place, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&place);
        format!("cannot write {}: {error}", path.display())
    })
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    PathBuf::from(name)
}

/// A comparison with a failure in it has failed; one that is nothing else says which failure.
fn code(experiment: &Experiment) -> u8 {
    if experiment.stopped.is_some() {
        return exit::INTERRUPTED;
    }
    let parts = || experiment.runs.iter().flat_map(|run| &run.parts);
    let complete = |result: &PartResult| {
        result.outcome().is_some_and(|outcome| outcome.ended == Ended::Complete)
    };
    if parts().all(|part| complete(&part.result)) {
        return exit::SUCCESS;
    }
    let nothing = parts().all(|part| part.result.outcome().is_none());
    match experiment.runs.iter().find_map(Run::failure) {
        Some((_, failure)) if nothing => exit::code_for(&failure.code),
        _ => exit::FAILED,
    }
}

fn refused(errors: &SpecErrors) -> u8 {
    for error in errors.iter() {
        complain(&error.to_string());
    }
    exit::code_for(&FailureCode::Unsupported)
}
