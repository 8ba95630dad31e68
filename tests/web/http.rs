//! As much of HTTP as the tests need, without a library's opinion of what may be sent.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::support::soon;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A request that has not been sent yet.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

pub(crate) fn get(path: &str) -> Request {
    Request::new("GET", path, String::new())
}

/// Returns what a page of the site itself sends.
pub(crate) fn post(path: &str, body: &Value) -> Request {
    Request::new("POST", path, body.to_string()).with("Content-Type", "application/json")
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, body: String) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says that it comes from this site.
    pub(crate) fn own(self, site: SocketAddr) -> Self {
        self.with("Origin", &format!("http://{site}"))
    }

    fn text(&self, site: SocketAddr) -> String {
        let Self { method, path, headers, body } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name == "Host") {
            text += &format!("Host: {site}\r\n");
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        format!("{text}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    pub(crate) async fn send(&self, site: SocketAddr) -> Answer {
        raw(site, self.text(site).as_bytes()).await.expect("there is an answer")
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Returns what it says to people who are refused.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { status, headers, body: body.to_owned() })
    }
}

/// Sends these bytes, and reads until the server closes; `None` if it answers nothing.
pub(crate) async fn raw(site: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(site).await.unwrap();
    // The server may have had enough before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    Answer::parse(&answer)
}

/// A reader of events.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
}

impl Events {
    pub(crate) async fn open(site: SocketAddr) -> Self {
        Self::over(TcpStream::connect(site).await.unwrap(), site).await
    }

    pub(crate) async fn over(mut stream: TcpStream, site: SocketAddr) -> Self {
        let text =
            format!("GET /api/v1/events HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut stream, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(soon(stream.read_line(&mut head)).await.unwrap(), 0, "{head}");
        }
        Self { stream, head }
    }

    /// Returns the next event of this kind; `None` at the end.
    pub(crate) async fn next(&mut self, kind: &str) -> Option<Value> {
        let mut named = String::new();
        loop {
            let mut line = String::new();
            if soon(self.stream.read_line(&mut line)).await.unwrap_or(0) == 0 {
                return None;
            }
            if let Some(name) = line.strip_prefix("event: ") {
                name.trim().clone_into(&mut named);
            }
            match line.strip_prefix("data: ") {
                Some(data) if named == kind => return Some(serde_json::from_str(data).unwrap()),
                _ => {}
            }
        }
    }

    /// Waits for changes of which `pick` makes something.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let changes = self.next("changes").await.expect("there is more to come");
            if let Some(picked) = pick(&changes) {
                return picked;
            }
        }
    }
}
