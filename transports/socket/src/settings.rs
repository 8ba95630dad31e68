use std::{fmt, io, num::NonZeroU32};

use polyperf_transport::Setting;
use socket2::Socket;

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
