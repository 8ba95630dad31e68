//! Identities that are made, kept, and one's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
};

use aws_lc_rs::{encoding::AsDer as _, rsa};
use pem::Pem;
use polyperf_certs::{Identity, IdentityError, Provider, Trust, provider};
use support::*;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_new_identity_is_for_the_names_it_was_asked_for() {
    let identity = Identity::generate(&["server.test", "*.lab.test", "192.0.2.1"]).unwrap();
    let content = identity.description().content.unwrap();
    assert_eq!(content.names, ["server.test", "*.lab.test", "192.0.2.1"]);
    assert_eq!(content.subject, "CN=polyperf");
    assert_eq!(content.issuer, content.subject);
    assert_eq!(content.key, "ECDSA P-256");
    assert_eq!(content.not_before, "1970-01-01T00:00:00Z");
    assert_eq!(content.not_after, "9999-12-31T00:00:00Z");
    assert_eq!(identity.description().fingerprint, identity.fingerprint());
}

#[test]
fn a_new_identity_is_for_this_machine_if_nothing_is_asked_for() {
    let content = Identity::generate(&[]).unwrap().description().content.unwrap();
    assert_eq!(content.names, ["polyperf", "localhost", "127.0.0.1", "::1"]);
}

#[test]
fn what_is_no_name_is_refused() {
    for name in ["", "a b", "ä.test", "*", "a:1"] {
        let error = Identity::generate(&["good.test", name]).unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn an_identity_is_kept_for_its_owner_alone() {
    let folder = Folder::new();
    let dir = folder.path("state/polyperf");
    let (made, is_new) = Identity::load_or_generate(&dir).unwrap();
    assert!(is_new);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&folder.path("state")), 0o700);
    assert_eq!(mode(&dir.join("key.pem")), 0o600);
    assert_eq!(names(&dir), ["certificate.pem", "identity.lock", "key.pem"]);

    let (loaded, is_new) = Identity::load_or_generate(&dir).unwrap();
    assert!(!is_new);
    assert_eq!(loaded.fingerprint(), made.fingerprint());
    assert_eq!(loaded.key_pem(), made.key_pem());
}

#[test]
fn servers_that_start_at_once_agree_on_one_identity() {
    let folder = Arc::new(Folder::new());
    let start = Arc::new(Barrier::new(SERVERS));
    let servers: Vec<_> = (0..SERVERS)
        .map(|_| {
            let (folder, start) = (folder.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                Identity::load_or_generate(&folder.path("state")).unwrap()
            })
        })
        .collect();
    let got: Vec<_> = servers.into_iter().map(|server| server.join().unwrap()).collect();
    assert_eq!(got.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert!(got.iter().all(|(identity, _)| identity.fingerprint() == got[0].0.fingerprint()));
}

