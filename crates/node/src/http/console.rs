//! The console: a few static files in this binary. It is a client of the API like any other, so nothing here knows of the ledger.
//!
//! ```text
//! GET /            ─▶ index.html ─▶ /console/css/…, /console/js/…, /console/vendor/…
//!                                        └── fetch ─▶ /api/v1/… (with the user's token)
//! ```
//! # Rules
//! - The files hold no secret and are served to anybody who reaches the port; what they ask the API for is not.
//! - Nothing is loaded from elsewhere, and no script or style stands within a page: [`POLICY`] has browsers see to it.
//! - A browser keeps the files and asks each time whether they changed: another binary has other tags.

use super::problem::Problem;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::Id;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a page may load: from this node only.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every answer.
fn headers() -> [(HeaderName, HeaderValue); 5] {
    [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]
}

/// What pages are served as.
pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";
/// Everything that a file may be served as.
pub(super) const KINDS: [&str; 5] = [HTML, CSS, JS, SVG, TEXT];

/// A file of the console: where it is served, as what, and its bytes.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $kind:expr) => {
        Asset { path: $path, kind: $kind, bytes: include_bytes!(concat!("../../assets/console/", $path)) }
    };
}

/// Every file that is served. A test holds it against the directory.
const ASSETS: &[Asset] = &[
    asset!("css/colours.css", CSS),
    asset!("css/layout.css", CSS),
    asset!("css/parts.css", CSS),
    asset!("icon.svg", SVG),
    asset!("index.html", HTML),
    asset!("js/api.js", JS),
    asset!("js/bytes.js", JS),
    asset!("js/chart.js", JS),
    asset!("js/dag/graph.js", JS),
    asset!("js/dag/painter.js", JS),
    asset!("js/element.js", JS),
    asset!("js/events.js", JS),
    asset!("js/format.js", JS),
    asset!("js/life.js", JS),
    asset!("js/main.js", JS),
    asset!("js/pages/dag.js", JS),
    asset!("js/pages/device.js", JS),
    asset!("js/pages/devices.js", JS),
    asset!("js/pages/nodes.js", JS),
    asset!("js/pages/overview.js", JS),
    asset!("js/pages/reading.js", JS),
    asset!("js/pages/receipts.js", JS),
    asset!("js/pages/settings.js", JS),
    asset!("js/pages/sites.js", JS),
    asset!("js/pages/tokens.js", JS),
    asset!("js/pages/wallets.js", JS),
    asset!("js/parts.js", JS),
    asset!("js/proof/ed25519.js", JS),
    asset!("js/proof/genesis.js", JS),
    asset!("js/proof/json.js", JS),
    asset!("js/proof/merkle.js", JS),
    asset!("js/proof/reader.js", JS),
    asset!("js/proof/receipt.js", JS),
    asset!("js/proof/records.js", JS),
    asset!("js/pulse.js", JS),
    asset!("js/receipt.js", JS),
    asset!("js/session.js", JS),
    asset!("js/sha256.js", JS),
    asset!("js/theme-early.js", JS),
    asset!("js/theme.js", JS),
    asset!("js/trust.js", JS),
    asset!("js/wallet/key.js", JS),
    asset!("js/wallet/request.js", JS),
    asset!("js/wallet/spend.js", JS),
    asset!("vendor/uplot/LICENSE", TEXT),
    asset!("vendor/uplot/uPlot.iife.min.js", JS),
    asset!("vendor/uplot/uPlot.min.css", CSS),
];

/// The page that everything begins with.
const INDEX: &str = "index.html";

/// The files by their paths, with their tags.
static FILES: LazyLock<HashMap<&'static str, (&'static Asset, String)>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| (asset.path, (asset, tag(asset.bytes)))).collect());

/// A strong entity tag: the beginning of the hash.
fn tag(bytes: &[u8]) -> String {
    let hash = Id::hash(&[bytes]).to_string();
    format!("\"{}\"", hash.get(..16).unwrap_or(&hash))
}

/// `GET /`, `GET /console`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    answer(INDEX, &headers)
}

/// `GET /console/{path}`.
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    answer(&path, &headers)
}

