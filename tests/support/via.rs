//! A way around what a server says of its ports.

use std::{net::SocketAddr, sync::Arc};

use polyperf::transport::{
    Connection, Delivery, Error, Gate, Listener, Peer, Transport, Tuning, async_trait,
};

/// A transport whose clients reach every listener at one address, as at a relay before it: the
/// server names the port that it listens on itself.
#[derive(Debug)]
pub(crate) struct Via {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) via: SocketAddr,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transport for Via {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn delivery(&self) -> Delivery {
        self.inner.delivery()
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        self.inner.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        self.inner.listen(addr, gate).await
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.inner.connect(&Peer { addr: self.via, ..peer.clone() }).await
    }
}
