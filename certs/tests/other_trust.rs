//! Trust in a fingerprint, in authorities, and in nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::fs;

use polyperf_certs::{
    Fingerprint, Identity, KnownServers, Refusal, Roots, Trust, TrustError, Verified, Verifier,
};
use rcgen::date_time_ymd;
use support::*;

fn how(verifier: &Verifier) -> Option<Verified> {
    verifier.verdict().map(|verdict| verdict.how)
}

fn roots(pem: &str) -> Trust {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, pem).unwrap();
    Trust::Roots(Roots::open(path).unwrap())
}

/// Why authorities do not vouch for a server.
fn not_vouched(verifier: &Verifier) -> String {
    assert_eq!(verifier.verdict(), None);
    match verifier.refusal() {
        Some(Refusal::NotVouched { reason, .. }) => reason,
        refusal => panic!("{refusal:?}"),
    }
}

#[test]
fn the_pinned_certificate_is_taken() {
    let identity = identity();
    let verifier = verifier(&Trust::Pinned(identity.fingerprint()));
    meet(&identity, &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::Fingerprint));
    verifier.remember().unwrap();
}

#[test]
fn any_other_than_the_pinned_one_is_refused_with_both_fingerprints() {
    let (identity, wanted) = (identity(), Fingerprint::of(b"another"));
    let verifier = verifier(&Trust::Pinned(wanted));
    meet(&identity, &verifier).unwrap_err();
    let refusal = verifier.refusal().unwrap().to_string();
    assert!(refusal.contains(&wanted.to_string()), "{refusal}");
    assert!(refusal.contains(&identity.fingerprint().to_string()), "{refusal}");
}

#[test]
fn an_authority_vouches_for_its_servers() {
    let authority = Authority::new();
    let verifier = verifier(&roots(&authority.pem()));
    shake(authority.server(|_| {}), &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::Authority));
}

#[test]
fn one_of_several_authorities_is_enough() {
    let (one, other) = (Authority::new(), Authority::new());
    let verifier = verifier(&roots(&format!("{}\n{}", one.pem(), other.pem())));
    shake(other.server(|_| {}), &verifier).unwrap();
}

#[test]
fn a_servers_own_certificate_may_be_the_authority() {
    let identity = identity();
    let verifier = verifier(&roots(&identity.certificate_pem()));
    meet(&identity, &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::Authority));
}

#[test]
fn an_address_may_be_vouched_for() {
    let identity = Identity::generate(&["::1", "192.0.2.1"]).unwrap();
    let trust = roots(&identity.certificate_pem());
    for host in ["::1", "[::1]", "::1%lo", "192.0.2.1"] {
        meet(&identity, &trust.verifier(ring(), host, PORT, None).unwrap()).unwrap();
    }
    let verifier = trust.verifier(ring(), "192.0.2.2", PORT, None).unwrap();
    meet(&identity, &verifier).unwrap_err();
    assert!(not_vouched(&verifier).contains("by one of its names"));
}

