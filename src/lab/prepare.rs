//! Entering what a tier needs, before any thread starts.

use std::{io, io::Write, time::Duration};

use super::{
    Lab, LabError, Obstacle, Tier,
    remedy::{Failure, Host, Step, at},
    sys::{init::Processes, namespace, trial::in_a_copy},
};

/// The right to open a lab: this process is where its tier needs it to be.
#[derive(Debug)]
pub struct Prepared {
    pub(super) tier: Tier,
    pub(super) processes: Option<Processes>,
    pub(super) refused: Vec<(Tier, Obstacle)>,
}

impl Prepared {
    /// Returns the tier that was found.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Returns the better tiers that cannot be had here, and what is in their way.
    #[must_use]
    pub fn refused(&self) -> &[(Tier, Obstacle)] {
        &self.refused
    }
}

/// Finds the best tier that works here, or tries the one that is wanted, and enters what it needs.
///
/// Each is tried in a copy of this process first, which carries a packet across: one that fails
/// half-way leaves nothing changed. A process that is root in a namespace of users afterwards stays
/// in the host's network; only what it makes through an [`Endpoint`](super::Endpoint) is elsewhere.
///
/// # Errors
///
/// [`LabError::Threads`] if a second thread has been started; [`LabError::Refused`] if the wanted
/// tier cannot be had, with the remedy.
pub fn prepare(wanted: Option<Tier>) -> Result<Prepared, LabError> {
    refuse_threads()?;
    let mut refused = Vec::new();
    for tier in wanted.map_or_else(in_order, |tier| vec![tier]) {
        match try_tier(tier) {
            Ok(()) => return enter(tier, refused),
            Err(obstacle) => refused.push((tier, obstacle)),
        }
    }
    // The last of all needs nothing, so that only one that was wanted comes to this.
    let (tier, obstacle) = refused.pop().expect("a tier has been tried");
    Err(LabError::Refused { tier, obstacle })
}

/// Tries a tier in a copy of this process.
pub(super) fn try_tier(tier: Tier) -> Result<(), Obstacle> {
    let host = Host::read();
    let failed = |error: io::Error| at(Step::Cross)(error).explain(&host);
    let attempt = |output: &mut std::fs::File| {
        let outcome = cross(tier).map_err(|failure| failure.explain(&host));
        // Who asked finds nothing if this fails, and says so.
        let _ = serde_json::to_writer(&mut *output, &outcome.err());
        let _ = output.flush();
    };
    let answer = in_a_copy(attempt, PATIENCE).map_err(failed)?;
    let obstacle: Option<Obstacle> = serde_json::from_slice(&answer)
        .map_err(|_| failed(io::Error::other("the attempt ended without an answer")))?;
    obstacle.map_or(Ok(()), Err)
}

pub(super) fn refuse_threads() -> Result<(), LabError> {
    match namespace::threads() {
        Ok(1) => Ok(()),
        Ok(threads) => Err(LabError::Threads { threads }),
        Err(source) => Err(LabError::System { doing: "counts its threads".to_owned(), source }),
    }
}

/// Returns all tiers in the order in which they are tried.
pub(super) fn in_order() -> Vec<Tier> {
    let mut tiers = Tier::ALL.to_vec();
    // Root needs no namespace of users, and in it has more of the host's settings in its way.
    if namespace::is_privileged() {
        tiers.sort_by_key(|tier| (!tier.has_namespaces(), tier.has_user_namespace(), *tier));
    }
    tiers
}

fn enter(tier: Tier, refused: Vec<(Tier, Obstacle)>) -> Result<Prepared, LabError> {
    let processes = enter_namespaces(tier).map_err(|failure| {
        let obstacle = failure.explain(&Host::read());
        LabError::Refused { tier, obstacle }
    })?;
    Ok(Prepared { tier, processes, refused })
}

fn enter_namespaces(tier: Tier) -> Result<Option<Processes>, Failure> {
    if !tier.has_namespaces() {
        return Ok(None);
    }
    if tier.has_user_namespace() {
        namespace::enter_users().map_err(at(Step::Users))?;
    } else if !namespace::is_privileged() {
        return Err(at(Step::Rights)(io::Error::from_raw_os_error(libc::EPERM)));
    }
    Processes::new().map(Some).map_err(at(Step::Processes))
}

/// Opens a lab, and has a packet cross it in both directions.
fn cross(tier: Tier) -> Result<(), Failure> {
    let processes = enter_namespaces(tier)?;
    let prepared = Prepared { tier, processes, refused: Vec::new() };
    let lab = Lab::assemble(prepared, super::DEFAULT_MTU)?;
    lab.knock(KNOCK).map_err(at(Step::Cross))
}

/// How long all of an attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a packet may take.
const KNOCK: Duration = Duration::from_secs(3);
