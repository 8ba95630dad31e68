//! Keys, users and passwords, from where the user keeps them.

use std::env;

use crate::{
    auth::{Credentials, Padding, PrivateKey, PublicKey, UsersFile},
    cli::{Access, Login},
    server::Auth,
};

/// Reads a client's key, and its password from the environment or the terminal.
pub(super) fn credentials(login: &Login) -> Result<Credentials, String> {
    let key = PublicKey::open(&login.public_key).map_err(|error| error.to_string())?;
    let padding = if login.pkcs1 { Padding::Pkcs1 } else { Padding::Oaep };
    Credentials::new(&login.user, password(&login.user)?, key)
        .and_then(|credentials| credentials.padding(padding))
        .map_err(|error| format!("cannot log in as {}: {error}", login.user))
}

/// Reads a server's key and its users.
pub(super) fn auth(access: &Access) -> Result<Auth, String> {
    let key = PrivateKey::open(&access.private_key).map_err(|error| error.to_string())?;
    let users = UsersFile::open(&access.users).map_err(|error| error.to_string())?;
    Ok(Auth { skew: access.skew, pkcs1: access.pkcs1, ..Auth::new(key, users) })
}

fn password(user: &str) -> Result<String, String> {
    match env::var(VARIABLE) {
        Ok(password) => Ok(password),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{VARIABLE} is not valid UTF-8")),
        Err(env::VarError::NotPresent) => {
            rpassword::prompt_password(format!("Password of {user}: "))
                .map_err(|error| format!("cannot ask for the password: {error}; set {VARIABLE}"))
        }
    }
}

/// Where iperf3's clients have their password as well.
const VARIABLE: &str = "IPERF3_PASSWORD";
