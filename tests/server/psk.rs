//! Clients and servers that know each other by a pre-shared key.

use std::num::NonZeroU32;

use polyperf::{
    auth::{Psk, Psks},
    client,
    outcome::{Ended, Failure, FailureCode, HostInfo},
    protocol::native::{Challenge, Message, Nonce, Propose, Prove, Prover, PskKey, Secret},
    server::{Policies, Policy},
    spec::{SpecFields, TestSpec},
};

use crate::{
    raw::{Raw, control_hello, propose},
    support::{Serving, World, connected, soon, spawn, tcp_client, tcp_server},
};

const KEY: [u8; 16] = *b"sixteen bytes it";

fn psk(identity: &str, key: &[u8]) -> Psk {
    Psk::new(identity, key).unwrap()
}

fn psks() -> Psks {
    [psk("mario", &KEY), psk("luigi", b"another long key")].into_iter().collect()
}

async fn server() -> Serving {
    tcp_server(|s| s.psks(psks())).await
}

fn client(server: &Serving) -> client::Builder {
    tcp_client(server).bytes(100_000)
}

async fn refused(client: client::Builder) -> Failure {
    soon(client.build().unwrap().run()).await.unwrap_err()
}

fn prover(identity: &str, key: &[u8], nonce: u8) -> Prover {
    let (identity, secret) = (identity.to_owned(), Secret::Psk(PskKey::new(key)));
    Prover { identity, secret, nonce: Nonce::new([nonce; 32]), channel: Vec::new() }
}

fn proposal() -> String {
    let spec = TestSpec::try_from(SpecFields::default()).unwrap();
    let propose = Propose { host: HostInfo::default(), spec, no_queue: false, auth: None };
    serde_json::to_string(&propose).unwrap()
}

/// Connects, and returns what it is to prove itself against.
async fn challenged(server: &Serving) -> (Raw, Challenge) {
    let mut raw = Raw::connect(server.addr).await;
    raw.bytes(&control_hello()).await;
    match raw.hear().await {
        Some(Message::Welcome(welcome)) => (raw, welcome.challenge.unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn answer(mut raw: Raw, prove: Prove) -> Message {
    raw.send(&Message::Prove(Box::new(prove))).await;
    raw.hear().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_prove_themselves_and_the_test_runs_as_that_identity() {
    let mut server = server().await;
    let run = spawn(client(&server).psk(psk("mario", &KEY)));
    assert_eq!(server.outcome().await.info.user.as_deref(), Some("mario"));
    assert_eq!(soon(run).await.unwrap().unwrap().ended, Ended::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_proves_nothing_or_the_wrong_thing_is_denied() {
    let server = server().await;
    let nothing = refused(client(&server)).await;
    assert!(nothing.message.contains("--psk-file"), "{nothing}");
    let mut messages = Vec::new();
    for (identity, key) in [("mario", &b"another long key"[..]), ("peach", &KEY), ("luigi", &KEY)] {
        let failure = refused(client(&server).psk(psk(identity, key))).await;
        assert_eq!((nothing.code, failure.code), (FailureCode::Denied, FailureCode::Denied));
        messages.push(failure.message);
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "the same whatever is wrong: {messages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t15_a_recorded_proof_is_refused_when_it_is_sent_again() {
    let server = server().await;
    let (raw, challenge) = challenged(&server).await;
    let prove = prover("mario", &KEY, 1).prove(&challenge, proposal()).unwrap();
    assert!(matches!(answer(raw, prove.clone()).await, Message::Agree(_)));
    for _ in 0..3 {
        let (raw, other) = challenged(&server).await;
        assert_ne!(other.nonce, challenge.nonce);
        match answer(raw, prove.clone()).await {
            Message::Fail(failure) => assert_eq!(failure.code, FailureCode::Denied),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_not_good_for_other_parameters() {
    let server = server().await;
    let (raw, challenge) = challenged(&server).await;
    let mut prove = prover("mario", &KEY, 1).prove(&challenge, proposal()).unwrap();
    prove.propose = prove.propose.replace("\"streams\":1", "\"streams\":9");
    assert!(matches!(answer(raw, prove).await, Message::Fail(f) if f.code == FailureCode::Denied));
    let (raw, challenge) = challenged(&server).await;
    let nonsense = prover("mario", &KEY, 1).prove(&challenge, "{}".to_owned()).unwrap();
    let answer = answer(raw, nonsense).await;
    assert!(matches!(answer, Message::Fail(f) if f.code == FailureCode::Protocol));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_proof_is_about_this_very_proposal() {
    let server = server().await;
    let (raw, challenge) = challenged(&server).await;
    let prover = prover("mario", &KEY, 1);
    let Message::Agree(agree) = answer(raw, prover.prove(&challenge, proposal()).unwrap()).await
    else {
        panic!("it is not let in")
    };
    assert!(prover.convinced(&challenge, &proposal(), agree.proof.as_deref()));
    assert!(!prover.convinced(&challenge, "{}", agree.proof.as_deref()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_key_tells_that_a_server_takes_none() {
    let server = tcp_server(|s| s).await;
    let failure = refused(client(&server).psk(psk("mario", &KEY))).await;
    assert_eq!(failure.code, FailureCode::Denied);
    assert!(failure.message.contains("takes no pre-shared keys"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_changed_hold_for_the_next_client() {
    let server = server().await;
    server.handle.set_psks(Some([psk("peach", &KEY)].into_iter().collect()));
    assert_eq!(refused(client(&server).psk(psk("mario", &KEY))).await.code, FailureCode::Denied);
    let outcome = soon(client(&server).psk(psk("peach", &KEY)).build().unwrap().run()).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    server.handle.set_psks(None);
    assert!(soon(client(&server).build().unwrap().run()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_client_is_told_what_is_missing() {
    let server = server().await;
    let (mut raw, challenge) = challenged(&server).await;
    assert!(challenge.required);
    raw.send(&propose(SpecFields::default())).await;
    let Some(Message::Fail(failure)) = raw.hear().await else { panic!("it is let in") };
    assert_eq!(failure.code, FailureCode::Denied);
    assert!(failure.message.contains("pre-shared key"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_public_server_serves_strangers_and_holds_an_identity_to_its_own_policy() {
    let world = World::new();
    let identities = vec!["mario".to_owned()];
    let two = Policy {
        name: "mario".to_owned(),
        identities,
        max_sessions: NonZeroU32::new(2),
        ..Policy::default()
    };
    let strangers = Policy { max_streams: Some(1), name: "rest".to_owned(), ..Policy::default() };
    let policies = Policies::new([two, strangers]).public();
    let mut server = world.serve(|s| s.psks(psks()).policies(policies)).await;
    let stranger = || world.client(&server).bytes(1000);
    assert!(soon(stranger().build().unwrap().run()).await.is_ok());
    assert_eq!(refused(stranger().streams(2)).await.code, FailureCode::Denied);
    let mario = |streams| {
        let client = world.client(&server).streams(streams).psk(psk("mario", &KEY));
        client.time(std::time::Duration::from_secs(5))
    };
    let third = mario(1);
    let running = [spawn(mario(9)), spawn(mario(9))];
    while server.handle.running() < 2 {
        server.event(connected).await;
    }
    let failure = refused(third).await;
    assert_eq!(failure.code, FailureCode::Busy, "{failure}");
    for client in running {
        assert_eq!(soon(client).await.unwrap().unwrap().ended, Ended::Complete);
    }
}
