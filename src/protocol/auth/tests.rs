use std::cell::RefCell;

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);
const SKEW: Duration = Duration::from_secs(10);

/// No hash to rely on, but one that differs where its input does.
fn digest(bytes: &[u8]) -> Digest {
    let mut digest = [0_u8; 32];
    for (at, byte) in bytes.iter().enumerate() {
        digest[at % 32] = digest[at % 32].wrapping_mul(31).wrapping_add(*byte).wrapping_add(1);
    }
    digest
}

fn gate() -> Gate {
    let hex: String = digest(b"{mario}rossi").iter().map(|b| format!("{b:02x}")).collect();
    Gate::new(Users::parse(&format!("# users\n\nmario,{hex}\n")).unwrap(), SKEW)
}

fn sealed(user: &str, password: &str, at: Duration) -> SealedToken {
    let token = Token { user: user.to_owned(), password: password.to_owned(), at };
    SealedToken::of(token.plain().as_bytes())
}

fn admit(gate: &mut Gate, token: Option<&SealedToken>, now: Duration) -> Result<String, Denied> {
    gate.admit(&Opened::new(token, |bytes| Some(bytes.to_vec().into())), now, &digest)
}

#[test]
fn the_plain_text_is_three_lines() {
    let token = Token { user: "mario".to_owned(), password: "rossi".to_owned(), at: NOW };
    assert_eq!(&**token.plain(), "user: mario\npwd:  rossi\nts:   1700000000");
    assert_eq!(Token::parse(token.plain().as_bytes()), Some(token.clone()));
    assert!(Token::parse(b"user:mario pwd:rossi ts:1700000000\0").is_none());
    assert_eq!(Token::parse(b"user:mario pwd:rossi ts:1700000000\n"), Some(token));
}

#[test]
fn what_is_no_plain_text_is_no_token() {
    let long = [b'x'; 256];
    let texts: [&[u8]; 9] = [
        b"",
        b"user:",
        b"user: a\npwd: b",
        b"user: a\npwd: b\nts: c",
        b"user: a\npwd: b\nts: -1",
        b"user: a\npwd: b\nts: 99999999999999999999",
        b"pwd: b\nuser: a\nts: 1",
        b"\xff\xfe",
        &long,
    ];
    for text in texts {
        assert_eq!(Token::parse(text), None, "{text:.20?}");
    }
}

#[test]
fn base64_of_any_kind_is_read_or_refused() {
    let million = "A".repeat(1 << 20) + "\n";
    for (text, bytes) in [
        ("", None),
        ("=", None),
        ("==", None),
        ("A", None),
        ("AA==", Some(1)),
        (" \n", None),
        ("AAAA\nAAAA", Some(6)),
        ("****", None),
        (&*million, Some(786_432)),
    ] {
        let token = SealedToken::new(text.to_owned());
        assert_eq!(token.bytes().map(|bytes| bytes.len()), bytes, "{text:.20}");
    }
}

#[test]
fn a_known_user_is_let_in_once_for_each_token() {
    let (mut gate, token) = (gate(), sealed("mario", "rossi", NOW));
    assert_eq!(admit(&mut gate, Some(&token), NOW), Ok("mario".to_owned()));
    let latest = NOW + SKEW + Duration::from_millis(999);
    assert_eq!(admit(&mut gate, Some(&token), latest), Err(Denied));
    let broken = SealedToken::new(format!(" {}", token.as_str()));
    assert_eq!(admit(&mut gate, Some(&broken), NOW), Err(Denied));
    let next = sealed("mario", "rossi", NOW + SKEW * 3);
    assert!(admit(&mut gate, Some(&next), NOW + SKEW * 3).is_ok());
    assert_eq!(gate.remembered(), 1);
}

#[test]
fn a_token_is_fresh_to_the_last_of_its_seconds() {
    let latest = NOW + SKEW + Duration::from_millis(999);
    assert!(admit(&mut gate(), Some(&sealed("mario", "rossi", NOW)), latest).is_ok());
}

#[test]
fn all_others_are_denied_alike() {
    let second = Duration::from_secs(1);
    for token in [
        sealed("mario", "verdi", NOW),
        sealed("luigi", "rossi", NOW),
        sealed("mario", "rossi", NOW - SKEW - second),
        sealed("mario", "rossi", NOW + SKEW + second),
        SealedToken::new("=".to_owned()),
    ] {
        assert_eq!(admit(&mut gate(), Some(&token), NOW), Err(Denied), "{token:?}");
    }
    assert_eq!(admit(&mut gate(), None, NOW), Err(Denied));
    let (mut gate, token) = (gate(), sealed("mario", "rossi", NOW));
    let opened = Opened::new(Some(&token), |_| None);
    assert_eq!(gate.admit(&opened, NOW, &digest), Err(Denied));
}

#[test]
fn every_wrong_line_of_a_users_file_is_named() {
    let hex = "0f".repeat(32);
    let plus = "+f".repeat(32);
    let file = format!("#c\na,{hex}\nb\n,{hex}\nc,{hex}0\nd,{hex} \ne,{plus}\n");
    assert_eq!(Users::parse(&file).unwrap_err(), [3, 4, 5, 7]);
}

#[test]
fn neither_password_nor_token_is_shown() {
    let token = Token { user: "u".to_owned(), password: "secret".to_owned(), at: NOW };
    assert!(!format!("{token:?}").contains("secret"));
    assert!(!format!("{:?}", SealedToken::of(b"secret")).contains("c2Vj"));
}

#[test]
fn every_cause_takes_the_same_steps() {
    let second = Duration::from_secs(1);
    let shown = sealed("mario", "rossi", NOW);
    let mut gate = gate();
    admit(&mut gate, Some(&shown), NOW).unwrap();
    for (cause, token) in [
        ("password", Some(sealed("mario", "verdi", NOW))),
        ("user", Some(sealed("luigi", "rossi", NOW))),
        ("old", Some(sealed("mario", "rossi", NOW - SKEW - second))),
        ("future", Some(sealed("mario", "rossi", NOW + SKEW + second))),
        ("replayed", Some(shown)),
        ("text", Some(SealedToken::of(b"nothing of a token"))),
        ("base64", Some(SealedToken::new("A".to_owned()))),
        ("missing", None),
    ] {
        let steps = RefCell::new(Vec::new());
        let opened = Opened::new(token.as_ref(), |bytes| {
            steps.borrow_mut().push("decrypt");
            Some(bytes.to_vec().into())
        });
        let result = gate.admit(&opened, NOW, &|bytes| {
            steps.borrow_mut().push("hash");
            digest(bytes)
        });
        assert_eq!(
            (result, steps.into_inner()),
            (Err(Denied), vec!["decrypt", "hash", "hash"]),
            "{cause}"
        );
    }
}

#[test]
fn a_password_that_was_changed_counts_at_once_and_old_tokens_stay_known() {
    let (mut gate, token) = (gate(), sealed("mario", "rossi", NOW));
    assert!(admit(&mut gate, Some(&token), NOW).is_ok());
    gate.set_users(Users::default());
    assert_eq!(admit(&mut gate, Some(&sealed("mario", "rossi", NOW + SKEW)), NOW), Err(Denied));
    assert_eq!(gate.remembered(), 1);
}
