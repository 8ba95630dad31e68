//! From an opened flow's socket to the crate.

use std::{io, net::UdpSocket as Socket, sync::Arc};

use polyperf_socket::{Endpoint, Id};
use tokio::net::UdpSocket;
use tokio_kcp::KcpStream;

use crate::settings::Settings;

/// Has the crate converse over the flow's socket, which it reads from here on, on the current
/// runtime.
///
/// # Errors
///
/// What the system says, or that the socket is shared with other flows.
pub(crate) async fn converse(
    endpoint: &Arc<Endpoint>,
    settings: &Settings,
    conv: u32,
) -> io::Result<KcpStream> {
    let Some(own) = endpoint.own_socket() else {
        let text = "each flow needs a socket of its own, and this port has one for all; take kcp";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let socket = own.get().try_clone()?;
    socket.set_nonblocking(true)?;
    one_by_one(&socket)?;
    only(&socket, conv)?;
    let queued = queued(&socket, conv);
    // As the kernel writes it: an IPv6 socket takes no plain IPv4 address.
    let peer = socket.peer_addr()?;
    let socket = UdpSocket::from_std(socket)?;
    let config = settings.config();
    let stream = KcpStream::connect_with_socket_conv(&config, conv, socket, peer).await?;
    for datagram in queued {
        // What is wrong with it, the crate says; what was lost, comes again.
        let _ = stream.session().kcp_socket().lock().input(&datagram);
    }
    Ok(stream)
}

/// Returns whether `datagram` begins with a segment of this conversation.
pub(crate) fn is_of(datagram: &[u8], conv: u32) -> bool {
    datagram.starts_with(&conv.to_le_bytes())
}

/// Empties the socket of what came before the kernel told conversations apart, and returns what is
/// of this one.
fn queued(socket: &Socket, conv: u32) -> Vec<Vec<u8>> {
    let mut buf = vec![0; polyperf_socket::MAX_TRAIN];
    let mut queued = Vec::new();
    for _ in 0..MOST_QUEUED {
        match socket.recv(&mut buf) {
            Ok(len) if is_of(&buf[..len], conv) => queued.push(buf[..len].to_vec()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // It is of what was sent before, and told once.
            Err(_) => {}
        }
    }
    queued
}

/// Has the kernel hand over each datagram by itself, as the crate gets them by itself.
#[cfg(target_os = "linux")]
fn one_by_one(socket: &Socket) -> io::Result<()> {
    use std::{mem::size_of_val, os::fd::AsRawFd};

    let off: libc::c_int = 0;
    let len = libc::socklen_t::try_from(size_of_val(&off)).map_err(io::Error::other)?;
    let (fd, value) = (socket.as_raw_fd(), (&raw const off).cast());
    // SAFETY: the kernel reads a number, which is as long as it is told, and copies it.
    match unsafe { libc::setsockopt(fd, libc::SOL_UDP, libc::UDP_GRO, value, len) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // Before Linux 5.0 there is nothing to turn off.
            error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
            error => Err(error),
        },
    }
}

#[cfg(not(target_os = "linux"))]
fn one_by_one(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Has the kernel drop whatever is not of this conversation, since the crate would change over to
/// it: a packet of the opening that is late, for instance.
#[cfg(target_os = "linux")]
fn only(socket: &Socket, conv: u32) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // The classic filter machine: load the first word behind UDP's header, which is compared as
    // big-endian; take all of the datagram if it is the conversation, and nothing otherwise.
    let expected = u32::from_be_bytes(conv.to_le_bytes());
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(LOAD_WORD, 0, 0, UDP_HEADER),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, expected),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ])
}

#[cfg(not(target_os = "linux"))]
fn only(_: &Socket, _: u32) -> io::Result<()> {
    Ok(())
}

/// Returns the conversation of an attempt: of its last four bytes, without the bit 40 that marks
/// QUIC, and never 0, by which the crate asks for another.
pub(crate) fn conv([.., a, b, c, d]: Id) -> u32 {
    u32::from_le_bytes([a & 0x3F, b, c, d]).max(1)
}

/// More than the buffers that sockets ask for have room for: Linux charges each datagram 768 bytes or
/// more.
const MOST_QUEUED: usize = 16_384;

/// `BPF_LD | BPF_W | BPF_ABS`.
#[cfg(target_os = "linux")]
const LOAD_WORD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
#[cfg(target_os = "linux")]
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
#[cfg(target_os = "linux")]
const RETURN: u16 = 0x06;
#[cfg(target_os = "linux")]
const UDP_HEADER: u32 = 8;

#[cfg(test)]
mod tests {
    use polyperf_socket::DatagramSocket;
    use polyperf_transport::Tuning;

    use super::*;

    fn connected() -> (Arc<Endpoint>, Socket) {
        let [here, there] = [(); 2].map(|()| Socket::bind("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        let endpoint = Endpoint::connected(DatagramSocket::new(here).unwrap()).unwrap();
        (Arc::new(endpoint), there)
    }

    /// Returns a segment of data.
    fn segment(conv: u32, data: &[u8]) -> Vec<u8> {
        let mut segment = [0; 24];
        segment[..4].copy_from_slice(&conv.to_le_bytes());
        segment[4] = 81;
        segment[6] = 128;
        segment[20] = u8::try_from(data.len()).unwrap();
        [&segment[..], data].concat()
    }

    #[tokio::test]
    async fn what_came_before_the_crate_began_is_kept_if_it_is_of_the_conversation() {
        let (endpoint, peer) = connected();
        for datagram in [&b"a packet of the opening, late"[..], &segment(7, b"early"), &[0; 40]] {
            peer.send(datagram).unwrap();
        }
        let settings = Settings::new(&Tuning::default()).unwrap();
        let mut stream = converse(&endpoint, &settings, 7).await.unwrap();
        peer.send(&segment(99, b"stranger")).unwrap();
        let mut buf = [0; 2048];
        assert_eq!(stream.recv(&mut buf).await.unwrap(), 5);
        assert_eq!(buf[..5], *b"early");
        // The acknowledgement waits for the clock, and so comes when all has been treated that came.
        peer.set_nonblocking(true).unwrap();
        let peer = UdpSocket::from_std(peer).unwrap();
        let len = peer.recv(&mut buf).await.unwrap();
        assert!(is_of(&buf[..len], 7), "{:?}", &buf[..len]);
        stream.send(b"later").await.unwrap();
        let len = peer.recv(&mut buf).await.unwrap();
        assert!(is_of(&buf[..len], 7), "{:?}", &buf[..len]);
    }

    #[test]
    fn a_conversation_is_neither_0_nor_quics() {
        assert_eq!(conv([0; 16]), 1);
        assert_eq!(conv([0xFF; 16]).to_le_bytes(), [0x3F, 0xFF, 0xFF, 0xFF]);
    }
}
