//! What a real Prometheus makes of a real server: its figures, the dashboard's queries, the alerts.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

/// A child process, ended when it is dropped.
struct Process(Child);

impl Process {
    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server with room for one test, and Prometheus, which looks at it.
struct World {
    server: Process,
    port: u16,
    prometheus: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let history = format!("--history={}", folder.path().join("history.db").display());
        let (server, addr, site) = serve(&[
            "-B",
            "127.0.0.1",
            "--web=127.0.0.1:0",
            &history,
            "--max-sessions",
            "1",
            "--max-queue",
            "0",
        ]);
        let rules = hasty(&read("polyperf-rules.yml"));
        std::fs::write(folder.path().join("rules.yml"), rules).expect("it can be written");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: polyperf\n    static_configs: [{{targets: ['{site}']}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("it can be written");
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let prometheus = free.expect("a free port");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={prometheus}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("Debian's prometheus is installed");
        let (process, port) = (Process(process), addr.port());
        Self { server, port, prometheus, _process: process, _folder: folder }
    }

    /// Waits until a query has an answer with something in it.
    async fn data(&self, query: &str) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let result = self.query(query).await;
            if !result.is_empty() {
                return result;
            }
            assert!(Instant::now() < until, "nothing comes of {query}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn query(&self, query: &str) -> Vec<Value> {
        let Ok(mut stream) = TcpStream::connect(self.prometheus).await else { return Vec::new() };
        let path = format!("/api/v1/query?query={}", escaped(query));
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.prometheus);
        stream.write_all(request.as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let Some((_, body)) = answer.split_once("\r\n\r\n") else { return Vec::new() };
        // Until it is ready it says so in words.
        let Ok(body) = serde_json::from_str::<Value>(body) else { return Vec::new() };
        assert_eq!(body["status"], "success", "{query}: {body}");
        body["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    async fn fires(&self, alert: &str) {
        self.data(&format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}")).await;
    }

    fn client(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_program"));
        command.args(["client", "127.0.0.1", "-p", &self.port.to_string()]).args(options);
        command.env("POLYPERF_CONFIG", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a client that holds the server's only place, as Prometheus has seen.
    async fn holder(&self) -> Process {
        let running = "sum(polyperf_sessions_active{stage=\"running\"})";
        self.data(&format!("{running} == 0")).await;
        let client = self.client(&["-t", "600", "-b", "1M"]).spawn().expect("it starts");
        self.data(&format!("{running} == 1")).await;
        Process(client)
    }

    /// Runs a client to its end, and returns whether it has succeeded.
    async fn runs(&self, options: &[&str]) -> bool {
        let mut command = self.client(options);
        let ended = tokio::task::spawn_blocking(move || command.status()).await;
        ended.expect("it is waited for").expect("it starts").success()
    }
}

/// Starts a server, and returns where it listens and where its pages are.
fn serve(options: &[&str]) -> (Process, SocketAddr, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_program"));
    command.args(["server", "-p", "0", "--log-format", "json"]).args(options);
    command.env("POLYPERF_CONFIG", "none").stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it logs")).lines();
    let (mut addr, mut site) = (None, None);
    while addr.is_none() || site.is_none() {
        let line = lines.next().expect("it goes on").expect("it is text");
        let line: Value = serde_json::from_str(&line).expect("it is JSON");
        addr = addr.or_else(|| line["addr"].as_str()?.parse().ok());
        let place = |url: &str| url.strip_prefix("http://")?.strip_suffix('/')?.parse().ok();
        site = site.or_else(|| place(line["url"].as_str()?));
    }
    std::thread::spawn(move || lines.for_each(drop));
    (Process(child), addr.expect("it listens"), site.expect("it has pages"))
}

/// Returns rules that do not wait for minutes.
fn hasty(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 0s"),
        _ => line.replace("[5m]", "[10s]").replace("[15m]", "[10s]"),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(contrib().join(name)).expect("it is there")
}

/// Returns a text as it can stand in a query.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Returns each query of the dashboard, over short times and every server.
fn queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read("grafana-dashboard.json")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("queries"));
    targets
        .map(|target| target["expr"].as_str().expect("a query"))
        .map(|query| query.replace("$__rate_interval", "10s").replace("$instance", ".*"))
        .collect()
}

#[tokio::test]
async fn every_query_has_data_and_the_alerts_fire_when_a_server_fails() {
    let mut world = World::new().await;
    world.data("up{job=\"polyperf\"} == 1").await;
    assert!(world.runs(&["-t", "2", "-b", "100M"]).await);
    assert!(world.runs(&["-t", "1", "--transport", "udp", "-b", "10M"]).await);
    // One holds the only place, and the other is turned away.
    let mut holder = world.holder().await;
    assert!(!world.runs(&["-t", "1"]).await);
    world.fires("PolyperfFull").await;
    let queries = queries();
    assert!(queries.len() >= 20, "{queries:?}");
    for query in &queries {
        world.data(query).await;
    }
    let bytes =
        "polyperf_transferred_bytes_total{transport=\"tcp\",direction=\"received\"} > 2.4e7";
    world.data(bytes).await;
    // Clients that vanish, again and again.
    for vanished in 1..4 {
        holder.end();
        world
            .data(&format!("sum(polyperf_sessions_total{{result=\"peer_lost\"}}) >= {vanished}"))
            .await;
        holder = world.holder().await;
    }
    world.fires("PolyperfTestsFail").await;
    world.server.end();
    world.fires("PolyperfDown").await;
}

#[test]
fn the_rules_and_the_configuration_are_what_promtool_takes() {
    for arguments in [
        ["check", "rules", "polyperf-rules.yml"],
        ["test", "rules", "polyperf-rules-test.yml"],
        ["check", "config", "prometheus.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(contrib()).output();
        let output = output.expect("Debian's prometheus is installed");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
