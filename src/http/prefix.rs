//! All that we serve, below a path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// Returns what answers below a prefix as `inner` does at the root, and leads from the root there. An empty prefix is the root.
///
/// Source: Prometheus and Alertmanager, `--web.route-prefix`.
pub fn under(prefix: &str, inner: Router) -> Router {
    if prefix.is_empty() {
        return inner;
    }
    let prefix: Arc<str> = Arc::from(prefix);
    // As the fallback of another router it has its routes looked up only once the path is changed.
    Router::new().fallback_service(inner).layer(middleware::from_fn_with_state(prefix, lead))
}

async fn lead(State(prefix): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    let uri = request.uri();
    let below = uri.path().strip_prefix(&*prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match below {
        Some(rest) if !rest.is_empty() => {
            let Some(uri) = at(uri, rest) else { return StatusCode::BAD_REQUEST.into_response() };
            *request.uri_mut() = uri;
            next.run(request).await
        }
        // What the page refers to stands below the slash.
        Some(_) => found(&prefix),
        None if uri.path() == "/" => found(&prefix),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn found(prefix: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, format!("{prefix}/"))]).into_response()
}

/// Returns a URI with another path.
fn at(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}
