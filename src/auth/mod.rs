//! Keys, credentials and users: what a server needs to know its clients, and a client to prove who
//! it is.
//!
//! It is iperf3's way, which is served in both dialects: a token of user, password and time,
//! encrypted with the server's RSA key. It proves who asks, and protects nothing else.

mod authorized;
mod client_key;
mod credentials;
mod file;
mod key;
mod psk;
#[cfg(test)]
mod tests;
mod users;

use aws_lc_rs::digest;

pub use self::{
    authorized::{AuthorizedKeys, AuthorizedKeysError, KeyMistake, KeyMistakes},
    client_key::{ClientKey, ClientKeyError},
    credentials::{BadCredentials, Credentials},
    key::{KeyError, KeyProblem, Padding, PrivateKey, PublicKey},
    psk::{Psk, PskError, Psks, psk_line},
    users::{UsersError, UsersFile, line},
};
use crate::protocol::auth::Digest;

/// What a client proves itself with to a server of polyperf's.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// A key that both ends know: the server proves that it does, too.
    Psk(Psk),
    /// A key of the client's own, which the server knows by its certificate. The server proves
    /// nothing by it.
    Key(ClientKey),
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut result = Digest::default();
    for (to, from) in result.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    result
}
