//! Clients that a server knows by keys of their own.

use std::{future::poll_fn, num::NonZeroU32};

use polyperf::{
    Registry,
    auth::{AuthorizedKeys, ClientKey, Psk},
    certs::{Identity, Provider, Trust},
    client::{self, ControlTls},
    outcome::{Ended, Failure, FailureCode, HostInfo},
    protocol::native::{
        Challenge, Decoder, Encoder, Message, Nonce, Propose, Prove, Prover, PskKey, Secret,
    },
    server::{self, Policies, Policy},
    spec::{SpecFields, TestSpec},
    transport::{Hello as First, Peer, Stream, send_all},
};

use crate::{
    raw::{Raw, control_hello, propose},
    support::{Serving, World, connected, soon, spawn, tcp_client, tcp_server},
};

fn identity() -> Identity {
    Identity::generate(&[]).unwrap()
}

/// Returns keys of these clients under these names.
fn keys(known: &[(&Identity, &str)]) -> AuthorizedKeys {
    let line =
        |(identity, name): &(&Identity, &str)| format!("{} {name}\n", identity.fingerprint());
    AuthorizedKeys::parse(known.iter().map(line).collect::<String>().as_bytes()).unwrap()
}

fn psk() -> Psk {
    Psk::new("luigi", KEY).unwrap()
}

/// Starts a server that knows this client as mario.
async fn server(mario: &Identity) -> Serving {
    tcp_server(|s| s.authorized_keys(keys(&[(mario, "mario")]))).await
}

fn client(server: &Serving, identity: &Identity) -> client::Builder {
    stranger(server).key(ClientKey::new(identity.clone()))
}

fn stranger(server: &Serving) -> client::Builder {
    tcp_client(server).bytes(100_000)
}

async fn refused(client: client::Builder) -> Failure {
    soon(client.build().unwrap().run()).await.unwrap_err()
}

async fn runs(client: client::Builder) {
    assert_eq!(soon(client.build().unwrap().run()).await.unwrap().ended, Ended::Complete);
}

