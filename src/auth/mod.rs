//! Keys, credentials and users: what a server needs to know its clients, and a client to prove who
//! it is.
//!
//! It is iperf3's way, which is served in both dialects: a token of user, password and time,
//! encrypted with the server's RSA key. It proves who asks, and protects nothing else.

mod credentials;
mod file;
mod key;
mod psk;
#[cfg(test)]
mod tests;
mod users;

use aws_lc_rs::digest;

pub use self::{
    credentials::{BadCredentials, Credentials},
    key::{KeyError, KeyProblem, Padding, PrivateKey, PublicKey},
    psk::{Psk, PskError, Psks, psk_line},
    users::{UsersError, UsersFile, line},
};
use crate::protocol::auth::Digest;

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut result = Digest::default();
    for (to, from) in result.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    result
}
