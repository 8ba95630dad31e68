//! The web interface of a server: what happens in it, live, and what its operator may do about it.
//!
//! It has a thread of its own that gives way to everything else, and hears of tests by the same
//! events as every other subscriber: it costs a running flow nothing but the processor that nobody
//! wants. Everything that it shows is in the binary, and its pages ask nobody else for anything.

mod auth;
mod config;
mod guard;
mod history;
mod live;
mod pages;
mod patience;
mod problem;
mod runs;
mod serve;
mod status;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    runtime,
    sync::{oneshot, watch},
};
use tracing::{error, info};

use self::{auth::Gate, history::History, live::Hub, runs::Runs};
pub use self::{
    auth::{Admin, AdminError, hash_password},
    config::{Config, DEFAULT_PORT, Limits, Peer},
};
use crate::{history::Location, registry::Registry, server::Handle};

/// A web interface that is bound to its address.
#[derive(Debug)]
pub struct Site {
    listener: TcpListener,
    addr: SocketAddr,
    config: Config,
    handle: Handle,
    further: Router,
    history: Option<Location>,
}

/// Why there is no web interface.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for the web interface")]
pub struct BindError {
    /// The address that cannot be had.
    pub addr: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// What every page may need.
#[derive(Debug)]
struct App {
    handle: Handle,
    peers: Vec<Peer>,
    hosts: Vec<String>,
    public_read: bool,
    transports: Registry,
    limits: Limits,
    gate: Gate,
    hub: Hub,
    runs: Runs,
    history: Option<History>,
    /// Where tests run that are started here.
    tests: runtime::Handle,
}

impl Site {
    /// Binds the address of `config`, for the server of this handle.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub fn bind(config: Config, handle: Handle) -> Result<Self, BindError> {
        let bound = listen(config.addr).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (addr, listener) = bound.map_err(|source| BindError { addr: config.addr, source })?;
        Ok(Self { listener, addr, config, handle, further: Router::new(), history: None })
    }

    /// Returns the address that browsers find it at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Shows the tests of this history. It is opened when somebody first asks for it.
    #[must_use]
    pub fn with_history(mut self, place: Location) -> Self {
        self.history = Some(place);
        self
    }

    /// Serves these routes as well, under the same protection as all others: who may not look on
    /// gets to `/healthz` and `/readyz` alone.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.further = self.further.merge(routes);
        self
    }

    /// Serves until `shutdown` is ready, on a thread of its own. Tests that were started from a page
    /// run where this is called, and end with it.
    ///
    /// # Errors
    ///
    /// There can be no such thread.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let (stop, stopped) = watch::channel(());
        let (ended, end) = oneshot::channel();
        let app = Arc::new(self.app(runtime::Handle::current()));
        let routes = self.routes(&app);
        let Self { listener, addr, .. } = self;
        let work = move || {
            let result = serve::on_this_thread(listener, routes, app, stopped);
            // Who waited for it may be gone.
            let _ = ended.send(result);
        };
        thread::Builder::new().name("polyperf-web".to_owned()).spawn(work)?;
        info!(url = format!("http://{addr}/"), "web interface");
        tokio::pin!(end);
        tokio::select! {
            () = shutdown => {}
            result = &mut end => return over(result),
        }
        drop(stop);
        over(end.await)
    }

    fn app(&self, tests: runtime::Handle) -> App {
        let config = &self.config;
        App {
            handle: self.handle.clone(),
            peers: config.peers.clone(),
            hosts: config.hosts.clone(),
            public_read: config.public_read,
            transports: config.transports.clone(),
            limits: config.limits.clone(),
            gate: Gate::new(config.admin.clone(), self.addr.port()),
            hub: Hub::new(config.limits.readers),
            runs: Runs::default(),
            history: self.history.clone().map(History::new),
            tests,
        }
    }

    /// Returns all routes. A page has a module of its own, which brings its routes along.
    fn routes(&self, app: &Arc<App>) -> Router {
        let own = pages::routes()
            .merge(auth::routes())
            .merge(history::routes())
            .merge(live::routes())
            .merge(runs::routes())
            .merge(status::routes());
        own.with_state(Arc::clone(app))
            .merge(self.further.clone())
            .fallback(pages::missing)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn_with_state(Arc::clone(app), guard::guard))
    }
}

/// Binds a listener whose connections keep little for who does not read.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Logs an end that nobody has asked for: the server goes on without its web interface.
fn over(result: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    result.unwrap_or_else(|_| {
        error!("the web interface has broken off; the server goes on without it");
        Ok(())
    })
}

/// More than any request here has.
const MAX_BODY: usize = 16 << 10;
const SEND_BUFFER: usize = 16 << 10;
const BACKLOG: i32 = 128;
