//! What the layout promises, proven on the text of the sources.
//!
//! Comments, literals' contents aside, and modules that only tests see are left out, so that the
//! prose may name what the code must not.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders and files that take values and return values. Those marked optional may not exist yet.
const PURE: [(&str, bool); 14] = [
    ("src/protocol", true),
    ("src/measure", true),
    ("src/workload", false),
    ("src/units.rs", true),
    ("src/spec.rs", true),
    ("src/outcome.rs", true),
    ("src/compare/stats", true),
    ("src/compare/effect.rs", true),
    ("src/compare/verdict.rs", true),
    ("src/compare/verdicts.rs", true),
    ("src/compare/diff", true),
    ("src/server/governance/policy.rs", true),
    ("src/server/governance/book.rs", true),
    ("src/server/governance/file.rs", true),
];

/// What would let the world into a pure file: tasks, sockets, clocks, threads, files.
const IMPURE: [&str; 19] = [
    "tokio",
    "socket2",
    "libc",
    "mio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "Instant",
    "SystemTime",
    "std::thread",
    "thread::spawn",
    "thread::sleep",
    "std::fs",
    "std::env",
    "std::process",
    "thread_local",
    "HostSockets",
];

#[test]
fn the_pure_parts_do_no_input_or_output_and_read_no_clock() {
    for (place, required) in PURE {
        let files = sources(place);
        assert!(!required || !files.is_empty(), "{place} is gone");
        for file in files {
            let code = code(&file);
            for word in IMPURE {
                assert!(!mentions(&code, word), "{} mentions {word}", file.display());
            }
        }
    }
}

#[test]
fn only_the_registry_names_transports() {
    let crates: Vec<_> = transports().iter().map(|path| package(path).replace('-', "_")).collect();
    assert!(crates.iter().any(|name| name == "polyperf_tcp"), "{crates:?}");
    for file in sources("src") {
        let code = code(&file);
        for name in &crates {
            let named = mentions(&code, name);
            // The lab carries packets through the model that the memory transport has, too.
            let link = name == LINK && file.components().any(|part| part.as_os_str() == "lab");
            let allowed = file.ends_with("registry.rs") || name == CONTRACT || link;
            assert!(!named || allowed, "{} names {name}", file.display());
        }
    }
    let registry = sources("src").into_iter().find(|file| file.ends_with("src/registry.rs"));
    assert!(mentions(&code(&registry.expect("there is a registry")), "polyperf_tcp"));
}

#[test]
fn nothing_is_kept_outside_of_values() {
    for file in sources("src").into_iter().chain(sources("transports")) {
        for line in code(&file).lines() {
            assert!(!is_state(line), "{}: {line}", file.display());
        }
    }
}

#[test]
fn a_transport_knows_the_contract_alone() {
    for path in transports() {
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a crate has a manifest");
        let own = package(&path);
        for name in dependencies(&manifest) {
            let ours = name.starts_with("polyperf");
            let contract = own.replace('-', "_") != CONTRACT && name == "polyperf-transport";
            let socket = own != SOCKET && name == SOCKET;
            // What is not sent again, but rebuilt.
            let fec = name == "polyperf-fec" && own != SOCKET;
            // Those that encrypt ask it whom to trust.
            let certs = own != SOCKET && name == "polyperf-certs";
            // Its link, over which others are tested.
            let link = name == "polyperf-memory"
                && manifest.split("[dev-dependencies]").next().is_some_and(|m| !m.contains(name));
            assert!(!ours || contract || socket || fec || certs || link, "{own} depends on {name}");
        }
    }
}