#[test]
fn a_key_that_others_may_open_is_refused() {
    for wrong in [0o640, 0o604, 0o666] {
        let folder = Folder::new();
        Identity::load_or_generate(folder.0.path()).unwrap();
        let key = folder.path("key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(wrong)).unwrap();
        let error = Identity::load_or_generate(folder.0.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { mode, .. } if mode == wrong), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn the_mode_that_counts_is_that_of_the_file_behind_a_link() {
    let folder = Folder::new();
    Identity::load_or_generate(folder.0.path()).unwrap();
    let (key, elsewhere) = (folder.path("key.pem"), folder.path("elsewhere.pem"));
    fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    assert!(Identity::load_or_generate(folder.0.path()).is_ok());
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Identity::load_or_generate(folder.0.path()).is_err());
}

#[test]
fn one_file_without_the_other_is_an_error_that_names_both() {
    for (gone, left) in [("key.pem", "certificate.pem"), ("certificate.pem", "key.pem")] {
        let folder = Folder::new();
        Identity::load_or_generate(folder.0.path()).unwrap();
        fs::remove_file(folder.path(gone)).unwrap();
        let before = fs::read(folder.path(left)).unwrap();
        let error = Identity::load_or_generate(folder.0.path()).unwrap_err();
        assert!(
            matches!(&error, IdentityError::Half { present, missing }
            if present.ends_with(left) && missing.ends_with(gone)),
            "{error}"
        );
        assert_eq!(fs::read(folder.path(left)).unwrap(), before);
        assert!(!folder.path(gone).exists());
    }
}

#[test]
fn a_damaged_file_is_an_error_that_names_it_and_stays() {
    for damaged in ["key.pem", "certificate.pem"] {
        let folder = Folder::new();
        Identity::load_or_generate(folder.0.path()).unwrap();
        fs::write(folder.path(damaged), "").unwrap();
        let error = Identity::load_or_generate(folder.0.path()).unwrap_err().to_string();
        assert!(error.contains(damaged) && error.contains("no PEM"), "{error}");
        assert_eq!(fs::read(folder.path(damaged)).unwrap(), b"");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    folder.write("file", "");
    let dir = folder.path("file/state");
    let error = Identity::load_or_generate(&dir).unwrap_err().to_string();
    assert!(error.contains(dir.to_str().unwrap()), "{error}");
}

#[test]
fn ones_own_certificate_and_key_may_be_in_one_file() {
    let (folder, identity) = (Folder::new(), identity());
    let both = format!("{}{}", *identity.key_pem(), identity.certificate_pem());
    let path = folder.write("both.pem", format!("comment\n{both}"));
    let read = Identity::from_pem_files(&path, &path).unwrap();
    assert_eq!(read.fingerprint(), identity.fingerprint());
    meet(&read, &verifier(&Trust::Pinned(identity.fingerprint()))).unwrap();
}

#[test]
fn the_certificates_that_lead_to_an_authority_are_kept() {
    let (folder, identity) = (Folder::new(), identity());
    let chain = format!("{}{}", identity.certificate_pem(), Authority::new().pem());
    let chain = folder.write("chain.pem", chain);
    let key = folder.write("key.pem", identity.key_pem().as_bytes());
    let read = Identity::from_pem_files(&chain, &key).unwrap();
    assert_eq!(read.description().certificates, 2);
    assert_eq!(read.fingerprint(), identity.fingerprint());
}

#[test]
fn a_key_of_sec1_is_read_and_returned_as_such() {
    let (folder, identity) = (Folder::new(), identity());
    let pkcs8 = pem::parse(identity.key_pem().as_bytes()).unwrap();
    let sec1 = content(elements(content(pkcs8.contents()))[2]);
    let text = pem::encode(&Pem::new("EC PRIVATE KEY", sec1));
    // openssl ecparam puts the curve before the key.
    let curve = pem::encode(&Pem::new("EC PARAMETERS", P256));
    let key = folder.write("key.pem", format!("{curve}{text}"));
    let certificate = folder.write("certificate.pem", identity.certificate_pem());
    let read = Identity::from_pem_files(&certificate, &key).unwrap();
    assert!(read.key_pem().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    meet(&read, &verifier(&Trust::Insecure)).unwrap();
}

#[test]
fn a_key_of_pkcs1_is_read_and_returned_as_such() {
    let folder = Folder::new();
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let pkcs8 = pair.as_der().unwrap();
    let pkcs1 = content(elements(content(pkcs8.as_ref()))[2]);
    let signer = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&signer).unwrap();
    let certificate = folder.write("certificate.pem", pem(certificate.der()));
    let key = folder.write("key.pem", pem::encode(&Pem::new("RSA PRIVATE KEY", pkcs1)));

    let read = Identity::from_pem_files(&certificate, &key).unwrap();
    assert!(read.key_pem().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert_eq!(read.description().content.unwrap().key, "RSA 2048");
    meet(&read, &verifier(&Trust::Insecure)).unwrap();
}

#[test]
fn every_provider_that_was_built_serves_and_verifies() {
    let identity = identity();
    for built in Provider::ALL.into_iter().filter_map(|one| provider(one).ok()) {
        let server = identity.server_config(built.clone(), &[b"perf"], false).unwrap();
        assert_eq!(server.max_early_data_size, 0);
        let trust = Trust::Pinned(identity.fingerprint());
        shake(server, &trust.verifier(built, HOST, PORT, None).unwrap()).unwrap();
    }
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let folder = Folder::new();
    let certificate = folder.write("certificate.pem", identity().certificate_pem());
    let key = folder.write("key.pem", identity().key_pem().as_bytes());
    let error = Identity::from_pem_files(&certificate, &key).unwrap_err().to_string();
    for part in ["key.pem does not belong to", "certificate.pem"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_is_no_key_is_refused_with_what_it_is() {
    let (folder, identity) = (Folder::new(), identity());
    let certificate = folder.write("certificate.pem", identity.certificate_pem());
    let label = |label: &str| pem::encode(&Pem::new(label, b"any".as_slice()));
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nYW55\n\
                  -----END RSA PRIVATE KEY-----\n";
    let cases = [
        (identity.certificate_pem(), "holds CERTIFICATE in place of a private key"),
        (label("PUBLIC KEY"), "holds PUBLIC KEY in place of a private key"),
        (label("ENCRYPTED PRIVATE KEY"), "is encrypted"),
        (legacy.to_owned(), "is encrypted"),
        (label("PRIVATE KEY"), "holds a key that cannot be used"),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n".into(), "is damaged"),
        (String::new(), "holds no PEM in place of a private key"),
    ];
    for (text, part) in cases {
        let key = folder.write("key.pem", text);
        let error = Identity::from_pem_files(&certificate, &key).unwrap_err().to_string();
        assert!(error.contains("key.pem ") && error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn what_is_no_certificate_is_refused_with_what_it_is() {
    let (folder, identity) = (Folder::new(), identity());
    let key = folder.write("key.pem", identity.key_pem().as_bytes());
    let (pair, _) = support::key();
    let cases = [
        (identity.key_pem().to_string(), "holds PRIVATE KEY in place of a certificate"),
        (pem(&version_1(&pair)), "not of X.509 version 3"),
        (pem::encode(&Pem::new("CERTIFICATE", b"any".as_slice())), "cannot be used"),
    ];
    for (text, part) in cases {
        let certificate = folder.write("certificate.pem", text);
        let error = Identity::from_pem_files(&certificate, &key).unwrap_err().to_string();
        let names = error.contains("certificate.pem ");
        assert!(names && error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn no_more_than_a_mebibyte_is_read() {
    let (folder, identity) = (Folder::new(), identity());
    let key = folder.write("key.pem", identity.key_pem().as_bytes());
    let padded = |room: usize| {
        let text = identity.certificate_pem();
        format!("{}\n{text}", " ".repeat(room - text.len() - 1))
    };
    let fits = folder.write("certificate.pem", padded(1 << 20));
    assert!(Identity::from_pem_files(&fits, &key).is_ok());
    let long = folder.write("certificate.pem", padded((1 << 20) + 1));
    let error = Identity::from_pem_files(&long, &key).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
    let endless = Identity::from_pem_files(Path::new("/dev/zero"), &key).unwrap_err();
    assert!(endless.to_string().contains("more than 1048576 bytes"), "{endless}");
    let missing = Identity::from_pem_files(&folder.path("none"), &key).unwrap_err();
    assert!(missing.to_string().contains("none: "), "{missing}");
}

#[test]
fn the_key_is_never_shown() {
    let identity = identity();
    let shown = format!("{identity:?} {:?}", identity.description());
    assert!(shown.starts_with(&format!("Identity({})", identity.fingerprint())), "{shown}");
    let key = identity.key_pem();
    let lines = key.lines().filter(|line| !line.starts_with('-'));
    assert!(lines.into_iter().all(|line| !shown.contains(line)));
}

const SERVERS: usize = 8;
/// The object identifier of the curve P-256 in DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
