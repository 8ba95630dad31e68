//! The options of `polyperf cert`, for each of its commands.

use clap::{Args, Subcommand};

use super::{
    args::CertArgs,
    client, exit, host,
    identity::{self, RawFolder, RawPlace},
    values::{Mistakes, file},
};

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf cert COMMAND [OPTIONS]",
    after_help = after(EXAMPLES)
)]
pub(super) struct RawCert {
    #[command(subcommand)]
    pub(super) command: RawCertCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawCertCommand {
    /// Show a server's identity: its fingerprint, its names and how long it is valid.
    Show(RawShow),
    /// Make a new identity, made out to these names and addresses.
    Make(RawMake),
    /// Write the certificates of the identity, in PEM.
    Export(RawExport),
    /// List the servers that a client has met, and their fingerprints.
    Known(RawKnown),
    /// Forget a server that a client has met, so that it may show another certificate.
    Forget(RawForget),
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf cert show [OPTIONS]",
    after_help = after(SHOW_EXAMPLES)
)]
pub(super) struct RawShow {
    #[command(flatten)]
    place: RawPlace,
    /// Show it as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf cert make [NAME...] [OPTIONS]",
    after_help = after(MAKE_EXAMPLES)
)]
pub(super) struct RawMake {
    /// Host names and addresses of the server [default: polyperf and those of this host's loopback].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    folder: RawFolder,
    /// Replace the one that is there, which clients know.
    #[arg(long, help_heading = "Identity")]
    replace: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf cert export [OPTIONS]",
    after_help = after(EXPORT_EXAMPLES)
)]
pub(super) struct RawExport {
    #[command(flatten)]
    folder: RawFolder,
    /// Write the private key as well, which nobody else should see.
    #[arg(long, help_heading = "Identity")]
    private_key: bool,
    /// Write to a file, which is replaced and for its owner alone.
    #[arg(short, long, value_name = "FILE", help_heading = "Report")]
    output: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf cert known [OPTIONS]",
    after_help = after(KNOWN_EXAMPLES)
)]
pub(super) struct RawKnown {
    #[command(flatten)]
    servers: RawServers,
    /// Show them as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf cert forget HOST[:PORT] [OPTIONS]",
    after_help = after(FORGET_EXAMPLES)
)]
pub(super) struct RawForget {
    /// The server, by the name or address it was met by; at all ports unless one is named.
    #[arg(value_name = "HOST", required = true)]
    host: Option<String>,
    #[command(flatten)]
    servers: RawServers,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Server identity")]
pub(super) struct RawServers {
    /// File of the servers [default: known_servers in the user's state folder].
    #[arg(long, value_name = "FILE")]
    known_servers: Option<String>,
}

/// Checks the options of one of the commands. Returns `None` if a mistake leaves nothing to do.
pub(super) fn cert(raw: &RawCertCommand, mistakes: &mut Mistakes) -> Option<CertArgs> {
    Some(match raw {
        RawCertCommand::Show(RawShow { place, json }) => {
            CertArgs::Show { identity: identity::place(place, mistakes), json: *json }
        }
        RawCertCommand::Make(RawMake { names, folder, replace }) => CertArgs::Make {
            folder: identity::kept(folder, mistakes),
            names: names.clone(),
            replace: *replace,
        },
        RawCertCommand::Export(RawExport { folder, private_key, output }) => CertArgs::Export {
            folder: identity::kept(folder, mistakes),
            private_key: *private_key,
            output: mistakes.value("-o", output.as_ref(), client::output_file),
        },
        RawCertCommand::Known(RawKnown { servers, json }) => CertArgs::Known {
            file: mistakes.value("--known-servers", servers.known_servers.as_ref(), file),
            json: *json,
        },
        RawCertCommand::Forget(RawForget { host, servers }) => {
            let file = mistakes.value("--known-servers", servers.known_servers.as_ref(), file);
            let host = mistakes.value("HOST", host.as_ref(), host::without_device)?;
            CertArgs::Forget { file, host: host.name, port: host.port }
        }
    })
}

fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n{}", exit::section_of_cert())
}

const EXAMPLES: &str = "  polyperf cert show
  polyperf cert make perf.example.net 192.0.2.1
  polyperf cert forget perf.example.net
";
const SHOW_EXAMPLES: &str = "  polyperf cert show
  polyperf cert show --cert server.pem --key server.key -J
";
const MAKE_EXAMPLES: &str = "  polyperf cert make
  polyperf cert make perf.example.net 192.0.2.1 --replace
";
const EXPORT_EXAMPLES: &str = "  polyperf cert export
  polyperf cert export --private-key -o identity.pem
";
const KNOWN_EXAMPLES: &str = "  polyperf cert known
  polyperf cert known -J
";
const FORGET_EXAMPLES: &str = "  polyperf cert forget perf.example.net
  polyperf cert forget [2001:db8::1]:5201
";
