//! The other end, spoken by hand: whatever is to be sent, in whatever order.

use std::{net::SocketAddr, time::Duration};

use polyperf::{
    measure::FlowId,
    outcome::HostInfo,
    protocol::native::{Agree, Decoder, Encoder, Hello, Message, Propose, Token},
    spec::{Limit, SpecFields, TestSpec},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::soon;

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Raw {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let mut decoder = Decoder::new();
        decoder.allow_large();
        Self { stream, encoder: Encoder::default(), decoder }
    }

    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    /// Connects, and is welcomed.
    pub(crate) async fn greeted(addr: SocketAddr) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.bytes(&control_hello()).await;
        assert!(matches!(raw.hear().await, Some(Message::Welcome(_))));
        raw
    }

    /// Connects, and comes to an agreement on the test.
    pub(crate) async fn agreed(addr: SocketAddr, fields: SpecFields) -> (Self, Box<Agree>) {
        let mut raw = Self::greeted(addr).await;
        raw.send(&propose(fields)).await;
        match raw.hear().await {
            Some(Message::Agree(agree)) => (raw, agree),
            other => panic!("{other:?}"),
        }
    }

    /// Sends bytes; that nobody takes them any more is no surprise here.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn send(&mut self, message: &Message) {
        let frame = self.encoder.encode(message);
        self.bytes(&frame).await;
    }

    /// Returns the next message; `None` at the end of the connection.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return Some(message);
            }
            match soon(self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.decoder.feed(&buffer[..len]),
            }
        }
    }

    /// Returns what the other end says last, apart from signs of life.
    pub(crate) async fn last_word(&mut self) -> Option<Message> {
        let mut last = None;
        while let Some(message) = self.hear().await {
            if !matches!(message, Message::Ping { .. }) {
                last = Some(message);
            }
        }
        last
    }

    /// Returns every byte up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        rest
    }
}

pub(crate) fn control_hello() -> [u8; 37] {
    Hello::Control(Token::from_bits(1)).encode()
}

pub(crate) fn propose(fields: SpecFields) -> Message {
    let spec = TestSpec::try_from(fields).unwrap();
    Message::Propose(Box::new(Propose {
        host: HostInfo::default(),
        spec,
        no_queue: false,
        auth: None,
    }))
}

/// Opens a stream of an agreed test.
pub(crate) async fn attach(addr: SocketAddr, agree: &Agree, flow: u16) -> TcpStream {
    let token = Token::parse(agree.token.as_bytes()).unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&Hello::Attach(token, FlowId(flow)).encode()).await.unwrap();
    stream
}

/// A frame with this body.
pub(crate) fn frame(number: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes(), &number.to_be_bytes(), body].concat()
}

pub(crate) fn brief() -> SpecFields {
    SpecFields { limit: Limit::Time(Duration::from_millis(300)), ..SpecFields::default() }
}
