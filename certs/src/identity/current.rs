use std::sync::{Arc, Mutex, PoisonError};

use super::Identity;

/// Who a server is at the moment. Clones share it, and who shows it to clients shows what it is by then.
#[derive(Debug, Clone)]
pub struct CurrentIdentity(Arc<Mutex<Identity>>);

impl CurrentIdentity {
    /// Returns what is this identity until it is replaced.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(Mutex::new(identity)))
    }

    /// Has the server be another one from now on. Connections that are open stay as they are.
    pub fn replace(&self, identity: Identity) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Returns who the server is now.
    #[must_use]
    pub fn now(&self) -> Identity {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Identity> for CurrentIdentity {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}
