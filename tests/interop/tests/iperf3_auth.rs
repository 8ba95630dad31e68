//! Stock iperf3 clients that prove who they are. Debian's knows the older padding alone.

use std::{fs, path::PathBuf};

use polyperf::{
    auth::{self, PrivateKey, UsersFile},
    outcome::Ended,
    server::Auth,
};
use polyperf_interop::{Serving, iperf3_as};

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
