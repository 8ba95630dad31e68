//! Clients of iperf3's protocol that send garbage, too little, too late, or too much.

use std::net::SocketAddr;

use polyperf::protocol::iperf3::Params;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    raw::Raw,
    support::{Serving, short, soon, tcp_client, tcp_server},
};

const PARAMS: u8 = 9;
const CREATE_STREAMS: u8 = 10;
const REFUSED: u8 = 0xfe;

async fn server() -> Serving {
    tcp_server(|s| s.deadlines(short()).max_sessions(512)).await
}

/// Returns a cookie that no other client has.
fn cookie(number: usize) -> [u8; 37] {
    let mut cookie = [b'a'; 37];
    for (place, digit) in cookie.iter_mut().zip(format!("{number:04}").bytes()) {
        *place = digit - b'0' + b'a';
    }
    cookie[36] = 0;
    cookie
}

fn framed(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}

fn params(more: &Value) -> Value {
    let mut params = json!({ "tcp": true, "omit": 0, "time": 1, "num": 0, "blockcount": 0,
        "parallel": 1, "len": 131_072, "client_version": "3.12" });
    let all = params.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    params
}

/// Sends a cookie and these bytes, and returns all that the server says.
async fn said_to(addr: SocketAddr, number: usize, bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::connect(addr).await;
    raw.bytes(&cookie(number)).await;
    raw.bytes(bytes).await;
    raw.rest().await
}

/// Opens a test with one stream, up to its start.
async fn running(addr: SocketAddr, number: usize) -> (TcpStream, TcpStream) {
    let mut control = TcpStream::connect(addr).await.unwrap();
    control.write_all(&cookie(number)).await.unwrap();
    control.write_all(&framed(params(&json!({})).to_string().as_bytes())).await.unwrap();
    let mut states = [0; 2];
    soon(control.read_exact(&mut states)).await.unwrap();
    assert_eq!(states, [PARAMS, CREATE_STREAMS]);
    let mut data = TcpStream::connect(addr).await.unwrap();
    data.write_all(&cookie(number)).await.unwrap();
    soon(control.read_exact(&mut states)).await.unwrap();
    assert_eq!(states, [1, 2]);
    (control, data)
}

