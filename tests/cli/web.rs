//! A server's web interface as a program has it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

use crate::program::{Ended, Server, polyperf, run};

/// Makes what a server keeps of this password.
fn hash_of(password: &str) -> Ended {
    let mut command = polyperf(&["web-password"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

fn address(server: &Server) -> SocketAddr {
    let line = server.wait_for("web interface");
    let url = line["url"].as_str().unwrap();
    url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

fn ask(site: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(site).unwrap();
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: {site}\r\nOrigin: http://{site}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_has_a_web_interface_that_is_asked_for_and_ends_with_it() {
    let server = Server::start(&["--web=0"]);
    let site = address(&server);
    assert!(site.ip().is_loopback(), "{site}");
    let answer = ask(site, "GET /api/v1/server", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&format!("127.0.0.1:{}", server.port)) || answer.contains("[::]:"));
    server.signal(libc::SIGTERM);
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(TcpStream::connect(site).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn its_thread_gives_way_and_no_other_does() {
    let server = Server::start(&["--web=0"]);
    let site = address(&server);
    ask(site, "GET /", "");
    let mut nice = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let name = &stat[stat.find('(').unwrap() + 1..stat.rfind(')').unwrap()];
        let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        nice.push((name == "polyperf-web", fields[16].parse::<i32>().unwrap()));
    }
    let usual = nice.iter().find(|(web, _)| !web).unwrap().1;
    assert!(nice.contains(&(true, (usual + 10).min(19))), "{nice:?}");
    assert!(nice.iter().all(|&(web, nice)| web || nice == usual), "{nice:?}");
}

#[test]
fn the_hash_of_a_password_lets_its_password_in() {
    let hash = hash_of("correct horse");
    assert_eq!((hash.code, hash.err.as_str()), (Some(0), ""));
    assert!(hash.out.starts_with("$argon2id$") && !hash.out.contains("horse"), "{}", hash.out);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hash");
    fs::write(&file, hash.out).unwrap();
    let server = Server::start(&["--web=0", "--web-password-file", file.to_str().unwrap()]);
    let site = address(&server);
    let login =
        |password| ask(site, "POST /api/v1/login", &format!(r#"{{"password":"{password}"}}"#));
    assert!(login("correct horse").starts_with("HTTP/1.1 204"));
    assert!(login("wrong horse").starts_with("HTTP/1.1 401"));
    let (_, log) = {
        server.signal(libc::SIGTERM);
        server.wait()
    };
    let log = format!("{log:?}");
    assert!(log.contains("a wrong password") && !log.contains("horse"), "{log}");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_served() {
    let short = hash_of("short");
    assert_eq!(short.code, Some(1));
    assert!(short.err.contains("8 to 1024"), "{}", short.err);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain");
    fs::write(&file, "correct horse").unwrap();
    let path = file.to_str().unwrap();
    for (option, path, says) in [
        ("--web-password-file", path, "polyperf web-password"),
        ("--web-token-file", path, "32 or more"),
        ("--web-token-file", "/nonexistent", "cannot read /nonexistent"),
    ] {
        let ended = run(&["server", "-p", "0", "--web=0", option, path]);
        assert_eq!(ended.code, Some(6), "{option}: {}", ended.err);
        assert!(ended.err.contains(says), "{option}: {}", ended.err);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web = format!("--web={}", taken.local_addr().unwrap());
    let ended = run(&["server", "-p", "0", &web]);
    assert_eq!(ended.code, Some(6));
    assert!(
        ended.err.contains("for the web interface") && ended.err.contains("--web="),
        "{}",
        ended.err
    );
}
