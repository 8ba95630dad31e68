//! Who gives orders, and who may look on.

mod admin;
mod logins;
mod routes;
mod throttle;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use tokio::{sync::Semaphore, time::Instant};

pub use self::admin::{Admin, AdminError, hash_password};
pub(super) use self::routes::routes;
use self::{logins::Logins, throttle::Throttle};
use super::{App, problem::Problem};
use crate::server::lock;

/// Tells who is who.
#[derive(Debug)]
pub(super) struct Gate {
    admin: Option<Admin>,
    /// The cookie's name: cookies know no ports, and a host may have several servers.
    cookie: String,
    logins: Mutex<Logins>,
    throttle: Mutex<Throttle>,
    /// One hash at a time takes a processor, and a good part of a second of it.
    hashing: Semaphore,
}

/// Somebody who may give orders, as an argument of what takes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Administrator;

impl Gate {
    pub(super) fn new(admin: Option<Admin>, port: u16) -> Self {
        Self {
            admin,
            cookie: format!("polyperf_{port}"),
            logins: Mutex::default(),
            throttle: Mutex::default(),
            hashing: Semaphore::new(1),
        }
    }

    /// Returns whether who sends this has proved that he may give orders.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(admin) = &self.admin else { return false };
        let token = bearer(headers).is_some_and(|token| admin.shows(token));
        token || self.secret(headers).is_some_and(|it| lock(&self.logins).knows(it, Instant::now()))
    }

    /// Returns the ways to prove it, by their names in the interface for programs.
    pub(super) fn ways(&self) -> Vec<&'static str> {
        let Some(admin) = &self.admin else { return Vec::new() };
        let ways = [("password", admin.password.is_some()), ("token", admin.token.is_some())];
        ways.into_iter().filter(|(_, open)| *open).map(|(way, _)| way).collect()
    }

    /// Checks a password, and returns the cookie of who knows it.
    async fn log_in(&self, ip: IpAddr, password: String, secure: bool) -> Result<String, Problem> {
        let Some(admin) = &self.admin else { return Err(no_admin()) };
        let Some(hash) = admin.password.clone() else { return Err(no_password()) };
        // Time begins when it is our turn: who tries much at once waits for himself.
        let _turn = self.hashing.acquire().await.map_err(|_| no_admin())?;
        lock(&self.throttle).attempt(ip, Instant::now()).map_err(too_soon)?;
        let right = tokio::task::spawn_blocking(move || admin::verify(&hash, &password)).await;
        if !right.unwrap_or(false) {
            tracing::warn!(%ip, "a wrong password for the web interface");
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "this is not the password"));
        }
        lock(&self.throttle).succeeded(ip);
        let secret = lock(&self.logins).open(admin.lifetime, Instant::now());
        Ok(self.set_cookie(&secret, admin.lifetime, secure))
    }

    /// Forgets who sends this, and returns the cookie that has the browser forget it.
    fn log_out(&self, headers: &HeaderMap) -> String {
        if let Some(secret) = self.secret(headers) {
            lock(&self.logins).close(secret);
        }
        self.set_cookie("", Duration::ZERO, false)
    }

    fn set_cookie(&self, secret: &str, lifetime: Duration, secure: bool) -> String {
        let (name, seconds) = (&self.cookie, lifetime.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    fn secret<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|it| it.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
        pairs.find_map(|pair| pair.trim().strip_prefix(self.cookie.as_str())?.strip_prefix('='))
    }
}

/// Returns the token that a program shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match &app.gate.admin {
            None => Err(no_admin()),
            Some(_) if app.gate.knows(&parts.headers) => Ok(Self),
            Some(_) => Err(unknown()),
        }
    }
}

/// Returns the answer to somebody who has to log in first.
pub(super) fn unknown() -> Problem {
    let text = "log in first: with the password on the page Log in, or with a token in Authorization: Bearer";
    Problem::new(StatusCode::UNAUTHORIZED, text)
}

fn no_admin() -> Problem {
    let text = "this server takes no orders over the web: start it with --web-password-file or --web-token-file";
    Problem::new(StatusCode::FORBIDDEN, text)
}

fn no_password() -> Problem {
    let text = "this server knows no password: show a token in Authorization: Bearer, or start it with --web-password-file";
    Problem::new(StatusCode::FORBIDDEN, text)
}

fn too_soon(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let text = format!("too many wrong passwords from this address: try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, text).retry_after(seconds)
}
