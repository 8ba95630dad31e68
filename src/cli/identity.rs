//! Who a server is, and how a client knows.

use std::path::PathBuf;

use clap::Args;

use super::{
    access::complete,
    args::{Place, Trust},
    values::{Mistakes, file, folder},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Server identity")]
pub(super) struct RawTrust {
    /// Take the server with this certificate alone; polyperf cert show prints it there.
    #[arg(long, value_name = "FP")]
    pub(super) server_fingerprint: Option<String>,
    /// Take servers for whom an authority in this file vouches, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<String>,
    /// Take servers for whom an authority vouches that the system trusts.
    #[arg(long)]
    pub(super) system_roots: bool,
    /// Take any server; unsafe.
    #[arg(long)]
    pub(super) insecure_skip_verify: bool,
    /// Remember servers here by what they show at first, and then take no other [default:
    /// known_servers in the user's state folder].
    #[arg(long, value_name = "FILE")]
    pub(super) known_servers: Option<String>,
}

/// Where an identity is kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(super) struct RawFolder {
    /// Folder of the identity [default: polyperf in the user's or the service's state folder].
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<String>,
}

/// Where an identity is kept, or has been from elsewhere.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(super) struct RawPlace {
    #[command(flatten)]
    pub(super) folder: RawFolder,
    /// Certificates from elsewhere, the server's own first, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<String>,
    /// The private key to --cert, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<String>,
}

/// Checks how a client knows the server.
pub(super) fn trust(raw: &RawTrust, mistakes: &mut Mistakes) -> Trust {
    let RawTrust { server_fingerprint, ca, known_servers, .. } = raw;
    mistakes.exclusive(&raw.given(), "a server is known in one way; keep one");
    let fingerprint = mistakes.value("--server-fingerprint", server_fingerprint.as_ref(), |text| {
        let bad = "polyperf cert show prints one on the server";
        text.parse().map_err(|error| format!("is no fingerprint: {error}; {bad}"))
    });
    let authorities = mistakes.value("--ca", ca.as_ref(), file);
    let known = mistakes.value("--known-servers", known_servers.as_ref(), file);
    match (fingerprint, authorities) {
        (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
        (None, Some(authorities)) => Trust::Authorities(authorities),
        (None, None) if raw.system_roots => Trust::System,
        (None, None) if raw.insecure_skip_verify => Trust::Nobody,
        (None, None) => Trust::Known(known),
    }
}

/// Checks where a server's identity is.
pub(super) fn place(raw: &RawPlace, mistakes: &mut Mistakes) -> Place {
    let RawPlace { folder: RawFolder { state_dir }, cert, key } = raw;
    let given = [("--cert", cert.is_some()), ("--key", key.is_some())];
    complete(&given, &[], mistakes);
    let files = given.iter().find(|(_, given)| *given).map_or("--cert", |(option, _)| option);
    let both = [("--state-dir", state_dir.is_some()), (files, cert.is_some() || key.is_some())];
    mistakes.exclusive(&both, "a server has one identity; keep one");
    let folder = self::kept(&raw.folder, mistakes);
    let certificate = mistakes.value("--cert", cert.as_ref(), file);
    let key = mistakes.value("--key", key.as_ref(), file);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Place::Files { certificate, key },
        _ => Place::Folder(folder),
    }
}

/// Checks the folder that an identity is kept in.
pub(super) fn kept(raw: &RawFolder, mistakes: &mut Mistakes) -> Option<PathBuf> {
    mistakes.value("--state-dir", raw.state_dir.as_ref(), folder)
}

impl RawTrust {
    /// Returns its options, and which of them are given.
    pub(super) fn given(&self) -> [(&'static str, bool); 5] {
        [
            ("--server-fingerprint", self.server_fingerprint.is_some()),
            ("--ca", self.ca.is_some()),
            ("--system-roots", self.system_roots),
            ("--insecure-skip-verify", self.insecure_skip_verify),
            ("--known-servers", self.known_servers.is_some()),
        ]
    }
}
