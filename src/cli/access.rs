//! Who a client is, and whom a server lets in.

use std::time::Duration;

use super::{
    args::{Access, Login},
    raw::{RawAccess, RawLogin},
    values::{Mistakes, file, whole},
};

/// Checks how a client proves who it is.
pub(super) fn login(raw: &RawLogin, mistakes: &mut Mistakes) -> Option<Login> {
    let RawLogin { username, rsa_public_key_path, use_pkcs1_padding } = raw;
    let user = mistakes.value("--username", username.as_ref(), user);
    let key = mistakes.value("--rsa-public-key-path", rsa_public_key_path.as_ref(), file);
    let given = [
        ("--username", username.is_some()),
        ("--rsa-public-key-path", rsa_public_key_path.is_some()),
    ];
    let pkcs1 = *use_pkcs1_padding;
    complete(&given, &[("--use-pkcs1-padding", pkcs1)], mistakes);
    Some(Login { user: user?, public_key: key?, pkcs1 })
}

/// Checks whom a server lets in.
pub(super) fn access(raw: &RawAccess, mistakes: &mut Mistakes) -> Option<Access> {
    let RawAccess {
        rsa_private_key_path,
        authorized_users_path,
        time_skew_threshold,
        use_pkcs1_padding,
    } = raw;
    let key = mistakes.value("--rsa-private-key-path", rsa_private_key_path.as_ref(), file);
    let users = mistakes.value("--authorized-users-path", authorized_users_path.as_ref(), file);
    let skew =
        mistakes.value("--time-skew-threshold", time_skew_threshold.as_ref(), whole(1..=MAX_SKEW));
    let given = [
        ("--rsa-private-key-path", rsa_private_key_path.is_some()),
        ("--authorized-users-path", authorized_users_path.is_some()),
    ];
    let further = [
        ("--time-skew-threshold", time_skew_threshold.is_some()),
        ("--use-pkcs1-padding", *use_pkcs1_padding),
    ];
    complete(&given, &further, mistakes);
    let skew = skew.map_or(DEFAULT_SKEW, Duration::from_secs);
    Some(Access { private_key: key?, users: users?, skew, pkcs1: *use_pkcs1_padding })
}

/// Complains about options without those that they need: of `pair` all or none are given, and the
/// `further` ones with them alone.
pub(super) fn complete(pair: &[(&str, bool)], further: &[(&str, bool)], mistakes: &mut Mistakes) {
    let given = pair.iter().chain(further).find(|(_, given)| *given);
    let Some((first, _)) = given else { return };
    for (option, _) in pair.iter().filter(|(_, given)| !given) {
        mistakes.add(format!("{first} needs {option} as well: give both, or neither"));
    }
}

fn user(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',') {
        return Err("is no user: write a name without blanks and commas".to_owned());
    }
    Ok(text.to_owned())
}

const DEFAULT_SKEW: Duration = Duration::from_secs(10);
/// An hour, in seconds: as long can a token be shown that somebody else has seen, in the clear.
const MAX_SKEW: u64 = 3600;
