use std::{fs, path::PathBuf, time::Duration};

use aws_lc_rs::{encoding::AsDer, encoding::Pkcs8V1Der, rsa, signature::KeyPair as _};
use pem::Pem;

use super::*;
use crate::protocol::auth::{Denied, Gate, Opened, SealedToken, Users};

const NOW: Duration = Duration::from_secs(1_700_000_000);
const SKEW: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// A server's key, and its door.
struct Server {
    key: PrivateKey,
    gate: Gate,
    pkcs1: bool,
}

impl Server {
    fn new() -> Self {
        let users = Users::parse(&line("mario", "rossi")).unwrap();
        let (key, gate) = (PrivateKey::generate().unwrap(), Gate::new(users, SKEW));
        Self { key, gate, pkcs1: false }
    }

    fn client(&self, user: &str, password: &str) -> Credentials {
        Credentials::new(user, password, self.key.public()).unwrap()
    }

    fn admit(&mut self, token: &SealedToken) -> Result<String, Denied> {
        let opened = Opened::new(Some(token), |sealed| self.key.decrypt(sealed, self.pkcs1));
        self.gate.admit(&opened, NOW, &sha256)
    }

    /// Shows a token of this plain text.
    fn admit_plain(&mut self, plain: &[u8], padding: Padding) -> Result<String, Denied> {
        let sealed = self.key.public().seal(plain, padding).unwrap();
        self.admit(&SealedToken::of(&sealed))
    }
}

#[test]
fn a_user_with_the_right_password_is_let_in_once_for_each_token() {
    let mut server = Server::new();
    let client = server.client("mario", "rossi");
    let token = client.token(NOW).unwrap();
    assert_eq!(server.admit(&token), Ok("mario".to_owned()));
    assert_eq!(server.admit(&token), Err(Denied));
    assert_eq!(server.admit(&client.token(NOW).unwrap()), Ok("mario".to_owned()));
}

#[test]
fn wrong_users_passwords_keys_and_times_are_denied_alike() {
    let mut server = Server::new();
    let stranger = PrivateKey::generate().unwrap().public();
    let right = server.client("mario", "rossi");
    for token in [
        server.client("mario", "verdi").token(NOW),
        server.client("luigi", "rossi").token(NOW),
        Credentials::new("mario", "rossi", stranger).unwrap().token(NOW),
        right.token(NOW - SKEW - SECOND),
        right.token(NOW + SKEW + SECOND),
        right.token(Duration::ZERO),
    ] {
        assert_eq!(server.admit(&token.unwrap()), Err(Denied));
    }
    for at in [NOW - SKEW, NOW + SKEW] {
        assert!(server.admit(&right.token(at).unwrap()).is_ok());
    }
}

#[test]
fn the_older_padding_is_taken_only_where_it_is_permitted() {
    let mut server = Server::new();
    let client = server.client("mario", "rossi").padding(Padding::Pkcs1).unwrap();
    assert_eq!(server.admit(&client.token(NOW).unwrap()), Err(Denied));
    server.pkcs1 = true;
    assert!(server.admit(&client.token(NOW).unwrap()).is_ok());
    assert!(server.admit(&server.client("mario", "rossi").token(NOW).unwrap()).is_ok());
}

#[test]
fn plain_texts_of_every_length_are_read_or_denied() {
    let mut server = Server { pkcs1: true, ..Server::new() };
    for padding in [Padding::Oaep, Padding::Pkcs1] {
        let most = server.key.public().capacity(padding);
        assert_eq!(server.key.public().seal(&vec![b'x'; most + 1], padding), None);
        let texts = [
            vec![b'x'; most],
            vec![b'\n'; most],
            vec![0xff; most],
            Vec::new(),
            b"\n\n\n\n\n\n\n\n\n\n".to_vec(),
            b"user:mariopwd:rossits:1700000000".to_vec(),
            b"user: mario".to_vec(),
        ];
        for text in texts {
            assert_eq!(server.admit_plain(&text, padding), Err(Denied), "{padding:?} {text:?}");
        }
        let mut full = b"user: mario\npwd:  rossi\nts:   1700000000".to_vec();
        full.resize(most, b'\n');
        assert!(server.admit_plain(&full, padding).is_ok(), "{padding:?}");
    }
}