#[test]
fn a_foreign_authority_is_refused() {
    let authority = Authority::named("home");
    for foreign in [Authority::named("abroad"), Authority::named("home")] {
        let verifier = verifier(&roots(&authority.pem()));
        shake(foreign.server(|_| {}), &verifier).unwrap_err();
        let reason = not_vouched(&verifier);
        assert!(reason.contains("none of them has signed it"), "{reason}");
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let verifier = verifier(&roots(&authority.pem()));
    let server = authority.server(|params| params.not_after = date_time_ymd(2020, 1, 1));
    shake(server, &verifier).unwrap_err();
    assert!(not_vouched(&verifier).contains("it has expired"));
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    let authority = Authority::new();
    let verifier = verifier(&roots(&authority.pem()));
    let server = authority.server(|params| params.not_before = date_time_ymd(3000, 1, 1));
    shake(server, &verifier).unwrap_err();
    assert!(not_vouched(&verifier).contains("it is not valid yet"));
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let trust = roots(&authority.pem());
    let verifier = trust.verifier(ring(), "other.test", PORT, None).unwrap();
    shake(authority.server(|_| {}), &verifier).unwrap_err();
    let reason = not_vouched(&verifier);
    assert!(reason.contains("other.test") && reason.contains(HOST), "{reason}");
}

#[test]
fn a_file_without_authorities_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let damaged = pem::encode(&pem::Pem::new("CERTIFICATE", b"no DER".as_slice()));
    let (_, key) = key();
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", key.secret_der()));
    let cases = [
        ("", "holds no PEM"),
        (&key, "holds PRIVATE KEY in place of a certificate"),
        (&format!("{}{damaged}", Authority::new().pem()), "number 2, that cannot be an authority"),
    ];
    for (text, part) in cases {
        fs::write(&path, text).unwrap();
        let error = Roots::open(&path).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(path.to_str().unwrap()), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(Roots::open(&path).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn the_insecure_take_any_certificate_and_say_so() {
    let authority = Authority::new();
    let verifier = verifier(&Trust::Insecure);
    shake(authority.server(|params| params.not_after = date_time_ymd(2020, 1, 1)), &verifier)
        .unwrap();
    assert_eq!(how(&verifier), Some(Verified::Nothing));
    assert_eq!(Trust::Insecure.to_string(), "insecure");
}

#[test]
fn a_wrong_signature_is_refused_by_all() {
    let (owner, _) = key();
    let certificate = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = certificate.self_signed(&owner).unwrap().der().clone();
    let fingerprint = Fingerprint::of(&certificate);
    let known = KnownServers::in_memory();
    known.remember(HOST, PORT, fingerprint).unwrap();
    let all = [
        Trust::Known(known),
        Trust::Pinned(fingerprint),
        roots(&pem(&certificate)),
        Trust::Insecure,
    ];
    for trust in all {
        let verifier = verifier(&trust);
        shake(imposter(vec![certificate.clone()], &key().1), &verifier).unwrap_err();
        assert!(matches!(verifier.refusal(), Some(Refusal::NotProved { .. })), "{trust}");
        assert_eq!(verifier.verdict(), None, "{trust}");
    }
}

#[test]
fn a_certificate_of_version_1_is_taken_by_its_fingerprint() {
    let (pair, der) = key();
    let certificate = version_1(&pair);
    let trusts = [
        Trust::Known(KnownServers::in_memory()),
        Trust::Pinned(Fingerprint::of(&certificate)),
        Trust::Insecure,
    ];
    for trust in trusts {
        shake(imposter(vec![certificate.clone()], &der), &verifier(&trust)).unwrap();
    }
    let verifier = verifier(&roots(&Authority::new().pem()));
    shake(imposter(vec![certificate], &der), &verifier).unwrap_err();
    assert!(not_vouched(&verifier).contains("not of X.509 version 3"));
}

#[test]
fn a_certificate_of_version_1_needs_its_key_but_for_the_insecure() {
    let (pair, _) = key();
    let certificate = version_1(&pair);
    let thief = || imposter(vec![certificate.clone()], &key().1);
    let trusts =
        [Trust::Known(KnownServers::in_memory()), Trust::Pinned(Fingerprint::of(&certificate))];
    for trust in trusts {
        let verifier = verifier(&trust);
        shake(thief(), &verifier).unwrap_err();
        assert!(matches!(verifier.refusal(), Some(Refusal::NotProved { .. })), "{trust}");
    }
    shake(thief(), &verifier(&Trust::Insecure)).unwrap();
}

#[test]
fn what_is_no_certificate_at_all_is_taken_by_the_insecure_alone() {
    let garbage = || imposter(vec![b"no DER".to_vec().into()], &key().1);
    let pinned = verifier(&Trust::Pinned(Fingerprint::of(b"no DER")));
    shake(garbage(), &pinned).unwrap_err();
    assert!(matches!(pinned.refusal(), Some(Refusal::NotProved { .. })));
    shake(garbage(), &verifier(&Trust::Insecure)).unwrap();
}

#[test]
fn what_is_no_host_has_no_verifier() {
    for host in ["", "a b", "ä", "::1::2", "[name]"] {
        let error = Trust::Insecure.verifier(ring(), host, PORT, None).unwrap_err();
        assert!(matches!(error, TrustError::Host(_)), "{host}");
    }
    let error = Trust::Insecure.verifier(ring(), "a..b", PORT, None).unwrap_err();
    assert!(matches!(error, TrustError::Name { .. }), "{error}");
}

#[test]
fn the_words_for_who_vouches_are_plain() {
    let word = |how: Verified| (how.to_string(), serde_json::to_value(how).unwrap());
    assert_eq!(word(Verified::FirstUse), ("trust on first use".into(), "first_use".into()));
    assert_eq!(word(Verified::SystemRoots), ("system roots".into(), "system_roots".into()));
}
