use std::{
    io::{self, IoSliceMut},
    sync::Arc,
};

use quinn_udp::RecvMeta;
use tokio::{io::Interest, sync::mpsc};

use super::{Parcel, Stray};
use crate::{Endpoint, MAX_TRAIN, Train, recv::Claim, wait};

/// Reads a flow's socket until the peer says something that `keep` wants, or the socket is claimed.
pub(super) async fn attend(
    endpoint: Arc<Endpoint>,
    claim: Arc<Claim>,
    inbox: mpsc::Sender<Parcel>,
    strays: mpsc::Sender<Stray>,
    mut keep: impl FnMut(&[u8]) -> bool + Send + 'static,
) {
    let Ok(watched) = wait::watch(&endpoint.socket, Interest::READABLE) else { return };
    let mut room = vec![0; MAX_TRAIN];
    loop {
        let readable = tokio::select! {
            () = claim.taken() => return,
            readable = watched.readable() => readable,
        };
        let Ok(mut readable) = readable else { return };
        let turn = claim.unless_taken(|| {
            readable.try_io(|_| receive(&endpoint, &mut room, &mut keep, &inbox, &strays))
        });
        match turn {
            None | Some(Ok(Ok(true))) => return,
            // An error is a hint that the half will see again, if there is anything to it.
            Some(Ok(Ok(false) | Err(_)) | Err(_)) => {}
        }
    }
}

/// Receives once; returns whether there was anything that is for the half.
fn receive(
    endpoint: &Endpoint,
    room: &mut [u8],
    keep: impl FnMut(&[u8]) -> bool,
    inbox: &mpsc::Sender<Parcel>,
    strays: &mpsc::Sender<Stray>,
) -> io::Result<bool> {
    let mut metas = [RecvMeta::default()];
    endpoint.socket.try_recv(&mut [IoSliceMut::new(room)], &mut metas)?;
    let [RecvMeta { addr, len, stride, ecn, .. }] = metas;
    if !endpoint.is_from_peer(addr) {
        endpoint.pass_back(strays, &metas[0], &room[..len]);
        return Ok(false);
    }
    if len == 0 {
        return Ok(false);
    }
    let Some(left) = (Train { len, stride }).sift(room, keep) else { return Ok(false) };
    let parcel = Parcel::new(&room[..left.len], left.stride).with(ecn);
    Ok(inbox.try_send(parcel).is_ok())
}
