//! Servers that let in known users alone.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use polyperf::{
    auth::{self, Credentials, Padding, PrivateKey, UsersFile},
    client,
    outcome::{Ended, Failure, FailureCode, HostInfo, Outcome},
    protocol::{
        auth::SealedToken,
        iperf3::{self, Extras, Params},
        native::{Message, Propose},
    },
    server::Auth,
    spec::{SpecFields, TestSpec},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    raw::{Raw, propose},
    support::{Serving, soon, tcp_client, tcp_server},
};

/// A server that knows mario, its key, and the file of its users, which goes with it.
struct Guarded {
    server: Serving,
    key: PrivateKey,
    users: PathBuf,
}

impl Guarded {
    async fn start(set: impl FnOnce(Auth) -> Auth) -> Self {
        let name =
            format!("polyperf-users-{}-{:?}", std::process::id(), std::thread::current().id());
        let users = std::env::temp_dir().join(name);
        std::fs::write(&users, auth::line("mario", "rossi")).unwrap();
        let key = PrivateKey::generate().unwrap();
        let auth = set(Auth::new(key.clone(), UsersFile::open(&users).unwrap()));
        Self { server: tcp_server(|s| s.auth(auth)).await, key, users }
    }

    fn credentials(&self, user: &str, password: &str) -> Credentials {
        Credentials::new(user, password, self.key.public()).unwrap()
    }

    fn client(&self) -> client::Builder {
        tcp_client(&self.server).bytes(100_000)
    }

    async fn run(&self, credentials: Credentials) -> Result<Arc<Outcome>, Failure> {
        soon(self.client().auth(credentials).build().unwrap().run()).await
    }

    /// Proposes a native test with this token, and returns the answer.
    async fn native(&self, token: Option<SealedToken>) -> Option<Message> {
        let mut raw = Raw::greeted(self.server.addr).await;
        let spec = TestSpec::try_from(SpecFields::default()).unwrap();
        let host = HostInfo::default();
        let propose = Propose { host, spec, no_queue: false, auth: token };
        raw.send(&Message::Propose(Box::new(propose))).await;
        raw.hear().await
    }

    /// Asks for a test as iperf3 does with this token, and returns what comes behind the request
    /// for parameters.
    async fn iperf3(&self, token: Option<SealedToken>) -> Vec<u8> {
        let extras = Extras { auth_token: token, ..Extras::default() };
        iperf3(self.server.addr, extras).await
    }

    /// Returns tokens that are of no use, each with the reason.
    async fn useless(&self) -> Vec<(&'static str, Option<SealedToken>)> {
        let right = self.credentials("mario", "rossi");
        let shown = right.token(now()).unwrap();
        assert!(matches!(self.native(Some(shown.clone())).await, Some(Message::Agree(_))));
        let stranger = PrivateKey::generate().unwrap().public();
        let minute = Duration::from_secs(60);
        let older = right.clone().padding(Padding::Pkcs1).unwrap();
        let token = |credentials: Credentials| credentials.token(now()).unwrap();
        let tokens = [
            ("shown before", shown),
            ("password", token(self.credentials("mario", "verdi"))),
            ("user", token(self.credentials("luigi", "rossi"))),
            ("key", token(Credentials::new("mario", "rossi", stranger).unwrap())),
            ("padding", token(older)),
            ("old", right.token(now() - minute).unwrap()),
            ("future", right.token(now() + minute).unwrap()),
            ("base64", SealedToken::new("A".to_owned())),
            ("blank", SealedToken::new(" \r\n".to_owned())),
            ("length", SealedToken::of(&[1; 255])),
        ];
        let useless = tokens.into_iter().map(|(cause, token)| (cause, Some(token)));
        useless.chain([("missing", None)]).collect()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.users);
    }
}

