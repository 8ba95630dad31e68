//! Our own transports over the link, both ends in one process.

use std::time::Duration;

use polyperf::{
    Client, Registry, Server,
    lab::{
        self, Lab, Links, Tier,
        link::{LinkConfig, Loss, Probability},
    },
    measure::Role,
    outcome::Side,
};

use crate::{Cases, open};

pub(crate) const CASES: Cases = &[
    ("every_transport_crosses_the_link", every_transport_crosses_the_link),
    ("every_transport_over_udp_crosses_a_relay", every_transport_over_udp_crosses_a_relay),
];

fn every_transport_crosses_the_link() {
    let Some(lab) = open() else { return };
    run_all(&lab, |_| true);
}

fn every_transport_over_udp_crosses_a_relay() {
    let prepared = lab::prepare(Some(Tier::Relay)).unwrap();
    let lab = Lab::open(prepared, lab::DEFAULT_MTU).unwrap();
    run_all(&lab, |transport| transport != "tcp");
}

fn run_all(lab: &Lab, is_meant: impl Fn(&str) -> bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let transports = Registry::standard().names();
    for transport in transports.iter().copied().filter(|transport| is_meant(transport)) {
        let config = LinkConfig::perfect().delay(5 * MS).loss(Loss::Iid(Probability::new(0.005)));
        lab.set(Links::both(&config)).unwrap();
        let bytes = runtime.block_on(run(lab, transport));
        let truth = lab.truth().unwrap();
        let protocol = if transport == "tcp" { 6 } else { 17 };
        let of_it = truth.to_far.flows.iter().filter(|flow| flow.protocol == protocol);
        let crossed: u64 = of_it.map(|flow| flow.crossing.delivered_bytes).sum();
        println!("  {transport}: {bytes} bytes arrived, in {crossed} on the link");
        assert!(bytes > 0 && crossed > bytes, "{:?}", truth.to_far);
        assert!(truth.to_near.total.delivered > 0, "{:?}", truth.to_near);
    }
}

/// Returns the bytes that the server received in a short test.
async fn run(lab: &Lab, transport: &str) -> u64 {
    let far = lab.far().v4();
    let server = Server::builder()
        .listen((far, 0).into())
        .transports(Registry::over(&lab.far().sockets()))
        .bind()
        .await
        .unwrap();
    let port = server.local_addrs()[0].1.port();
    let handle = server.handle();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let client = Client::builder(far.to_string())
        .port(port)
        .transports(Registry::over(&lab.near().sockets()))
        .transport(transport)
        .bytes(64 << 10)
        .build()
        .unwrap();
    let outcome = client.run().await.unwrap_or_else(|failure| panic!("{transport}: {failure:?}"));
    handle.stop();
    serving.await.unwrap();
    let (bytes, _) = outcome.side(Side::Server).unwrap().total(Role::Receiver).unwrap();
    bytes
}

const MS: Duration = Duration::from_millis(1);
