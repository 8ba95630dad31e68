//! polyperf's client with other people's servers of `perf`: what either end tells is what was asked
//! for, and a server is known by what it shows.

use std::process::{Output, Stdio};

use polyperf_interop::{Identity, PerfServer, QuicPeer, client, document, outcome, signal, unlike};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// A server, and whether it answers before a request has ended.
type Server = (QuicPeer, bool);

async fn serve((peer, at_once): Server, identity: &Identity) -> PerfServer {
    let mut command = peer.server(identity);
    if at_once {
        command.arg("--at-once");
    }
    PerfServer::start(command).await
}

/// Runs a test with each server, and asserts that both ends tell the same of each of its streams.
async fn every_server_tells_alike(args: &[&str], streams: usize) {
    let identity = Identity::new();
    let certificate = identity.certificate().to_str().expect("it is text");
    let args = [&PERF[..], &["--ca", certificate], args].concat();
    for (server, host) in SERVERS.into_iter().zip(["127.0.0.1", "::1", "localhost"]) {
        let mut serving = serve(server, &identity).await;
        let told = outcome(&document(client(PROGRAM, host, serving.port, &args)).await);
        let differences = unlike(&told, &serving.answered(streams).await);
        assert!(differences.is_empty(), "{server:?}, {args:?}: {differences:#?}");
    }
}

#[tokio::test]
async fn what_is_uploaded_is_what_the_server_receives() {
    every_server_tells_alike(&["-n", "4M"], 1).await;
    every_server_tells_alike(&["-n", "4M", "-P", "4"], 4).await;
}

#[tokio::test]
async fn what_is_asked_for_is_what_the_server_sends() {
    every_server_tells_alike(&["-n", "4M", "-R"], 1).await;
    every_server_tells_alike(&["-n", "4M", "-R", "-P", "4"], 4).await;
}

#[tokio::test]
async fn both_directions_have_streams_of_their_own() {
    every_server_tells_alike(&["-n", "4M", "--bidir"], 2).await;
    every_server_tells_alike(&["-n", "4M", "--bidir", "-P", "4"], 8).await;
}

#[tokio::test]
async fn an_upload_that_time_ends_arrives() {
    every_server_tells_alike(&["-t", "1"], 1).await;
    every_server_tells_alike(&["-t", "1", "-P", "4"], 4).await;
}

#[tokio::test]
async fn a_download_that_time_ends_is_stopped() {
    every_server_tells_alike(&["-t", "1", "-R"], 1).await;
    every_server_tells_alike(&["-t", "1", "-R", "-P", "4"], 4).await;
}

#[tokio::test]
async fn time_ends_both_directions() {
    every_server_tells_alike(&["-t", "1", "--bidir"], 2).await;
    every_server_tells_alike(&["-t", "1", "--bidir", "-P", "4"], 8).await;
}

#[tokio::test]
async fn a_download_that_the_user_interrupts_is_stopped() {
    let identity = Identity::new();
    for server in SERVERS {
        let mut serving = serve(server, &identity).await;
        let args = [&PERF[..], &["--insecure-skip-verify", "-t", "60", "-R"]].concat();
        let mut command = client(PROGRAM, "::1", serving.port, &args);
        command.args(["-i", "0.1", "--json-stream"]).stdout(Stdio::piped());
        let mut running = command.spawn().expect("it runs");
        let mut lines = BufReader::new(running.stdout.take().expect("it is piped")).lines();
        while let Some(line) = lines.next_line().await.expect("it can be read")
            && !line.contains("\"interval\"")
        {}
        signal(&running, libc::SIGINT);
        let status = running.wait().await.expect("it ends");
        assert_eq!(status.code(), Some(INTERRUPTED), "{server:?}");
        let told = serving.answered(1).await;
        assert!(told[0].stopped && told[0].sent > 0, "{server:?}: {told:?}");
    }
}

/// A short test with a server that is to be known in some way.
async fn known_by(server: &PerfServer, args: &[&str]) -> (Option<i32>, Value) {
    let args = [&PERF[..], &["-n", "1K", "-J"], args].concat();
    let output = client(PROGRAM, "localhost", server.port, &args).output().await;
    let Output { status, stdout, .. } = output.expect("it runs");
    (status.code(), serde_json::from_slice(&stdout).expect("it prints JSON"))
}

/// Returns how the server was verified, and its fingerprint.
fn verified(document: &Value) -> (&str, &str) {
    let security = &document["polyperf"]["local"]["flows"][0]["path"]["security"];
    let text = |key: &str| security[key].as_str().expect("it is told");
    (text("verified"), text("peer"))
}

#[tokio::test]
async fn a_server_is_known_by_its_authority_or_its_fingerprint() {
    for server in SERVERS {
        let (own, other) = (Identity::new(), Identity::new());
        let server = serve(server, &own).await;
        let (code, anybody) = known_by(&server, &["--insecure-skip-verify"]).await;
        let (how, fingerprint) = verified(&anybody);
        assert_eq!((code, how), (Some(0), "not verified"));

        let pem = |identity: &Identity| identity.certificate().display().to_string();
        let wrong = "0".repeat(64);
        for (option, right, wrong, how) in [
            ("--ca", &pem(&own), &pem(&other), "certificate authority"),
            ("--server-fingerprint", &fingerprint.to_owned(), &wrong, "fingerprint"),
        ] {
            let (code, taken) = known_by(&server, &[option, right]).await;
            assert_eq!((code, verified(&taken)), (Some(0), (how, fingerprint)));
            let (code, refused) = known_by(&server, &[option, wrong]).await;
            let text = refused["error"].as_str().expect("it says why").to_owned();
            assert_eq!(code, Some(CANNOT_CONNECT), "{text}");
            assert!(text.contains("certificate") && text.contains("localhost"), "{text}");
        }
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_program");
const S2N: QuicPeer = QuicPeer::S2n(env!("CARGO_BIN_EXE_s2n-perf"));
const SERVERS: [Server; 3] = [(QuicPeer::Aioquic, false), (S2N, false), (S2N, true)];
const PERF: [&str; 3] = ["--transport", "quic", "--perf-alpn"];
const CANNOT_CONNECT: i32 = 3;
const INTERRUPTED: i32 = 130;
