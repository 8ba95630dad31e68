//! Where a client's connections are carried.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
};

use polyperf_socket::{QuicPort, Worker};
use polyperf_transport::Home;
use quinn::{ConnectionError, Endpoint};

use crate::{
    carrier::Carrier,
    leg::{Plan, endpoint_config},
    socket::Socket,
    tls::lock,
};

/// A thread that carries connections of a client.
///
/// A connection has one of its own, unless it is made on such a thread: whoever makes one after
/// another there saves a change of threads for each packet, and gets the socket of the one before.
#[derive(Debug)]
pub(crate) struct ClientHome {
    pub(crate) worker: Arc<Worker>,
    /// What connections that are closed have left to the next.
    vacant: Mutex<Vec<Berth>>,
}

/// A socket, and the endpoint on it.
#[derive(Debug)]
pub(crate) struct Berth {
    pub(crate) port: Arc<QuicPort>,
    pub(crate) endpoint: Endpoint,
    /// Whether nothing of an earlier connection comes over the socket any more.
    pub(crate) is_quiet: bool,
    /// What the socket was made for.
    made_for: Made,
}

/// What a socket depends on: whom it is connected to, from where, and its type of service.
type Made = (SocketAddr, Option<SocketAddr>, Option<u8>);

/// The homes that a client has now.
#[derive(Debug, Default)]
pub(crate) struct Homes(Mutex<Vec<Weak<ClientHome>>>);

impl Homes {
    /// Returns the home of the calling thread, or a new one.
    pub(crate) fn here_or_new(&self) -> io::Result<Arc<ClientHome>> {
        let mut homes = lock(&self.0);
        homes.retain(|home| home.strong_count() > 0);
        let here = homes.iter().filter_map(Weak::upgrade).find(|home| home.worker.is_here());
        if let Some(home) = here {
            return Ok(home);
        }
        let home = ClientHome { worker: Worker::start("quic")?, vacant: Mutex::default() };
        let home = Arc::new(home);
        homes.push(Arc::downgrade(&home));
        Ok(home)
    }
}

impl ClientHome {
    /// Returns a socket for a connection, of an earlier one that was made alike if there is one.
    pub(crate) fn berth(&self, plan: &Plan) -> io::Result<Berth> {
        let made_for = (plan.addr, plan.local, plan.options.tos);
        let mut vacant = lock(&self.vacant);
        let alike = vacant.iter().position(|berth| berth.made_for == made_for);
        if let Some(mut berth) = alike.map(|index| vacant.swap_remove(index)) {
            // Those that are closed listen for a while to who has not heard of it.
            berth.is_quiet = berth.endpoint.open_connections() == 0;
            return Ok(berth);
        }
        drop(vacant);
        let port = Arc::new(plan.port(&self.worker)?);
        let carrier = Arc::new(Carrier::new(Arc::clone(&self.worker)));
        let socket = Arc::new(Socket::new(Arc::clone(&port)));
        let config = endpoint_config()?;
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, carrier)?;
        Ok(Berth { port, endpoint, is_quiet: true, made_for })
    }

    /// Keeps what a connection leaves that ended so, if there is nothing wrong with it.
    pub(crate) fn leave(&self, berth: Berth, ended: Option<&ConnectionError>) {
        use ConnectionError::{ApplicationClosed, LocallyClosed};
        let is_closed = matches!(ended, Some(LocallyClosed | ApplicationClosed(_)));
        let counts = berth.port.counts();
        if is_closed && counts.errors + counts.unsent == 0 {
            lock(&self.vacant).push(berth);
        }
    }
}

impl Home for ClientHome {
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.worker.spawn(work);
    }
}
