//! Stock iperf3 clients that prove who they are. Debian's knows the older padding alone.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use polyperf::{
    auth::{self, Credentials, Padding, PrivateKey, UsersFile},
    outcome::Ended,
    protocol::{
        auth::SealedToken,
        iperf3::{Extras, Message, Params, encode},
    },
    server::Auth,
    spec::{SpecFields, TestSpec},
};
use polyperf_interop::{Serving, iperf3_as};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};

/// Files that go with the test.
struct Files {
    folder: PathBuf,
    key: PrivateKey,
}

impl Files {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("polyperf-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let key = PrivateKey::generate().expect("a key");
        fs::write(folder.join("users"), auth::line("mario", "rossi")).expect("users");
        fs::write(folder.join("public.pem"), key.public().to_pem()).expect("a public key");
        fs::write(folder.join("private.pem"), key.to_pem().as_bytes()).expect("a private key");
        Self { folder, key }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a plain path").to_owned()
    }

    fn auth(&self) -> Auth {
        Auth::new(self.key.clone(), UsersFile::open(self.path("users")).expect("users"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_user_runs_its_test_and_all_others_are_told_why_not() {
    let files = Files::new("known");
    let auth = Auth { pkcs1: true, ..files.auth() };
    let mut server = Serving::start(|s| s.auth(auth)).await;
    let key = files.path("public.pem");
    let run = async |user: &str, password: &str| {
        let args = ["-n", "1M", "--username", user, "--rsa-public-key-path", &key];
        iperf3_as(password, "127.0.0.1", server.port, &args).await
    };
    run("mario", "rossi").await.expect("it is let in");
    for (user, password) in [("mario", "verdi"), ("luigi", "rossi")] {
        let error = run(user, password).await.unwrap_err();
        assert!(error.contains("authorization failed"), "{error}");
    }
    run("mario", "rossi").await.expect("the server serves on");
    let error = iperf3_as("", "127.0.0.1", server.port, &["-n", "1M"]).await.unwrap_err();
    assert!(error.contains("authorization failed"), "{error}");
    for _ in 0..2 {
        assert_eq!(server.outcome().await.ended, Ended::Complete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_padding_is_denied_where_it_is_not_permitted() {
    let files = Files::new("older");
    let server = Serving::start(|s| s.auth(files.auth())).await;
    let key = files.path("public.pem");
    let args = ["-n", "1M", "--username", "mario", "--rsa-public-key-path", &key];
    let error = iperf3_as("rossi", "127.0.0.1", server.port, &args).await.unwrap_err();
    assert!(error.contains("authorization failed"), "{error}");
}

/// Runs Debian's server with these files until it has answered the parameters of a client with
/// this token, and returns that answer.
async fn answer_of_iperf3(files: &Files, token: SealedToken) -> u8 {
    let port = TcpListener::bind("127.0.0.1:0").await.and_then(|l| l.local_addr()).expect("a port");
    let mut command = Command::new("iperf3");
    command.args(["-s", "-1", "-p", &port.port().to_string()]);
    command.args(["--rsa-private-key-path", &files.path("private.pem")]);
    command.args(["--authorized-users-path", &files.path("users")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let _server = command.spawn().expect("iperf3 is installed");
    let mut stream = loop {
        match TcpStream::connect(port).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    stream.write_all(b"abcdefghijklmnopqrstuvwxyz0123456789\0").await.expect("it reads");
    assert_eq!(stream.read_u8().await.expect("it answers"), 9);
    let spec = TestSpec::try_from(SpecFields::default()).expect("a test");
    let extras = Extras { auth_token: Some(token), ..Extras::default() };
    let params = Params::new(&spec, extras).expect("parameters");
    let params = encode(&Message::Params(Box::new(params)));
    stream.write_all(&params).await.expect("it reads");
    stream.read_u8().await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_tokens_are_taken_by_its_server() {
    let files = Files::new("server");
    let right = Credentials::new("mario", "rossi", files.key.public()).expect("credentials");
    let wrong = Credentials::new("mario", "verdi", files.key.public()).expect("credentials");
    for (credentials, answer) in [(right, 10), (wrong, 0xfe)] {
        let credentials = credentials.padding(Padding::Pkcs1).expect("it fits");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let token = credentials.token(now).expect("a token");
        let answered = tokio::time::timeout(PATIENCE, answer_of_iperf3(&files, token)).await;
        assert_eq!(answered.expect("it answers"), answer);
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
