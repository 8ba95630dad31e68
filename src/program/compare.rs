use super::{complain, config, login, print, progress::Steps, security, signals::Signals};
use crate::{
    cli::{CompareArgs, Local, Report, Tls, exit},
    compare::{self, Comparison, Config, Run},
    outcome::{Ended, FailureCode},
    registry::{Registry, Security},
    spec::{Limit, SpecErrors},
};

/// Runs every transport in turn, and shows what came of each.
pub(super) async fn run(args: CompareArgs) -> u8 {
    let auth = match args.login.as_ref().map(login::credentials).transpose() {
        Ok(auth) => auth,
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
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let steps = Steps::new(args.progress, args.duration);
    let stop = async {
        let signal = signals.next().await;
        signals.then_leave();
        format!("the user sent {signal}")
    };
    let config = Config { auth, ..config(&args, security) };
    let comparison = compare::run(&config, |step| steps.show(step), stop).await;
    steps.finish();
    match comparison {
        Ok(comparison) => show(&args, &comparison),
        Err(errors) => refused(&errors),
    }
}

fn config(args: &CompareArgs, security: Security) -> Config {
    let transports = config::transports(&Local::default(), security);
    let mut config = match &args.target {
        Some(target) => Config::against(&target.host, target.port),
        None => Config::in_process(),
    };
    let wanted = |name: &String| transports.get(name).cloned();
    let chosen = args.transports.iter().filter_map(wanted);
    config.transports = chosen.fold(Registry::empty(), Registry::with);
    config.test.limit = Limit::Time(args.duration);
    config.test.streams = args.streams;
    config
}

fn show(args: &CompareArgs, comparison: &Comparison) -> u8 {
    let text = match args.report {
        Report::Json => match compare::json::render(comparison) {
            Ok(json) => json,
            Err(error) => {
                complain(&format!("cannot write the comparison: {error}"));
                return exit::LOCAL_IO;
            }
        },
        Report::Text | Report::JsonStream | Report::Csv => compare::table::render(comparison),
    };
    print(&text, code(comparison))
}

/// A comparison with a failure in it has failed; one that is nothing else says which failure.
fn code(comparison: &Comparison) -> u8 {
    if comparison.stopped.is_some() {
        return exit::INTERRUPTED;
    }
    let runs = || comparison.rows.iter().flat_map(|row| [&row.forward, &row.reverse]);
    let complete = runs().all(|run| run.outcome().is_some_and(|o| o.ended == Ended::Complete));
    if complete {
        return exit::SUCCESS;
    }
    let nothing = runs().all(|run| run.outcome().is_none());
    let first = runs().find_map(|run| match run {
        Run::Failed { failure } => Some(failure.code),
        _ => None,
    });
    match first {
        Some(code) if nothing => exit::code_for(&code),
        _ => exit::FAILED,
    }
}

fn refused(errors: &SpecErrors) -> u8 {
    for error in errors.iter() {
        complain(&error.to_string());
    }
    exit::code_for(&FailureCode::Unsupported)
}
