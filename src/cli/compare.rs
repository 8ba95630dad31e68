//! The options of `polyperf compare`.

use std::time::Duration;

use super::{
    access,
    args::CompareArgs,
    client::{report, target},
    host, identity,
    raw::RawCompare,
    values::{Mistakes, one_of, seconds_up_to, shown, whole},
};
use crate::spec::MAX_STREAMS;

/// Checks every option.
pub(super) fn compare(
    raw: &RawCompare,
    transports: &[&str],
    mistakes: &mut Mistakes,
) -> CompareArgs {
    let host = mistakes.value("HOST", raw.host.as_ref(), host::without_device);
    let port = mistakes.value("-p", raw.port.as_ref(), whole(1..=u16::MAX));
    if let (None, Some(port)) = (&raw.host, port) {
        mistakes
            .add(format!("-p {port} is of no use without HOST: name the host, or leave out -p"));
    }
    let duration = mistakes.value("-t", raw.time.as_ref(), seconds_up_to(DAY, false));
    let streams = mistakes.value("-P", raw.parallel.as_ref(), whole(1..=MAX_STREAMS));
    let names =
        mistakes.value("--transport", raw.transport.as_ref(), |text| list(text, transports));
    let login = access::login(&raw.login, mistakes);
    if let (None, Some(login)) = (&raw.host, &login) {
        mistakes.add(format!(
            "--username {} is of no use without HOST: name the host, or leave it out",
            shown(&login.user)
        ));
    }
    let trust = identity::trust(&raw.trust, mistakes);
    let given = raw.trust.given().into_iter().filter(|(_, given)| *given && raw.host.is_none());
    for (option, _) in given {
        mistakes.add(format!("{option} is of no use without HOST: name the host, or leave it out"));
    }
    CompareArgs {
        target: host.map(|host| target(host, port, mistakes)),
        duration: duration.unwrap_or(DEFAULT_DURATION),
        streams: streams.unwrap_or(1),
        transports: names
            .unwrap_or_else(|| transports.iter().map(|&name| name.to_owned()).collect()),
        report: report(raw.json, false, false, mistakes),
        progress: !raw.no_progress,
        login,
        trust,
    }
}

/// Parses names between commas, each once.
fn list(text: &str, transports: &[&str]) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',') {
        let name = one_of(name, transports)
            .map_err(|problem| format!("has a name, {}, that {problem}", shown(name)))?;
        if names.contains(&name) {
            return Err(format!("has {name} twice: keep one"));
        }
        names.push(name);
    }
    Ok(names)
}

const DEFAULT_DURATION: Duration = Duration::from_secs(3);
/// A day, in seconds.
const DAY: u64 = 86_400;
