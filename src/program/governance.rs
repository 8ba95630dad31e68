//! Policies and keys, from where the user keeps them.

use std::{
    env,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{complain, print};
use crate::{
    auth::{AuthorizedKeys, ClientKey, ClientProof, Psks, psk_line},
    cli::{Governance, KeyFile, Proof, PskArgs, exit},
    registry::{IdentitySource, Registry, Security},
    server::{ControlTls, Policies},
};

/// Reads who may do what on a server that offers these transports.
pub(super) fn policies(args: &Governance, transports: &Registry) -> Result<Policies, String> {
    let policies = match &args.policies {
        Some(file) => of_file(file, &transports.names())?,
        None => Policies::default(),
    };
    Ok(if args.public { policies.public() } else { policies })
}

/// Reads the keys of a server.
pub(super) fn psks(args: &Governance) -> Result<Option<Psks>, String> {
    args.psks.as_ref().map(|file| open(file).map(|(psks, _)| psks)).transpose()
}

/// Reads whom a server knows by keys of their own.
pub(super) fn authorized_keys(args: &Governance) -> Result<Option<AuthorizedKeys>, String> {
    let Some(file) = &args.authorized_keys else { return Ok(None) };
    let (path, _) = located(file)?;
    AuthorizedKeys::open(&path).map(Some).map_err(|error| error.to_string())
}

/// Reads what proves who a client is.
pub(super) fn proof(proof: &Proof) -> Result<ClientProof, String> {
    match proof {
        Proof::Psk { file, identity } => {
            let (psks, path) = open(file)?;
            let psk = psks.only(identity.as_deref(), &path);
            psk.map(ClientProof::Psk).map_err(|error| error.to_string())
        }
        Proof::Key(file) => {
            let (path, is_credential) = located(file)?;
            let key = ClientKey::open(&path, is_credential);
            key.map(ClientProof::Key).map_err(|error| error.to_string())
        }
    }
}

/// Returns how a server with this identity takes control connections inside TLS.
pub(super) fn tls(security: &Security) -> Result<Option<ControlTls>, String> {
    let IdentitySource::Loaded(identity) = &security.identity else { return Ok(None) };
    let tls = ControlTls::new(identity.clone(), security.provider);
    tls.map(Some).map_err(|error| format!("cannot take control connections inside TLS: {error}"))
}

/// Makes a key, and prints it.
pub(super) fn make(args: &PskArgs) -> u8 {
    let PskArgs::Make { identity } = args;
    match psk_line(identity, &Zeroizing::new(rand::random())) {
        Some(line) => print(&Zeroizing::new(format!("{}\n", line.as_str())), exit::SUCCESS),
        None => {
            complain(&format!("{identity:?} is no identity: a name without blanks and colons"));
            exit::USAGE
        }
    }
}

fn open(file: &KeyFile) -> Result<(Psks, PathBuf), String> {
    let (path, is_credential) = located(file)?;
    let psks = Psks::open(&path, is_credential).map_err(|error| error.to_string())?;
    Ok((psks, path))
}

/// Returns where a file is, and whether the service's manager has put it there.
fn located(file: &KeyFile) -> Result<(PathBuf, bool), String> {
    Ok(match file {
        KeyFile::Path(path) => (path.clone(), false),
        KeyFile::Credential(name) => {
            let folder = env::var_os(CREDENTIALS).ok_or_else(|| {
                format!("there is no credential {name}: {CREDENTIALS} is not set; start this as a service with LoadCredential={name}:FILE, or name a file")
            })?;
            (PathBuf::from(folder).join(name), true)
        }
    })
}

fn of_file(path: &Path, transports: &[&str]) -> Result<Policies, String> {
    let shown = path.display();
    let failed = |error| format!("cannot read the policies {shown}: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Policies::parse(&text, transports).map_err(|mistakes| {
        let lines: Vec<_> =
            mistakes.iter().map(|m| format!("{shown}:{}: {}", m.line, m.problem)).collect();
        lines.join("\npolyperf: ")
    })
}

/// Where a service's manager puts what it keeps for it.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Some ten thousand policies.
const MAX_FILE: u64 = 4 << 20;