fn answer(path: &str, asked: &HeaderMap) -> Response {
    let Some((asset, tag)) = FILES.get(path) else {
        return Problem::not_found("the console has no such file: it begins at /").into_response();
    };
    let mut response = match known(asked, tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response(),
    };
    let out = response.headers_mut();
    for (name, value) in headers() {
        out.insert(name, value);
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        out.insert(header::ETAG, tag);
    }
    response
}

/// Whether the browser has the file with this tag (RFC 9110, 13.1.2).
fn known(asked: &HeaderMap, tag: &str) -> bool {
    let listed = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path as Directory, PathBuf};

    /// In the directory, and not served.
    const NOT_SERVED: [&str; 2] = ["package.json", "vendor/uplot/SOURCE.md"];

    fn root() -> PathBuf {
        Directory::new(env!("CARGO_MANIFEST_DIR")).join("assets/console")
    }

    fn files(directory: &Directory, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    /// Our own files, as text.
    fn own() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS.iter().filter(|a| !a.path.starts_with("vendor/")).map(|a| (a.path, std::str::from_utf8(a.bytes).unwrap()))
    }

    #[test]
    fn every_file_of_the_directory_is_served_as_what_it_is() {
        let mut found = BTreeSet::new();
        files(&root(), &mut found);
        NOT_SERVED.iter().for_each(|path| assert!(found.remove(*path), "{path}"));
        let served: BTreeSet<String> = ASSETS.iter().map(|a| a.path.to_owned()).collect();
        assert_eq!(served, found);
        assert_eq!(served.len(), ASSETS.len(), "one is listed twice");
        for asset in ASSETS {
            let kind = match Directory::new(asset.path).extension().and_then(|e| e.to_str()) {
                Some("html") => HTML,
                Some("css") => CSS,
                Some("js") => JS,
                Some("svg") => SVG,
                _ => TEXT,
            };
            assert_eq!(asset.kind, kind, "{}", asset.path);
        }
    }

    #[test]
    fn whatever_a_file_names_is_there() {
        let mut named = 0;
        for (path, text) in own() {
            for end in text.split("\"/console/").skip(1) {
                let name = end.split('"').next().unwrap();
                assert!(FILES.contains_key(name), "{path} names {name}");
                named += 1;
            }
            for end in text.split("from '").skip(1) {
                let import = end.split('\'').next().unwrap();
                let mut at: Vec<&str> = path.split('/').collect();
                at.pop();
                for part in import.split('/') {
                    match part {
                        "." => {}
                        ".." => at.truncate(at.len().saturating_sub(1)),
                        part => at.push(part),
                    }
                }
                assert!(FILES.contains_key(at.join("/").as_str()), "{path} imports {import}");
                named += 1;
            }
        }
        assert!(named > 20, "{named}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_or_written_into_a_page() {
        for (path, text) in own() {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{path} names another place");
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path} makes markup or code of text");
        }
        let page = std::str::from_utf8(FILES.get(INDEX).unwrap().0.bytes).unwrap();
        assert!(page.split("<script").skip(1).all(|tag| tag.split('>').next().unwrap().contains("src=\"/console/")), "{page}");
        assert!(!page.contains("<style") && !page.contains(" style="), "{page}");
        assert!(!page.split_whitespace().any(|word| word.starts_with("on") && word.contains('=')), "{page}");
    }

    #[tokio::test]
    async fn a_browser_is_told_what_it_may_do_and_when_nothing_changed() {
        let response = index(HeaderMap::new()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: HeaderName| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header(header::CONTENT_TYPE), HTML);
        assert!(header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'self'"));
        assert_eq!((header(header::X_CONTENT_TYPE_OPTIONS), header(header::CACHE_CONTROL)), ("nosniff".into(), "no-cache".into()));
        let tag = header(header::ETAG);
        for (asked, status) in [(tag.clone(), 304), (format!("\"x\", W/{tag}"), 304), ("*".into(), 304), ("\"x\"".into(), 200)] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(&asked).unwrap())]);
            let response = file(Path(INDEX.into()), headers).await;
            assert_eq!((response.status().as_u16(), response.headers().contains_key(header::ETAG)), (status, true), "{asked}");
        }
        for path in ["", "nothing.js", "../console.rs", "js", "package.json"] {
            assert_eq!(file(Path(path.into()), HeaderMap::new()).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
