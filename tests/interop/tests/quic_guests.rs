//! polyperf's server with clients that speak `perf`, other people's and its own: what either end
//! tells is what was asked for.

use polyperf::measure::Role;
use polyperf_interop::{
    Asked, Download, Guest, GuestServer, Identity, QuicPeer, client, document, outcome, perf_client,
};

/// A server, and the client that comes to it.
struct Visit {
    identity: Identity,
    server: GuestServer,
    client: QuicPeer,
}

impl Visit {
    async fn begin(client: QuicPeer) -> Self {
        let identity = Identity::new();
        let server = GuestServer::start(PROGRAM, &identity).await;
        Self { identity, server, client }
    }

    /// Has the client ask this, and asserts that it is what becomes of it.
    async fn is_as_asked(&mut self, host: &str, asked: Asked) {
        let mut command = self.client.client(host, self.server.port, Some(&self.identity));
        let told = perf_client(command.args(asked.args())).await;
        let told = told.unwrap_or_else(|error| panic!("{} fails: {error}", self.client));
        let differences = self.server.guest().await.differences(&told, &asked);
        assert!(differences.is_empty(), "{} at {host}: {differences:#?}", self.client);
    }

    /// Has the client misbehave so, and returns what the server tells of it. What is asked
    /// afterwards has to be answered as ever.
    async fn misbehaving(&mut self, args: &[&str]) -> Guest {
        let mut command = self.client.client("127.0.0.1", self.server.port, Some(&self.identity));
        let told = perf_client(command.args(args)).await;
        told.unwrap_or_else(|error| panic!("{} fails: {error}", self.client));
        let guest = self.server.guest().await;
        self.is_as_asked("127.0.0.1", USUAL).await;
        guest
    }
}

/// Asserts that every client gets what it asks for, over both families.
async fn every_client_gets(asked: Asked) {
    for client in CLIENTS {
        let mut visit = Visit::begin(client).await;
        for host in ["127.0.0.1", "::1"] {
            visit.is_as_asked(host, asked).await;
        }
    }
}

#[tokio::test]
async fn what_a_guest_uploads_is_what_is_received() {
    every_client_gets(Asked { streams: 1, upload: 4 * MIB, download: Download::Bytes(0) }).await;
}

#[tokio::test]
async fn what_a_guest_asks_for_is_what_it_gets() {
    every_client_gets(Asked { streams: 1, upload: 0, download: Download::Bytes(4 * MIB) }).await;
}

#[tokio::test]
async fn requests_on_eight_streams_are_answered_on_each() {
    every_client_gets(Asked { streams: 8, ..USUAL }).await;
}

#[tokio::test]
async fn more_streams_than_are_served_at_once_are_answered_in_turn() {
    every_client_gets(Asked { streams: 300, upload: 1, download: Download::Bytes(10) }).await;
}

#[tokio::test]
async fn an_answer_without_limit_ends_when_it_is_stopped() {
    let download = Download::StoppedAfter(MIB);
    for client in CLIENTS {
        let mut visit = Visit::begin(client).await;
        visit.is_as_asked("::1", Asked { streams: 1, upload: 0, download }).await;
        visit.is_as_asked("127.0.0.1", Asked { streams: 4, upload: 512, download }).await;
        visit.is_as_asked("127.0.0.1", USUAL).await;
    }
}

#[tokio::test]
async fn a_request_that_is_reset_is_not_answered() {
    for client in CLIENTS {
        let mut visit = Visit::begin(client).await;
        let guest = visit.misbehaving(&["--download", "5", "--reset-after", "100000"]).await;
        assert!(guest.sent == 0 && guest.received <= 100_000, "{client}: {guest:?}");
    }
}

#[tokio::test]
async fn a_header_cut_short_asks_for_nothing() {
    for client in CLIENTS {
        let mut visit = Visit::begin(client).await;
        for length in ["0", "1", "7"] {
            let guest = visit.misbehaving(&["--download", "5", "--short", length]).await;
            assert_eq!(guest, Guest { received: 0, sent: 0 }, "{client}: {length}");
        }
    }
}

#[tokio::test]
async fn a_guest_that_opens_no_stream_is_borne() {
    for client in CLIENTS {
        let guest = Visit::begin(client).await.misbehaving(&["--streams", "0"]).await;
        assert_eq!(guest, Guest { received: 0, sent: 0 }, "{client}");
    }
}

#[tokio::test]
async fn another_protocol_is_refused_in_the_handshake() {
    for client in CLIENTS {
        let mut visit = Visit::begin(client).await;
        let mut command = client.client("localhost", visit.server.port, Some(&visit.identity));
        let error = perf_client(command.args(["--alpn", "nonsense"])).await.unwrap_err();
        assert!(error.to_lowercase().contains("protocol"), "{client}: {error}");
        visit.is_as_asked("127.0.0.1", USUAL).await;
    }
}

#[tokio::test]
async fn a_server_is_known_by_its_certificate() {
    let stranger = Identity::new();
    for client in CLIENTS {
        let visit = Visit::begin(client).await;
        let ask = async |known| {
            perf_client(&mut client.client("localhost", visit.server.port, known)).await
        };
        let error = ask(Some(&stranger)).await.unwrap_err();
        assert!(error.contains("certificate"), "{client}: {error}");
        assert_eq!(ask(None).await.map(|streams| streams.len()), Ok(1), "{client}");
    }
}

#[tokio::test]
async fn polyperf_is_a_guest_of_itself() {
    let identity = Identity::new();
    let mut server = GuestServer::start(PROGRAM, &identity).await;
    let certificate = identity.certificate().to_str().expect("it is text");
    let arguments = ["--transport", "quic", "--perf-alpn", "--ca", certificate];
    for (args, limited) in [
        (&["-n", "4M"][..], true),
        (&["-n", "4M", "-R"], true),
        (&["-n", "4M", "-P", "4", "--bidir"], true),
        (&["-t", "1"], true),
        (&["-t", "1", "-R"], false),
        (&["-t", "1", "-P", "4", "--bidir"], false),
    ] {
        let args = [&arguments, args].concat();
        let told = outcome(&document(client(PROGRAM, "::1", server.port, &args)).await);
        let guest = server.guest().await;
        let bytes = |role| told.local.total(role).map_or(0, |(bytes, _)| bytes);
        let (sent, received) = (bytes(Role::Sender), bytes(Role::Receiver));
        let same = if limited { guest.sent == received } else { guest.sent >= received };
        assert!(guest.received == sent && same, "{args:?}: {sent}, {received}, {guest:?}");
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_program");
const CLIENTS: [QuicPeer; 2] = [QuicPeer::Aioquic, QuicPeer::S2n(env!("CARGO_BIN_EXE_s2n-perf"))];
const USUAL: Asked = Asked { streams: 1, upload: 512, download: Download::Bytes(4000) };
const MIB: u64 = 1 << 20;
