//! The web interface: from what was asked for to a site that serves.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    sync::Arc,
};

use tokio::{runtime, sync::oneshot, task::JoinHandle};
use tracing::error;
use zeroize::Zeroizing;

use super::{complain, config, print, security};
use crate::{
    cli::{Local, Tls, Trust, WebArgs, exit},
    history::Writer,
    metrics::{
        self, Kept, Metrics, Served,
        probe::{self, Prober},
    },
    server::Handle,
    web::{Admin, BindError, Config, Peer, Site, hash_password},
};

/// A web interface that is being served.
#[derive(Debug)]
pub(super) struct Serving {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Binds the address of the web interface, for the server of this handle.
pub(super) fn bind(
    args: &WebArgs,
    handle: &Handle,
    history: Option<&Writer>,
) -> Result<Site, String> {
    let security = security::of_client(&Trust::Known(None), &Tls::default())?;
    let peers = args.peers.iter().map(|(name, target)| Peer {
        name: name.clone(),
        host: target.host.clone(),
        port: target.port,
    });
    let config = Config {
        peers: peers.collect(),
        admin: admin(args)?,
        public_read: !args.private,
        hosts: args.hosts.clone(),
        transports: config::transports(&Local::default(), None, security),
        ..Config::new(args.addr)
    };
    let targets = args.probe_targets.iter().map(|(name, target)| probe::Target {
        name: name.clone(),
        host: target.host.clone(),
        port: target.port,
    });
    let prober = Prober::new(probe::Config {
        targets: targets.collect(),
        keep: args.probe_keep,
        transports: config.transports.clone(),
        tests: runtime::Handle::current(),
    });
    let site = Site::bind(config, handle.clone()).map_err(|error| explain(&error))?;
    let site = match history {
        Some(writer) => site.with_history(writer.place().clone()),
        None => site,
    };
    let metrics = Metrics::new(handle);
    let metrics = match history {
        Some(writer) => metrics.with(Kept(writer.stats())),
        None => metrics,
    };
    let metrics = Arc::new(metrics);
    tokio::spawn(metrics.follow());
    let served = Served { handle: handle.clone(), metrics, prober: Arc::new(prober) };
    Ok(site.with_routes(metrics::routes(served)))
}

/// Serves it, beside everything else.
pub(super) fn serve(site: Site) -> Serving {
    let (close, closed) = oneshot::channel();
    let task = tokio::spawn(async move {
        // It ends as well if nobody is left who could close it.
        let closed = async {
            let _ = closed.await;
        };
        if let Err(error) = site.serve(closed).await {
            error!(%error, "the web interface cannot go on; the server goes on without it");
        }
    });
    Serving { close, task }
}

impl Serving {
    /// Ends it, and waits until it has.
    pub(super) async fn close(self) {
        let _ = self.close.send(());
        let _ = self.task.await;
    }
}

/// Asks for a password, and prints what a server keeps of it.
pub(super) fn password() -> u8 {
    let password = match asked() {
        Ok(password) => password,
        Err(error) => {
            complain(&error);
            return exit::LOCAL_IO;
        }
    };
    match hash_password(&password) {
        Ok(hash) => print(&format!("{hash}\n"), exit::SUCCESS),
        Err(error) => {
            complain(&format!("the password {error}"));
            exit::FAILED
        }
    }
}

/// Returns a password that was typed twice, or the first line of a standard input that is no
/// terminal.
fn asked() -> Result<Zeroizing<String>, String> {
    let failed = |error: io::Error| format!("cannot ask for the password: {error}");
    if !io::stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let prompt = |text| rpassword::prompt_password(text).map(Zeroizing::new).map_err(failed);
    let first = prompt("Password of the web interface: ")?;
    if first != prompt("The same again: ")? {
        return Err("the two are not the same: try again".to_owned());
    }
    Ok(first)
}

fn admin(args: &WebArgs) -> Result<Option<Admin>, String> {
    let mut admin = None;
    if let Some(path) = &args.password_file {
        let hash = read(path)?;
        let found = Admin::new().password(hash.trim());
        admin = Some(found.map_err(|error| format!("{} {error}", path.display()))?);
    }
    if let Some(path) = &args.token_file {
        let token = read(path)?;
        let found = admin.unwrap_or_default().token(token.trim());
        admin = Some(found.map_err(|error| format!("{} {error}", path.display()))?);
    }
    Ok(admin)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn explain(error: &BindError) -> String {
    let remedy = match error.source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program is there: choose another with --web=ADDR:PORT"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose another",
        io::ErrorKind::AddrNotAvailable => "; --web takes an address of this host",
        _ => "",
    };
    format!("{error}: {}{remedy}", error.source)
}