/// Returns iperf3's code where the server has refused with one.
fn code(said: &[u8]) -> Option<u32> {
    let at = said.iter().position(|&byte| byte == REFUSED)?;
    Some(u32::from_be_bytes(said.get(at + 1..at + 5)?.try_into().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nasty_texts_are_refused_or_read() {
    let mut server = server().await;
    let deep = "[".repeat(4000);
    let many = format!("{{{}\"tcp\":true}}", "\"tcp\":true,".repeat(600));
    let texts: &[&[u8]] = &[
        b"\xff\xfe{}",
        br#"{"title":"\ud800"}"#,
        br#"{"title":"\u0000"}"#,
        br#"{"title":"\u12"}"#,
        deep.as_bytes(),
        many.as_bytes(),
        br#"{"time":1e999}"#,
        br#"{"time":-1e999,"parallel":1e-999}"#,
        br#"{"num":99999999999999999999999999}"#,
        b"{",
        b"[]",
        b"null",
        b"\"\"",
        b" ",
        b"{}trailing",
    ];
    for (number, text) in texts.iter().enumerate() {
        let said = said_to(server.addr, number, &framed(text)).await;
        let read = said.get(1) == Some(&CREATE_STREAMS);
        assert!(said[0] == PARAMS && (read || code(&said).is_some()), "{number}: {said:?}");
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_no_parameters_have_are_refused_before_anything_follows() {
    let mut server = server().await;
    for (number, length) in [0, 8193, 1 << 31, (1 << 31) - 1, u32::MAX].into_iter().enumerate() {
        let mut raw = Raw::connect(server.addr).await;
        raw.bytes(&cookie(number)).await;
        raw.bytes(&length.to_be_bytes()).await;
        let mut answer = [0; 10];
        soon(raw.stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!((answer[0], code(&answer)), (PARAMS, Some(114)), "{length}");
    }
    for (number, length) in [1_u32, 8191, 8192].into_iter().enumerate() {
        let said = said_to(server.addr, 10 + number, &length.to_be_bytes()).await;
        assert_eq!(said[0], PARAMS, "{length}: its deadline ends it");
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stalls_at_any_byte_holds_up_nobody() {
    let mut server = server().await;
    let addr = server.addr;
    let whole = [&cookie(0)[..], &framed(params(&json!({})).to_string().as_bytes())].concat();
    let mut stalled = JoinSet::new();
    for length in 1..=whole.len() {
        let mut start = whole[..length].to_vec();
        // A cookie of its own, as far as it goes.
        let own = cookie(length);
        let shared = length.min(own.len());
        start[..shared].copy_from_slice(&own[..shared]);
        stalled.spawn(async move {
            let mut raw = Raw::connect(addr).await;
            raw.bytes(&start).await;
            let said = raw.rest().await;
            assert_eq!(said.is_empty(), length < 37, "{length}: {said:?}");
        });
    }
    server.proves_itself(tcp_client(&server)).await;
    while let Some(ended) = stalled.join_next().await {
        ended.unwrap();
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_cookie_stalls_leaves_its_test_to_its_deadline() {
    let mut server = server().await;
    let mut control = Raw::connect(server.addr).await;
    control.bytes(&cookie(0)).await;
    control.bytes(&framed(params(&json!({})).to_string().as_bytes())).await;
    let mut stream = Raw::connect(server.addr).await;
    stream.bytes(&cookie(0)[..20]).await;
    assert_eq!(code(&control.rest().await), Some(204), "no stream came");
    assert_eq!(stream.rest().await, b"");
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_may_be_of_any_type() {
    let mut server = server().await;
    let values =
        [json!(null), json!(true), json!("x"), json!([]), json!({}), json!(-1), json!(0.5)];
    let mut clients = JoinSet::new();
    for (number, (key, value)) in
        Params::KEYS.iter().flat_map(|key| values.iter().map(move |value| (key, value))).enumerate()
    {
        let (addr, text) = (server.addr, params(&json!({ *key: value })).to_string());
        let told = format!("{key}: {value}");
        clients.spawn(async move {
            let said = said_to(addr, number, &framed(text.as_bytes())).await;
            let read = said.get(1) == Some(&CREATE_STREAMS);
            assert!(read || code(&said).is_some(), "{told}: {said:?}");
        });
        if clients.len() == 32 {
            clients.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_out_of_range_are_refused_with_their_code() {
    let mut server = server().await;
    let cases = [
        ("time", 86_401_u64, 5),
        ("omit", 601, 12),
        ("parallel", 0, 6),
        ("parallel", 129, 6),
        ("window", (512 << 20) + 1, 8),
        ("len", (1 << 20) + 1, 7),
        ("MSS", 32_768, 10),
        ("burst", 1001, 15),
        ("TOS", 256, 21),
        ("flowlabel", 1 << 20, 127),
        ("server_affinity", 1025, 132),
    ];
    for (number, (key, value, expected)) in cases.into_iter().enumerate() {
        let text = params(&json!({ key: value })).to_string();
        let said = said_to(server.addr, number, &framed(text.as_bytes())).await;
        assert_eq!(code(&said), Some(expected), "{key} {value}: {said:?}");
    }
    let small = params(&json!({ "udp": true, "len": 15 })).to_string();
    assert_eq!(code(&said_to(server.addr, 99, &framed(small.as_bytes())).await), Some(20));
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_any_length_are_bounded_before_they_come() {
    let mut server = server().await;
    for (number, length) in [0, 64 << 20, 1 << 31, u32::MAX].into_iter().enumerate() {
        let (mut control, _data) = running(server.addr, number).await;
        control.write_all(&[4]).await.unwrap();
        let mut state = [0];
        soon(control.read_exact(&mut state)).await.unwrap();
        assert_eq!(state, [13]);
        control.write_all(&length.to_be_bytes()).await.unwrap();
        assert_eq!(code(&Raw::new(control).rest().await), Some(117), "{length}");
    }
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_at_any_state_leave_nothing() {
    let mut server = server().await;
    let addr = server.addr;
    let whole = [&cookie(0)[..], &framed(params(&json!({})).to_string().as_bytes())].concat();
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let mut start = whole[..1 + number * 7 % whole.len()].to_vec();
        let own = cookie(number);
        let shared = start.len().min(own.len());
        start[..shared].copy_from_slice(&own[..shared]);
        clients.spawn(async move {
            if number % 4 == 0 {
                drop(running(addr, number).await);
            } else {
                Raw::connect(addr).await.bytes(&start).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    server.idle().await;
    server.proves_itself(tcp_client(&server)).await;
}
