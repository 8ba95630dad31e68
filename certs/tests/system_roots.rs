//! The authorities that a machine trusts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use polyperf_certs::{Identity, Roots, RootsError, Trust, Verified};
use support::*;

#[test]
fn a_machine_vouches_by_the_file_it_trusts() {
    let dir = tempfile::tempdir().unwrap();
    let identity = identity();
    let (certificate, key) = (dir.path().join("certificate.pem"), dir.path().join("key.pem"));
    fs::write(&certificate, identity.certificate_pem()).unwrap();
    fs::write(&key, identity.key_pem().as_bytes()).unwrap();
    let output = on_a_machine_that_trusts("vouched", &certificate);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_machine_that_trusts_nobody_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.pem");
    fs::write(&none, "").unwrap();
    let output = on_a_machine_that_trusts("nobody", &none);
    assert!(output.status.success(), "{output:?}");
}

/// The part of the above that runs with the environment of such a machine.
#[test]
fn on_such_a_machine() {
    match env::var(PART).as_deref() {
        Ok("vouched") => {
            let certificate = env::var("SSL_CERT_FILE").unwrap();
            let certificate = Path::new(&certificate);
            let key = certificate.with_file_name("key.pem");
            let identity = Identity::from_pem_files(certificate, &key).unwrap();
            let verifier = verifier(&Trust::Roots(Roots::system().unwrap()));
            meet(&identity, &verifier).unwrap();
            assert_eq!(verifier.verdict().unwrap().how, Verified::SystemRoots);
        }
        Ok("nobody") => {
            let error = Roots::system().unwrap_err();
            assert!(matches!(error, RootsError::NoSystem { .. }), "{error}");
            assert!(error.to_string().contains("ca-certificates"), "{error}");
        }
        _ => {}
    }
}

/// A process of its own, since the environment is the whole process's.
fn on_a_machine_that_trusts(part: &str, file: &Path) -> Output {
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", "on_such_a_machine"]);
    test.env(PART, part).env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR");
    test.output().unwrap()
}

const PART: &str = "POLYPERF_TEST_PART";
