use std::sync::Arc;

use polyperf_transport::Sockets;
use tokio::sync::broadcast::error::RecvError;

use super::{
    complain, config, governance, history, logging, login,
    output::{Output, OutputError},
    progress::Progress,
    screen, security,
    signals::Signals,
};
use crate::{
    cli::{ClientArgs, Report, exit},
    client::{self, Client},
    event::Event,
    history::{Counts, Writer},
    lab::Passage,
    outcome::{Ended, Failure, Outcome, Side},
    registry::{Registry, Security},
    report::Options,
    tui::Stage,
};

/// A link that a client crosses, and where its sockets come from.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) sockets: Arc<dyn Sockets>,
    pub(super) passage: Passage,
}

/// Runs one test, and shows it; `over` an emulated link if there is one.
pub(super) async fn run(args: ClientArgs, warnings: &[String], over: Option<Over>) -> u8 {
    let stage = Stage::default();
    logging::start(&args.log, &stage);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
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
    let signals = match Signals::listen(stage.clone()) {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
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
    let tls = args
        .control_tls
        .then(|| client::ControlTls { trust: security.trust.clone(), provider: security.provider });
    let (transports, passage) = match over {
        None => (config::transports(&args.local, None, security), None),
        Some(Over { sockets, passage }) => {
            // The server behind the link is new each time, so it is not one to remember.
            let security = Security { trust: Security::default().trust, ..security };
            (Registry::secured(&sockets, security), Some(passage))
        }
    };
    let config = config::client(&args, transports);
    let config = client::Config { auth, proof, tls, passage, ..config };
    let client = Client::new(config);
    let history = match keep(&args, &client).await {
        Ok(history) => history,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let code = show(&args, client, output, signals).await;
    let Some(history) = history else { return code };
    match history.finish().await {
        Counts { dropped: 1.., .. } => {
            complain("the test is not in the history; the log says why");
            if code == exit::SUCCESS { exit::LOCAL_IO } else { code }
        }
        _ => code,
    }
}

/// Begins to keep the test, if that was asked for.
async fn keep(args: &ClientArgs, client: &Client) -> Result<Option<Writer>, String> {
    let Some(at) = &args.history else { return Ok(None) };
    let writer = Writer::start(history::options(at)?, client.events()).await;
    writer.map(Some).map_err(|error| error.to_string())
}

async fn show(args: &ClientArgs, client: Client, mut output: Output, mut signals: Signals) -> u8 {
    let mut events = client.events();
    let title = format!("polyperf client {}", args.target.host);
    let mut screen = screen::open(signals.stage(), args.output.tui, title, client.events(), None);
    let mut progress = Progress::new(args.output.progress && screen.is_none());
    // What happens while the screen covers the terminal is reported once it is gone.
    let mut later = Vec::new();
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
            if screen.is_some() && !last {
                later.push(event);
                continue;
            }
            drop(screen.take());
            let due = later.drain(..).chain([event]);
            let mut print = |event| print(&mut output, &event, args.output.report);
            match progress.around(|| due.into_iter().try_for_each(&mut print)) {
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
