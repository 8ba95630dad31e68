//! What every request passes, and every answer has.
//!
//! A page of another site can have a browser send requests here, with its cookies, and a name whose
//! owner lets it point to this host can even read the answers. So a request has to name this site,
//! and one that changes anything has to come from it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header,
        uri::{Authority, Uri},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{App, auth, problem::Problem};

/// Lets a request through to its handler, or says why not.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // A test that Prometheus asks for takes its time, and has bounds of its own.
    let limit = match request.uri().path() {
        "/probe" => app.limits.request_time.max(PROBE),
        _ => app.limits.request_time,
    };
    let answer = async {
        if let Err(problem) = check(&app, &request) {
            return problem.into_response();
        }
        if must_log_in(&app, &request) {
            return log_in_first(request.uri());
        }
        next.run(request).await
    };
    let answer = tokio::time::timeout(limit, answer).await;
    let mut answer = answer.unwrap_or_else(|_| {
        let text = "the request took too long; send it at once";
        Problem::new(StatusCode::REQUEST_TIMEOUT, text).into_response()
    });
    harden(answer.headers_mut());
    answer
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let host = named_host(request)?;
    if !may_be_called(host.host(), &app.hosts) {
        let text = "this site does not go by that name: use its address, or start the server with --web-host NAME";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    match (safe, request.uri().path()) {
        // It changes nothing here, but it runs a test: no other site's page is to have that done.
        (true, "/probe") => comes_from_no_other_site(request.headers()),
        (true, _) => Ok(()),
        (false, _) => comes_from_here(request.headers(), &host),
    }
}

/// Returns the host that a request names, which it must do once, and consistently.
fn named_host(request: &Request) -> Result<Authority, Problem> {
    let bad = |text| Problem::new(StatusCode::BAD_REQUEST, text);
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let host = hosts.next().ok_or_else(|| bad("the request names no host"))?;
    if hosts.next().is_some() {
        return Err(bad("the request names more than one host"));
    }
    let host: Authority = host
        .to_str()
        .ok()
        .filter(|host| !host.contains('@'))
        .and_then(|host| host.parse().ok())
        .ok_or_else(|| bad("the request names no valid host"))?;
    match request.uri().authority() {
        Some(other) if *other != host => Err(bad("the request names two hosts")),
        _ => Ok(host),
    }
}

/// Returns whether `host` is a name of this site. An address is: no other site can be at it, as one
/// can be at a name that points here.
fn may_be_called(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| host.eq_ignore_ascii_case(name))
}

/// Refuses what a page of another site has a browser send. What a browser says of where a request
/// comes from, no page can change; a program says nothing, and shows a token, which no browser adds
/// by itself.
fn comes_from_here(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    let foreign = |text: &str| Err(Problem::new(StatusCode::FORBIDDEN, text));
    let site = headers.get(FETCH_SITE);
    if site.is_some_and(|site| site != "same-origin") {
        return foreign(FOREIGN);
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if is_origin(origin, host) => Ok(()),
        Some(_) => foreign("another site has sent this (Origin): open the page itself"),
        None if site.is_some() || auth::bearer(headers).is_some() => Ok(()),
        None => foreign("nothing says where this comes from: send Origin, or a token"),
    }
}

/// Refuses what a page of another site has a browser ask for. A program says nothing of where it comes
/// from, and a user who types an address comes from nowhere.
fn comes_from_no_other_site(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(FETCH_SITE) {
        Some(site) if site != "same-origin" && site != "none" => {
            Err(Problem::new(StatusCode::FORBIDDEN, FOREIGN))
        }
        _ => Ok(()),
    }
}

fn is_origin(origin: &HeaderValue, host: &Authority) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}

/// Returns whether this is not for everybody. What can be known without knowing anything of the
/// server is: a page on which to log in, and whether the process lives.
fn must_log_in(app: &App, request: &Request) -> bool {
    let path = request.uri().path();
    let open = path.starts_with("/assets/")
        || ["/login", "/api/v1/login", "/api/v1/me", "/healthz", "/readyz"].contains(&path);
    !app.public_read && !open && !app.gate.knows(request.headers())
}

fn log_in_first(uri: &Uri) -> Response {
    let is_page = super::pages::is_page(uri.path());
    if is_page { Redirect::to("/login").into_response() } else { auth::unknown().into_response() }
}

fn harden(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
}

/// Where browsers say that a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";
const FOREIGN: &str = "another site has sent this (Sec-Fetch-Site): open the page itself";
/// Longer than any probe: a test of a minute, and another one before it.
const PROBE: Duration = Duration::from_secs(180);
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_the_names_that_were_given_are_this_site() {
        let names = ["perf.example.net".to_owned()];
        for host in
            ["127.0.0.1", "192.0.2.1", "[::1]", "localhost", "LOCALHOST", "Perf.Example.NET"]
        {
            assert!(may_be_called(host, &names), "{host}");
        }
        for host in [
            "",
            "example.net",
            "localhost.example.net",
            "perf.example.net.",
            "127.0.0.1.nip.io",
            "[::1",
            "0x7f.1",
        ] {
            assert!(!may_be_called(host, &names), "{host}");
        }
    }

    #[test]
    fn only_this_very_origin_may_send_what_changes_something() {
        let host: Authority = "perf.example.net:5280".parse().unwrap();
        let from = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|&(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            comes_from_here(&headers.collect(), &host).is_ok()
        };
        assert!(from(&[("origin", "http://perf.example.net:5280")]));
        assert!(from(&[
            ("origin", "https://PERF.example.net:5280"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(from(&[("authorization", "Bearer abc")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        for foreign in [
            "http://evil.example",
            "http://perf.example.net",
            "http://perf.example.net:52800",
            "http://perf.example.net:5280.evil.example",
            "http://evil.example@perf.example.net:5280",
            "null",
            "",
        ] {
            assert!(!from(&[("origin", foreign), ("authorization", "Bearer abc")]), "{foreign}");
        }
        assert!(!from(&[]));
        for site in ["cross-site", "same-site", "none"] {
            let own = ("origin", "http://perf.example.net:5280");
            assert!(!from(&[own, ("sec-fetch-site", site)]), "{site}");
        }
    }
}
