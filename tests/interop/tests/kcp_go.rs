//! kcp-go with our own KCP, each at either end, with error correction and without, also where
//! datagrams are lost: every byte is as it should be.

#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "../../support/relay.rs"]
mod relay;

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32},
    sync::Arc,
    time::Duration,
};

use polyperf_interop::kcp_go::{KcpGoServer, Requests, Way, answer, dial, give, request, take};
use polyperf_kcp::Kcp;
use polyperf_memory::link::{LinkConfig, Loss, Probability, Script};
use polyperf_socket::FlowListener;
use polyperf_transport::{Arq, Fec, Hello, HostSockets, Listener, Peer, Stream, Transport, Tuning};
use serde_json::Value;

use crate::relay::Relay;

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
    /// What is between them in each direction; `None`: nothing.
    link: Option<fn(u64) -> LinkConfig>,
    /// Where the link's randomness starts.
    seed: u64,
}

const FAST: Case = Case {
    host: "127.0.0.1",
    way: Way::Up,
    fec: None,
    nodelay: 1,
    interval: 10,
    flush: "batch",
    nc: true,
    link: None,
    seed: 0,
};

/// What both say once all is there.
#[derive(Debug)]
struct Said {
    theirs: Value,
    ours: Arq,
    /// Datagrams that the link has lost.
    lost: u64,
}

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
    async fn we_dial(self) -> Said {
        let mut server = KcpGoServer::start(self.host, &self.args()).await;
        let (relay, addr) = self.before(server.addr);
        let connection = self.ours().connect(&Peer::at(addr)).await.expect("a socket");
        let hello = request(self.way, BYTES);
        let mut stream = connection.open(Hello::Bare(&hello)).await.expect("a flow");
        match self.way {
            Way::Up => give(&mut stream, BYTES).await,
            Way::Down => take(&mut stream, BYTES).await,
        }
        let theirs = server.result().await;
        self.check(theirs, &stream, self.way == Way::Up, relay.as_ref())
    }

    /// Is dialled by kcp-go.
    async fn we_serve(self) -> Said {
        let mut listener = self.listener();
        let (relay, addr) = self.before(listener.local_addr());
        let args = self.args();
        let (theirs, stream) =
            tokio::join!(dial(addr, self.way, BYTES, &args), answer(&mut listener));
        self.check(theirs, &stream, self.way == Way::Down, relay.as_ref())
    }

    /// Puts the link before a server, and returns where to reach that.
    fn before(self, server: SocketAddr) -> (Option<Relay>, SocketAddr) {
        let Some(link) = self.link else { return (None, server) };
        let [up, down] = [2 * self.seed, 2 * self.seed + 1].map(link);
        let relay = Relay::start(server, up, down).expect("there is a port");
        let addr = relay.addr();
        (Some(relay), addr)
    }

    fn check(self, theirs: Value, stream: &Stream, we_send: bool, relay: Option<&Relay>) -> Said {
        assert_eq!(theirs["verified"], BYTES, "{self:?}: {theirs}");
        let ours = stream.path.stats().arq.expect("our engine counts");
        assert_eq!(ours.rejected, Some(0), "{self:?}: {ours:?}");
        let stats = relay.map(|relay| relay.stats().expect("it relays")).unwrap_or_default();
        let lost = stats.up.link.lost_on_the_wire() + stats.down.link.lost_on_the_wire();
        self.check_parity(if we_send { ours.parity_sent } else { ours.parity_received }, lost);
        Said { theirs, ours, lost }
    }

    /// Checks that as much parity was sent, or has come, as belongs to the data; `lost` may be
    /// missing.
    fn check_parity(self, parity: Option<u64>, lost: u64) {
        let Some((data, of_parity)) = self.fec else {
            assert_eq!(parity, None, "{self:?}");
            return;
        };
        let whole = BYTES as u64 / 1400 / u64::from(data) * u64::from(of_parity);
        let least = whole.saturating_sub(lost);
        assert!(parity >= Some(least), "{self:?}: {parity:?} are fewer than {least}");
    }

    async fn both(self) -> [Said; 2] {
        [self.we_dial().await, self.we_serve().await]
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

#[tokio::test]
async fn error_correction_of_either_recovers_what_is_lost_on_the_way_to_the_other() {
    for (way, seed) in [(Way::Up, 1), (Way::Down, 2)] {
        let case = Case { way, fec: Some((10, 3)), link: Some(lossy), seed, ..FAST };
        let [dialled, served] = case.both().await;
        // Whoever dials sends upwards.
        let (we_receive, they_receive) = match way {
            Way::Up => (served, dialled),
            Way::Down => (dialled, served),
        };
        assert!(we_receive.ours.recovered > Some(0), "{we_receive:?}");
        let theirs = &they_receive.theirs["snmp"];
        assert!(theirs["FECRecovered"].as_u64() > Some(0), "{they_receive:?}");
        assert_eq!(theirs["FECErrs"], 0, "{they_receive:?}");
    }
}

#[tokio::test]
async fn what_is_lost_without_error_correction_is_sent_again_by_either() {
    for (way, seed) in [(Way::Up, 3), (Way::Down, 4)] {
        for said in (Case { way, link: Some(lossy), seed, ..FAST }).both().await {
            assert!(said.lost > 0, "{said:?}");
        }
    }
}

#[tokio::test]
async fn a_beginning_that_is_lost_is_sent_again() {
    for way in [Way::Up, Way::Down] {
        for fec in [None, Some((10, 3))] {
            let link = |_| LinkConfig::perfect().script(Script::new().drop([0]));
            for said in (Case { way, fec, link: Some(link), ..FAST }).both().await {
                assert_eq!(said.lost, 2, "the first in each direction: {said:?}");
            }
        }
    }
}

fn lossy(seed: u64) -> LinkConfig {
    LinkConfig::perfect()
        .delay(Duration::from_millis(5))
        .loss(Loss::iid(Probability::new(0.03)))
        .seed(seed)
}

const BYTES: usize = 5_000_000;
