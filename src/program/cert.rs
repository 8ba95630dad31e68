//! `polyperf cert`: identities and known servers, shown and changed.

pub(super) mod keep;

use std::{
    io,
    path::{Path, PathBuf},
};

use polyperf_certs::{Description, Identity, IdentityError, KnownServers, KnownServersError};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{complain, print, security};
use crate::{
    cli::{CertArgs, Place, exit},
    report::safe,
};

/// Why nothing came of it: the exit code, and what to say.
struct Refused {
    code: u8,
    error: String,
}

/// Does what was asked for, and says what came of it.
pub(super) fn run(args: &CertArgs) -> u8 {
    let (as_json, result) = match args {
        CertArgs::Show { identity, json } => (*json, show(identity, *json)),
        CertArgs::Make { folder, names, replace } => {
            (false, make(folder.as_deref(), names, *replace))
        }
        CertArgs::Export { folder, private_key, output } => {
            (false, export(folder.as_deref(), *private_key, output.as_deref()))
        }
        CertArgs::Known { file, json } => (*json, known(file.as_deref(), *json)),
        CertArgs::Forget { file, host, port } => (false, forget(file.as_deref(), host, *port)),
    };
    match result {
        Ok(code) => code,
        Err(Refused { code, error }) if as_json => {
            print(&json(&Failed { error: &error }).unwrap_or_default(), code)
        }
        Err(Refused { code, error }) => {
            complain(&error);
            code
        }
    }
}

fn show(place: &Place, as_json: bool) -> Result<u8, Refused> {
    let (identity, file) = match place {
        Place::Files { certificate, key } => {
            (security::files(certificate, key).map_err(Refused::io)?, certificate.clone())
        }
        Place::Folder(folder) => {
            let folder = or_default(folder.as_deref())?;
            (there(&folder)?, folder.join(keep::CERTIFICATE))
        }
    };
    let shown = Shown { description: identity.description(), file: file.display().to_string() };
    let text = if as_json { json(&shown)? } else { shown.text() };
    Ok(print(&text, exit::SUCCESS))
}

fn make(folder: Option<&Path>, names: &[String], replace: bool) -> Result<u8, Refused> {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let folder = or_default(folder)?;
    let identity = Identity::generate(&names)?;
    keep::keep(&identity, &folder, replace)?;
    let file = folder.join(keep::CERTIFICATE).display().to_string();
    let shown = Shown { description: identity.description(), file };
    Ok(print(&shown.text(), exit::SUCCESS))
}

fn export(folder: Option<&Path>, private_key: bool, output: Option<&Path>) -> Result<u8, Refused> {
    let identity = there(&or_default(folder)?)?;
    let mut text = Zeroizing::new(identity.certificate_pem());
    if private_key {
        let key = identity.key_pem();
        // Of the full size from the start: a text that grows leaves copies behind.
        let mut both = Zeroizing::new(String::with_capacity(text.len() + key.len()));
        both.push_str(&text);
        both.push_str(&key);
        text = both;
    }
    let Some(path) = output else { return Ok(print(&text, exit::SUCCESS)) };
    let written = keep::beside(path, text.as_bytes(), keep::PRIVATE)
        .and_then(|file| file.persist(path).map_err(io::Error::from));
    written.map_err(|error| Refused::io(format!("cannot write {}: {error}", path.display())))?;
    Ok(exit::SUCCESS)
}

fn known(file: Option<&Path>, as_json: bool) -> Result<u8, Refused> {
    let file = known_file(file)?;
    let servers = KnownServers::at(&file).iter()?;
    let text = if as_json {
        let servers = servers.map(|(server, fingerprint)| KnownServer {
            host: server.host().to_owned(),
            port: server.port(),
            fingerprint: fingerprint.to_string(),
        });
        json(&Known { file: file.display().to_string(), servers: servers.collect() })?
    } else {
        servers.map(|(server, fingerprint)| format!("{server} {fingerprint}\n")).collect()
    };
    Ok(print(&text, exit::SUCCESS))
}

fn forget(file: Option<&Path>, host: &str, port: Option<u16>) -> Result<u8, Refused> {
    let file = known_file(file)?;
    let forgotten = KnownServers::at(&file).forget(host, port)?;
    let at = port.map(|port| format!(" at port {port}")).unwrap_or_default();
    let file = file.display();
    if forgotten == 0 {
        let error = format!("{host}{at} is not known in {file}; polyperf cert known lists who is");
        return Err(Refused { code: exit::FAILED, error });
    }
    let what = if forgotten == 1 { "server" } else { "servers" };
    Ok(print(&format!("forgot {forgotten} {what}: {host}{at}, in {file}\n"), exit::SUCCESS))
}

/// Returns the identity in a folder, which is not made if it is not there.
fn there(folder: &Path) -> Result<Identity, Refused> {
    if keep::is_empty(folder) {
        let error = format!(
            "there is no identity in {}; polyperf cert make makes one, and so does polyperf server",
            folder.display()
        );
        return Err(Refused { code: exit::FAILED, error });
    }
    Ok(Identity::load_or_generate(folder)?.0)
}

fn or_default(folder: Option<&Path>) -> Result<PathBuf, Refused> {
    let default = || {
        let default = security::state_dir();
        default.map_err(|error| Refused::io(format!("{error}, or name one with --state-dir")))
    };
    folder.map_or_else(default, |folder| Ok(folder.to_owned()))
}

fn known_file(file: Option<&Path>) -> Result<PathBuf, Refused> {
    let default = || {
        let default = security::state_dir().map(|folder| security::known_servers(&folder));
        default
            .map_err(|error| Refused::io(format!("{error}, or name the file with --known-servers")))
    };
    file.map_or_else(default, |file| Ok(file.to_owned()))
}

fn json(document: &impl Serialize) -> Result<String, Refused> {
    let text = serde_json::to_string_pretty(document);
    let text = text.map_err(|error| Refused::io(format!("cannot write JSON: {error}")))?;
    Ok(safe::json(text) + "\n")
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    description: Description,
    /// The file of the certificates.
    file: String,
}

#[derive(Serialize)]
struct Known {
    file: String,
    servers: Vec<KnownServer>,
}

#[derive(Serialize)]
struct KnownServer {
    host: String,
    port: u16,
    fingerprint: String,
}

impl Shown {
    fn text(&self) -> String {
        let Description { fingerprint, certificates, content } = &self.description;
        let mut lines = vec![("Fingerprint", fingerprint.to_string())];
        if let Some(content) = content {
            lines.push(("Names", content.names.join(", ")));
            lines.push(("Valid", format!("{} to {}", content.not_before, content.not_after)));
            lines.push(("Key", content.key.clone()));
            if content.issuer != content.subject {
                lines.push(("Subject", content.subject.clone()));
                lines.push(("Issuer", content.issuer.clone()));
            }
        }
        if *certificates > 1 {
            lines.push(("Chain", format!("{certificates} certificates")));
        }
        lines.push(("File", self.file.clone()));
        lines.iter().map(|(what, value)| format!("{what:<11}  {}\n", safe::line(value))).collect()
    }
}

impl Refused {
    fn io(error: impl Into<String>) -> Self {
        Self { code: exit::LOCAL_IO, error: error.into() }
    }
}

impl From<IdentityError> for Refused {
    fn from(error: IdentityError) -> Self {
        let code = match error {
            IdentityError::Name { .. } => exit::USAGE,
            _ => exit::LOCAL_IO,
        };
        Self { code, error: security::explain(&error) }
    }
}

impl From<KnownServersError> for Refused {
    fn from(error: KnownServersError) -> Self {
        Self::io(error.to_string())
    }
}
