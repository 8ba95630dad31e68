//! Trust on first use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::{fs, sync::Arc};

use polyperf_certs::{Fingerprint, KnownServers, KnownServersError, Refusal, Trust, Verified};
use rustls::client::ClientSessionMemoryCache;
use support::*;

fn how(verifier: &polyperf_certs::Verifier) -> Option<Verified> {
    verifier.verdict().map(|verdict| verdict.how)
}

fn stranger() -> Fingerprint {
    Fingerprint::of(b"a stranger's certificate")
}

#[test]
fn a_server_is_remembered_only_when_the_transport_says_so() {
    let (known, identity) = (KnownServers::in_memory(), identity());
    let verifier = verifier(&Trust::Known(known.clone()));
    assert_eq!(verifier.verdict(), None);
    verifier.remember().unwrap();
    assert_eq!(known.get(HOST, PORT).unwrap(), None);

    meet(&identity, &verifier).unwrap();
    assert_eq!(known.get(HOST, PORT).unwrap(), None);
    assert_eq!(how(&verifier), Some(Verified::FirstUse));
    assert_eq!(verifier.verdict().unwrap().fingerprint, identity.fingerprint());

    verifier.remember().unwrap();
    assert_eq!(known.get(HOST, PORT).unwrap(), Some(identity.fingerprint()));
}

#[test]
fn a_server_that_was_remembered_is_known() {
    let (trust, identity) = (Trust::Known(KnownServers::in_memory()), identity());
    let first = verifier(&trust);
    meet(&identity, &first).unwrap();
    first.remember().unwrap();
    let second = verifier(&trust);
    meet(&identity, &second).unwrap();
    assert_eq!(how(&second), Some(Verified::KnownServer));
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints() {
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::at(dir.path().join("known"));
    known.remember(HOST, PORT, stranger()).unwrap();
    let identity = identity();
    // What the server told does not outweigh what is known.
    let trust = Trust::Known(known.clone());
    let verifier = trust.verifier(ring(), HOST, PORT, Some(identity.fingerprint())).unwrap();
    let error = meet(&identity, &verifier).unwrap_err().to_string();
    assert!(!error.contains("known"), "a stranger is told {error}");

    let refusal = verifier.refusal().unwrap().to_string();
    let file = known.path().unwrap().display().to_string();
    let (shown, wanted) = (identity.fingerprint().to_string(), stranger().to_string());
    for part in [&*shown, &wanted, &file, "server.test:5201", "polyperf cert forget server.test"] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    assert_eq!(verifier.verdict(), None);
    verifier.remember().unwrap();
    assert_eq!(known.get(HOST, PORT).unwrap(), Some(stranger()));
}

#[test]
fn a_server_that_was_forgotten_is_new_again() {
    let (known, identity) = (KnownServers::in_memory(), identity());
    known.remember(HOST, PORT, stranger()).unwrap();
    assert_eq!(known.forget(HOST, None).unwrap(), 1);
    let verifier = verifier(&Trust::Known(known));
    meet(&identity, &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::FirstUse));
}

#[test]
fn what_the_control_connection_told_is_said() {
    let (trust, identity) = (Trust::Known(KnownServers::in_memory()), identity());
    let told = Some(identity.fingerprint());
    let verifier = trust.verifier(ring(), HOST, PORT, told).unwrap();
    meet(&identity, &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::FirstUseAsTold));
    verifier.remember().unwrap();
    // Whom one knows needs nobody to tell.
    let verifier = trust.verifier(ring(), HOST, PORT, told).unwrap();
    meet(&identity, &verifier).unwrap();
    assert_eq!(how(&verifier), Some(Verified::KnownServer));
}

#[test]
fn another_certificate_than_was_told_is_refused_with_both_fingerprints() {
    let (trust, identity) = (Trust::Known(KnownServers::in_memory()), identity());
    let verifier = trust.verifier(ring(), HOST, PORT, Some(stranger())).unwrap();
    meet(&identity, &verifier).unwrap_err();
    let refusal = verifier.refusal().unwrap();
    assert!(matches!(refusal, Refusal::NotAsTold { told, shown, .. }
        if told == stranger() && shown == identity.fingerprint()));
}

