use std::{error::Error as _, ffi::OsString, io};

use polyperf_transport::{Error, Processors};
use tokio::{
    signal::unix::Signal,
    sync::broadcast::{Receiver, error::RecvError},
};
use tracing::{info, warn};

use super::{
    complain, config, descriptors, governance, history, logging, login, notify,
    output::{Output, OutputError},
    reload::Reloader,
    screen, security,
    signals::{self, Signals},
    web,
};
use crate::{
    cli::{Report, ServerArgs, exit},
    config::Settings,
    event::Event,
    history::Writer,
    registry::IdentitySource,
    report::Options,
    server::{self, Handle, Server, Stopped},
    tui::Stage,
    web::Site,
};

/// Serves until it is told to stop.
pub(super) async fn run(args: ServerArgs, settings: Settings, line: Vec<OsString>) -> u8 {
    let stage = Stage::default();
    let level = logging::start(&args.log, &stage);
    if let Some(file) = &settings.file {
        info!(file = %file.display(), "settings are read from a file");
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    if let (Some(data), Ok(rest)) = (&args.data_processors, Processors::of_thread()) {
        info!(%data, %rest, "threads that move bytes have processors of their own");
    }
    descriptors::permit_all();
    let setting_up = async {
        // From now on, or one that comes while the server is being set up would end it.
        let hangups = signals::hangups().map_err(unheard)?;
        let service = Service::set_up(&args, &stage).await?;
        let reloader = Reloader::new(line, settings, &args, service.server.handle(), level);
        tokio::spawn(reload_when_told(hangups, reloader));
        Ok::<_, String>(service)
    };
    match setting_up.await {
        Ok(service) => service.serve(&args, &stage).await,
        Err(error) => {
            complain(&error);
            exit::LOCAL_IO
        }
    }
}

/// Has this thread, and those that it starts, keep off the processors for data threads, where there
/// are others.
pub(super) fn keep_off(processors: Option<&Processors>) -> Result<(), String> {
    let Some(processors) = processors else { return Ok(()) };
    let failed = |error| format!("--data-processors {processors}: {error}");
    let ours = Processors::of_thread().map_err(failed)?;
    if let Some(missing) = processors.without(&ours) {
        return Err(format!(
            "--data-processors {processors}: {missing} cannot be had, this process may run on {ours}: \
             name some of those"
        ));
    }
    ours.without(processors).map_or(Ok(()), |rest| rest.keep().map_err(failed))
}

/// A server, and what is beside it.
#[derive(Debug)]
struct Service {
    server: Server,
    signals: Signals,
    history: Option<Writer>,
    site: Option<Site>,
}

impl Service {
    async fn set_up(args: &ServerArgs, stage: &Stage) -> Result<Self, String> {
        let auth = args.access.as_ref().map(login::auth).transpose()?;
        let security = security::of_server(&args.identity, &args.tls)?;
        let tls = governance::tls(&security)?;
        let identity = match &security.identity {
            IdentitySource::Loaded(identity) => Some(identity.clone()),
            IdentitySource::InMemory => None,
        };
        let config = config::server(args, security);
        let policies = governance::policies(&args.governance, &config.transports)?;
        let psks = governance::psks(&args.governance)?;
        let authorized_keys = governance::authorized_keys(&args.governance)?;
        let config =
            server::Config { auth, tls, identity, policies, psks, authorized_keys, ..config };
        let server = Server::bind(config).await.map_err(|error| explain(&error, args.port))?;
        let signals = Signals::listen(stage.clone()).map_err(unheard)?;
        let handle = server.handle();
        let history = keep(args, &handle).await?;
        let bind = |web| web::bind(web, &handle, history.as_ref());
        let site = args.web.as_ref().map(bind).transpose()?;
        Ok(Self { server, signals, history, site })
    }

    async fn serve(self, args: &ServerArgs, stage: &Stage) -> u8 {
        let Self { server, signals, history, site } = self;
        let handle = server.handle();
        notify::ready(&server.local_addrs());
        tokio::spawn(notify::watchdog());
        let reporting = report(args, &handle);
        let title = format!("polyperf server {}", places(&server));
        let screen = screen::open(stage, args.tui, title, handle.events(), Some(handle.clone()));
        let site = site.map(web::serve);
        let stopped = server.run(told_to_drain(signals, handle)).await;
        drop(screen);
        if let Some(site) = site {
            site.close().await;
        }
        if let Some(mut reporting) = reporting {
            // It ends with the last event, unless somebody still holds the bus or reads too slowly.
            if tokio::time::timeout(LAST_REPORTS, &mut reporting).await.is_err() {
                reporting.abort();
            }
        }
        if let Some(history) = history
            && tokio::time::timeout(LAST_TESTS, history.finish()).await.is_err()
        {
            warn!(
                "the last tests may be missing from the history: it takes too long to write them"
            );
        }
        match stopped {
            Stopped::Told | Stopped::OneOff | Stopped::Idle => exit::SUCCESS,
            Stopped::NoListeners => {
                complain("every listener has failed; see the log");
                exit::LOCAL_IO
            }
        }
    }
}

fn unheard(error: io::Error) -> String {
    format!("cannot listen for signals: {error}")
}

/// Returns where the server listens.
fn places(server: &Server) -> String {
    let mut places: Vec<_> =
        server.local_addrs().into_iter().map(|(_, addr)| addr.to_string()).collect();
    places.dedup();
    places.join(", ")
}

/// Waits for the first signal. The second one cuts running tests short, the third leaves at once.
async fn told_to_drain(mut signals: Signals, handle: Handle) {
    let signal = signals.next().await;
    notify::stopping(handle.running());
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

async fn reload_when_told(mut hangups: Signal, mut reloader: Reloader) {
    while hangups.recv().await.is_some() {
        info!("SIGHUP: the configuration is read again");
        notify::reloading();
        let status = reloader.reload();
        notify::reloaded(&status);
    }
}

/// Begins to keep every test, if that was asked for.
async fn keep(args: &ServerArgs, handle: &Handle) -> Result<Option<Writer>, String> {
    let Some(kept) = &args.history else { return Ok(None) };
    let mut options = history::options(&kept.at)?;
    options.retention = kept.retention;
    info!(history = %options.place, "every test is kept");
    let writer = Writer::start(options, handle.events()).await;
    writer.map(Some).map_err(|error| error.to_string())
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
/// How long the history may take for the last tests; what it does not take then waits in a file.
const LAST_TESTS: std::time::Duration = std::time::Duration::from_secs(30);
