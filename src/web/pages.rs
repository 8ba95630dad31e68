//! The pages and what they are made of. A page is a fragment of HTML and a script, in the frame that
//! all share; to add one, add it to `PAGES`.

use std::sync::Arc;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

use super::{App, problem::Problem};

/// A page.
#[derive(Debug)]
struct Page {
    path: &'static str,
    title: &'static str,
    script: &'static str,
    content: &'static str,
    /// Whether it is in the navigation; who has to log in is sent there anyway.
    listed: bool,
}

const PAGES: [Page; 6] = [
    Page {
        path: "/",
        title: "Live",
        script: "live.js",
        content: include_str!("html/live.html"),
        listed: true,
    },
    Page {
        path: "/run",
        title: "Run a test",
        script: "run.js",
        content: include_str!("html/run.html"),
        listed: true,
    },
    Page {
        path: "/history",
        title: "History",
        script: "history.js",
        content: include_str!("html/history.html"),
        listed: true,
    },
    Page {
        path: "/compare",
        title: "Compare",
        script: "compare.js",
        content: include_str!("html/compare.html"),
        listed: true,
    },
    Page {
        path: "/server",
        title: "Server",
        script: "server.js",
        content: include_str!("html/server.html"),
        listed: true,
    },
    Page {
        path: "/login",
        title: "Log in",
        script: "login.js",
        content: include_str!("html/login.html"),
        listed: false,
    },
];

/// Where results are kept for who has their address.
const PERMALINK: &str = "/run/{id}";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What pages ask for: name, kind and content.
const ASSETS: [(&str, &str, &str); 14] = [
    ("style.css", STYLE, include_str!("html/style.css")),
    ("uplot.css", STYLE, include_str!("../compare/html/uplot/uPlot.min.css")),
    ("uplot.js", SCRIPT, include_str!("../compare/html/uplot/uPlot.iife.min.js")),
    (
        "uplot-licence.txt",
        "text/plain; charset=utf-8",
        include_str!("../compare/html/uplot/LICENSE"),
    ),
    ("frame.js", SCRIPT, include_str!("html/frame.js")),
    ("charts.js", SCRIPT, include_str!("html/charts.js")),
    ("common.js", SCRIPT, include_str!("html/common.js")),
    ("live.js", SCRIPT, include_str!("html/live.js")),
    ("run.js", SCRIPT, include_str!("html/run.js")),
    ("history.js", SCRIPT, include_str!("html/history.js")),
    ("compare.js", SCRIPT, include_str!("html/compare.js")),
    ("tests.js", SCRIPT, include_str!("html/tests.js")),
    ("server.js", SCRIPT, include_str!("html/server.js")),
    ("login.js", SCRIPT, include_str!("html/login.js")),
];

#[derive(Debug, Template)]
#[template(path = "frame.html")]
struct Frame {
    page: &'static Page,
    pages: &'static [Page],
    version: &'static str,
}

/// Returns every page and asset.
pub(super) fn routes() -> Router<Arc<App>> {
    let mut routes = Router::new().route(PERMALINK, get(|| async { framed(&PAGES[1]) }));
    for page in &PAGES {
        routes = routes.route(page.path, get(move || async move { framed(page) }));
    }
    for (name, kind, content) in ASSETS {
        let etag = etag(content);
        let asset = move |headers: HeaderMap| async move { asset(kind, content, &etag, &headers) };
        routes = routes.route(&format!("/assets/{name}"), get(asset));
    }
    routes
}

/// Returns whether this is the path of a page, which people look at.
pub(super) fn is_page(path: &str) -> bool {
    path.starts_with("/run/") || PAGES.iter().any(|page| page.path == path)
}

/// Answers whoever asks for what is not there.
pub(super) async fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing of this name; the pages begin at /")
}

fn framed(page: &'static Page) -> Response {
    let frame = Frame { page, pages: &PAGES, version: env!("CARGO_PKG_VERSION") };
    match frame.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            let text = format!("the page cannot be made: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

/// Returns an asset, unless the browser has it: it asks each time, as the next version has others.
fn asset(kind: &'static str, content: &'static str, etag: &str, headers: &HeaderMap) -> Response {
    let own = [(header::ETAG, etag), (header::CACHE_CONTROL, "no-cache")];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag) {
        return (StatusCode::NOT_MODIFIED, own).into_response();
    }
    (own, [(header::CONTENT_TYPE, kind)], content).into_response()
}

fn etag(content: &str) -> String {
    let digest = digest(&SHA256, content.as_bytes());
    let hex = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", hex.collect::<String>())
}
