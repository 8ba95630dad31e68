use tokio::sync::broadcast::error::RecvError;

use super::{
    complain, config, governance, logging, login,
    output::{Output, OutputError},
    progress::Progress,
    security,
    signals::Signals,
};
use crate::{
    cli::{ClientArgs, Report, exit},
    client::{self, Client},
    event::Event,
    outcome::{Ended, Failure, Outcome, Side},
    report::Options,
};

/// Runs one test, and shows it.
pub(super) async fn run(args: ClientArgs) -> u8 {
    logging::start(&args.log);
    let auth = match args.login.as_ref().map(login::credentials).transpose() {
        Ok(auth) => auth,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let security = match security::of_client(&args.trust, &args.tls) {
        Ok(security) => security,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let options = Options {
        format: config::report_format(args.output.report),
        unit: args.output.unit.and_then(config::report_unit),
        sessions: false,
        summary_only: args.spec.interval.is_none(),
    };
    let output = match Output::open(options, args.output.file.as_deref()) {
        Ok(output) => output,
        Err(error) => return refused(&error),
    };
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let psk = match governance::psk(args.proof.as_ref()) {
        Ok(psk) => psk,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let tls = args
        .control_tls
        .then(|| client::ControlTls { trust: security.trust.clone(), provider: security.provider });
    let config = client::Config { auth, psk, tls, ..config::client(&args, security) };
    show(&args, config, output, signals).await
}

async fn show(
    args: &ClientArgs,
    config: client::Config,
    mut output: Output,
    mut signals: Signals,
) -> u8 {
    let client = Client::new(config);
    let mut events = client.events();
    let mut progress = Progress::new(args.output.progress);
    let (quit, quitting) = tokio::sync::oneshot::channel();
    let stop = async {
        tokio::select! {
            signal = signals.next() => {
                signals.then_leave();
                format!("the user sent {signal}")
            }
            _ = quitting => "nobody reads the report".to_owned(),
        }
    };
    let report = async {
        let result = loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => {
                    complain(&format!(
                        "{missed} events are missing from the report: it is written too slowly"
                    ));
                    continue;
                }
                Err(RecvError::Closed) => break Ok(()),
            };
            progress.handle(&event);
            let last = matches!(event, Event::Finished(_) | Event::Failed(_));
            match progress.around(|| print(&mut output, &event, args.output.report)) {
                Ok(()) if last => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        if result.is_err() {
            let _ = quit.send(());
        }
        result
    };
    let (result, reported) = tokio::join!(client.run_until(stop), report);
    match reported.and_then(|()| output.finish()) {
        Ok(()) => code(&result.map(|outcome| Outcome::clone(&outcome))),
        Err(error) => refused(&error),
    }
}

/// In text, what is no result goes to standard error; every other format tells it as its own.
fn print(output: &mut Output, event: &Event, report: Report) -> Result<(), OutputError> {
    match event {
        Event::Failed(failed) if report == Report::Text => {
            complain(&failed.failure.message);
            Ok(())
        }
        Event::Finished(outcome) if report == Report::Text => {
            let result = output.handle(event);
            if let Ended::Failed(failure) = &outcome.ended {
                complain(&format!("the test ended early: {failure}"));
            }
            result
        }
        _ => output.handle(event),
    }
}

fn code(result: &Result<Outcome, Failure>) -> u8 {
    match result {
        Ok(outcome) => match &outcome.ended {
            Ended::Complete => exit::SUCCESS,
            Ended::Stopped { by: Side::Client, .. } => exit::INTERRUPTED,
            Ended::Stopped { by: Side::Server, .. } | Ended::Failed(_) => exit::FAILED,
        },
        Err(failure) => exit::code_for(&failure.code),
    }
}

fn refused(error: &OutputError) -> u8 {
    match error {
        OutputError::Closed => exit::SUCCESS,
        OutputError::Failed(text) => {
            complain(text);
            exit::LOCAL_IO
        }
    }
}
