use std::{io, sync::Arc};

use polyperf_certs::{Provider, Trust, Verifier, provider};
use polyperf_transport::Stream;

use super::Config;
use crate::control::{self, Channel};

/// How a client runs the control connection inside TLS.
#[derive(Debug, Clone)]
pub struct ControlTls {
    /// How it knows the server.
    pub trust: Trust,
    /// Whose cryptography it is done with.
    pub provider: Provider,
}

impl ControlTls {
    /// Shakes hands over `stream`, and returns the stream inside. One that is protected by its
    /// transport already stays as it is.
    pub(super) async fn protect(
        &self,
        config: &Config,
        stream: Stream,
    ) -> Result<(Stream, Channel), String> {
        if stream.path.stats().security.is_some() {
            return Ok((stream, Channel::new()));
        }
        let cryptography = provider(self.provider).map_err(|error| error.to_string())?;
        let verifier = self.trust.verifier(cryptography, &config.host, config.port, None);
        let verifier = verifier.map_err(|error| error.to_string())?;
        let tls = verifier.client_config(&[crate::server::ALPN], false, None);
        let tls = tls.map_err(|error| error.to_string())?;
        let name = verifier.server_name().clone();
        match control::connect_tls(stream, name, Arc::new(tls)).await {
            Ok(protected) => {
                remember(&verifier).await;
                Ok(protected)
            }
            Err(error) => Err(explain(&verifier, &error)),
        }
    }
}

fn explain(verifier: &Verifier, error: &io::Error) -> String {
    match verifier.refusal() {
        Some(refusal) => refusal.to_string(),
        None => format!(
            "no TLS handshake: {error}; the server is busy, or speaks no TLS on this port because it is older or none of polyperf's: leave out --tls if that may be"
        ),
    }
}

/// Remembers a server that was not known before, which touches the disk.
async fn remember(verifier: &Arc<Verifier>) {
    if !verifier.is_to_remember() {
        return;
    }
    let verifier = Arc::clone(verifier);
    let remembered = tokio::task::spawn_blocking(move || verifier.remember()).await;
    if let Ok(Err(error)) = remembered {
        tracing::warn!(%error, "the server's fingerprint is not remembered");
    }
}
