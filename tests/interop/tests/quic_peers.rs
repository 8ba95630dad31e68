//! Other people's QUIC stacks with each other over `perf`: what either end tells is what was asked
//! for. An end that prints no such lines takes part by what it tells as [`Told`].

use polyperf_interop::{
    Answered, Asked, Download, Identity, PerfServer, QuicPeer, Requested, Told, perf_client,
};

async fn serve(peer: QuicPeer, identity: &Identity) -> PerfServer {
    PerfServer::start(peer.server(identity)).await
}

/// Has a client ask this of whoever listens on the port, and returns what the client tells.
async fn ask(
    client: QuicPeer,
    (host, port): (&str, u16),
    identity: &Identity,
    asked: &Asked,
) -> Vec<Requested> {
    let mut command = client.client(host, port, Some(identity));
    let requested = perf_client(command.args(asked.args())).await;
    requested.unwrap_or_else(|error| panic!("{client} fails: {error}"))
}

/// Runs one of them as a client with another as a server, and returns what both tell.
async fn told(client: QuicPeer, server: QuicPeer, host: &str, asked: &Asked) -> Told {
    let identity = Identity::new();
    let mut server = serve(server, &identity).await;
    let client = ask(client, (host, server.port), &identity, asked).await;
    Told { client, server: server.answered(asked.streams).await }
}

/// Asserts that each pair of them does as it is asked to, over both families.
async fn each_pair_agrees(asked: Asked) {
    for (client, server) in PAIRS {
        for host in ["127.0.0.1", "::1"] {
            let differences = told(client, server, host, &asked).await.differences(&asked);
            assert!(differences.is_empty(), "{client} with {server} at {host}: {differences:#?}");
        }
    }
}

#[tokio::test]
async fn what_a_client_uploads_is_what_the_server_receives() {
    each_pair_agrees(Asked { streams: 1, upload: 4 * MIB, download: Download::Bytes(0) }).await;
}

#[tokio::test]
async fn what_a_client_asks_for_is_what_it_receives() {
    each_pair_agrees(Asked { streams: 1, upload: 0, download: Download::Bytes(4 * MIB) }).await;
}

#[tokio::test]
async fn requests_on_eight_streams_are_answered_on_each() {
    each_pair_agrees(Asked { streams: 8, upload: 512, download: Download::Bytes(4000) }).await;
}

#[tokio::test]
async fn more_streams_than_a_server_has_at_once_are_answered_in_turn() {
    each_pair_agrees(Asked { streams: 300, upload: 1, download: Download::Bytes(10) }).await;
}

#[tokio::test]
async fn a_download_without_limit_ends_when_it_is_stopped() {
    each_pair_agrees(Asked { streams: 1, upload: 0, download: Download::StoppedAfter(MIB) }).await;
    each_pair_agrees(Asked { streams: 4, upload: 512, download: Download::StoppedAfter(1) }).await;
}

/// Has each client misbehave so, and returns what the servers tell of its streams. A request that
/// the same server answers afterwards has to be as ever.
async fn misbehaving(args: &[&str], streams: usize) -> Vec<Answered> {
    let identity = Identity::new();
    let asked = Asked { streams: 1, upload: 512, download: Download::Bytes(4000) };
    let mut all = Vec::new();
    for (client, server) in PAIRS {
        let mut server = serve(server, &identity).await;
        let mut wrong = client.client("127.0.0.1", server.port, Some(&identity));
        perf_client(wrong.args(args)).await.unwrap_or_else(|error| panic!("{client}: {error}"));
        all.extend(server.answered(streams).await);
        let client = ask(client, ("127.0.0.1", server.port), &identity, &asked).await;
        let told = Told { client, server: server.answered(1).await };
        assert_eq!(told.differences(&asked), Vec::<String>::new());
    }
    all
}

#[tokio::test]
async fn a_stream_that_is_reset_is_told_of_as_such() {
    for told in misbehaving(&["--download", "5", "--reset-after", "100000"], 1).await {
        assert!(told.reset && told.sent == 0 && told.received <= 100_000, "{told:?}");
    }
}

#[tokio::test]
async fn a_header_cut_short_asks_for_nothing() {
    for length in ["0", "1", "7"] {
        for told in misbehaving(&["--download", "5", "--short", length], 1).await {
            assert_eq!((told.asked, told.sent, told.received), (None, 0, 0), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_stream_is_borne() {
    assert_eq!(misbehaving(&["--streams", "0"], 0).await, []);
}

/// s2n-quic's server lets such a client wait for its own time to run out.
#[tokio::test]
async fn another_protocol_is_refused() {
    let identity = Identity::new();
    let server = serve(QuicPeer::Aioquic, &identity).await;
    let mut command = S2N.client("127.0.0.1", server.port, Some(&identity));
    let error = perf_client(command.args(["--alpn", "nonsense"])).await.unwrap_err();
    assert!(error.contains("NO_APPLICATION_PROTOCOL"), "{error}");
}

#[tokio::test]
async fn a_client_that_does_not_know_the_server_refuses_it_unless_told_to_take_any() {
    let (known, unknown) = (Identity::new(), Identity::new());
    for (client, server) in PAIRS {
        let server = serve(server, &unknown).await;
        let ask = async |ca| perf_client(&mut client.client("localhost", server.port, ca)).await;
        let error = ask(Some(&known)).await.unwrap_err();
        assert!(error.contains("certificate"), "{client}: {error}");
        assert_eq!(ask(None).await.map(|streams| streams.len()), Ok(1), "{client}");
    }
}

const S2N: QuicPeer = QuicPeer::S2n(env!("CARGO_BIN_EXE_s2n-perf"));
/// A client and a server.
const PAIRS: [(QuicPeer, QuicPeer); 2] = [(QuicPeer::Aioquic, S2N), (S2N, QuicPeer::Aioquic)];
const MIB: u64 = 1 << 20;
