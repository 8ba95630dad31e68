use std::{fmt, str::FromStr, sync::Arc};

use rustls::crypto::CryptoProvider;

/// Whose cryptography TLS is done with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Provider {
    /// ring, which is always there.
    #[default]
    Ring,
    /// AWS-LC, which is there if this crate was built with its feature `aws-lc-rs`.
    AwsLcRs,
}

/// Why there is no such provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nobody has heard of it.
    #[error("no provider of cryptography is called {0:?}; there are ring and aws-lc-rs")]
    Unknown(String),
    /// It was not built in.
    #[error(
        "this program was built without the provider {0}; build it with --features aws-lc-rs, or choose ring"
    )]
    NotBuilt(Provider),
}

/// Returns a provider of cryptography. None is ever installed for the whole process.
///
/// # Errors
///
/// [`ProviderError::NotBuilt`].
pub fn provider(provider: Provider) -> Result<Arc<CryptoProvider>, ProviderError> {
    match provider {
        Provider::Ring => Ok(Arc::new(rustls::crypto::ring::default_provider())),
        #[cfg(feature = "aws-lc-rs")]
        Provider::AwsLcRs => Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider())),
        #[cfg(not(feature = "aws-lc-rs"))]
        Provider::AwsLcRs => Err(ProviderError::NotBuilt(provider)),
    }
}

impl Provider {
    /// All there are, built in or not.
    pub const ALL: [Self; 2] = [Self::Ring, Self::AwsLcRs];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::AwsLcRs => "aws-lc-rs",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|provider| provider.name() == text);
        found.ok_or_else(|| ProviderError::Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_the_name_it_shows() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        assert_eq!("openssl".parse::<Provider>(), Err(ProviderError::Unknown("openssl".into())));
    }

    #[test]
    fn ring_is_always_there() {
        assert!(provider(Provider::Ring).is_ok());
    }

    #[test]
    #[cfg(not(feature = "aws-lc-rs"))]
    fn a_provider_that_was_not_built_says_how_to_build_it() {
        let error = provider(Provider::AwsLcRs).unwrap_err().to_string();
        assert!(error.contains("--features aws-lc-rs"), "{error}");
    }

    #[test]
    #[cfg(feature = "aws-lc-rs")]
    fn aws_lc_is_there_if_it_was_built() {
        assert!(provider(Provider::AwsLcRs).is_ok());
    }
}
