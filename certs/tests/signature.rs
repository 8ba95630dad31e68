//! Signatures with the keys of identities, outside of TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{
    fs::{self, File},
    path::Path,
};

use aws_lc_rs::{encoding::AsDer as _, rsa};
use pem::Pem;
use polyperf_certs::{Identity, is_signed};
use rcgen::{CertificateParams, KeyPair};

/// Returns an identity with this key, read from a file.
fn identity(key: &KeyPair) -> Identity {
    let certificate = CertificateParams::default().self_signed(key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.pem");
    let encode = |label, der: &[u8]| pem::encode(&Pem::new(label, der));
    let certificate = encode("CERTIFICATE", certificate.der());
    fs::write(&path, certificate + &encode("PRIVATE KEY", key.serialized_der())).unwrap();
    Identity::from_pem_file(&path, &File::open(&path).unwrap()).unwrap()
}

/// Returns one of each kind of key.
fn all() -> Vec<Identity> {
    let kinds =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let rsa = KeyPair::try_from(rsa.as_der().unwrap().as_ref()).unwrap();
    let keys = kinds.map(|kind| KeyPair::generate_for(kind).unwrap());
    keys.into_iter().chain([rsa]).map(|key| identity(&key)).collect()
}

#[test]
fn each_kind_of_key_signs_and_no_other_key_or_message_is_taken_for_it() {
    let identities = all();
    let kinds: Vec<_> =
        identities.iter().map(|identity| identity.description().content.unwrap().key).collect();
    assert_eq!(kinds, ["ECDSA P-256", "ECDSA P-384", "Ed25519", "RSA 2048"]);
    for identity in &identities {
        let signature = identity.sign(b"message").unwrap();
        assert!(is_signed(identity.certificate(), b"message", &signature), "{identity:?}");
        assert!(!is_signed(identity.certificate(), b"massage", &signature), "{identity:?}");
        assert!(!is_signed(identity.certificate(), b"", &signature), "{identity:?}");
        assert!(!is_signed(identity.certificate(), b"message", b""), "{identity:?}");
        let others = identities.iter().filter(|other| !std::ptr::eq(*other, identity));
        for other in others {
            assert!(!is_signed(other.certificate(), b"message", &signature), "{other:?}");
        }
        let same = &Identity::generate(&[]).unwrap();
        assert!(!is_signed(same.certificate(), b"message", &signature), "{identity:?}");
    }
}

#[test]
fn no_byte_of_a_signature_can_be_another() {
    for identity in all() {
        let signature = identity.sign(b"message").unwrap();
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!is_signed(identity.certificate(), b"message", &changed), "{identity:?} {at}");
        }
    }
}

#[test]
fn a_certificate_that_is_none_has_signed_nothing() {
    let identity = Identity::generate(&[]).unwrap();
    let signature = identity.sign(b"message").unwrap();
    let certificate = identity.certificate();
    assert!(!is_signed(b"", b"message", &signature));
    for length in 0..certificate.len() {
        assert!(!is_signed(&certificate[..length], b"message", &signature), "{length}");
    }
    let longer = [certificate, b"\0"].concat();
    assert!(!is_signed(&longer, b"message", &signature));
}

#[test]
fn what_is_wrong_with_the_one_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.pem");
    let identity = Identity::generate(&[]).unwrap();
    for (text, part) in [
        (identity.certificate_pem(), "in place of a private key"),
        (identity.key_pem().to_string(), "in place of a certificate"),
        (String::new(), "no PEM"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Identity::from_pem_file(&path, &File::open(&path).unwrap()).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("identity.pem") && told.contains(part), "{told}");
    }
    let endless = Path::new("/dev/zero");
    let error = Identity::from_pem_file(endless, &File::open(endless).unwrap()).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}
