//! Where a client's connections are carried.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
};

use polyperf_socket::{QuicPort, Worker};
use polyperf_transport::{Home, Sockets};
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
    pub(crate) fn here_or_new(&self, sockets: &dyn Sockets) -> io::Result<Arc<ClientHome>> {
        let mut homes = lock(&self.0);
        homes.retain(|home| home.strong_count() > 0);
        let here = homes.iter().filter_map(Weak::upgrade).find(|home| home.worker.is_here());
        if let Some(home) = here {
            return Ok(home);
        }
        let worker = Worker::start("quic", sockets)?;
        let home = ClientHome { worker, vacant: Mutex::default() };
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

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::Duration};

    use polyperf_socket::UdpPorts;
    use polyperf_transport::{HostSockets, Tuning};
    use quinn::udp::Transmit;

    use super::*;
    use crate::{Kind, Quic, STREAMS, Settings, options::Options};

    fn home() -> Arc<ClientHome> {
        Homes::default().here_or_new(&HostSockets::new()).unwrap()
    }

    /// Returns how to connect to `addr`.
    fn plan(addr: SocketAddr) -> Plan {
        let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
        let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
        let shared = Quic::new(sockets, ports, Settings::default()).0;
        let peer = shared.tls.peer("localhost", addr.port(), None).unwrap();
        let options = Options::new(&Tuning::default(), STREAMS).unwrap();
        let (kind, protocol) = (Kind::Streams, Kind::Streams.protocol().to_vec());
        Plan {
            shared,
            kind,
            addr,
            local: None,
            options,
            protocol,
            peer,
            mark: None,
            prepared: None,
        }
    }

    /// Returns whether a berth that was left so is taken over by the next connection of this plan.
    fn is_taken_over(ended: Option<&ConnectionError>, next: impl FnOnce(Plan) -> Plan) -> bool {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let plan = plan(server.local_addr().unwrap());
        let home = home();
        let berth = home.berth(&plan).unwrap();
        let port = Arc::clone(&berth.port);
        home.leave(berth, ended);
        Arc::ptr_eq(&home.berth(&next(plan)).unwrap().port, &port)
    }

    #[test]
    fn what_a_closed_connection_leaves_is_taken_over() {
        assert!(is_taken_over(Some(&ConnectionError::LocallyClosed), |plan| plan));
    }

    #[test]
    fn what_a_broken_connection_leaves_is_not() {
        for ended in [None, Some(ConnectionError::TimedOut), Some(ConnectionError::Reset)] {
            assert!(!is_taken_over(ended.as_ref(), |plan| plan), "{ended:?}");
        }
    }

    #[test]
    fn who_connects_otherwise_gets_a_socket_that_is_set_so() {
        let closed = ConnectionError::LocallyClosed;
        let local = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        assert!(!is_taken_over(Some(&closed), |plan| Plan { local, ..plan }));
        let tuning = Tuning { tos: Some(8), ..Tuning::default() };
        let options = Options::new(&tuning, STREAMS).unwrap();
        assert!(!is_taken_over(Some(&closed), |plan| Plan { options, ..plan }));
    }

    #[tokio::test]
    async fn a_socket_on_which_nobody_was_reached_is_not_handed_on() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let plan = plan(server.local_addr().unwrap());
        drop(server);
        let home = home();
        let berth = home.berth(&plan).unwrap();
        let port = Arc::clone(&berth.port);
        let (destination, contents) = (plan.addr, &[0; 32][..]);
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        let told = async {
            while port.counts().errors + port.counts().unsent == 0 {
                let _ = port.try_send(&transmit);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
        home.leave(berth, Some(&ConnectionError::LocallyClosed));
        assert!(!Arc::ptr_eq(&home.berth(&plan).unwrap().port, &port));
    }
}
