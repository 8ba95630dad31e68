//! The options of `polyperf config`, and the one that names the configuration file.

use clap::{Args, Subcommand};

use super::{
    args::ConfigArgs,
    exit,
    values::{Mistakes, file},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct RawSource {
    /// Configuration file, in place of polyperf/polyperf.toml in the user's configuration folder or in
    /// /etc; none reads none.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf config COMMAND [OPTIONS]",
    after_help = after(EXAMPLES)
)]
pub(super) struct RawConfig {
    #[command(subcommand)]
    pub(super) command: RawConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawConfigCommand {
    /// Look for mistakes in a configuration file.
    Check(RawCheck),
    /// Show which settings hold, and where each comes from.
    Show(RawShow),
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf config check [FILE]",
    after_help = after(CHECK_EXAMPLES)
)]
pub(super) struct RawCheck {
    /// The file [default: the one that polyperf server would read].
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf config show [OPTIONS] [-- server|client|compare [OPTIONS]]",
    after_help = after(SHOW_EXAMPLES)
)]
pub(super) struct RawShow {
    /// The command line whose settings are shown [default: server, client and
    /// compare].
    #[arg(value_name = "COMMAND")]
    line: Vec<String>,
    #[command(flatten)]
    source: RawSource,
    /// Show them as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

/// Checks the options of one of the commands.
pub(super) fn config(raw: &RawConfigCommand, mistakes: &mut Mistakes) -> ConfigArgs {
    match raw {
        RawConfigCommand::Check(raw) => {
            ConfigArgs::Check { file: mistakes.value("FILE", raw.file.as_ref(), file) }
        }
        RawConfigCommand::Show(raw) => {
            let known = ["server", "-s", "client", "-c", "compare"];
            if let Some(first) = raw.line.first().filter(|first| !known.contains(&first.as_str())) {
                let first = super::values::shown(first);
                mistakes.add(format!("{first} has no settings: write server, client or compare"));
            }
            source(&raw.source, mistakes);
            let file = raw.source.config.clone();
            ConfigArgs::Show { line: raw.line.clone(), file, json: raw.json }
        }
    }
}

/// Checks the name of the file; by the time that clap has it, the file was read.
pub(super) fn source(raw: &RawSource, mistakes: &mut Mistakes) {
    mistakes.value("--config", raw.config.as_ref(), file);
}

fn after(examples: &str) -> String {
    format!("Examples:\n{examples}\n{}", exit::section_of_config())
}

const EXAMPLES: &str = "  polyperf config check /etc/polyperf/polyperf.toml
  polyperf config show
";
const CHECK_EXAMPLES: &str = "  polyperf config check
  polyperf config check polyperf.toml
";
const SHOW_EXAMPLES: &str = "  polyperf config show
  polyperf config show -J --config polyperf.toml
  polyperf config show -- server --max-sessions 8
";
