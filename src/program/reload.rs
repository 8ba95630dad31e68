//! What a server does at SIGHUP: it reads its settings again.

use std::{ffi::OsString, path::Path};

use polyperf_certs::Identity;
use tracing::{error, info, warn};

use super::{config, governance, logging::Level, security, sources};
use crate::{
    auth::{AuthorizedKeys, Psks, UsersFile},
    cli::{self, Command, Invocation, ServerArgs},
    config::{Setting, Settings},
    registry::Registry,
    server::{Handle, Policies},
};

/// Takes over new settings, as far as that can be done while a server runs.
#[derive(Debug)]
pub(super) struct Reloader {
    /// The command line, which stays.
    line: Vec<OsString>,
    /// What is in force.
    settings: Settings,
    /// Whether the server asks clients who they are.
    knows_users: bool,
    handle: Handle,
    level: Level,
}

/// What was read of files that settings name.
#[derive(Debug)]
struct Files {
    policies: Policies,
    psks: Option<Psks>,
    authorized_keys: Option<AuthorizedKeys>,
    users: Option<UsersFile>,
    identity: Option<Identity>,
}

impl Reloader {
    pub(super) fn new(
        line: Vec<OsString>,
        settings: Settings,
        args: &ServerArgs,
        handle: Handle,
        level: Level,
    ) -> Self {
        Self { line, settings, knows_users: args.access.is_some(), handle, level }
    }

    /// Reads the settings again, and returns what came of it. If anything is wrong with them, none is
    /// taken over.
    pub(super) fn reload(&mut self) -> String {
        match self.read() {
            Ok((args, settings)) => {
                let files = match self.files(&args) {
                    Ok(files) => files,
                    Err(mistake) => return kept(&[mistake]),
                };
                self.take(files);
                self.handle.set_limits(config::limits(&args));
                self.level.set(args.log.level);
                self.tell(settings)
            }
            Err(mistakes) => kept(&mistakes),
        }
    }

    fn read(&self) -> Result<(ServerArgs, Settings), Vec<String>> {
        let line = self.line.iter().cloned();
        let names = Registry::standard();
        let parsed = cli::parse(line, &names.names(), &sources::of_process());
        let Invocation { command, settings } = parsed.map_err(|exit| {
            let lines = exit.text.lines().filter_map(|line| line.strip_prefix("error: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        })?;
        self.same_file(settings.file.as_deref()).map_err(|mistake| vec![mistake])?;
        match command {
            Command::Server(args) => Ok((args, settings)),
            _ => Err(vec!["the command line is no server's any more".to_owned()]),
        }
    }

    /// Refuses to take a file that is gone for one that says nothing: an editor may be about to
    /// replace it.
    fn same_file(&self, now: Option<&Path>) -> Result<(), String> {
        match self.settings.file.as_deref() {
            Some(before) if now != Some(before) => Err(format!(
                "{} is not there any more; put it back, or restart the server to do without",
                before.display()
            )),
            _ => Ok(()),
        }
    }

    /// Reads what settings name as files.
    fn files(&self, args: &ServerArgs) -> Result<Files, String> {
        let policies = governance::policies(&args.governance, &Registry::standard())?;
        let psks = governance::psks(&args.governance)?;
        let authorized_keys = governance::authorized_keys(&args.governance)?;
        let access = args.access.as_ref().filter(|_| self.knows_users);
        let users = access.map(|access| UsersFile::open(&access.users)).transpose();
        let users = users.map_err(|error| error.to_string())?;
        let identity = security::again(&args.identity, args.tls.provider)
            .map_err(|error| format!("the server's identity: {error}"))?;
        Ok(Files { policies, psks, authorized_keys, users, identity })
    }

    fn take(&self, Files { policies, psks, authorized_keys, users, identity }: Files) {
        self.handle.set_policies(policies);
        self.handle.set_psks(psks);
        self.handle.set_authorized_keys(authorized_keys);
        if let Some(users) = users {
            self.handle.set_users(users);
        }
        if let (Some(new), Some(old)) = (identity, self.handle.identity())
            && new != old
        {
            let (from, to) = (old.fingerprint(), new.fingerprint());
            info!(%from, %to, "this server's identity has changed");
            self.handle.set_identity(new);
        }
    }

    /// Says what has changed, and what would after a restart.
    fn tell(&mut self, new: Settings) -> String {
        for warning in &new.warnings {
            warn!("{warning}");
        }
        let (mut changed, mut restart) = (0_usize, 0_usize);
        for Setting { option, value, origin, .. } in &new.all {
            let known = self.settings.all.iter_mut().find(|known| known.option == *option);
            let Some(known) = known.filter(|known| known.value != *value) else { continue };
            let from = known.value.as_deref().unwrap_or("-");
            let to = value.as_deref().unwrap_or("-");
            let at_once = AT_ONCE.contains(&option.as_str())
                || self.knows_users && option == "authorized-users-path";
            if at_once {
                changed += 1;
                info!(setting = option, from, to, %origin, "a setting has changed");
                known.value.clone_from(value);
                known.origin = origin.clone();
            } else {
                restart += 1;
                warn!(
                    setting = option,
                    from,
                    to,
                    %origin,
                    "{option} stays {from}: that it is to be {to} needs a restart"
                );
            }
        }
        self.settings.file = new.file;
        info!(changed, restart, "the configuration was reloaded");
        format!("serving; {changed} settings reloaded, {restart} need a restart")
    }
}

fn kept(mistakes: &[String]) -> String {
    for mistake in mistakes {
        error!("{mistake}");
    }
    error!("the configuration was not reloaded: the settings stay what they were");
    "serving with the settings from before; what is configured has mistakes, see the log".to_owned()
}

/// The settings that hold for the next test as soon as they are read.
const AT_ONCE: [&str; 13] = [
    "max-sessions",
    "max-queue",
    "max-duration",
    "max-rate",
    "log-level",
    "debug",
    "policies",
    "public",
    "psk-file",
    "authorized-keys",
    "state-dir",
    "cert",
    "key",
];
