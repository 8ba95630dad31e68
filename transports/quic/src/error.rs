//! What went wrong with a connection, in words and in kinds that callers know.

use std::io;

use quinn::{ConnectionError, VarInt};

/// Returns an error that says why a connection is lost.
pub(crate) fn describe(error: ConnectionError) -> io::Error {
    let kind = match &error {
        ConnectionError::TimedOut => io::ErrorKind::TimedOut,
        ConnectionError::VersionMismatch => io::ErrorKind::Unsupported,
        ConnectionError::Reset
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::ConnectionClosed(_) => io::ErrorKind::ConnectionReset,
        ConnectionError::LocallyClosed => io::ErrorKind::NotConnected,
        ConnectionError::TransportError(_) | ConnectionError::CidsExhausted => {
            io::ErrorKind::ConnectionAborted
        }
    };
    io::Error::new(kind, text(&error))
}

fn text(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "the other end fell silent, or was never there".to_owned(),
        ConnectionError::VersionMismatch => {
            "the other end speaks no version of QUIC that is spoken here".to_owned()
        }
        ConnectionError::Reset => "the other end has forgotten the connection".to_owned(),
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            match reason.is_empty() {
                true => {
                    format!("the other end has closed the connection (code {})", close.error_code)
                }
                false => format!("the other end has closed the connection: {}", printable(&reason)),
            }
        }
        ConnectionError::ConnectionClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            let code = close.error_code;
            format!("the other end has closed the connection: {code}{}", behind(&reason))
        }
        ConnectionError::TransportError(error) => {
            format!("{}{}", error.code, behind(&error.reason))
        }
        ConnectionError::LocallyClosed => "closed by this end".to_owned(),
        ConnectionError::CidsExhausted => "no connection ids are left".to_owned(),
    }
}

fn behind(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", printable(reason)) }
}

/// The other end's words, without what a terminal would obey, and not too many of them.
fn printable(text: &str) -> String {
    text.chars().take(MAX_REASON).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Codes with which this end closes connections.
pub(crate) mod code {
    use super::VarInt;

    pub(crate) const DONE: VarInt = VarInt::from_u32(0);
    pub(crate) const IDLE: VarInt = VarInt::from_u32(1);
    pub(crate) const NOT_OFFERED: VarInt = VarInt::from_u32(2);
    pub(crate) const BUSY: VarInt = VarInt::from_u32(3);
    pub(crate) const OVER: VarInt = VarInt::from_u32(4);
}

const MAX_REASON: usize = 200;