#[test]
fn what_is_no_sealed_token_is_denied_and_nothing_breaks() {
    let mut server = Server { pkcs1: true, ..Server::new() };
    let million = "A".repeat(1 << 20);
    for text in ["", "=", "==", "A", " ", "\r\n\t ", "AA==", "****", &million] {
        assert_eq!(server.admit(&SealedToken::new(text.to_owned())), Err(Denied), "{text:.20}");
    }
    for length in [0, 1, 255, 256, 257, 512] {
        for byte in [0, 1, 0xff] {
            assert_eq!(server.admit(&SealedToken::of(&vec![byte; length])), Err(Denied));
        }
    }
    let decoy = server.key.public().seal(b"", Padding::Oaep).unwrap();
    assert_eq!(server.admit(&SealedToken::of(&decoy)), Err(Denied));
}

#[test]
fn a_changed_byte_makes_a_token_worthless() {
    let mut server = Server::new();
    let sealed = server.client("mario", "rossi").token(NOW).unwrap().bytes().unwrap();
    for at in (0..sealed.len()).step_by(17) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(server.admit(&SealedToken::of(&changed)), Err(Denied), "{at}");
    }
    assert!(server.admit(&SealedToken::of(&sealed)).is_ok());
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is_sealed() {
    let key = PrivateKey::generate().unwrap().public();
    let new = |user: &str, password: &str| Credentials::new(user, password, key.clone()).err();
    assert_eq!(new("", "p"), Some(BadCredentials::NoUser));
    assert_eq!(new("u", ""), Some(BadCredentials::NoPassword));
    for (user, password) in [("a b", "p"), ("u", "a b"), ("u", "p\n"), ("u\0", "p")] {
        assert_eq!(new(user, password), Some(BadCredentials::Blank));
    }
    let room = key.capacity(Padding::Oaep) - "user: u\npwd:  \nts:   1234567890".len();
    assert_eq!(new("u", &"p".repeat(room)), None);
    assert_eq!(new("u", &"p".repeat(room + 3)), Some(BadCredentials::Long(3)));
}

#[test]
fn keys_are_read_in_every_usual_form() {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = PrivateKey::from_pem(text("PRIVATE KEY", pkcs8.as_ref()).as_bytes()).unwrap();
    // PKCS#8 wraps PKCS#1 in a header, which for this length of key is always as long as this.
    let older = text("RSA PRIVATE KEY", &pkcs8.as_ref()[26..]);
    let older = PrivateKey::from_pem(older.as_bytes()).unwrap();
    assert_eq!(older.to_pem(), private.to_pem());
    let public = private.public();
    let pkcs1 = text("RSA PUBLIC KEY", pair.public_key().as_ref());
    for text in [public.to_pem(), pkcs1, format!("words before\r\n{}", public.to_pem())] {
        let key = PublicKey::from_pem(text.as_bytes()).unwrap();
        let sealed = key.seal(b"hello", Padding::Oaep).unwrap();
        assert_eq!(older.decrypt(&sealed, false).unwrap().as_slice(), b"hello");
        assert_eq!(key.to_pem(), public.to_pem());
    }
    assert_eq!(
        PrivateKey::from_pem(private.to_pem().as_bytes()).unwrap().to_pem(),
        private.to_pem()
    );
}

#[test]
fn what_is_no_key_is_told_with_the_remedy() {
    let private = PrivateKey::generate().unwrap();
    let public = private.public().to_pem();
    let encrypted = text("ENCRYPTED PRIVATE KEY", b"x");
    let mut older = Pem::new("RSA PRIVATE KEY", b"x");
    older.headers_mut().add("Proc-Type", "4,ENCRYPTED").unwrap();
    let older = pem::encode(&older);
    let label = |label: &str| KeyProblem::Label(label.to_owned());
    for (text, problem) in [
        ("", KeyProblem::NoPem),
        ("\0\u{fffd}", KeyProblem::NoPem),
        ("-----BEGIN PRIVATE KEY-----\n", KeyProblem::NoPem),
        (&encrypted, KeyProblem::Encrypted),
        (&older, KeyProblem::Encrypted),
        (&public, KeyProblem::Public),
        (&text("CERTIFICATE", b"x"), label("CERTIFICATE")),
        (&text("EC PRIVATE KEY", b"x"), label("EC PRIVATE KEY")),
        (&text("PRIVATE KEY", b"x"), KeyProblem::Rejected),
        (&text("RSA PRIVATE KEY", b""), KeyProblem::Rejected),
    ] {
        let found = PrivateKey::from_pem(text.as_bytes()).err();
        assert_eq!(found.as_ref(), Some(&problem), "{text}");
        assert!(found.unwrap().to_string().contains("openssl"), "{problem:?}");
    }
    for (text, problem) in [
        (private.to_pem().as_str(), KeyProblem::Private),
        (&encrypted, KeyProblem::Private),
        (&text("PUBLIC KEY", b"x"), KeyProblem::Rejected),
        (&text("CERTIFICATE", b"x"), label("CERTIFICATE")),
        (SHORT, KeyProblem::Short),
    ] {
        assert_eq!(PublicKey::from_pem(text.as_bytes()).err(), Some(problem), "{text}");
    }
}

