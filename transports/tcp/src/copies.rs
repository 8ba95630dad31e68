//! Sending and receiving without the kernel copying, where a user asks for it.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, FromRawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use polyperf_transport::{Setting, Tuning};
use socket2::Socket;

/// Which copies a connection is to do without.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    no_send: AtomicBool,
    no_receive: AtomicBool,
}

impl Copies {
    /// Takes note of what is asked for, and says what comes of it.
    pub(crate) fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        let mut settings = Vec::new();
        if tuning.zero_copy {
            self.no_send.store(true, Ordering::Relaxed);
            settings.push(granted("zero_copy", "sendfile"));
        }
        if tuning.skip_rx_copy {
            self.no_receive.store(true, Ordering::Relaxed);
            settings.push(granted("skip_rx_copy", "MSG_TRUNC"));
        }
        settings
    }

    pub(crate) fn spares_sending(&self) -> bool {
        self.no_send.load(Ordering::Relaxed)
    }

    /// Returns the flags with which bytes are received.
    pub(crate) fn receive_flags(&self) -> i32 {
        // On TCP, the bytes are discarded and counted.
        if self.no_receive.load(Ordering::Relaxed) { libc::MSG_TRUNC } else { 0 }
    }
}

/// A payload that lies in the kernel's memory, and is sent from there over and over.
#[derive(Debug)]
pub(crate) struct Stored {
    file: File,
    len: usize,
}

impl Stored {
    /// Bytes that are worth storing: the kernel hands so many to the socket at once (a pipe's 16 pages),
    /// and holds the last of a longer call back while it fetches the next. They also stay in the
    /// processor's cache.
    pub(crate) const MOST: usize = 64 << 10;

    /// Stores `payload`.
    pub(crate) fn new(payload: &[u8]) -> io::Result<Self> {
        // SAFETY: the name is a C string; the descriptor that comes back is nobody else's.
        let mut file = unsafe {
            let fd = libc::memfd_create(c"polyperf payload".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(fd)
        };
        file.write_all(payload)?;
        Ok(Self { file, len: payload.len() })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Sends up to `len` bytes from its start, and returns how many the socket took.
    pub(crate) fn send(&self, socket: &Socket, len: usize) -> io::Result<usize> {
        let mut offset = 0;
        // SAFETY: both descriptors are open, and `offset` outlives the call.
        let sent = unsafe {
            libc::sendfile(
                socket.as_raw_fd(),
                self.file.as_raw_fd(),
                &raw mut offset,
                len.min(self.len),
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

fn granted(option: &str, how: &str) -> Setting {
    Setting {
        option: option.to_owned(),
        asked: true.to_string(),
        granted: Some(how.to_owned()),
        refused: None,
    }
}
