use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll},
};

use async_trait::async_trait;
use polyperf_transport::{
    Chunk, Error, Gate, Listener, Path, PathStats, Received, SendHalf, Setting, Tuning,
};

use super::*;
use crate::spec::SpecFields;

/// A server that does not listen for the first words that it is sent.
#[derive(Debug, Clone)]
struct HardOfHearing {
    words: Arc<AtomicUsize>,
    unheard: usize,
}

#[async_trait]
impl Transport for HardOfHearing {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn delivery(&self) -> Delivery {
        let most = NonZeroUsize::MAX;
        Delivery::Messages { max: most, usual: most, controlled: false }
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        tuning.without_repair(self.name())?;
        tuning.without_connections(self.name())
    }

    async fn listen(&self, _: SocketAddr, _: Arc<dyn Gate>) -> Result<Box<dyn Listener>, Error> {
        unreachable!("it is only connected to")
    }

    async fn connect(&self, _: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Connection for HardOfHearing {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        assert_eq!(hello, Hello::Bare(b"9876"));
        let heard = self.words.fetch_add(1, Relaxed) >= self.unheard;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 5201));
        let (send, recv) = (Box::new(Silent), Box::new(Answer { heard }));
        Ok(Stream {
            send,
            recv,
            local: nowhere,
            peer: nowhere,
            path: Arc::new(Silent),
            home: None,
            early: false,
        })
    }

    async fn close(&self) {}
}

#[derive(Debug)]
struct Answer {
    heard: bool,
}

impl RecvHalf for Answer {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        if !self.heard {
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        buf[..4].copy_from_slice(b"6789");
        Poll::Ready(Ok(Some(Received { len: 4, stride: 4, kernel_time: None })))
    }

    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

#[derive(Debug)]
struct Silent;

impl SendHalf for Silent {
    fn poll_send(&mut self, _: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(chunk.bytes.len()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn block_for(&mut self, _: Option<Duration>) {}
}

impl Path for Silent {
    fn stats(&self) -> PathStats {
        PathStats::default()
    }

    fn tune(&self, _: &Tuning) -> Vec<Setting> {
        Vec::new()
    }

    fn exported(&self, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

async fn opened(unheard: usize) -> (Result<Opened, Failure>, usize) {
    let words = Arc::new(AtomicUsize::new(0));
    let transport = Arc::new(HardOfHearing { words: Arc::clone(&words), unheard });
    let spec = SpecFields { transport: "udp".to_owned(), streams: 2, ..SpecFields::default() };
    let spec = TestSpec::try_from(spec).unwrap();
    let peer = Peer::at(SocketAddr::from(([127, 0, 0, 1], 5201)));
    let cookie = Cookie::from_random([0; 36]);
    let opened = in_turn(transport, peer, cookie, spec, Duration::from_secs(1)).await;
    (opened, words.load(Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_word_is_said_again_where_nobody_has_heard_it_and_nowhere_else() {
    let (flows, words) = opened(3).await;
    assert_eq!((flows.unwrap().flows.len(), words), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_hears_is_given_up() {
    let (failed, _) = opened(usize::MAX).await;
    assert!(failed.unwrap_err().message.contains("no reply within 1s"));
}
