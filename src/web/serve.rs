use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::{App, Limits, live, patience::Patient};
use crate::server::lock;

/// Serves until `stopped` says so, or is dropped.
pub(super) fn on_this_thread(
    listener: std::net::TcpListener,
    routes: Router,
    app: Arc<App>,
    stopped: watch::Receiver<()>,
) -> io::Result<()> {
    give_way();
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let served = runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(live::follow(Arc::clone(&app)));
        serve(listener, routes, &app, stopped).await;
        Ok(())
    });
    runtime.shutdown_background();
    served
}

async fn serve(listener: TcpListener, routes: Router, app: &App, mut stopped: watch::Receiver<()>) {
    let (mut connections, places) = (JoinSet::new(), Arc::new(Places::default()));
    let mut backoff = FIRST_BACKOFF;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff = FIRST_BACKOFF;
                    // Who finds no place is not worth an answer: that would take one.
                    let Some(place) = places.take(peer.ip(), &app.limits) else { continue };
                    let served =
                        converse(stream, peer, routes.clone(), app.limits.clone(), stopped.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) if is_of_the_peer(&error) => debug!(%error, "a browser failed early"),
                Err(error) => {
                    warn!(%error, retry = ?backoff, "the web interface cannot accept");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    app.hub.dismiss();
    app.runs.stop();
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
}

/// Answers the requests of one connection until it ends.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    // What happens is told in small pieces.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient::new(stream, limits.stall_time));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%peer, %error, "a browser's connection has failed");
    }
}

/// Connections, in all and of each address.
#[derive(Debug, Default)]
struct Places {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    ip: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, ip: IpAddr, limits: &Limits) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let all: usize = taken.values().sum();
        let own = taken.get(&ip).copied().unwrap_or(0);
        if all >= limits.connections || own >= limits.connections_per_address {
            return None;
        }
        taken.insert(ip, own + 1);
        Some(Place { places: Arc::clone(self), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        if let Some(count) = taken.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.ip);
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Lets every other thread go first: this one, and those that it starts.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: neither call has a pointer; on Linux 0 is the calling thread.
        let set = unsafe {
            let now = libc::getpriority(libc::PRIO_PROCESS, 0);
            libc::setpriority(libc::PRIO_PROCESS, 0, (now + NICE).min(19))
        };
        if set != 0 {
            debug!(error = %io::Error::last_os_error(), "the web interface keeps its priority");
        }
    }
}

#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Of the head of a request, and of what is queued for a connection.
const MAX_BUFFER: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const FAREWELL: Duration = Duration::from_secs(1);
