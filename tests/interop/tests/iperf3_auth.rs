//! Who proves who it is, at either end. Debian's iperf3 knows the older padding alone.

use std::{fs, path::PathBuf, time::Duration};

use polyperf::{
    auth::{self, PrivateKey, UsersFile},
    outcome::Ended,
    server::Auth,
};
use polyperf_interop::{Peer, PeerServer, Serving, client};

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
        Peer::Iperf3.client_as(password, "127.0.0.1", server.port, &args).await
    };
    run("mario", "rossi").await.expect("it is let in");
    for (user, password) in [("mario", "verdi"), ("luigi", "rossi")] {
        let error = run(user, password).await.unwrap_err();
        assert!(error.contains("authorization failed"), "{error}");
    }
    run("mario", "rossi").await.expect("the server serves on");
    let error =
        Peer::Iperf3.client_as("", "127.0.0.1", server.port, &["-n", "1M"]).await.unwrap_err();
    assert!(error.contains("authorization failed"), "{error}");
    for _ in 0..2 {
        assert_eq!(server.outcome().await.ended, Ended::Complete);
    }
}

/// Runs our client as a user with this password, and returns how it ended and what it said.
async fn our_client(
    password: &str,
    port: u16,
    key: &str,
    padding: &[&str],
) -> (Option<i32>, String) {
    let args = ["-n", "1M", "--username", "mario", "--rsa-public-key-path", key];
    let mut command = client(env!("CARGO_BIN_EXE_program"), "127.0.0.1", port, &args);
    command.args(padding).env("IPERF3_PASSWORD", password);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_is_let_in_by_their_servers_with_the_right_password_alone() {
    let files = Files::new("theirs");
    let (key, private, users) =
        (files.path("public.pem"), files.path("private.pem"), files.path("users"));
    let (old, new) = (&["--use-pkcs1-padding"][..], &[][..]);
    // iperf3 before 3.17 has the older padding alone, and no option for it. riperf3 does as newer
    // versions do: it closes without a word where a user is unknown.
    for (peer, server_has, client_has, denied) in
        [(Peer::Iperf3, new, old, 4), (Peer::Riperf3, old, old, 5), (Peer::Riperf3, new, new, 5)]
    {
        let files = ["--rsa-private-key-path", &private, "--authorized-users-path", &users];
        let args = [&["-1"][..], &files, server_has].concat();
        for (password, code) in [("rossi", 0), ("verdi", denied)] {
            let server = PeerServer::start(peer, &args).await;
            let (ended, said) = our_client(password, server.port, &key, client_has).await;
            assert_eq!(ended, Some(code), "{peer} {args:?} {password}: {said}");
        }
    }
}

/// Its client has the newer padding alone, and has the number alone for what went wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_riperf3_are_let_in_with_the_right_password_alone() {
    let files = Files::new("riperf3");
    let server = Serving::start(|s| s.auth(files.auth())).await;
    let key = files.path("public.pem");
    let args = ["-n", "1M", "--username", "mario", "--rsa-public-key-path", &key];
    for (password, known) in [("rossi", true), ("verdi", false)] {
        match Peer::Riperf3.client_as(password, "127.0.0.1", server.port, &args).await {
            Ok(_) => assert!(known),
            Err(error) => assert!(!known && error.contains("142"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_padding_is_denied_where_it_is_not_permitted() {
    let files = Files::new("older");
    let server = Serving::start(|s| s.auth(files.auth())).await;
    let key = files.path("public.pem");
    let args = ["-n", "1M", "--username", "mario", "--rsa-public-key-path", &key];
    let error = Peer::Iperf3.client_as("rossi", "127.0.0.1", server.port, &args).await.unwrap_err();
    assert!(error.contains("authorization failed"), "{error}");
}

const PATIENCE: Duration = Duration::from_secs(60);
