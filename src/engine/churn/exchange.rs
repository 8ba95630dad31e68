//! One request and one response over a stream: what both ends have in common.

use std::{future::poll_fn, io};

use polyperf_transport::{RecvHalf, Stream, send_all};

use crate::measure::DatagramHeader;

/// Receives exactly `len` bytes, for which `buffer` need not have room at once.
pub(super) async fn receive(
    half: &mut dyn RecvHalf,
    len: usize,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut left = len;
    while left > 0 {
        let room = left.min(buffer.len());
        match poll_fn(|cx| half.poll_recv(cx, &mut buffer[..room])).await? {
            Some(received) => left -= received.len.min(left),
            None => {
                let text = format!("the other end closed after {} of {len} bytes", len - left);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }
    Ok(())
}

/// Receives datagrams until one of `len` bytes has a header that `is_wanted`, and returns that.
pub(super) async fn receive_datagram(
    half: &mut dyn RecvHalf,
    len: usize,
    buffer: &mut [u8],
    is_wanted: impl Fn(&DatagramHeader) -> bool,
) -> io::Result<DatagramHeader> {
    loop {
        let Some(received) = poll_fn(|cx| half.poll_recv(cx, buffer)).await? else {
            let text = "the other end closed before its datagram came";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        };
        let batch = &buffer[..received.len.min(buffer.len())];
        let mut datagrams = batch.chunks(received.stride.max(1)).filter(|one| one.len() == len);
        if let Some(header) = datagrams.find_map(|one| DatagramHeader::read(one).filter(&is_wanted))
        {
            return Ok(header);
        }
    }
}

/// Waits until the other end has said that nothing follows, no more than `most` bytes later.
pub(super) async fn end(half: &mut dyn RecvHalf, buffer: &mut [u8], most: usize) -> io::Result<()> {
    let mut left = most;
    while let Some(received) = poll_fn(|cx| half.poll_recv(cx, buffer)).await? {
        left = left.checked_sub(received.len).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(())
}

/// Sends a datagram of what `bytes` has, below this header.
pub(super) async fn send_datagram(
    stream: &mut Stream,
    header: DatagramHeader,
    bytes: &mut [u8],
) -> io::Result<()> {
    let room = bytes.first_chunk_mut().ok_or(io::ErrorKind::InvalidInput)?;
    *room = header.to_bytes();
    send_all(stream.send.as_mut(), bytes).await
}
