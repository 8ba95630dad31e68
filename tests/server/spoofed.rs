//! Clients that have a genuine session, and send datagrams in somebody else's name.
//!
//! A second loopback address stands for the somebody: what the server sends there, it would send to
//! a victim.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use polyperf::{
    measure::FlowId,
    outcome::{Ended, FailureCode},
    protocol::native::{Agree, Hello, Message, Token},
    spec::{Direction, Limit, SpecFields},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    raw::Raw,
    support::{Serving, short, soon, tcp_client, tcp_server},
};

const WORD: &[u8; 4] = b"9876";

struct Somebody(UdpSocket);

impl Somebody {
    fn at(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn say(&self, server: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, server).unwrap();
    }

    /// Returns every datagram that has arrived.
    fn heard(&self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 65_536];
        loop {
            match self.0.recv(&mut buffer) {
                Ok(len) => heard.push(buffer[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return heard,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn server() -> Serving {
    tcp_server(|s| s.deadlines(short())).await
}

fn reverse_udp() -> SpecFields {
    SpecFields {
        transport: "udp".to_owned(),
        direction: Direction::Reverse,
        limit: Limit::Time(Duration::from_secs(1)),
        ..SpecFields::default()
    }
}

/// An opening of a flow, as docs/udp.md has it.
fn open(agree: &Agree) -> Vec<u8> {
    let token = Token::parse(agree.token.as_bytes()).unwrap();
    let hello = Hello::Attach(token, FlowId(1)).encode();
    [&b"\x21ppu\x01\x01"[..], &[7; 16], &[0; 16], &hello].concat()
}

/// Sends a cookie and parameters of a reverse UDP test as iperf3 does, up to the streams.
async fn iperf3_control(addr: SocketAddr) -> TcpStream {
    let mut control = TcpStream::connect(addr).await.unwrap();
    let cookie: [u8; 37] = *b"abcdefghijklmnopqrstuvwxyz234567abcd\0";
    control.write_all(&cookie).await.unwrap();
    let params = json!({ "udp": true, "omit": 0, "time": 1, "num": 0, "blockcount": 0,
        "parallel": 1, "reverse": true, "len": 1448, "bandwidth": 100_000_000 });
    let text = params.to_string();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    control.write_all(&[&length, text.as_bytes()].concat()).await.unwrap();
    let mut states = [0; 2];
    soon(control.read_exact(&mut states)).await.unwrap();
    assert_eq!(states, [9, 10]);
    control
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_anothers_name_brings_it_a_challenge_and_no_data() {
    let mut server = server().await;
    let (mut control, agree) = Raw::agreed(server.addr, reverse_udp()).await;
    let victim = Somebody::at("127.0.0.2");
    let opening = open(&agree);
    for _ in 0..3 {
        victim.say(server.addr, &opening);
        victim.say(server.addr, b"more, without having heard a thing");
    }
    match control.last_word().await {
        Some(Message::Fail(failure)) => assert_eq!(failure.code, FailureCode::Timeout, "{failure}"),
        other => panic!("{other:?} where the streams were late"),
    }
    let heard = victim.heard();
    assert!(heard.len() <= 3, "{heard:?}");
    assert!(heard.iter().all(|packet| packet.len() <= opening.len()), "{heard:?}");
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_word_from_another_address_is_not_answered() {
    let mut server = server().await;
    let control = iperf3_control(server.addr).await;
    let victim = Somebody::at("127.0.0.2");
    victim.say(server.addr, WORD);
    let said = Raw::new(control).rest().await;
    assert_eq!((said[0], said[4]), (0xfe, 204), "no stream came: {said:?}");
    assert_eq!(victim.heard(), <[Vec<u8>; 0]>::default());
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_without_a_session_hear_nothing_whatever_they_say() {
    let mut server = server().await;
    let stranger = Somebody::at("127.0.0.1");
    let token = Token::from_bits(3).as_str().to_owned();
    let (mut raw, agree) = Raw::agreed(server.addr, reverse_udp()).await;
    for bytes in [
        WORD.to_vec(),
        123_456_789_u32.to_le_bytes().to_vec(),
        open(&Agree { token, ..*agree.clone() }),
        open(&agree)[..30].to_vec(),
        vec![0xc0; 1200],
        vec![0; 1448],
        Vec::new(),
    ] {
        stranger.say(server.addr, &bytes);
    }
    let last = raw.last_word().await;
    assert!(matches!(last, Some(Message::Fail(_))), "{last:?}");
    assert_eq!(stranger.heard(), <[Vec<u8>; 0]>::default());
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_session_is_silent() {
    let mut server = server().await;
    let mut control = iperf3_control(server.addr).await;
    let client = Somebody::at("127.0.0.1");
    client.say(server.addr, WORD);
    let mut states = [0; 2];
    soon(control.read_exact(&mut states)).await.unwrap();
    assert_eq!(states, [1, 2]);
    // Leaves in the middle of a test that the server sends on.
    control.write_all(&[12]).await.unwrap();
    let outcome = server.outcome().await;
    assert!(matches!(outcome.ended, Ended::Stopped { .. }), "{:?}", outcome.ended);
    server.idle().await;
    Raw::new(control).rest().await;
    assert_eq!(client.heard().first().map(Vec::as_slice), Some(&b"6789"[..]));
    for bytes in [&WORD[..], &[0; 1448], &[0x65; 1448]] {
        client.say(server.addr, bytes);
    }
    // A whole other test is time enough for an answer.
    let another = tcp_client(&server).transport("udp").bytes(100_000).build().unwrap();
    assert_eq!(soon(another.run()).await.unwrap().ended, Ended::Complete);
    assert_eq!(client.heard(), <[Vec<u8>; 0]>::default());
}