#[test]
fn a_server_must_not_change_its_certificate_between_two_connections() {
    let verifier = verifier(&Trust::Known(KnownServers::in_memory()));
    let (first, second) = (identity(), identity());
    meet(&first, &verifier).unwrap();
    meet(&second, &verifier).unwrap_err();
    assert!(matches!(verifier.refusal().unwrap(), Refusal::Changed { known, shown, .. }
        if known == first.fingerprint() && shown == second.fingerprint()));
    meet(&first, &verifier).unwrap();
    assert_eq!(verifier.refusal(), None);
}

#[test]
fn who_does_not_hold_the_key_is_refused_and_not_remembered() {
    let known = KnownServers::in_memory();
    let verifier = verifier(&Trust::Known(known.clone()));
    let (victim, _) = key();
    let certificate = rcgen::CertificateParams::default().self_signed(&victim).unwrap();
    let config = imposter(vec![certificate.into()], &key().1);
    shake(config, &verifier).unwrap_err();
    assert!(matches!(verifier.refusal(), Some(Refusal::NotProved { .. })));
    assert_eq!(verifier.verdict(), None);
    verifier.remember().unwrap();
    assert_eq!(known.iter().unwrap().count(), 0);
}

#[test]
fn two_that_meet_different_servers_at_once_do_not_both_remember() {
    let trust = Trust::Known(KnownServers::in_memory());
    let (one, other) = (verifier(&trust), verifier(&trust));
    meet(&identity(), &one).unwrap();
    meet(&identity(), &other).unwrap();
    one.remember().unwrap();
    assert!(matches!(other.remember(), Err(KnownServersError::Changed { .. })));
}

#[test]
fn each_port_of_a_host_is_a_server() {
    let trust = Trust::Known(KnownServers::in_memory());
    let first = verifier(&trust);
    meet(&identity(), &first).unwrap();
    first.remember().unwrap();
    let other = trust.verifier(ring(), HOST, PORT + 1, None).unwrap();
    meet(&identity(), &other).unwrap();
    assert_eq!(how(&other), Some(Verified::FirstUse));
}

#[test]
fn a_session_is_resumed_with_the_verifier_that_let_it_pass_and_no_other() {
    let (trust, identity) = (Trust::Known(KnownServers::in_memory()), identity());
    let server = Arc::new(identity.server_config(ring(), &[b"perf"], true).unwrap());
    let sessions = Arc::new(ClientSessionMemoryCache::new(8));
    let client = || {
        let verifier = verifier(&trust);
        let config = verifier.client_config(&[b"perf"], true, Some(sessions.clone())).unwrap();
        (Arc::new(config), verifier)
    };
    let kind = |(config, verifier): &(_, Arc<_>)| {
        connect(&server, config, verifier).unwrap().0.handshake_kind().unwrap()
    };
    let (one, other) = (client(), client());
    assert_eq!(kind(&one), rustls::HandshakeKind::Full);
    assert_eq!(kind(&one), rustls::HandshakeKind::Resumed);
    assert_eq!(how(&one.1), Some(Verified::FirstUse));
    assert_eq!(kind(&other), rustls::HandshakeKind::Full);
}

#[test]
fn early_data_arrives_with_a_session_that_is_resumed() {
    let (trust, identity) = (Trust::Known(KnownServers::in_memory()), identity());
    let server = Arc::new(identity.server_config(ring(), &[b"perf"], true).unwrap());
    assert_eq!(server.max_early_data_size, u32::MAX);
    let verifier = verifier(&trust);
    let sessions = Arc::new(ClientSessionMemoryCache::new(8));
    let client = Arc::new(verifier.client_config(&[b"perf"], true, Some(sessions)).unwrap());
    connect(&server, &client, &verifier).unwrap();

    let name = verifier.server_name().clone();
    let mut client = rustls::ClientConnection::new(client, name).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    let mut early = client.early_data().unwrap();
    std::io::Write::write_all(&mut early, b"early").unwrap();
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    server.read_tls(&mut &bytes[..]).unwrap();
    server.process_new_packets().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut server.early_data().unwrap(), &mut text).unwrap();
    assert_eq!(text, "early");
}

#[test]
fn a_file_that_cannot_be_parsed_is_told_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known");
    fs::write(&path, "# servers\nserver.test\n").unwrap();
    let trust = Trust::Known(KnownServers::at(&path));
    let error = trust.verifier(ring(), HOST, PORT, None).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains(path.to_str().unwrap()), "{error}");
}
