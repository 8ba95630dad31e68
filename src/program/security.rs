//! From where the user keeps identities, known servers and authorities to what transports take.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use polyperf_certs::{
    Identity, IdentityError, KnownServers, NoStateDir, Provider, Roots, RootsError, Trust,
    default_state_dir,
};
use tracing::{info, warn};

use super::cert::keep;
use crate::{
    cli::{self, Place, Tls},
    registry::{IdentitySource, Security},
    server::ControlTls,
};

/// Reads what a client knows servers by.
pub(super) fn of_client(trust: &cli::Trust, tls: &Tls) -> Result<Security, String> {
    let tls = set_up(tls)?;
    let roots = |roots: Result<Roots, RootsError>| {
        roots.map(Trust::Roots).map_err(|error| error.to_string())
    };
    let trust = match trust {
        cli::Trust::Known(Some(file)) => Trust::Known(KnownServers::at(file)),
        cli::Trust::Known(None) => Trust::Known(default_known_servers()),
        cli::Trust::Fingerprint(fingerprint) => Trust::Pinned(*fingerprint),
        cli::Trust::Authorities(file) => roots(Roots::open(file))?,
        cli::Trust::System => roots(Roots::system())?,
        cli::Trust::Nobody => Trust::Insecure,
    };
    Ok(Security { trust, ..tls })
}

/// Reads a server's identity, or makes one, and tells the log.
pub(super) fn of_server(place: &Place, tls: &Tls) -> Result<Security, String> {
    let tls = set_up(tls)?;
    let identity = match place {
        Place::Files { certificate, key } => of_files(certificate, key)?,
        Place::Folder(Some(folder)) => kept(folder).map_err(|error| explain(&error))?,
        Place::Folder(None) => match state_dir() {
            Ok(folder) => match kept(&folder) {
                Err(error @ IdentityError::Write { .. }) => passing(&error.to_string())?,
                identity => identity.map_err(|error| explain(&error))?,
            },
            Err(error) => passing(&error.to_string())?,
        },
    };
    Ok(Security { identity: IdentitySource::Loaded(identity.into()), ..tls })
}

/// Reads a server's identity again, and checks that this provider can use it. Returns `None` where
/// there is no place to keep one, or nothing in the usual one.
pub(super) fn again(place: &Place, cryptography: Provider) -> Result<Option<Identity>, String> {
    let identity = match place {
        Place::Files { certificate, key } => files(certificate, key)?,
        Place::Folder(Some(folder)) => in_folder(folder)?,
        Place::Folder(None) => match state_dir() {
            Ok(folder) if !keep::is_empty(&folder) => in_folder(&folder)?,
            _ => return Ok(None),
        },
    };
    let usable = ControlTls::new(identity.clone(), cryptography);
    usable.map(|_| Some(identity)).map_err(|error| error.to_string())
}

/// Reads the identity in a folder, where none is made.
fn in_folder(folder: &Path) -> Result<Identity, String> {
    if keep::is_empty(folder) {
        return Err(format!(
            "there is no identity in {} any more; restore it, or make one with polyperf cert make",
            folder.display()
        ));
    }
    let found = Identity::load_or_generate(folder);
    found.map(|(identity, _)| identity).map_err(|error| explain(&error))
}

/// Reads an identity that is from elsewhere.
pub(super) fn files(certificate: &Path, key: &Path) -> Result<Identity, String> {
    Identity::from_pem_files(certificate, key).map_err(|error| match error {
        IdentityError::Read { .. } => {
            format!("{error}; --cert and --key name two files that this user may read")
        }
        error => error.to_string(),
    })
}

/// Returns the folder for what is kept from one run to the next.
pub(super) fn state_dir() -> Result<PathBuf, NoStateDir> {
    default_state_dir(|name| env::var_os(name))
}

/// Returns the file of known servers in a folder.
pub(super) fn known_servers(folder: &Path) -> PathBuf {
    folder.join("known_servers")
}

/// Says what to do about an identity that cannot be kept in its folder.
pub(super) fn explain(error: &IdentityError) -> String {
    let remedy = match error {
        IdentityError::Read { .. } => {
            "; see that this user may read it, or name another folder with --state-dir"
        }
        IdentityError::Write { .. } => {
            "; name a folder that this user may write to with --state-dir"
        }
        IdentityError::Bad { .. } => {
            "; restore it, or let polyperf cert make --replace make an identity that clients do not know"
        }
        // The others say themselves what to do.
        _ => "",
    };
    format!("{error}{remedy}")
}

fn default_known_servers() -> KnownServers {
    match state_dir() {
        Ok(folder) => KnownServers::at(known_servers(&folder)),
        Err(error) => {
            info!(%error, "servers are not remembered");
            KnownServers::in_memory()
        }
    }
}

fn of_files(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let identity = files(certificate, key)?;
    let fingerprint = identity.fingerprint();
    info!(%fingerprint, kept_in = %certificate.display(), "this server's identity");
    Ok(identity)
}

fn kept(folder: &Path) -> Result<Identity, IdentityError> {
    let (identity, made) = Identity::load_or_generate(folder)?;
    let (fingerprint, kept_in) = (identity.fingerprint(), folder.display());
    if made {
        info!(%fingerprint, %kept_in, "this server's identity, made now");
    } else {
        info!(%fingerprint, %kept_in, "this server's identity");
    }
    Ok(identity)
}

/// Makes an identity that is gone with this process, because of `reason`.
fn passing(reason: &str) -> Result<Identity, String> {
    let identity = Identity::generate(&[]).map_err(|error| explain(&error))?;
    let fingerprint = identity.fingerprint();
    warn!(
        %fingerprint,
        reason,
        "this server's identity, in memory: after a restart clients see another one"
    );
    Ok(identity)
}

/// Sees that logs can be written, before anything is done that they would be about.
fn set_up(tls: &Tls) -> Result<Security, String> {
    if let Some(folder) = &tls.qlog {
        let usable = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        usable.map_err(|error| {
            format!(
                "cannot write logs to {}: {error}; name a folder that may be written to with --qlog",
                folder.display()
            )
        })?;
    }
    Ok(Security { provider: tls.provider, qlog: tls.qlog.clone(), ..Security::default() })
}
