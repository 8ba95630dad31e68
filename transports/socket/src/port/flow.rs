use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Parcel, Stray, attendant};
use crate::{DatagramRecv, DatagramSend, Endpoint, recv::Claim};

/// A flow of a [shared port](super::UdpPorts) that has just been opened.
#[derive(Debug)]
pub struct Flow {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) inbox: (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>),
    pub(super) strays: mpsc::Sender<Stray>,
}

impl Flow {
    /// Returns what the flow's halves share.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.endpoint.peer()
    }

    /// Returns the halves, of which the one that receives begins with `first`, if that is anything.
    #[must_use]
    pub fn into_halves(self, first: &[u8]) -> (DatagramSend, DatagramRecv) {
        self.halves(first, None)
    }

    /// Returns the halves, and until the one that receives first has to wait, or `limit` is over,
    /// has the current runtime see to what comes.
    ///
    /// So a peer who does not know yet that the flow is open is answered by `keep`, which it also
    /// gives to [`poll_recv`](DatagramRecv::poll_recv), though nobody polls.
    #[must_use]
    pub fn into_attended_halves(
        self,
        first: &[u8],
        limit: Duration,
        keep: impl FnMut(&[u8]) -> bool + Send + 'static,
    ) -> (DatagramSend, DatagramRecv) {
        if self.endpoint.own_socket().is_none() {
            return self.halves(first, None);
        }
        let claim = Arc::new(Claim::default());
        let attending = attendant::attend(
            Arc::clone(&self.endpoint),
            Arc::clone(&claim),
            self.inbox.0.clone(),
            self.strays.clone(),
            keep,
        );
        tokio::spawn(tokio::time::timeout(limit, attending));
        self.halves(first, Some(claim))
    }

    fn halves(self, first: &[u8], claim: Option<Arc<Claim>>) -> (DatagramSend, DatagramRecv) {
        let Self { endpoint, inbox: (_, inbox), strays } = self;
        let send = DatagramSend::new(Arc::clone(&endpoint));
        let mut recv = DatagramRecv::of_port(endpoint, inbox, strays, claim);
        recv.put_back(first, first.len());
        (send, recv)
    }
}
