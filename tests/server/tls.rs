//! Control connections inside TLS, on the port of the others.

use std::sync::Arc;

use polyperf::{
    Registry,
    auth::Psk,
    client::{self, ControlTls},
    outcome::{Ended, Failure, FailureCode},
    registry::{IdentitySource, Security},
    server,
    transport::{HostSockets, Sockets},
};
use polyperf_certs::{CurrentIdentity, Fingerprint, Identity, KnownServers, Provider, Trust};

use crate::{
    raw::Raw,
    support::{Serving, connected, next, short, soon, spawn, tcp_client, tcp_server},
};

async fn server(
    identity: &Identity,
    set: impl FnOnce(server::Builder) -> server::Builder,
) -> Serving {
    let tls = server::ControlTls::new(identity.clone(), Provider::Ring).unwrap();
    tcp_server(|s| set(s.tls(tls))).await
}

fn identity() -> Identity {
    Identity::generate(&[]).unwrap()
}

fn client(server: &Serving, trust: Trust) -> client::Builder {
    let tls = ControlTls { trust, provider: Provider::Ring };
    tcp_client(server).bytes(1_000_000).streams(2).tls(tls)
}

async fn refused(client: client::Builder) -> Failure {
    soon(client.build().unwrap().run()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_controlled_inside_tls_and_the_server_is_remembered() {
    let identity = identity();
    let mut server = server(&identity, |s| s).await;
    let known = KnownServers::in_memory();
    for _ in 0..2 {
        let run = client(&server, Trust::Known(known.clone())).build().unwrap();
        assert_eq!(soon(run.run()).await.unwrap().ended, Ended::Complete);
        let met = known.get("127.0.0.1", server.addr.port()).unwrap();
        assert_eq!(met, Some(identity.fingerprint()));
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_the_one_that_is_known_is_refused() {
    let server = server(&identity(), |s| s).await;
    let other = Trust::Pinned(Fingerprint::of(b"another certificate"));
    let failure = refused(client(&server, other)).await;
    assert_eq!(failure.code, FailureCode::Connect);
    assert!(failure.message.contains("fingerprint"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_told_from_one_that_refuses() {
    let mut server = tcp_server(|s| s).await;
    let failure = refused(client(&server, Trust::Insecure)).await;
    assert!(failure.message.contains("leave out --tls"), "{failure}");
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_shared_key_is_proved_for_the_channel_that_both_ends_see() {
    let psk = Psk::new("mario", b"sixteen bytes it").unwrap();
    let psks = [psk.clone()].into_iter().collect();
    let mut server = server(&identity(), |s| s.psks(psks)).await;
    let run = spawn(client(&server, Trust::Insecure).psk(psk));
    assert_eq!(server.outcome().await.info.user.as_deref(), Some("mario"));
    assert_eq!(soon(run).await.unwrap().unwrap().ended, Ended::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_is_replaced_is_shown_to_whoever_comes_next_and_breaks_nothing_off() {
    let (before, after) = (identity(), identity());
    let current = CurrentIdentity::new(before.clone());
    let security =
        Security { identity: IdentitySource::Loaded(current.clone()), ..Security::default() };
    let tls = server::ControlTls::new(current.clone(), Provider::Ring).unwrap();
    let transports = registry(security);
    let server = tcp_server(|s| s.transports(transports).tls(tls).identity(current)).await;
    let over = |transport: &str, identity: &Identity| {
        let trust = Trust::Pinned(identity.fingerprint());
        let quic = registry(Security { trust: trust.clone(), ..Security::default() });
        client(&server, trust).transports(quic).transport(transport)
    };
    let runs = async |client: client::Builder| {
        assert_eq!(soon(client.build().unwrap().run()).await.unwrap().ended, Ended::Complete);
    };
    for transport in ["tcp", "quic"] {
        runs(over(transport, &before)).await;
    }
    server.idle().await;
    let mut events = server.handle.events();
    // Tests that run over a connection of before, and open no other.
    let running: Vec<_> = ["tcp", "quic"]
        .map(|transport| over(transport, &before).bytes(4_000_000).rate(8_000_000))
        .into_iter()
        .map(spawn)
        .collect();
    let (known, new) = (over("tcp", &before), over("tcp", &after));
    let (known_quic, new_quic) = (over("quic", &before), over("quic", &after));
    // One that knows nobody yet is told over a plain connection whom it is to find over QUIC.
    let told = tcp_client(&server).bytes(100_000).transport("quic").control("tcp");
    let handle = server.handle.clone();
    for _ in 0..2 {
        next(&mut events, connected).await;
    }
    assert!(handle.set_identity(after.clone()));
    assert_eq!(handle.identity().map(|now| now.fingerprint()), Some(after.fingerprint()));
    for client in [new, new_quic, told] {
        runs(client).await;
    }
    for client in [known, known_quic] {
        let failure = refused(client).await;
        assert!(failure.message.contains("fingerprint"), "{failure}");
    }
    for client in running {
        assert_eq!(soon(client).await.unwrap().unwrap().ended, Ended::Complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_identity_cannot_be_replaced_says_so() {
    let server = server(&identity(), |s| s).await;
    assert!(!server.handle.set_identity(identity()));
    assert_eq!(server.handle.identity(), None);
}

fn registry(security: Security) -> Registry {
    Registry::secured(&(Arc::new(HostSockets::new()) as Arc<dyn Sockets>), security)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stalls_or_is_garbage_ends_and_holds_up_nobody() {
    let mut server = server(&identity(), |s| s.deadlines(short())).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::connect(server.addr).await;
        raw.bytes(&[&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc][..], &[3; 28]].concat()).await;
        stalled.push(raw);
    }
    let mut garbage = Raw::connect(server.addr).await;
    garbage.bytes(&[0x16, 3].into_iter().cycle().take(5000).collect::<Vec<_>>()).await;
    server.proves_itself(tcp_client(&server)).await;
    for mut raw in stalled.into_iter().chain([garbage]) {
        // It ends, with or without an alert.
        raw.rest().await;
    }
    let run = client(&server, Trust::Insecure).build().unwrap();
    assert_eq!(soon(run.run()).await.unwrap().ended, Ended::Complete);
}