fn prover(identity: &Identity, channel: Vec<u8>) -> Prover {
    Prover::with_key(identity.clone(), Nonce::new([1; 32]), channel)
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

fn is_denied(message: &Message) -> bool {
    matches!(message, Message::Fail(failure) if failure.code == FailureCode::Denied)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_proves_itself_and_the_test_runs_under_its_name() {
    let mario = identity();
    let mut server = server(&mario).await;
    for over in ["tcp", "quic"] {
        let run = spawn(client(&server, &mario).transport(over));
        assert_eq!(server.outcome().await.info.user.as_deref(), Some("mario"), "{over}");
        assert_eq!(soon(run).await.unwrap().unwrap().ended, Ended::Complete, "{over}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_proves_nothing_or_has_another_key_is_denied() {
    let mario = identity();
    let server = server(&mario).await;
    let nothing = refused(stranger(&server)).await;
    assert_eq!(nothing.code, FailureCode::Denied);
    assert!(nothing.message.contains("--key-file"), "{nothing}");
    let unknown = refused(client(&server, &identity())).await;
    assert_eq!(unknown.code, FailureCode::Denied);
    assert!(unknown.message.contains("--authorized-keys"), "{unknown}");
    // Who has mario's certificate alone, which is no secret, is told the same.
    let (raw, challenge) = challenged(&server).await;
    let mut prove = prover(&mario, Vec::new()).prove(&challenge, proposal()).unwrap();
    let transcript = prover(&identity(), Vec::new()).prove(&challenge, proposal()).unwrap();
    prove.proof = transcript.proof;
    match answer(raw, prove).await {
        Message::Fail(failure) => assert_eq!(failure.message, unknown.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_signature_is_refused_when_it_is_sent_again() {
    let mario = identity();
    let server = server(&mario).await;
    let (raw, challenge) = challenged(&server).await;
    let prove = prover(&mario, Vec::new()).prove(&challenge, proposal()).unwrap();
    assert!(matches!(answer(raw, prove.clone()).await, Message::Agree(_)));
    for _ in 0..3 {
        let (raw, other) = challenged(&server).await;
        assert_ne!(other.nonce, challenge.nonce);
        assert!(is_denied(&answer(raw, prove.clone()).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_not_good_for_other_parameters() {
    let mario = identity();
    let server = server(&mario).await;
    let (raw, challenge) = challenged(&server).await;
    let mut prove = prover(&mario, Vec::new()).prove(&challenge, proposal()).unwrap();
    prove.propose = prove.propose.replace("\"streams\":1", "\"streams\":9");
    assert!(is_denied(&answer(raw, prove).await));
    let (raw, challenge) = challenged(&server).await;
    let nonsense = prover(&mario, Vec::new()).prove(&challenge, "{}".to_owned()).unwrap();
    let answer = answer(raw, nonsense).await;
    assert!(matches!(answer, Message::Fail(f) if f.code == FailureCode::Protocol));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_proof_is_offered_where_it_is_taken_and_refused_elsewhere() {
    let mario = identity();
    let known = || keys(&[(&mario, "mario")]);
    let psks = || [psk()].into_iter().collect();
    let own = server(&mario).await;
    let shared = tcp_server(|s| s.psks(psks())).await;
    let both = tcp_server(|s| s.psks(psks()).authorized_keys(known())).await;
    for (server, methods) in [(&own, &["key"][..]), (&shared, &["psk"]), (&both, &["psk", "key"])] {
        let (_, challenge) = challenged(server).await;
        assert!(challenge.methods == methods && challenge.required, "{challenge:?}");
    }
    runs(client(&both, &mario)).await;
    runs(stranger(&both).psk(psk())).await;
    let failure = refused(client(&shared, &mario)).await;
    assert!(failure.message.contains("takes no keys of clients"), "{failure}");
    let failure = refused(stranger(&own).psk(psk())).await;
    assert!(failure.message.contains("takes no pre-shared keys"), "{failure}");
    // Whoever does not look at what is offered gets no further.
    let (raw, challenge) = challenged(&shared).await;
    let signed = prover(&mario, Vec::new()).prove(&challenge, proposal()).unwrap();
    assert!(is_denied(&answer(raw, signed).await));
    let (raw, challenge) = challenged(&own).await;
    let (identity, secret) = ("luigi".to_owned(), Secret::Psk(PskKey::new(KEY)));
    let of_psk = Prover { identity, secret, ..prover(&mario, Vec::new()) };
    let proved = of_psk.prove(&challenge, proposal()).unwrap();
    assert!(is_denied(&answer(raw, proved).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_keys_says_so_and_an_older_client_is_told_what_is_missing() {
    let mario = identity();
    let without = tcp_server(|s| s).await;
    let failure = refused(client(&without, &mario)).await;
    assert_eq!(failure.code, FailureCode::Denied);
    assert!(failure.message.contains("takes no keys of clients"), "{failure}");
    let server = server(&mario).await;
    let (mut raw, _) = challenged(&server).await;
    raw.send(&propose(SpecFields::default())).await;
    let Some(Message::Fail(failure)) = raw.hear().await else { panic!("it is let in") };
    assert_eq!(failure.code, FailureCode::Denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_changed_hold_for_the_next_client() {
    let (mario, peach) = (identity(), identity());
    let server = server(&mario).await;
    server.handle.set_authorized_keys(Some(keys(&[(&peach, "peach")])));
    assert_eq!(refused(client(&server, &mario)).await.code, FailureCode::Denied);
    runs(client(&server, &peach)).await;
    server.handle.set_authorized_keys(Some(AuthorizedKeys::default()));
    assert_eq!(refused(stranger(&server)).await.code, FailureCode::Denied, "nobody is known");
    server.handle.set_authorized_keys(None);
    runs(stranger(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_tls_a_signature_is_about_the_channel() {
    let mario = identity();
    let tls = server::ControlTls::new(identity(), Provider::Ring).unwrap();
    let known = keys(&[(&mario, "mario")]);
    let mut server = tcp_server(|s| s.authorized_keys(known).tls(tls)).await;
    let tls = ControlTls { trust: Trust::Insecure, provider: Provider::Ring };
    let run = spawn(client(&server, &mario).tls(tls));
    assert_eq!(server.outcome().await.info.user.as_deref(), Some("mario"));
    assert_eq!(soon(run).await.unwrap().unwrap().ended, Ended::Complete);
}

/// Who is connected over QUIC, and speaks by hand.
struct OverQuic {
    stream: Stream,
    encoder: Encoder,
    decoder: Decoder,
}

impl OverQuic {
    /// Connects, and returns what it is to prove itself against.
    async fn challenged(server: &Serving) -> (Self, Challenge) {
        let registry = Registry::standard();
        let connection = registry.get("quic").unwrap().connect(&Peer::at(server.addr)).await;
        let stream = connection.unwrap().open(First::Own(&control_hello())).await.unwrap();
        let mut this = Self { stream, encoder: Encoder::default(), decoder: Decoder::new() };
        match this.hear().await {
            Message::Welcome(welcome) => (this, welcome.challenge.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn channel(&self) -> Vec<u8> {
        self.stream.path.exported(b"EXPORTER-polyperf-a").unwrap().to_vec()
    }

    async fn answer(&mut self, prove: Prove) -> Message {
        let frame = self.encoder.encode(&Message::Prove(Box::new(prove)));
        send_all(self.stream.send.as_mut(), &frame).await.unwrap();
        self.hear().await
    }

    async fn hear(&mut self) -> Message {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return message;
            }
            let heard = soon(poll_fn(|cx| self.stream.recv.poll_recv(cx, &mut buffer))).await;
            self.decoder.feed(&buffer[..heard.unwrap().unwrap().len]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_was_made_for_another_connection_of_quic_is_refused() {
    let mario = identity();
    let server = server(&mario).await;
    let (mut own, challenge) = OverQuic::challenged(&server).await;
    let (mut passed_on, theirs) = OverQuic::challenged(&server).await;
    // Somebody in between has the client sign for the server, but cannot have the same channel.
    let made = prover(&mario, own.channel()).prove(&theirs, proposal()).unwrap();
    assert!(is_denied(&passed_on.answer(made).await));
    let made = prover(&mario, own.channel()).prove(&challenge, proposal()).unwrap();
    assert!(matches!(own.answer(made).await, Message::Agree(_)));
    let (mut without, challenge) = OverQuic::challenged(&server).await;
    let made = prover(&mario, Vec::new()).prove(&challenge, proposal()).unwrap();
    assert!(is_denied(&without.answer(made).await));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_held_to_its_own_policy_with_whichever_of_its_keys() {
    let (mario, at_home) = (identity(), identity());
    let world = World::new();
    let two = Policy {
        name: "mario".to_owned(),
        identities: vec!["mario".to_owned()],
        max_sessions: NonZeroU32::new(2),
        ..Policy::default()
    };
    let strangers = Policy { max_streams: Some(1), name: "rest".to_owned(), ..Policy::default() };
    let policies = Policies::new([two, strangers]).public();
    let known = keys(&[(&mario, "mario"), (&at_home, "mario")]);
    let mut server = world.serve(|s| s.authorized_keys(known).policies(policies)).await;
    let client = |streams| world.client(&server).bytes(1000).streams(streams);
    runs(client(1)).await;
    assert_eq!(refused(client(2)).await.code, FailureCode::Denied);
    let of = |key: &Identity| {
        let client = world.client(&server).streams(9).key(ClientKey::new(key.clone()));
        client.time(std::time::Duration::from_secs(5))
    };
    let third = of(&mario);
    let running = [spawn(of(&mario)), spawn(of(&at_home))];
    while server.handle.running() < 2 {
        server.event(connected).await;
    }
    let failure = refused(third).await;
    assert_eq!(failure.code, FailureCode::Busy, "{failure}");
    for client in running {
        assert_eq!(soon(client).await.unwrap().unwrap().ended, Ended::Complete);
    }
}

const KEY: &[u8] = b"sixteen bytes it";
