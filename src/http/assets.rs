//! The built web page, embedded in the binary.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use rust_embed::RustEmbed;

use crate::id;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Shown when the binary was built without the page.
const NO_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Tocsin</title>\
<p>This binary was built without the web page. Run <code>make build</code>, which builds both; the API works as it is.";

fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src-elem 'self' 'nonce-{nonce}'; style-src-attr 'none'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
}

/// Answers with the page's frame, with a nonce of its own; the page itself then reads the path.
fn index() -> Response {
    let nonce = id::secret();
    let html = match Dist::get("index.html") {
        Some(file) => String::from_utf8_lossy(&file.data).replace("__CSP_NONCE__", &nonce),
        None => NO_PAGE.to_owned(),
    };
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy(&nonce)).expect("the policy is plain text"));
    response
}

async fn asset(State(()): State<()>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") || path.starts_with("-/") {
        return super::problem::Problem::not_found(format!("there is no {}", uri.path())).into_response();
    }
    match Dist::get(path) {
        Some(file) if path != "index.html" => {
            let mut response = Body::from(file.data.into_owned()).into_response();
            let headers = response.headers_mut();
            let kind =
                HeaderValue::from_str(file.metadata.mimetype()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_TYPE, kind);
            // Names under assets/ carry a hash of their content, so they never change.
            let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            response
        }
        Some(_) => index(),
        // A file that is not there is an error; a place of the page is not.
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => StatusCode::NOT_FOUND.into_response(),
        None => index(),
    }
}

pub fn routes() -> Router {
    Router::new().route("/", routing::get(asset)).route("/{*path}", routing::get(asset)).with_state(())
}
