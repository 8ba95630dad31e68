use super::{Id, Packet, Prefix};
use crate::Endpoint;

/// Tells the handshake's packets from data, which may be anything.
///
/// Nothing looser than the whole packet, with its random id, is taken for one.
#[derive(Debug, Clone)]
pub enum Sieve {
    /// There was no handshake.
    Open,
    /// There is none, and nobody has answered yet.
    Unanswered,
    /// The server's end: the client may repeat its opening, and is told again that it is in.
    Server {
        /// What its packets begin with.
        prefix: Prefix,
        /// The client's name for its attempt.
        id: Id,
        /// What the flow began with.
        hello: Box<[u8]>,
        /// The answer.
        accept: Box<[u8]>,
    },
    /// The client's end: the server may answer once for each time that it was asked.
    Client {
        /// What its packets begin with.
        prefix: Prefix,
        /// The client's name for its attempt.
        id: Id,
    },
}

impl Sieve {
    /// Returns whether `datagram` is data. A client that asks again is answered.
    #[must_use]
    pub fn keeps(&self, datagram: &[u8], endpoint: &Endpoint) -> bool {
        match self {
            Self::Open | Self::Unanswered => true,
            Self::Server { prefix, id, hello, accept } => {
                let repeated = matches!(
                    Packet::parse(*prefix, datagram),
                    Some(Packet::Open { id: its, hello: its_hello, .. })
                        if its == *id && *its_hello == **hello
                );
                if repeated {
                    endpoint.send_now(accept);
                }
                !repeated
            }
            Self::Client { prefix, id } => !matches!(
                Packet::parse(*prefix, datagram),
                Some(Packet::Challenge { id: its, .. } | Packet::Accept { id: its, .. })
                    if its == *id
            ),
        }
    }
}
