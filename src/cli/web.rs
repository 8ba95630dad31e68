//! The options of the web interface of a server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{
    args::Target,
    client::DEFAULT_PORT,
    host,
    values::{Mistakes, file, seconds_up_to, shown, whole},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Web interface")]
pub(super) struct RawWeb {
    /// Show what happens to browsers, at http://127.0.0.1:5280/ if no address is given.
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1"
    )]
    web: Option<String>,
    /// A server that tests may be run against from the pages; more than once for more of them.
    #[arg(long, value_name = "NAME=HOST[:PORT]")]
    web_peer: Vec<String>,
    /// File of the hash of the password of who may cancel and run tests, by polyperf web-password;
    /// without one, nobody may.
    #[arg(long, value_name = "FILE")]
    web_password_file: Option<String>,
    /// File of the token of programs that may do so.
    #[arg(long, value_name = "FILE")]
    web_token_file: Option<String>,
    /// Show nothing to who has not logged in.
    #[arg(long)]
    web_private: bool,
    /// A name of this host in the address bars of browsers, beside localhost; more than once for
    /// more of them.
    #[arg(long, value_name = "NAME")]
    web_host: Vec<String>,
    /// A server that Prometheus may have tested at /probe; more than once for more of them.
    #[arg(long, value_name = "HOST[:PORT]")]
    probe_target: Vec<String>,
    /// Seconds for which the result of such a test is shown again; 60 if not given.
    #[arg(long, value_name = "SECS")]
    probe_keep: Option<String>,
}

/// What a server's web interface is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebArgs {
    /// The address to listen on.
    pub addr: SocketAddr,
    /// The servers that tests may be run against, by their names.
    pub peers: Vec<(String, Target)>,
    /// The file of the password's hash.
    pub password_file: Option<PathBuf>,
    /// The file of the token.
    pub token_file: Option<PathBuf>,
    /// Whether only who has logged in may look on.
    pub private: bool,
    /// Further names of this host.
    pub hosts: Vec<String>,
    /// The servers that Prometheus may have tested, by the names that it has for them.
    pub probe_targets: Vec<(String, Target)>,
    /// How long the result of such a test is shown again.
    pub probe_keep: Duration,
}

/// Checks what the web interface is to be; `None` if there is to be none.
pub(super) fn web(raw: &RawWeb, mistakes: &mut Mistakes) -> Option<WebArgs> {
    let RawWeb {
        web,
        web_peer,
        web_password_file,
        web_token_file,
        web_private,
        web_host,
        probe_target,
        probe_keep,
    } = raw;
    let addr = mistakes.value("--web", web.as_ref(), address);
    let peers: Vec<_> =
        web_peer.iter().filter_map(|text| mistakes.value("--web-peer", Some(text), peer)).collect();
    for (at, (name, _)) in peers.iter().enumerate() {
        if peers[..at].iter().any(|(other, _)| other == name) {
            mistakes
                .add(format!("--web-peer names {} twice: each has a name of its own", shown(name)));
        }
    }
    let hosts = web_host.iter().filter_map(|text| mistakes.value("--web-host", Some(text), name));
    let hosts = hosts.collect();
    let targets = probe_target.iter();
    let targets = targets.filter_map(|text| mistakes.value("--probe-target", Some(text), target));
    let probe_targets = targets.collect();
    let keep = mistakes.value("--probe-keep", probe_keep.as_ref(), seconds_up_to(DAY, true));
    let password_file = mistakes.value("--web-password-file", web_password_file.as_ref(), file);
    let token_file = mistakes.value("--web-token-file", web_token_file.as_ref(), file);
    let further = [
        ("--web-peer", !web_peer.is_empty()),
        ("--web-password-file", web_password_file.is_some()),
        ("--web-token-file", web_token_file.is_some()),
        ("--web-private", *web_private),
        ("--web-host", !web_host.is_empty()),
        ("--probe-target", !probe_target.is_empty()),
        ("--probe-keep", probe_keep.is_some()),
    ];
    if let (None, Some((option, _))) = (web, further.iter().find(|(_, given)| *given)) {
        mistakes.add(format!("{option} needs --web as well: give both, or neither"));
    }
    let secret = web_password_file.is_some() || web_token_file.is_some();
    if *web_private && !secret {
        mistakes.add(
            "--web-private needs --web-password-file or --web-token-file: nobody could log in",
        );
    }
    let private = *web_private;
    let probe_keep = keep.unwrap_or(PROBE_KEEP);
    Some(WebArgs {
        addr: addr?,
        peers,
        password_file,
        token_file,
        private,
        hosts,
        probe_targets,
        probe_keep,
    })
}

/// Parses an address to listen on: a port, an address, or both.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = whole(0..=u16::MAX)(text)?;
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let bare = text.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().map_err(|_| {
        "is no address of this host: write for instance 192.0.2.1, [::]:8080 or 8080".to_owned()
    })?;
    Ok((ip, crate::web::DEFAULT_PORT).into())
}

fn peer(text: &str) -> Result<(String, Target), String> {
    let Some((name, host)) = text.split_once('=') else {
        return Err("has no name: write NAME=HOST, or NAME=HOST:PORT".to_owned());
    };
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("has no name that can be shown: give 1 to {MAX_NAME} characters"));
    }
    Ok((name.to_owned(), server(host)?))
}

fn target(text: &str) -> Result<(String, Target), String> {
    Ok((text.to_owned(), server(text)?))
}

fn server(text: &str) -> Result<Target, String> {
    let host = host::without_device(text)?;
    Ok(Target { host: host.name, port: host.port.unwrap_or(DEFAULT_PORT) })
}

fn name(text: &str) -> Result<String, String> {
    let host = host::without_device(text)?;
    if host.port.is_some() {
        return Err("has a port: write the name alone".to_owned());
    }
    Ok(host.name)
}

const MAX_NAME: usize = 64;
const PROBE_KEEP: Duration = Duration::from_secs(60);
const DAY: u64 = 86_400;
