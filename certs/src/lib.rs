//! Who a server is, and how its clients know.
//!
//! An [`Identity`] is a server's certificate and key: made in memory, kept in a folder, or one's
//! own. [`Trust`] is how a client decides whether it speaks to the right server, and says for each a
//! [`Verifier`], which afterwards has the [`Verdict`], or the [`Refusal`] in full. Nothing here
//! opens a socket; the cryptography is an argument, and never installed for the whole process.
//!
//! ```
//! use polyperf_certs::{Identity, KnownServers, Provider, Trust, Verified, provider};
//! use rustls::{ClientConnection, ServerConnection};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ring = provider(Provider::Ring)?;
//! let identity = Identity::generate(&[])?;
//! let config = identity.server_config(ring.clone(), &[b"perf"], false)?;
//! let mut server = ServerConnection::new(config.into())?;
//!
//! let known = KnownServers::in_memory();
//! let trust = Trust::Known(known.clone());
//! let verifier = trust.verifier(ring, "localhost", 5201, None)?;
//! let config = verifier.client_config(&[b"perf"], false, None)?;
//! let mut client = ClientConnection::new(config.into(), verifier.server_name().clone())?;
//!
//! while client.is_handshaking() || server.is_handshaking() {
//!     let mut bytes = Vec::new();
//!     client.write_tls(&mut bytes)?;
//!     server.read_tls(&mut &bytes[..])?;
//!     server.process_new_packets()?;
//!     bytes.clear();
//!     server.write_tls(&mut bytes)?;
//!     client.read_tls(&mut &bytes[..])?;
//!     client.process_new_packets()?;
//! }
//! verifier.remember()?;
//! assert_eq!(verifier.verdict().map(|verdict| verdict.how), Some(Verified::FirstUse));
//! assert_eq!(known.get("localhost", 5201)?, Some(identity.fingerprint()));
//! # Ok(())
//! # }
//! ```

mod file;
mod fingerprint;
mod identity;
mod known;
mod pem;
mod provider;
mod signature;
mod state_dir;
mod trust;

pub use self::{
    fingerprint::{BadFingerprint, Fingerprint},
    identity::{Content, CurrentIdentity, DEFAULT_NAMES, Description, Identity, IdentityError},
    known::{BadHostPort, HostPort, KnownServers, KnownServersError},
    pem::Problem,
    provider::{Provider, ProviderError, provider},
    signature::is_signed,
    state_dir::{NoStateDir, default_state_dir},
    trust::{Refusal, Roots, RootsError, Trust, TrustError, Verdict, Verified, Verifier},
};
