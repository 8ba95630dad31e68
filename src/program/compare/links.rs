//! The emulated links that a comparison runs over.

use std::{sync::Arc, time::Duration};

use super::super::{
    complain,
    lab::{Refused, crosses, remark},
};
use crate::{
    cli::{LinkMade, LinksArgs},
    compare::{
        experiment::{Arm, PartKind},
        links::{Over, Stretch},
    },
    lab::{
        self, Calibration, Lab,
        doctor::calibrate,
        link::BitRate,
        preset::{self, Preset},
    },
};

/// Opens a lab for these links, and measures how good it is. Nothing may have started a thread.
pub(in crate::program) fn open(args: &LinksArgs, arms: &[Arm]) -> Result<Over, Refused> {
    let presets: Result<Vec<Preset>, _> =
        args.presets.iter().map(|name| preset::find(name)).collect();
    let presets = presets?;
    let mtu = |preset: &Preset| preset.mtu.unwrap_or(Preset::MTU);
    let least = presets.iter().map(mtu).min().unwrap_or(Preset::MTU);
    for other in presets.iter().filter(|preset| mtu(preset) != least) {
        complain(&format!(
            "{} has packets of {} bytes alone, and {least} beside the others",
            other.label(),
            mtu(other)
        ));
    }
    let lab = Arc::new(Lab::open(lab::prepare(args.made.tier)?, least)?);
    remark(&lab);
    let competing = args.cross.iter().map(|cross| &cross.arm);
    arms.iter().chain(competing).try_for_each(|arm| crosses(&lab, &arm.transport))?;
    let calibration = match lab.tier().emulates() {
        true => Some(calibrate(&lab)?),
        false => None,
    };
    if let Some(calibration) = &calibration {
        presets.iter().try_for_each(|preset| can_be_trusted(preset, calibration))?;
    }
    let links = presets.into_iter().map(|preset| stretch(args, preset)).collect();
    let LinkMade { seed, latest, .. } = args.made;
    Ok(Over { lab, links, seed, cross: args.cross.clone(), calibration, latest })
}

/// Refuses a link whose every run would turn out to be spoilt.
fn can_be_trusted(preset: &Preset, calibration: &Calibration) -> Result<(), Refused> {
    let (to_far, to_near) = preset.links(0);
    for way in [to_far, to_near] {
        let reached = if way.is_per_packet() { calibration.exact } else { calibration.whole };
        let rate = way.mean_rate().map_or(0, BitRate::bits_per_second);
        if rate > reached / 2 {
            return Err(Refused::local(format!(
                "{} has {rate} bit/s, and this machine just reached {reached}, of which half can be \
                 trusted: leave it out, or have nothing else run here",
                preset.label()
            )));
        }
    }
    Ok(())
}

/// Returns how long a link is measured: long enough for a sender to find its rate, which takes it
/// round trips.
fn stretch(args: &LinksArgs, preset: Preset) -> Stretch {
    let (to_far, to_near) = preset.links(args.made.seed);
    let round_trip = to_far.delay + to_near.delay;
    Stretch {
        preset,
        time: args.time.unwrap_or(LEAST_TIME.max(round_trip * 10)),
        warm_up: args.warm_up.unwrap_or(LEAST_WARM_UP.max(round_trip * 5)),
        gap: args.gap.unwrap_or(LEAST_GAP.max(round_trip * 2)),
    }
}

/// Returns what is compared over links unless something else is asked for: TCP with each congestion
/// control that this kernel has, and what of the others has one.
pub(in crate::program) fn arms(over: &Over) -> Vec<Arm> {
    let transports = ["tcp", "quic", "kcp", "rudp"];
    let tcp = controls().into_iter().map(|control| format!("tcp-{control}"));
    let tcp: Vec<String> = tcp.filter(|_| over.lab.tier().carries_tcp()).collect();
    let others = transports.iter().skip(1).map(|name| (*name).to_owned());
    tcp.into_iter().chain(others).filter_map(|name| Arm::named(&name, &transports)).collect()
}

/// Returns which of the best known congestion controls this kernel has.
fn controls() -> Vec<&'static str> {
    let known = std::fs::read_to_string(AVAILABLE).unwrap_or_default();
    let has = |name: &&str| known.split_whitespace().any(|other| other == *name);
    ["cubic", "bbr"].into_iter().filter(has).collect()
}

/// Returns what is measured unless something else is asked for: over a slow link the largest transfer
/// would take longer than all the rest.
pub(in crate::program) fn parts() -> Vec<PartKind> {
    PartKind::ALL.into_iter().filter(|part| *part != PartKind::Transfer10m).collect()
}

const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";
const LEAST_TIME: Duration = Duration::from_secs(3);
const LEAST_WARM_UP: Duration = Duration::from_secs(1);
/// As long as what is queued on a bloated link takes to get through.
const LEAST_GAP: Duration = Duration::from_millis(500);
