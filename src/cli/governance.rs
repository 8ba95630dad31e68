//! Who may do what on a server, and how a client proves who it is.

use clap::{Args, Subcommand};

use super::{
    args::{Governance, KeyFile, Proof, PskArgs},
    exit,
    values::{Mistakes, file},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Policies")]
pub(super) struct RawGovernance {
    /// Who may do what, by address and by identity, in TOML; docs/governance.md has its form.
    #[arg(long, value_name = "FILE")]
    policies: Option<String>,
    /// Serve anybody, and hold those whom no policy is for and who have not proved who they are to
    /// small tests.
    #[arg(long)]
    public: bool,
    /// Let in clients that know one of these keys, a line each: IDENTITY:KEY, as polyperf psk make
    /// prints it; credential:NAME is one of the service's credentials.
    #[arg(long, value_name = "FILE")]
    psk_file: Option<String>,
    /// Let in clients that hold one of these keys, a line each: FINGERPRINT NAME, as polyperf cert show
    /// prints the fingerprint at the client; credential:NAME is one of the service's credentials.
    #[arg(long, value_name = "FILE")]
    authorized_keys: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(super) struct RawProof {
    /// Prove who this is with the key in this file, a line IDENTITY:KEY, and have the server prove
    /// that it knows the key; credential:NAME is one of the service's credentials.
    #[arg(long, value_name = "FILE")]
    psk_file: Option<String>,
    /// The identity whose key it is, where the file has more than one.
    #[arg(long, value_name = "NAME")]
    psk_identity: Option<String>,
    /// Prove who this is with the private key in this file, which has its certificate as well, as
    /// polyperf cert export --private-key writes it; credential:NAME is one of the service's
    /// credentials.
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
    /// Run the control connection inside TLS, and know the server as over quic; streams of tcp stay
    /// as they are.
    #[arg(long)]
    pub(super) tls: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf psk COMMAND [OPTIONS]",
    after_help = after(EXAMPLES)
)]
pub(super) struct RawPsk {
    #[command(subcommand)]
    pub(super) command: RawPskCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawPskCommand {
    /// Make a key, and print it as a line for --psk-file at both ends.
    Make(RawPskMake),
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf psk make IDENTITY",
    after_help = after(EXAMPLES)
)]
pub(super) struct RawPskMake {
    /// Whom the key is for: a name without blanks and colons.
    #[arg(value_name = "IDENTITY", required = true)]
    identity: Option<String>,
}

/// Checks who may do what.
pub(super) fn governance(raw: &RawGovernance, mistakes: &mut Mistakes) -> Governance {
    let RawGovernance { policies, public, psk_file, authorized_keys } = raw;
    Governance {
        policies: mistakes.value("--policies", policies.as_ref(), file),
        public: *public,
        psks: mistakes.value("--psk-file", psk_file.as_ref(), named_file),
        authorized_keys: mistakes.value("--authorized-keys", authorized_keys.as_ref(), named_file),
    }
}

impl RawProof {
    /// Returns its options, and which of them are given.
    pub(super) fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("--psk-file", self.psk_file.is_some()),
            ("--psk-identity", self.psk_identity.is_some()),
            ("--key-file", self.key_file.is_some()),
            ("--tls", self.tls),
        ]
    }
}

/// Checks how a client proves who it is.
pub(super) fn proof(raw: &RawProof, mistakes: &mut Mistakes) -> Option<Proof> {
    let RawProof { psk_file, psk_identity, key_file, .. } = raw;
    let given = [("--psk-file", psk_file.is_some()), ("--key-file", key_file.is_some())];
    mistakes.exclusive(&given, "a client proves in one way who it is; keep one");
    if psk_identity.is_some() && psk_file.is_none() {
        mistakes.add("--psk-identity needs --psk-file as well: give both, or neither");
    }
    let identity = mistakes.value("--psk-identity", psk_identity.as_ref(), identity);
    let psk = mistakes.value("--psk-file", psk_file.as_ref(), named_file);
    let key = mistakes.value("--key-file", key_file.as_ref(), named_file);
    psk.map(|file| Proof::Psk { file, identity }).or(key.map(Proof::Key))
}

/// Checks the options of one of the commands. Returns `None` if a mistake leaves nothing to do.
pub(super) fn psk(raw: &RawPskCommand, mistakes: &mut Mistakes) -> Option<PskArgs> {
    let RawPskCommand::Make(RawPskMake { identity: name }) = raw;
    Some(PskArgs::Make { identity: mistakes.value("IDENTITY", name.as_ref(), identity)? })
}

fn named_file(text: &str) -> Result<KeyFile, String> {
    match text.strip_prefix("credential:") {
        Some(name) if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') => {
            Err("names no credential: write credential:NAME".to_owned())
        }
        Some(name) => Ok(KeyFile::Credential(name.to_owned())),
        None => file(text).map(KeyFile::Path),
    }
}

fn identity(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    if text == "*" || text.starts_with('#') || text.len() > 255 || text.chars().any(bad) {
        return Err("is no identity: write a name without blanks and colons".to_owned());
    }
    Ok(text.to_owned())
}

fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n{}", exit::section_of_psk())
}

const EXAMPLES: &str = "  polyperf psk make alice >> keys
  polyperf server --psk-file keys
  polyperf client HOST --psk-file keys --psk-identity alice
";
