mod file;
mod fingerprint;
mod identity;
mod pem;
mod provider;
mod state_dir;

pub use self::{
    fingerprint::{BadFingerprint, Fingerprint},
    identity::{DEFAULT_NAMES, Description, Identity, IdentityError},
    pem::Problem,
    provider::{Provider, ProviderError, provider},
    state_dir::{NoStateDir, default_state_dir},
};