async fn iperf3(addr: SocketAddr, extras: Extras) -> Vec<u8> {
    let spec = TestSpec::try_from(SpecFields::default()).unwrap();
    let params = Params::new(&spec, extras).unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"abcdefghijklmnopqrstuvwxyz0123456789\0").await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 9);
    let params = iperf3::encode(&iperf3::Message::Params(Box::new(params)));
    stream.write_all(&params).await.unwrap();
    let mut answer = vec![0; 9];
    let length = soon(stream.read(&mut answer)).await.unwrap();
    answer.truncate(length);
    answer
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn is_denied(result: Result<Arc<Outcome>, Failure>) {
    let failure = result.unwrap_err();
    assert_eq!(failure.code, FailureCode::Denied, "{failure}");
    assert!(failure.message.contains("--username"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_client_that_proves_itself_runs_its_test() {
    let guarded = Guarded::start(|auth| auth).await;
    for _ in 0..3 {
        let outcome = guarded.run(guarded.credentials("mario", "rossi")).await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_client_that_does_not_is_denied_with_the_remedy() {
    let guarded = Guarded::start(|auth| auth).await;
    is_denied(soon(guarded.client().build().unwrap().run()).await);
    is_denied(guarded.run(guarded.credentials("mario", "verdi")).await);
    let older = guarded.credentials("mario", "rossi").padding(Padding::Pkcs1).unwrap();
    is_denied(guarded.run(older).await);
    assert!(guarded.run(guarded.credentials("mario", "rossi")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cause_gets_the_same_native_answer() {
    let guarded = Guarded::start(|auth| auth).await;
    let mut answers = Vec::new();
    for (cause, token) in guarded.useless().await {
        let answer = guarded.native(token).await;
        assert!(matches!(answer, Some(Message::Fail(_))), "{cause}: {answer:?}");
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cause_gets_iperf3s_error_142() {
    let guarded = Guarded::start(|auth| auth).await;
    for (cause, token) in guarded.useless().await {
        let answer = guarded.iperf3(token).await;
        assert_eq!(answer, [0xfe, 0, 0, 0, 142, 0, 0, 0, 0], "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_once_whatever_the_dialect() {
    let guarded = Guarded::start(|auth| auth).await;
    let token = Some(guarded.credentials("mario", "rossi").token(now()).unwrap());
    assert_eq!(guarded.iperf3(token.clone()).await, [10]);
    assert!(matches!(guarded.native(token).await, Some(Message::Fail(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_padding_is_taken_where_it_is_permitted() {
    let guarded = Guarded::start(|auth| Auth { pkcs1: true, ..auth }).await;
    let credentials = guarded.credentials("mario", "rossi");
    for padding in [Padding::Pkcs1, Padding::Oaep] {
        let credentials = credentials.clone().padding(padding).unwrap();
        assert!(guarded.run(credentials).await.is_ok(), "{padding:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_who_come_and_go_are_noticed_without_a_restart() {
    let guarded = Guarded::start(|auth| auth).await;
    is_denied(guarded.run(guarded.credentials("luigi", "verdi")).await);
    std::fs::write(&guarded.users, auth::line("luigi", "verdi")).unwrap();
    assert!(guarded.run(guarded.credentials("luigi", "verdi")).await.is_ok());
    is_denied(guarded.run(guarded.credentials("mario", "rossi")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_users_takes_no_notice_of_tokens() {
    let server = tcp_server(|s| s).await;
    let key = PrivateKey::generate().unwrap().public();
    let credentials = Credentials::new("mario", "rossi", key).unwrap();
    let client = tcp_client(&server).bytes(100_000).auth(credentials).build().unwrap();
    assert_eq!(soon(client.run()).await.unwrap().ended, Ended::Complete);
    let extras =
        Extras { auth_token: Some(SealedToken::new("nonsense".to_owned())), ..Extras::default() };
    assert_eq!(iperf3(server.addr, extras).await, [10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_tokens_leaves_room_for_the_others() {
    let guarded = Guarded::start(|auth| auth).await;
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let addr = guarded.server.addr;
        flood.spawn(async move {
            let mut raw = Raw::greeted(addr).await;
            raw.send(&propose(SpecFields::default())).await;
            match raw.last_word().await {
                Some(Message::Fail(failure)) => failure.code,
                other => panic!("{other:?}"),
            }
        });
    }
    let mut codes = Vec::new();
    while let Some(code) = flood.join_next().await {
        codes.push(code.unwrap());
    }
    assert!(codes.iter().all(|code| matches!(code, FailureCode::Denied | FailureCode::Busy)));
    assert!(codes.contains(&FailureCode::Denied));
    // The last of them may still stand in line.
    let client = || guarded.run(guarded.credentials("mario", "rossi"));
    while let Err(failure) = client().await {
        assert_eq!(failure.code, FailureCode::Busy, "{failure}");
    }
}
