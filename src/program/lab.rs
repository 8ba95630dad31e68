//! `polyperf lab`: emulated links, and what runs over them.

mod beside;
mod exec;
mod run;
mod show;

use std::sync::Arc;

use super::complain;
use crate::{
    cli::{LabArgs, LabLink, exit},
    lab::{
        self, Lab, LabError, Passage, Tier,
        preset::{self, Preset, PresetError},
    },
};

/// Does what was asked for. It enters namespaces, so nothing may have started a thread.
pub(super) fn run(args: LabArgs) -> u8 {
    let result = match args {
        LabArgs::List { json } => show::list(json),
        LabArgs::Show { preset, json } => show::one(&preset, json),
        LabArgs::Doctor { json } => show::doctor(json),
        LabArgs::Run { link, line } => run::client(&link, line),
        LabArgs::Exec { link, near, far, truth } => exec::both(&link, near, far, truth),
        LabArgs::Shell { link, far } => exec::shell(&link, far),
    };
    result.unwrap_or_else(|refused| refuse(&refused))
}

/// Says why nothing came of it, and returns the exit code.
pub(super) fn refuse(refused: &Refused) -> u8 {
    complain(&refused.text);
    refused.code
}

/// Why nothing came of it: what to say, and the exit code.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: u8,
    pub(super) text: String,
}

impl From<PresetError> for Refused {
    fn from(error: PresetError) -> Self {
        Self { code: exit::USAGE, text: error.to_string() }
    }
}

impl From<LabError> for Refused {
    fn from(error: LabError) -> Self {
        Self { code: exit::LOCAL_IO, text: error.to_string() }
    }
}

impl Refused {
    pub(super) fn local(text: String) -> Self {
        Self { code: exit::LOCAL_IO, text }
    }
}

/// Opens a lab for a link, and says where it is not the best one.
fn open(link: &LabLink) -> Result<(Arc<Lab>, Passage), Refused> {
    let preset = preset::find(&link.preset)?;
    let lab = Lab::open(lab::prepare(link.made.tier)?, preset.mtu.unwrap_or(Preset::MTU))?;
    remark(&lab);
    let lab = Arc::new(lab);
    let passage = Passage::new(Arc::clone(&lab), preset, link.made.seed);
    Ok((lab, passage.tolerating(link.made.latest)))
}

/// Refuses a transport that does not cross the link.
pub(super) fn crosses(lab: &Lab, transport: &str) -> Result<(), Refused> {
    if lab.tier() == Tier::Relay && transport == "tcp" {
        return Err(Refused::local(format!(
            "{transport} does not cross the link here, which is {}: choose udp, rudp, kcp or quic; \
             polyperf lab doctor says what is in the way of more",
            lab.tier().about()
        )));
    }
    Ok(())
}

/// Refuses to run other programs where they would be beside the link.
fn holds_programs(lab: &Lab) -> Result<(), Refused> {
    if lab.tier().has_namespaces() {
        return Ok(());
    }
    Err(Refused::local(format!(
        "other programs cannot run over the link here, which is {}: polyperf lab doctor says what is \
         in the way of more",
        lab.tier().about()
    )))
}

/// Says what better there would be, and what could not be set.
pub(super) fn remark(lab: &Lab) {
    if !lab.tier().carries_tcp() {
        for (tier, obstacle) in lab.refused() {
            complain(&format!("no {tier}: {obstacle}"));
        }
        complain(&format!("taking {}: {}", lab.tier(), lab.tier().about()));
    }
    for remark in lab.remarks() {
        complain(remark);
    }
}
