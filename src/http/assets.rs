//! The built web page, embedded in the binary.

use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use rust_embed::RustEmbed;

use super::alertmanager::fault::V2Error;
use crate::id;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Where the page reads what is the root to it.
const BASE: &str = "name=\"tocsin-base\" content=\"/\"";

/// Shown when the binary was built without the page.
const NO_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Tocsin</title>\
<p>This binary was built without the web page. Run <code>make build</code>, which builds both; the API works as it is.";

fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src-elem 'self' 'nonce-{nonce}'; style-src-attr 'none'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
}

/// Returns how a browser gets from a path of ours up to the root: whoever passes requests on to us may have it under another path.
fn way_up(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        depth => "../".repeat(depth - 1),
    }
}

/// Answers with the page's frame at a path, with a nonce of its own; the page itself then reads the path.
fn index(path: &str) -> Response {
    let (nonce, up) = (id::secret(), way_up(path));
    let html = match Dist::get("index.html") {
        Some(file) => String::from_utf8_lossy(&file.data)
            .replace("__CSP_NONCE__", &nonce)
            .replace("=\"./", &format!("=\"{up}"))
            .replace(BASE, &format!("name=\"tocsin-base\" content=\"{up}\"")),
        None => NO_PAGE.to_owned(),
    };
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy(&nonce)).expect("the policy is plain text"));
    response
}

/// The files that compression makes smaller, compressed once.
static PACKED: LazyLock<HashMap<String, Bytes>> = LazyLock::new(|| {
    let packed = Dist::iter().filter_map(|path| {
        let file = Dist::get(&path)?;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(&file.data).ok()?;
        let bytes = out.finish().ok()?;
        (bytes.len() < file.data.len() * 9 / 10).then(|| (path.into_owned(), Bytes::from(bytes)))
    });
    packed.collect()
});

/// Returns whether an answer may come as gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|text| text.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|weight| weight.trim_start_matches("q=").parse() != Ok(0.0))
    })
}

async fn asset(State(()): State<()>, uri: Uri, asked: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/v1/") {
        return super::prometheus::ApiError::not_found(format!("there is no {}", uri.path())).into_response();
    }
    if super::access::is_v2(uri.path()) {
        return V2Error::form(StatusCode::NOT_FOUND, format!("path {} was not found", uri.path())).into_response();
    }
    if path.starts_with("api/") || path.starts_with("-/") {
        return super::problem::Problem::not_found(format!("there is no {}", uri.path())).into_response();
    }
    match Dist::get(path) {
        Some(file) if path != "index.html" => {
            let packed = PACKED.get(path).filter(|_| takes_gzip(&asked));
            let body = packed.cloned().map_or_else(|| Body::from(file.data.into_owned()), Body::from);
            let mut response = body.into_response();
            let headers = response.headers_mut();
            if packed.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            let kind =
                HeaderValue::from_str(file.metadata.mimetype()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_TYPE, kind);
            // Names under assets/ carry a hash of their content, so they never change.
            let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            response
        }
        Some(_) => index(uri.path()),
        // A file that is not there is an error; a place of the page is not.
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => StatusCode::NOT_FOUND.into_response(),
        None => index(uri.path()),
    }
}

pub fn routes() -> Router {
    // Away from the threads that drive the network, and before the first visitor comes; who comes earlier waits for it.
    tokio::task::spawn_blocking(|| LazyLock::force(&PACKED).len());
    Router::new().route("/", routing::get(asset)).route("/{*path}", routing::get(asset)).with_state(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_everywhere() {
        assert_eq!(["/", "/alerts", "/alerts/why", "/runs/documents/x"].map(way_up), ["./", "./", "../", "../../"]);
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let takes =
            |text: &'static str| takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]));
        assert!(takes("gzip") && takes("br, gzip;q=0.5") && takes("deflate,gzip;q=1.0, *;q=0.1"));
        assert!(!takes("") && !takes("br") && !takes("gzip;q=0") && !takes("br, gzip; q=0.0"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
