use std::{error::Error as _, io};

use polyperf_transport::Error;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::{info, warn};

use super::{
    complain, config, descriptors, governance, logging, login,
    output::{Output, OutputError},
    security,
    signals::Signals,
};
use crate::{
    cli::{Report, ServerArgs, exit},
    event::Event,
    report::Options,
    server::{self, Handle, Server, Stopped},
};

/// Serves until it is told to stop.
pub(super) async fn run(args: ServerArgs) -> u8 {
    logging::start(&args.log);
    descriptors::permit_all();
    let auth = match args.access.as_ref().map(login::auth).transpose() {
        Ok(auth) => auth,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let security = match security::of_server(&args.identity, &args.tls) {
        Ok(security) => security,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let tls = match governance::tls(&security) {
        Ok(tls) => tls,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let config = server::Config { auth, tls, ..config::server(&args, security) };
    let governed = governance::policies(&args.governance, &config.transports)
        .and_then(|policies| Ok((policies, governance::psks(&args.governance)?)));
    let config = match governed {
        Ok((policies, psks)) => server::Config { policies, psks, ..config },
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    let server = match Server::bind(config).await {
        Ok(server) => server,
        Err(error) => {
            complain(&explain(&error, args.port));
            return exit::LOCAL_IO;
        }
    };
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return exit::LOCAL_IO;
        }
    };
    let handle = server.handle();
    let reporting = report(&args, &handle);
    let stopped = server.run(told_to_drain(signals, handle)).await;
    if let Some(mut reporting) = reporting {
        // It ends with the last event, unless somebody still holds the bus or reads too slowly.
        if tokio::time::timeout(LAST_REPORTS, &mut reporting).await.is_err() {
            reporting.abort();
        }
    }
    match stopped {
        Stopped::Told | Stopped::OneOff | Stopped::Idle => exit::SUCCESS,
        Stopped::NoListeners => {
            complain("every listener has failed; see the log");
            exit::LOCAL_IO
        }
    }
}

/// Waits for the first signal. The second one cuts running tests short, the third leaves at once.
async fn told_to_drain(mut signals: Signals, handle: Handle) {
    let signal = signals.next().await;
    info!(
        running = handle.running(),
        "{signal}: no new tests, the running ones go on; once more to cut them short"
    );
    tokio::spawn(async move {
        let signal = signals.next().await;
        warn!(running = handle.running(), "{signal}: running tests are cut short");
        handle.stop();
        signals.then_leave();
    });
}

/// Writes the reports of all sessions to standard output, if a format for programs was asked for:
/// the log is what people read.
fn report(args: &ServerArgs, handle: &Handle) -> Option<tokio::task::JoinHandle<()>> {
    if args.report == Report::Text {
        return None;
    }
    let format = config::report_format(args.report);
    let options = Options { format, sessions: true, ..Options::default() };
    let events = handle.events();
    match Output::open(options, None) {
        Ok(output) => Some(tokio::spawn(write(events, output))),
        Err(_) => None,
    }
}

async fn write(mut events: Receiver<Event>, mut output: Output) {
    loop {
        match events.recv().await {
            Ok(event) => match output.handle(&event) {
                Ok(()) => {}
                Err(OutputError::Closed) => {
                    return warn!("nobody reads the reports any more; serving on");
                }
                Err(OutputError::Failed(error)) => {
                    return warn!(error, "no more reports; serving on");
                }
            },
            Err(RecvError::Lagged(missed)) => warn!(missed, "events are missing from the reports"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn explain(error: &Error, port: u16) -> String {
    let Error::Listen { addr, source } = error else {
        let source = error.source().map_or(String::new(), |source| format!(": {source}"));
        return format!("{error}{source}");
    };
    let remedy = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another program holds port {port} (iperf3 uses {} as well): stop it, or choose another with -p",
            crate::client::DEFAULT_PORT
        ),
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose another with -p".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; -B takes an address of this host".to_owned(),
        _ => String::new(),
    };
    format!("cannot listen on {addr}: {source}{remedy}")
}

/// How long the reports of the last tests may take to be written.
const LAST_REPORTS: std::time::Duration = std::time::Duration::from_secs(2);
