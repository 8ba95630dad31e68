//! Who may do what on a server, and how a client proves who it is.

use clap::Args;

use super::{
    args::Governance,
    values::{Mistakes, file},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Policies")]
pub(super) struct RawGovernance {
    /// Who may do what, by address and by identity, in TOML; docs/governance.md has its form.
    #[arg(long, value_name = "FILE")]
    pub(super) policies: Option<String>,
    /// Serve anybody, and hold those whom no policy is for and who have not proved who they are to
    /// small tests.
    #[arg(long)]
    pub(super) public: bool,
}

/// Checks who may do what.
pub(super) fn governance(raw: &RawGovernance, mistakes: &mut Mistakes) -> Governance {
    let RawGovernance { policies, public } = raw;
    Governance { policies: mistakes.value("--policies", policies.as_ref(), file), public: *public }
}
