//! From an opened flow's socket to the crate.

use std::{io, sync::Arc};

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
        let text = "tokio-kcp needs a socket for each flow, and this port has one for all";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let socket = own.get().try_clone()?;
    only(&socket, conv)?;
    socket.set_nonblocking(true)?;
    // As the kernel writes it: an IPv6 socket takes no plain IPv4 address.
    let peer = socket.peer_addr()?;
    let socket = UdpSocket::from_std(socket)?;
    KcpStream::connect_with_socket_conv(&settings.config(), conv, socket, peer)
        .await
        .map_err(io::Error::from)
}

/// Has the kernel drop whatever is not of this conversation, since the crate would change over to
/// it: a packet of the opening that is late, for instance.
#[cfg(target_os = "linux")]
fn only(socket: &std::net::UdpSocket, conv: u32) -> io::Result<()> {
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
fn only(_: &std::net::UdpSocket, _: u32) -> io::Result<()> {
    Ok(())
}

/// Returns the conversation of an attempt: of its last four bytes, without the bit 40 that marks
/// QUIC, and never 0, by which the crate asks for another.
pub(crate) fn conv([.., a, b, c, d]: Id) -> u32 {
    u32::from_le_bytes([a & 0x3F, b, c, d]).max(1)
}

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