#[test]
fn files_that_are_none_are_told_with_their_name() {
    let folder = Folder::new("files");
    let missing = folder.0.join("missing.pem");
    let error = PrivateKey::open(&missing).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read the key {}: ", missing.display())), "{error}");
    let error = UsersFile::open(&missing).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the users "), "{error}");
    let long = folder.write("long", &"x".repeat(2 << 20));
    assert!(PublicKey::open(&long).unwrap_err().to_string().contains("longer than 65536 bytes"));
    assert!(UsersFile::open(&long).unwrap_err().to_string().contains("longer than 1048576 bytes"));
    let wrong = folder.write("wrong", "a,b\n# c\nd\n");
    let error = UsersFile::open(&wrong).unwrap_err().to_string();
    assert!(error.contains("wrong lines: [1, 3]"), "{error}");
    let empty = folder.write("empty.pem", "");
    let error = PublicKey::open(&empty).unwrap_err().to_string();
    assert!(error.contains("empty.pem holds no PEM"), "{error}");
}

#[test]
fn a_users_file_is_read_again_when_it_has_changed() {
    let folder = Folder::new("users");
    let path = folder.write("users", &line("mario", "rossi"));
    let mut file = UsersFile::open(&path).unwrap();
    assert!(file.refresh().is_none());
    folder.write("users", &format!("{}\n{}", line("mario", "rossi"), line("luigi", "verdi")));
    assert!(matches!(file.refresh(), Some((users, None)) if knows(&users, "luigi", "verdi")));
    assert!(file.refresh().is_none());
    folder.write("users", "half a li");
    let (users, problem) = file.refresh().unwrap();
    assert!(knows(&users, "luigi", "verdi") && matches!(problem, Some(UsersError::Lines { .. })));
    assert!(file.refresh().is_none());
    fs::remove_file(&path).unwrap();
    let (users, problem) = file.refresh().unwrap();
    assert!(!knows(&users, "luigi", "verdi") && matches!(problem, Some(UsersError::Read { .. })));
    assert!(file.refresh().is_none());
}

#[test]
fn no_secret_is_shown() {
    let key = PrivateKey::generate().unwrap();
    let credentials = Credentials::new("mario", "rossi", key.public()).unwrap();
    let shown = format!("{key:?} {credentials:?}");
    assert_eq!(shown, "PrivateKey(2048 bits) Credentials(mario, PublicKey(2048 bits), Oaep)");
}

#[test]
fn a_line_of_users_is_as_iperf3_has_it() {
    let line = line("mario", "rossi");
    assert_eq!(line, "mario,bf7a49a846d44b454a5d11e7acfaf13d138bbe0b7483aa3e050879700572709b");
}

fn knows(users: &Users, user: &str, password: &str) -> bool {
    let token = crate::protocol::auth::Token {
        user: user.to_owned(),
        password: password.to_owned(),
        at: NOW,
    };
    let sealed = SealedToken::of(token.plain().as_bytes());
    let opened = Opened::new(Some(&sealed), |plain| Some(plain.to_vec().into()));
    Gate::new(users.clone(), SKEW).admit(&opened, NOW, &sha256).is_ok()
}

fn text(tag: &str, der: &[u8]) -> String {
    pem::encode(&Pem::new(tag, der))
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("polyperf-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A public key of 1024 bits.
const SHORT: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCqPsqB5Mb9whX7WaytnalAObrF
4IoWsV26VDfDX1z0lPIWwY2TtvnL/enrRyxR7UkbrWt7AFgeXKhYONKlrzP6EH30
qsYvQ/nqGJIb3TxxHsVSblNrJIzp6C1DNTl3KV4K1bHOvT8sZV5BvLWvFgE4nH01
/bgUbhqxciYgkwa1dwIDAQAB
-----END PUBLIC KEY-----";
