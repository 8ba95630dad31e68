mod links;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    complain, config, governance, lab, login, on_threads, print, progress::Steps, security,
    signals::Signals,
};
use crate::{
    cli::{CompareArgs, LinksArgs, Local, Report, Tls, exit},
    client::ControlTls,
    compare::{
        self, Config, Step,
        experiment::{Arm, Experiment, PartResult, Run},
        links::Over,
    },
    outcome::{Ended, FailureCode},
    registry::{Registry, Security},
    spec::SpecErrors,
    tui::Stage,
};

/// Runs every transport in turns, and shows what came of each. Nothing may have started a thread:
/// emulated links need namespaces.
pub(super) fn start(args: CompareArgs, warnings: &[String]) -> u8 {
    warnings.iter().for_each(|warning| complain(warning));
    match args.links.as_ref().map(|links| links::open(links, &args.arms)).transpose() {
        Ok(over) => on_threads(run(args, over)),
        Err(refused) => lab::refuse(&refused),
    }
}

async fn run(args: CompareArgs, over: Option<Over>) -> u8 {
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
    let config = Config { auth, proof, tls, ..config(&args, security, over.as_ref()) };
    let progress = |step: Step| steps.show(&step);
    let experiments = match &over {
        None => compare::run(&config, progress, stop).await.map(|experiment| vec![experiment]),
        Some(over) => compare::links::run(&config, over, progress, stop).await,
    };
    steps.finish();
    match experiments {
        Ok(mut experiments) => {
            for experiment in &mut experiments {
                experiment.command = Some(command(&args, experiment));
            }
            show(&args, &experiments)
        }
        Err(errors) => refused(&errors),
    }
}

fn config(args: &CompareArgs, security: Security, over: Option<&Over>) -> Config {
    let transports = match over {
        Some(over) => Registry::secured(&over.lab.near().sockets(), security),
        None => config::transports(&Local::default(), None, security),
    };
    let arms = match over {
        Some(over) if args.arms.is_empty() => links::arms(over),
        _ => args.arms.clone(),
    };
    let parts = match &args.links {
        Some(LinksArgs { parts: None, .. }) => links::parts(),
        _ => args.parts.clone(),
    };
    let mut config = match &args.target {
        Some(target) => Config::against(&target.host, target.port),
        None => Config::in_process(),
    };
    let wanted = |arm: &Arm| transports.get(&arm.transport).cloned();
    config.transports = match arms.is_empty() {
        true => transports.usual(),
        false => arms.iter().filter_map(wanted).fold(Registry::empty(), Registry::with),
    };
    Config {
        arms,
        test: args.test.clone(),
        parts,
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

fn show(args: &CompareArgs, experiments: &[Experiment]) -> u8 {
    let documents: serde_json::Result<Vec<String>> =
        experiments.iter().map(compare::json::render).collect();
    let documents = match documents {
        Ok(documents) => documents,
        Err(error) => {
            complain(&format!("cannot write the comparison: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let written = experiments.iter().zip(&documents).try_for_each(|(experiment, json)| {
        let link = experiment.plan.link.as_ref().filter(|_| experiments.len() > 1);
        let place = |path: &PathBuf| link.map_or(path.clone(), |link| beside(path, &link.name));
        args.save.as_ref().map_or(Ok(()), |path| write(&place(path), json))?;
        let html = args.html.as_ref();
        html.map_or(Ok(()), |path| write(&place(path), &compare::html::render(experiment)))
    });
    let text = match args.report {
        Report::Json => compare::json::together(documents),
        Report::Csv => compare::csv::render(experiments),
        Report::Text | Report::JsonStream => {
            experiments.iter().map(compare::text::render).collect::<Vec<_>>().join("\n")
        }
    };
    // What was measured is shown even where it cannot be kept.
    let shown = print(&text, code(experiments));
    match written {
        Ok(()) => shown,
        Err(error) => {
            complain(&error);
            exit::LOCAL_IO
        }
    }
}

/// Returns the place of one link's file among those of several: `report-geo@1.html`.
fn beside(path: &Path, link: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map_or(String::new(), |of| format!(".{}", of.to_string_lossy()));
    // A link's own file may be called anything.
    let link: String = link.chars().map(|c| if c == '/' { '_' } else { c }).collect();
    path.with_file_name(format!("{stem}-{link}{ending}"))
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
fn code(experiments: &[Experiment]) -> u8 {
    if experiments.iter().any(|experiment| experiment.stopped.is_some()) {
        return exit::INTERRUPTED;
    }
    let runs = || experiments.iter().flat_map(|experiment| &experiment.runs);
    let parts = || runs().flat_map(|run| &run.parts);
    let complete = |result: &PartResult| {
        result.outcome().is_some_and(|outcome| outcome.ended == Ended::Complete)
    };
    if parts().all(|part| complete(&part.result)) {
        return exit::SUCCESS;
    }
    let nothing = parts().all(|part| part.result.outcome().is_none());
    match runs().find_map(Run::failure) {
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
