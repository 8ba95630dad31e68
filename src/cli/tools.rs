//! The options of the commands that look after an installation: completions, man and doctor.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{
    args::{Command, DoctorArgs, Shells},
    client::DEFAULT_PORT,
    exit,
    raw::Raw,
    values::{Mistakes, folder, one_of, whole},
};

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf completions bash|zsh|fish",
    after_help = after(COMPLETIONS_EXAMPLES, &exit::section_of_tools())
)]
pub(super) struct RawCompletions {
    /// The shell: bash, zsh or fish.
    #[arg(value_name = "SHELL")]
    shell: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "polyperf man [DIR]",
    after_help = after(MAN_EXAMPLES, &exit::section_of_tools())
)]
pub(super) struct RawMan {
    /// Folder that a page for each command is written to [default: the first page, to standard output].
    #[arg(value_name = "DIR")]
    folder: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "polyperf doctor [OPTIONS]",
    after_help = after(DOCTOR_EXAMPLES, &exit::section_of_doctor())
)]
pub(super) struct RawDoctor {
    /// Port that a server is to have [default: 5201].
    #[arg(short, long, value_name = "N", help_heading = "Addresses")]
    port: Option<String>,
    /// Report one JSON document.
    #[arg(short = 'J', long, help_heading = "Report")]
    json: bool,
}

/// Checks which shell is meant.
pub(super) fn completions(raw: &RawCompletions, mistakes: &mut Mistakes) -> Option<Command> {
    if raw.shell.is_none() {
        mistakes.add("SHELL is missing: write bash, zsh or fish");
    }
    let names = ["bash", "zsh", "fish"];
    let name = mistakes.value("SHELL", raw.shell.as_ref(), |text| one_of(text, &names))?;
    Some(Command::Completions(match name.as_str() {
        "bash" => Shells::Bash,
        "zsh" => Shells::Zsh,
        _ => Shells::Fish,
    }))
}

/// Checks where the manual goes.
pub(super) fn man(raw: &RawMan, mistakes: &mut Mistakes) -> Command {
    Command::Man(mistakes.value("DIR", raw.folder.as_ref(), folder))
}

/// Checks what is looked at.
pub(super) fn doctor(raw: &RawDoctor, mistakes: &mut Mistakes) -> Command {
    let port = mistakes.value("-p", raw.port.as_ref(), whole(1..=u16::MAX));
    Command::Doctor(DoctorArgs { port: port.unwrap_or(DEFAULT_PORT), json: raw.json })
}

/// Returns the script that completes command lines in a shell.
#[must_use]
pub fn completion_script(shell: Shells) -> Vec<u8> {
    let shell = match shell {
        Shells::Bash => Shell::Bash,
        Shells::Zsh => Shell::Zsh,
        Shells::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Raw::command(), "polyperf", &mut script);
    script
}

/// Returns the pages of the manual with the names of their files, the main one first.
#[must_use]
pub fn manual() -> Vec<(String, Vec<u8>)> {
    let mut command = Raw::command();
    command.build();
    let mut pages = Vec::new();
    page(&command, "polyperf", &mut pages);
    pages
}

fn page(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let named = command.clone().display_name(name.to_owned());
    let man = Man::new(named).source(concat!("polyperf ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = man.render(&mut text);
    pages.push((format!("{name}.1"), text));
    for subcommand in command.get_subcommands() {
        page(subcommand, &format!("{name}-{}", subcommand.get_name()), pages);
    }
}

fn after(examples: &str, codes: &str) -> String {
    format!("Examples:\n{examples}\n{codes}")
}

const COMPLETIONS_EXAMPLES: &str = "  polyperf completions bash > /etc/bash_completion.d/polyperf
  polyperf completions fish > ~/.config/fish/completions/polyperf.fish
";
const MAN_EXAMPLES: &str = "  polyperf man > polyperf.1
  polyperf man /usr/local/share/man/man1
";
const DOCTOR_EXAMPLES: &str = "  polyperf doctor
  polyperf doctor -p 5202 -J
";
