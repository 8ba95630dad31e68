use std::{fmt, io, num::NonZeroU32};

use polyperf_transport::Setting;
use socket2::{Domain, Socket};

#[cfg(target_os = "linux")]
use crate::sys;

/// Returns what came of setting `option` to `asked`, with the `objection` that there is to what was
/// granted.
pub fn setting<A: ToString + Copy, G: ToString>(
    option: &str,
    asked: A,
    result: io::Result<G>,
    objection: impl Fn(A, &G) -> Option<&'static str>,
) -> Setting {
    let (granted, refused) = match result {
        Ok(granted) => (Some(granted.to_string()), objection(asked, &granted).map(str::to_owned)),
        Err(error) => (None, Some(error.to_string())),
    };
    Setting { option: option.to_owned(), asked: asked.to_string(), granted, refused }
}

/// Sets the byte for type of service, in either family, and returns what is in force.
///
/// # Errors
///
/// What the system says.
pub fn set_tos(socket: &Socket, tos: u8) -> io::Result<u32> {
    let tos = u32::from(tos);
    if socket.domain()? != Domain::IPV6 {
        socket.set_tos_v4(tos)?;
        return socket.tos_v4();
    }
    socket.set_tclass_v6(tos)?;
    // What goes to a mapped address leaves as IPv4; a socket that is IPv6 only has no such byte.
    let _ = socket.set_tos_v4(tos);
    socket.tclass_v6()
}

/// Has the kernel pace at so many bits per second, and returns the rate in force.
///
/// # Errors
///
/// What the system says, for instance that it has no such setting.
pub fn set_pacing_rate(socket: &Socket, bits_per_second: u64) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    return sys::set_pacing(socket, bits_per_second.div_ceil(8)).map(|rate| rate.saturating_mul(8));
    #[cfg(not(target_os = "linux"))]
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("pacing at {bits_per_second} bits per second by the kernel needs Linux"),
    ))
}

/// What the system keeps for each direction, which on Linux is twice what may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Bytes on their way out.
    pub send: usize,
    /// Bytes received and not yet taken.
    pub receive: usize,
}

impl Buffers {
    /// Asks for buffers of `bytes` each way, and returns what the system then keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set(socket: &Socket, bytes: NonZeroU32) -> io::Result<Self> {
        let size = usize::try_from(bytes.get()).unwrap_or(usize::MAX);
        socket.set_send_buffer_size(size)?;
        socket.set_recv_buffer_size(size)?;
        Self::of(socket)
    }

    /// Returns what the system keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn of(socket: &Socket) -> io::Result<Self> {
        Ok(Self { send: socket.send_buffer_size()?, receive: socket.recv_buffer_size()? })
    }

    /// Says why `granted` is less than what was asked for; `None` if it is not.
    #[must_use]
    pub fn objection(asked: NonZeroU32, granted: &Self) -> Option<&'static str> {
        let asked = usize::try_from(asked.get()).unwrap_or(usize::MAX);
        (granted.send.min(granted.receive) < asked)
            .then_some("the system's limit is lower; on Linux see net.core.wmem_max and rmem_max")
    }
}

impl fmt::Display for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "send {}, receive {}", self.send, self.receive)
    }
}

#[cfg(test)]
mod tests {
    use socket2::Type;

    use super::*;

    fn socket(domain: Domain) -> Socket {
        Socket::new(domain, Type::STREAM, None).unwrap()
    }

    #[test]
    fn either_family_takes_the_byte_for_type_of_service() {
        for domain in [Domain::IPV4, Domain::IPV6] {
            assert_eq!(set_tos(&socket(domain), 0x10).unwrap(), 0x10, "{domain:?}");
        }
    }

    #[test]
    fn a_pacing_rate_is_in_whole_bytes() {
        let socket = socket(Domain::IPV4);
        assert_eq!(set_pacing_rate(&socket, 8_000_005).unwrap(), 8_000_008);
        assert_eq!(set_pacing_rate(&socket, 80_000_000_000).unwrap(), 80_000_000_000);
        assert_eq!(set_pacing_rate(&socket, 1).unwrap(), 8, "0 would be no pacing at all");
    }
}