#[test]
fn comments_tests_and_texts_do_not_count_as_code() {
    let source = r#"
//! tokio is not used here.
use std::net::SocketAddr; // no TcpStream
/* neither libc /* nor mio */ */
const TEXT: &str = "tokio \" // still text"; let quote = '"';
fn life<'a>(x: &'a str) {}
#[cfg(test)]
mod tests { use tokio::time; fn f() { if true {} } }
fn after() {}
"#;
    let code = strip(source);
    for word in ["tokio", "TcpStream", "libc", "mio"] {
        assert!(!mentions(&code, word), "{word}: {code}");
    }
    for word in ["SocketAddr", "life", "after", "quote"] {
        assert!(mentions(&code, word), "{word}: {code}");
    }
    assert!(mentions("use tokio::time;", "tokio") && !mentions("my_tokio()", "tokio"));
    assert!(is_state("pub(crate) static COUNT: AtomicU64 = AtomicU64::new(0);"));
    assert!(!is_state("fn name() -> &'static str;"));
    assert!(!is_state("static NAMES: [&'static str; LEN] = Names::ALL;"));
    let manifest = "[dependencies]\na.workspace = true\n[dependencies.b]\n[target.'x'.dev-dependencies]\nc = \"1\"";
    assert_eq!(dependencies(manifest), ["a", "b", "c"]);
}

/// Returns every Rust file at or below `place`, without what only tests use.
fn sources(place: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(place)];
    while let Some(path) = open.pop() {
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if is_source && !path.ends_with("tests.rs") {
            found.push(path);
        } else if path.is_dir() && !path.ends_with("tests") {
            let entries = fs::read_dir(&path).expect("a folder can be read");
            open.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        }
    }
    found.sort();
    found
}

/// Returns the folders of all transport crates, the contract among them.
fn transports() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("transports")).expect("there are transports");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.join("Cargo.toml").is_file());
    assert!(paths.len() >= 2, "{paths:?}");
    paths
}

fn package(path: &Path) -> String {
    let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a crate has a manifest");
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    name.expect("a package has a name").trim_matches('"').to_owned()
}

/// Returns the names in every table of dependencies of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            names.extend(table.split_once("dependencies.").map(|(_, name)| name));
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
            names.push(line[..end].trim_matches('"'));
        }
    }
    names
}

/// Returns whether a line declares a `static` that may be more than a constant: one whose type has a
/// name of its own, and thereby perhaps an inside that changes.
fn is_state(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    if mentions(line, "thread_local") || mentions(line, "lazy_static") {
        return true;
    }
    if words.next() != Some("static") {
        return false;
    }
    let kind = line.split_once(':').map_or(line, |(_, kind)| kind);
    let kind = kind.split('=').next().unwrap_or(kind);
    let named =
        |word: &str| word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
    words.next() == Some("mut") || kind.split(|c: char| !c.is_alphanumeric()).any(named)
}

/// Returns whether `word` stands in `code` as a word of its own.
fn mentions(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn code(file: &Path) -> String {
    strip(&fs::read_to_string(file).expect("a source can be read"))
}

/// Returns `source` without comments, without the contents of texts, and without modules that only
/// tests see.
fn strip(source: &str) -> String {
    let mut code = without_comments(source);
    while let Some(at) = code.find("#[cfg(test)]") {
        let end = end_of_item(&code[at..]) + at;
        code.replace_range(at..end, "");
    }
    code
}

fn without_comments(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            end_of_block(rest)
        } else if first == '"' {
            end_of_text(rest)
        } else {
            // A quote as a character would open a text.
            let quote = ["'\"'", "'\\\"'"].iter().find(|quote| rest.starts_with(**quote));
            let taken = quote.map_or(first.len_utf8(), |quote| quote.len());
            if quote.is_none() {
                code.push(first);
            }
            taken
        };
        rest = &rest[skipped..];
    }
    code
}

/// Returns where a comment in `/* */` ends; such comments nest.
fn end_of_block(source: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < source.len() {
        if source[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if source[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += source[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    source.len()
}

/// Returns where a text that starts with a quote ends.
fn end_of_text(source: &str) -> usize {
    let mut escaped = true;
    for (at, character) in source.char_indices() {
        match character {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        if at == 0 {
            escaped = false;
        }
    }
    source.len()
}

/// Returns where the item ends that starts here: at its closing brace, or at its semicolon.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const CONTRACT: &str = "polyperf_transport";

/// Where the model of a link is.
const LINK: &str = "polyperf_memory";

/// What transports over the same kind of socket share.
const SOCKET: &str = "polyperf-socket";
