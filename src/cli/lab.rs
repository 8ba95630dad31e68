//! The options of `polyperf lab`, for each of its commands.

use clap::{Args, Subcommand};

use super::{
    args::{LabArgs, LabLink, LinkMade},
    exit,
    values::{Mistakes, file, natural, one_of, seconds_up_to, shown},
};
use crate::lab::Tier;

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf lab COMMAND [OPTIONS]",
    after_help = after(EXAMPLES, &exit::section_of_lab())
)]
pub(super) struct RawLab {
    #[command(subcommand)]
    pub(super) command: RawLabCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawLabCommand {
    /// List the links that there are.
    List(RawList),
    /// Show what a link is like.
    Show(RawShow),
    /// Run a client over a link, against a server on its far side.
    Run(RawRun),
    /// Run two commands, one on each side of a link.
    Exec(RawExec),
    /// Open a shell on the near side of a link, with a server on the far side.
    Shell(RawShell),
    /// Try what this machine permits, and measure how exact it is.
    Doctor(RawLabDoctor),
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab list [OPTIONS]",
    after_help = after(LIST_EXAMPLES, &exit::section_of_tools())
)]
pub(super) struct RawList {
    /// List them as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab show PRESET [OPTIONS]",
    after_help = after(SHOW_EXAMPLES, &exit::section_of_tools())
)]
pub(super) struct RawShow {
    /// The link: a name of polyperf lab list, with @VERSION if need be, or a file.
    #[arg(value_name = "PRESET", required = true)]
    preset: Option<String>,
    /// Show it as a JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab run PRESET [OPTIONS] -- client [OPTIONS]",
    after_help = after(RUN_EXAMPLES, &exit::section_of_lab())
)]
pub(super) struct RawRun {
    /// The link, and behind -- the client as it would be called, without a host.
    #[arg(value_name = "PRESET", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    dice: RawDice,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab exec PRESET --near COMMAND --far COMMAND [OPTIONS]",
    after_help = after(EXEC_EXAMPLES, &exit::section_of_lab())
)]
pub(super) struct RawExec {
    /// The link.
    #[arg(value_name = "PRESET", required = true)]
    preset: Option<String>,
    /// Command of the near side, which starts first; what it prints goes to standard error.
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    near: Option<String>,
    /// Command of the far side; once it ends, all does, with its exit code. {near} and {far} stand for
    /// the sides' addresses, {near6} and {far6} for those of IPv6.
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    far: Option<String>,
    /// Write what the link counted to a file, as a JSON document.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    truth: Option<String>,
    #[command(flatten)]
    dice: RawDice,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab shell PRESET [OPTIONS]",
    after_help = after(SHELL_EXAMPLES, &exit::section_of_lab())
)]
pub(super) struct RawShell {
    /// The link.
    #[arg(value_name = "PRESET", required = true)]
    preset: Option<String>,
    /// Command of the far side, in place of polyperf server.
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    far: Option<String>,
    #[command(flatten)]
    dice: RawDice,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf lab doctor [OPTIONS]",
    after_help = after(DOCTOR_EXAMPLES, &exit::section_of_doctor())
)]
pub(super) struct RawLabDoctor {
    /// Report one JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Link")]
pub(super) struct RawDice {
    /// What the link's dice follow from: the same seed loses the same packets; 1
    /// if not given.
    #[arg(long, value_name = "N")]
    pub(super) link_seed: Option<String>,
    /// What the link is made of: tun-user, packet-user, tun-root, packet-root, relay or loopback;
    /// if not given, the first that this machine permits.
    #[arg(long, value_name = "TIER")]
    pub(super) tier: Option<String>,
    /// How many seconds late packets may come out of the link at p99 before a run is spoilt and done
    /// again; 0.001, or a twentieth of the link's delay if that is more, if not given.
    #[arg(long, value_name = "S")]
    pub(super) link_late: Option<String>,
}

/// Checks what a link's dice follow from, what it is made of, and how exact it is to be.
pub(super) fn made(raw: &RawDice, mistakes: &mut Mistakes) -> LinkMade {
    let latest = seconds_up_to(MAX_LATE, false);
    LinkMade {
        seed: mistakes.value("--link-seed", raw.link_seed.as_ref(), natural).unwrap_or(1),
        tier: mistakes.value("--tier", raw.tier.as_ref(), tier),
        latest: mistakes.value("--link-late", raw.link_late.as_ref(), latest),
    }
}

/// Checks the options of one of the commands. Returns `None` if a mistake leaves nothing to do.
pub(super) fn lab(raw: &RawLabCommand, mistakes: &mut Mistakes) -> Option<LabArgs> {
    Some(match raw {
        RawLabCommand::List(raw) => LabArgs::List { json: raw.json },
        RawLabCommand::Show(raw) => {
            LabArgs::Show { preset: preset(raw.preset.as_ref(), mistakes)?, json: raw.json }
        }
        RawLabCommand::Run(raw) => {
            let (first, line) = raw.words.split_first()?;
            match line.first().map(String::as_str) {
                Some("client" | "-c") => {}
                Some(other) => mistakes.add(format!(
                    "{} cannot be run over a link: write -- client, with its options behind it",
                    shown(other)
                )),
                None => mistakes.add(
                    "the client is missing: write -- client, as in polyperf lab run lossy-iid -- \
                     client --transport quic",
                ),
            }
            LabArgs::Run { link: link(Some(first), &raw.dice, mistakes)?, line: line.to_owned() }
        }
        RawLabCommand::Exec(raw) => {
            let near = command("--near", raw.near.as_ref(), "iperf3 -s", mistakes);
            let far = command("--far", raw.far.as_ref(), "iperf3 -c {near}", mistakes);
            let truth = mistakes.value("--truth", raw.truth.as_ref(), file);
            let link = link(raw.preset.as_ref(), &raw.dice, mistakes)?;
            LabArgs::Exec { link, near: near?, far: far?, truth }
        }
        RawLabCommand::Shell(raw) => {
            let far = mistakes.text("--far", raw.far.as_ref());
            LabArgs::Shell { link: link(raw.preset.as_ref(), &raw.dice, mistakes)?, far }
        }
        RawLabCommand::Doctor(raw) => LabArgs::Doctor { json: raw.json },
    })
}

fn link(preset_of: Option<&String>, raw: &RawDice, mistakes: &mut Mistakes) -> Option<LabLink> {
    let made = made(raw, mistakes);
    Some(LabLink { preset: preset(preset_of, mistakes)?, made })
}

/// Parses the name of a tier.
fn tier(text: &str) -> Result<Tier, String> {
    let names = Tier::ALL.map(Tier::name);
    let name = one_of(text, &names)?;
    Tier::ALL.into_iter().find(|tier| tier.name() == name).ok_or_else(|| "is no tier".to_owned())
}

fn preset(text: Option<&String>, mistakes: &mut Mistakes) -> Option<String> {
    mistakes.text("PRESET", text)
}

fn command(
    option: &str,
    text: Option<&String>,
    example: &str,
    mistakes: &mut Mistakes,
) -> Option<String> {
    if text.is_none() {
        mistakes.add(format!("{option} is missing: name a command, as in {option} {example:?}"));
    }
    mistakes.text(option, text)
}

fn after(examples: &str, codes: &str) -> String {
    format!("Examples:\n{examples}\n{codes}")
}

const EXAMPLES: &str = "  polyperf lab list
  polyperf lab run lossy-iid -- client --transport quic
  polyperf compare --link lossy-iid,geo
";
const LIST_EXAMPLES: &str = "  polyperf lab list
  polyperf lab list -J
";
const SHOW_EXAMPLES: &str = "  polyperf lab show wifi-bad
  polyperf lab show ./mine.toml -J
";
const RUN_EXAMPLES: &str = "  polyperf lab run lossy-iid -- client --transport quic
  polyperf lab run geo --link-seed 7 -- client -C bbr -t 30 -R -J
";
const EXEC_EXAMPLES: &str =
    "  polyperf lab exec bufferbloat --near 'iperf3 -s' --far 'iperf3 -c {near}'
";
/// The longest that packets may be late, in seconds.
const MAX_LATE: u64 = 3600;
const SHELL_EXAMPLES: &str = "  polyperf lab shell wifi-bad
  polyperf lab shell geo --far 'iperf3 -s'
";
const DOCTOR_EXAMPLES: &str = "  polyperf lab doctor
";
