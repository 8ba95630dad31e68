//! kcp-go with our own KCP, each at either end, with error correction and without: every byte is as
//! it should be.

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32},
    sync::Arc,
};

use polyperf_interop::kcp_go::{KcpGoServer, Requests, Way, answer, dial, give, request, take};
use polyperf_kcp::Kcp;
use polyperf_socket::FlowListener;
use polyperf_transport::{Fec, Hello, HostSockets, Peer, Stream, Transport, Tuning};

/// How both ends work.
#[derive(Debug, Clone, Copy)]
struct Case {
    host: &'static str,
    way: Way,
    fec: Option<(u8, u8)>,
    /// KCP's first two numbers.
    nodelay: u8,
    interval: u32,
    flush: &'static str,
    nc: bool,
}

const FAST: Case = Case {
    host: "127.0.0.1",
    way: Way::Up,
    fec: None,
    nodelay: 1,
    interval: 10,
    flush: "batch",
    nc: true,
};

impl Case {
    fn tuning(self) -> Tuning {
        let fec = self.fec.map(|(data, parity)| Fec {
            data: NonZeroU8::new(data).expect("not zero"),
            parity: NonZeroU8::new(parity).expect("not zero"),
        });
        Tuning {
            kcp_nodelay: Some(self.nodelay),
            kcp_interval_ms: NonZeroU32::new(self.interval),
            kcp_nc: Some(self.nc),
            kcp_flush: Some(self.flush.to_owned()),
            fec,
            ..Tuning::default()
        }
    }

    fn args(self) -> Vec<String> {
        let (data, parity) = self.fec.unwrap_or_default();
        let nc = u8::from(self.nc);
        let [nodelay, interval] = [u32::from(self.nodelay), self.interval];
        format!("-nodelay {nodelay} -interval {interval} -nc {nc} -data {data} -parity {parity}")
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    fn ours(self) -> Kcp {
        Kcp::new(Arc::new(HostSockets::new()))
            .with_defaults(&self.tuning())
            .expect("it is possible")
    }

    fn listener(self) -> FlowListener {
        let host = self.host.trim_matches(['[', ']']);
        let at = SocketAddr::new(host.parse().expect("an address"), 0);
        self.ours().bind(at, Arc::new(Requests)).expect("there is a port")
    }

    /// Dials kcp-go, and has it do the rest.
    async fn we_dial(self) {
        let mut server = KcpGoServer::start(self.host, &self.args()).await;
        let connection = self.ours().connect(&Peer::at(server.addr)).await.expect("a socket");
        let hello = request(self.way, BYTES);
        let mut stream = connection.open(Hello::Bare(&hello)).await.expect("a flow");
        match self.way {
            Way::Up => give(&mut stream, BYTES).await,
            Way::Down => take(&mut stream, BYTES).await,
        }
        let said = server.result().await;
        assert_eq!(said["verified"], BYTES, "{self:?}: {said}");
        self.check(&stream, self.way == Way::Up);
    }

    /// Is dialled by kcp-go.
    async fn we_serve(self) {
        let mut listener = self.listener();
        let addr = polyperf_transport::Listener::local_addr(&listener);
        let args = self.args();
        let (said, stream) =
            tokio::join!(dial(addr, self.way, BYTES, &args), answer(&mut listener));
        assert_eq!(said["verified"], BYTES, "{self:?}: {said}");
        self.check(&stream, self.way == Way::Down);
    }

    fn check(self, stream: &Stream, we_send: bool) {
        let arq = stream.path.stats().arq.expect("our engine counts");
        assert_eq!(arq.rejected, Some(0), "{self:?}: {arq:?}");
        let parity = if we_send { arq.parity_sent } else { arq.parity_received };
        match self.fec {
            None => assert_eq!(parity, None, "{self:?}"),
            Some((data, parity_of)) => {
                let least = BYTES as u64 / 1400 / u64::from(data) * u64::from(parity_of);
                assert!(parity >= Some(least), "{self:?}: {parity:?} are fewer than {least}");
            }
        }
    }

    async fn both(self) {
        self.we_dial().await;
        self.we_serve().await;
    }
}

#[tokio::test]
async fn what_either_sends_arrives_as_it_was() {
    for way in [Way::Up, Way::Down] {
        Case { way, ..FAST }.both().await;
    }
}

#[tokio::test]
async fn what_either_sends_with_error_correction_arrives_as_it_was() {
    for way in [Way::Up, Way::Down] {
        Case { way, fec: Some((10, 3)), ..FAST }.both().await;
    }
}

#[tokio::test]
async fn the_clock_and_congestion_control_of_both_get_along() {
    for way in [Way::Up, Way::Down] {
        Case { way, flush: "interval", ..FAST }.both().await;
        Case { way, nodelay: 0, interval: 20, nc: false, ..FAST }.both().await;
        Case { way, flush: "interval", fec: Some((4, 2)), ..FAST }.both().await;
    }
}

#[tokio::test]
async fn ipv6_is_no_different() {
    for way in [Way::Up, Way::Down] {
        Case { way, host: "[::1]", ..FAST }.both().await;
    }
}

const BYTES: usize = 5_000_000;
