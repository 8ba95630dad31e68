use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use quinn_udp::{EcnCodepoint, RecvMeta};
use tokio::sync::{Notify, mpsc};

use crate::{
    Endpoint, MAX_TRAIN, Rooms, Train,
    endpoint::Route,
    held::Held,
    port::{Parcel, Stray},
    rooms,
    wait::{For, Wait},
};

/// The half of a flow that receives.
#[derive(Debug)]
pub struct DatagramRecv {
    /// Before the endpoint, so that a flow has no descriptor left when it leaves its port.
    wait: Wait,
    endpoint: Arc<Endpoint>,
    held: Held,
    /// What the dispatcher of a shared port found to be this flow's.
    inbox: Option<mpsc::Receiver<Parcel>>,
    /// Where datagrams of others go that were found in this flow's socket.
    strays: Option<mpsc::Sender<Stray>>,
    claim: Option<Arc<Claim>>,
    /// Whether datagrams come one by one, so that one call should receive several.
    singly: bool,
    /// Whether the network has marked what was received last.
    marked: bool,
}

impl DatagramRecv {
    /// Returns the half of `endpoint` that receives.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            wait: Wait::new(),
            held: Held::default(),
            inbox: None,
            strays: None,
            claim: None,
            singly: false,
            marked: false,
        }
    }

    pub(crate) fn of_port(
        endpoint: Arc<Endpoint>,
        inbox: mpsc::Receiver<Parcel>,
        strays: mpsc::Sender<Stray>,
        claim: Option<Arc<Claim>>,
    ) -> Self {
        let mut half = Self::new(endpoint);
        half.inbox = Some(inbox);
        half.strays = Some(strays);
        half.claim = claim;
        half
    }

    /// Receives datagrams that `keep` returns `true` for: as many as came together and fit `buf`.
    ///
    /// A buffer of [`MAX_TRAIN`] bytes or more is received into directly. A shorter one costs a
    /// copy, since what comes together may be longer; none of it is lost. `keep` sees each datagram
    /// whole; one that is longer than `buf` is cut after that. Datagrams without bytes are skipped.
    ///
    /// # Errors
    ///
    /// What the system says, unless it is a hint alone.
    pub fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        mut keep: impl FnMut(&[u8]) -> bool,
    ) -> Poll<io::Result<Train>> {
        for _ in 0..ROUNDS {
            if let Some(train) = self.held.take(buf) {
                return Poll::Ready(Ok(train));
            }
            if let Some(parcel) = self.poll_inbox(cx) {
                self.open(&parcel, &mut keep);
                continue;
            }
            if matches!(self.endpoint.route, Route::Shared { .. }) {
                return match self.inbox {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            if let Some(claim) = self.claim.take() {
                // Whoever read the socket so far may just have left something in the inbox.
                claim.take();
                continue;
            }
            if let Some(train) = ready!(self.poll_socket(cx, buf, &mut keep))? {
                return Poll::Ready(Ok(train));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Receives datagrams into `rooms`, and hands each over that `keep` returns `true` for, with
    /// whether the network has marked it instead of dropping it (RFC 3168); returns how many
    /// datagrams came in all.
    ///
    /// Where they come in trains, one call receives one, so that it is used while it is in the
    /// processor's cache; where they come one by one, several.
    ///
    /// # Errors
    ///
    /// What the system says, unless it is a hint alone.
    pub fn poll_recv_each(
        &mut self,
        cx: &mut Context<'_>,
        rooms: &mut Rooms,
        mut keep: impl FnMut(&[u8]) -> bool,
        mut each: impl FnMut(&[u8], bool),
    ) -> Poll<io::Result<usize>> {
        let own = matches!(self.endpoint.route, Route::Connected { .. });
        if self.singly && own && self.held.is_empty() && self.claim.is_none() {
            match self.poll_inbox(cx) {
                Some(parcel) => self.open(&parcel, &mut keep),
                None => return self.poll_several(cx, rooms, keep, each),
            }
        }
        let Train { len, stride } = ready!(self.poll_recv(cx, rooms.first(), keep))?;
        self.singly = len <= stride;
        let datagrams = rooms.first()[..len].chunks(stride.max(1));
        let marked = self.marked;
        Poll::Ready(Ok(datagrams.map(|datagram| each(datagram, marked)).count()))
    }

    /// Has `bytes`, datagrams a `stride` apart, received next.
    ///
    /// There must be nothing that a shorter buffer has left behind.
    pub fn put_back(&mut self, bytes: &[u8], stride: usize) {
        debug_assert!(self.held.is_empty());
        self.held.put(bytes, stride);
    }

    /// Permits to block the calling thread; see
    /// [`RecvHalf::block_for`](polyperf_transport::RecvHalf::block_for).
    pub fn block_for(&mut self, limit: Option<Duration>) {
        self.wait.set_limit(limit);
    }

    /// Returns the flow.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    fn poll_inbox(&mut self, cx: &mut Context<'_>) -> Option<Parcel> {
        let inbox = self.inbox.as_mut()?;
        // In a system call nobody hears a waker, unless there is no system call to sit in.
        if self.wait.blocks() && matches!(self.endpoint.route, Route::Connected { .. }) {
            return inbox.try_recv().ok();
        }
        match inbox.poll_recv(cx) {
            Poll::Ready(Some(parcel)) => Some(parcel),
            Poll::Ready(None) => {
                self.inbox = None;
                None
            }
            Poll::Pending => None,
        }
    }

    fn open(&mut self, parcel: &Parcel, keep: impl FnMut(&[u8]) -> bool) {
        let Parcel { bytes, stride, marked } = parcel;
        self.marked = *marked;
        self.endpoint.traffic().received.add(bytes.len(), *stride);
        self.held.put(bytes, *stride);
        let train = Train { len: bytes.len(), stride: *stride };
        let left = train.sift(self.held.filled(), keep);
        self.held.keep(left);
    }

    fn poll_several(
        &mut self,
        cx: &mut Context<'_>,
        rooms: &mut Rooms,
        mut keep: impl FnMut(&[u8]) -> bool,
        mut each: impl FnMut(&[u8], bool),
    ) -> Poll<io::Result<usize>> {
        let Self { endpoint, wait, strays, .. } = self;
        let mut metas = [RecvMeta::default(); rooms::COUNT];
        let received = {
            let mut bufs = rooms.all();
            wait.poll(cx, &endpoint.socket, For::Reading, || {
                endpoint.socket.try_recv(&mut bufs, &mut metas)
            })
        };
        let received = match ready!(received) {
            Ok(received) => received,
            Err(error) => return Poll::Ready(endpoint.weigh(error).map_or(Ok(0), Err)),
        };
        let mut count = 0;
        self.singly = false;
        for (index, meta) in metas.iter().enumerate().take(received) {
            let bytes = &rooms.at(index)[..meta.len];
            if !endpoint.is_from_peer(meta.addr) {
                if let Some(strays) = strays {
                    endpoint.pass_back(strays, meta, bytes);
                }
                continue;
            }
            let received = &endpoint.traffic().received;
            if index == 0 {
                received.add(meta.len, meta.stride);
            } else {
                received.add_more(meta.len, meta.stride);
            }
            if bytes.is_empty() {
                endpoint.traffic().empty.fetch_add(1, Relaxed);
                continue;
            }
            self.singly |= meta.len <= meta.stride;
            for datagram in bytes.chunks(meta.stride.max(1)) {
                count += 1;
                if keep(datagram) {
                    each(datagram, is_marked(meta));
                }
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Receives into `buf`, or if it is short, holds what came; then, and if what came was not for
    /// this flow, there is nothing to return.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        keep: impl FnMut(&[u8]) -> bool,
    ) -> Poll<io::Result<Option<Train>>> {
        let Self { endpoint, wait, held, strays, .. } = self;
        let direct = buf.len() >= MAX_TRAIN;
        let room = if direct { buf } else { held.room() };
        let mut metas = [RecvMeta::default()];
        let mut bufs = [IoSliceMut::new(room)];
        let received = wait.poll(cx, &endpoint.socket, For::Reading, || {
            endpoint.socket.try_recv(&mut bufs, &mut metas)
        });
        if let Err(error) = ready!(received) {
            return Poll::Ready(endpoint.weigh(error).map_or(Ok(None), Err));
        }
        let [RecvMeta { addr, len, stride, .. }] = metas;
        self.marked = is_marked(&metas[0]);
        if !endpoint.is_from_peer(addr) {
            if let Some(strays) = strays {
                endpoint.pass_back(strays, &metas[0], &room[..len]);
            }
            return Poll::Ready(Ok(None));
        }
        endpoint.traffic().received.add(len, stride);
        if len == 0 {
            endpoint.traffic().empty.fetch_add(1, Relaxed);
            return Poll::Ready(Ok(None));
        }
        let left = Train { len, stride }.sift(room, keep);
        if direct {
            return Poll::Ready(Ok(left));
        }
        held.keep(left);
        Poll::Ready(Ok(None))
    }
}

impl Drop for DatagramRecv {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            claim.take();
        }
    }
}

impl Endpoint {
    pub(crate) fn is_from_peer(&self, source: SocketAddr) -> bool {
        let (Route::Connected { peer } | Route::Shared { peer, .. }) = self.route;
        source.ip() == peer.ip() && source.port() == peer.port()
    }

    /// Gives what was found in the socket, and is not its peer's, to the port's dispatcher.
    pub(crate) fn pass_back(&self, strays: &mpsc::Sender<Stray>, meta: &RecvMeta, bytes: &[u8]) {
        self.traffic().strangers.fetch_add(1, Relaxed);
        // Where there is no room, they are lost, as they could have been on the way.
        let _ = strays.try_send(Stray {
            origin: meta.into(),
            parcel: Parcel::new(bytes, meta.stride).with(meta.ecn),
            asked: false,
        });
    }
}

/// Returns whether the network has marked what came together.
pub(crate) fn is_marked(meta: &RecvMeta) -> bool {
    meta.ecn == Some(EcnCodepoint::Ce)
}

/// Who reads a flow's socket: its receiving half, from the first time that it has to wait; until
/// then an attendant may, so that a peer who repeats itself is answered.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    taken: Mutex<bool>,
    changed: Notify,
}

impl Claim {
    /// Takes the socket from the attendant for good.
    fn take(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits until the socket has been taken.
    pub(crate) async fn taken(&self) {
        self.changed.notified().await;
    }

    /// Does `work` unless the socket has been taken, which waits meanwhile.
    pub(crate) fn unless_taken<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (!*taken).then(work)
    }
}

/// How many reads of nothing worth returning one poll makes before it lets others run.
const ROUNDS: usize = 64;
