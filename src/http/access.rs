//! Who may call what: one table of routes, and the guard that holds every request against it.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use tocsin_core::access::{Permission, Role};

use super::alertmanager::fault::V2Error;
use super::problem::Problem;
use crate::clock;
use crate::db::Db;
use crate::db::accounts::AuditEntry;
use crate::id;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: health, metrics, the login itself, and the page's own files.
    Open,
    /// A signature over the body, which the handler holds against the secret of the sender.
    Signature,
    Needs(Permission),
}

use Access::{Needs, Open, Signature};
use Permission::{
    Acknowledge, Disrupt, ManageAccounts, ManageSamples, Read, ReadAudit, Reload, Run, SendAlerts, Silence, WriteSamples,
};

/// Every route with what it asks. A route that is missing here is refused.
pub const ROUTES: &[(&str, &str, Access)] = &[
    ("GET", "/-/healthy", Open),
    ("GET", "/-/ready", Open),
    ("POST", "/-/reload", Needs(Reload)),
    ("GET", "/metrics", Open),
    ("GET", "/", Open),
    ("GET", "/{*path}", Open),
    ("GET", "/api/tocsin/v1/openapi.json", Open),
    ("GET", "/api/tocsin/v1/session", Open),
    ("POST", "/api/tocsin/v1/session", Open),
    ("DELETE", "/api/tocsin/v1/session", Open),
    ("POST", "/api/tocsin/v1/session/password", Needs(Read)),
    ("GET", "/api/tocsin/v1/overview", Needs(Read)),
    ("GET", "/api/tocsin/v1/alerts", Needs(Read)),
    ("GET", "/api/tocsin/v1/alerts/{fingerprint}", Needs(Read)),
    ("GET", "/api/tocsin/v1/why", Needs(Read)),
    ("GET", "/api/tocsin/v1/pages", Needs(Read)),
    ("GET", "/api/tocsin/v1/pages/{id}", Needs(Read)),
    ("POST", "/api/tocsin/v1/pages/{id}/acknowledge", Needs(Acknowledge)),
    ("POST", "/api/tocsin/v1/pages/{id}/unacknowledge", Needs(Acknowledge)),
    ("GET", "/api/tocsin/v1/deliveries", Needs(Read)),
    ("GET", "/api/tocsin/v1/inbox", Needs(Read)),
    ("GET", "/api/tocsin/v1/silences", Needs(Read)),
    ("POST", "/api/tocsin/v1/silences", Needs(Silence)),
    ("DELETE", "/api/tocsin/v1/silences/{id}", Needs(Silence)),
    ("POST", "/api/tocsin/v1/silences/preview", Needs(Read)),
    ("POST", "/api/tocsin/v1/silences/history", Needs(Read)),
    ("GET", "/api/tocsin/v1/targets", Needs(Read)),
    ("GET", "/api/tocsin/v1/cardinality", Needs(Read)),
    ("GET", "/api/tocsin/v1/cardinality/metrics/{name}", Needs(Read)),
    ("GET", "/api/tocsin/v1/objectives", Needs(Read)),
    ("GET", "/api/tocsin/v1/objectives/{id}", Needs(Read)),
    ("GET", "/api/tocsin/v1/journeys", Needs(Read)),
    ("GET", "/api/tocsin/v1/runbooks", Needs(Read)),
    ("GET", "/api/tocsin/v1/runbooks/{id}", Needs(Read)),
    ("POST", "/api/tocsin/v1/runbooks/{id}/runs", Needs(Run)),
    ("GET", "/api/tocsin/v1/suggestions", Needs(Read)),
    ("GET", "/api/tocsin/v1/runs", Needs(Read)),
    ("GET", "/api/tocsin/v1/runs/{id}", Needs(Read)),
    ("POST", "/api/tocsin/v1/runs/{id}/approve", Needs(Run)),
    ("POST", "/api/tocsin/v1/runs/{id}/cancel", Needs(Run)),
    ("POST", "/api/tocsin/v1/runs/{id}/pause", Needs(Run)),
    ("POST", "/api/tocsin/v1/runs/{id}/resume", Needs(Run)),
    ("POST", "/api/tocsin/v1/runs/{id}/human", Needs(Run)),
    ("POST", "/api/tocsin/v1/runs/{id}/settle", Needs(Run)),
    ("GET", "/api/tocsin/v1/runs/{id}/report", Needs(Read)),
    ("GET", "/api/tocsin/v1/runs/{id}/report.html", Needs(Read)),
    ("GET", "/api/tocsin/v1/kill-switch", Needs(Read)),
    ("PUT", "/api/tocsin/v1/kill-switch", Needs(Disrupt)),
    ("GET", "/api/tocsin/v1/freezes", Needs(Read)),
    ("POST", "/api/tocsin/v1/freezes", Needs(Disrupt)),
    ("DELETE", "/api/tocsin/v1/freezes/{id}", Needs(Disrupt)),
    ("GET", "/api/tocsin/v1/drills", Needs(Read)),
    ("GET", "/api/tocsin/v1/experiments", Needs(Read)),
    ("POST", "/api/tocsin/v1/hooks/{source}", Signature),
    ("GET", "/api/tocsin/v1/tsdb", Needs(Read)),
    ("GET", "/api/tocsin/v1/tsdb/dump", Needs(Read)),
    ("POST", "/api/tocsin/v1/tsdb/delete", Needs(ManageSamples)),
    ("POST", "/api/tocsin/v1/tsdb/snapshots", Needs(ManageSamples)),
    ("GET", "/api/tocsin/v1/stream", Needs(Read)),
    ("GET", "/api/tocsin/v1/demo", Needs(Read)),
    ("POST", "/api/tocsin/v1/demo/faults/{name}", Needs(Disrupt)),
    ("GET", "/api/tocsin/v1/users", Needs(ManageAccounts)),
    ("POST", "/api/tocsin/v1/users", Needs(ManageAccounts)),
    ("PATCH", "/api/tocsin/v1/users/{name}", Needs(ManageAccounts)),
    ("GET", "/api/tocsin/v1/tokens", Needs(ManageAccounts)),
    ("POST", "/api/tocsin/v1/tokens", Needs(ManageAccounts)),
    ("DELETE", "/api/tocsin/v1/tokens/{id}", Needs(ManageAccounts)),
    ("GET", "/api/tocsin/v1/audit", Needs(ReadAudit)),
    ("GET", "/api/tocsin/v1/audit/chain", Needs(ReadAudit)),
    ("GET", "/api/v1/query", Needs(Read)),
    ("POST", "/api/v1/query", Needs(Read)),
    ("GET", "/api/v1/query_range", Needs(Read)),
    ("POST", "/api/v1/query_range", Needs(Read)),
    ("GET", "/api/v1/series", Needs(Read)),
    ("POST", "/api/v1/series", Needs(Read)),
    ("GET", "/api/v1/labels", Needs(Read)),
    ("POST", "/api/v1/labels", Needs(Read)),
    ("GET", "/api/v1/label/{name}/values", Needs(Read)),
    ("GET", "/api/v1/metadata", Needs(Read)),
    ("GET", "/api/v1/query_exemplars", Needs(Read)),
    ("POST", "/api/v1/query_exemplars", Needs(Read)),
    ("GET", "/api/v1/format_query", Needs(Read)),
    ("POST", "/api/v1/format_query", Needs(Read)),
    ("GET", "/api/v1/parse_query", Needs(Read)),
    ("POST", "/api/v1/parse_query", Needs(Read)),
    ("POST", "/api/v1/write", Needs(WriteSamples)),
    ("GET", "/api/v1/rules", Needs(Read)),
    ("GET", "/api/v1/alerts", Needs(Read)),
    ("GET", "/api/v1/targets", Needs(Read)),
    ("GET", "/api/v1/targets/metadata", Needs(Read)),
    ("GET", "/api/v1/scrape_pools", Needs(Read)),
    ("GET", "/api/v1/notifications", Needs(Read)),
    ("GET", "/api/v1/status/walreplay", Needs(Read)),
    ("GET", "/api/v1/alertmanagers", Needs(Read)),
    ("GET", "/api/v1/status/buildinfo", Needs(Read)),
    ("GET", "/api/v1/status/config", Needs(Read)),
    ("GET", "/api/v1/status/runtimeinfo", Needs(Read)),
    ("GET", "/api/v1/status/tsdb", Needs(Read)),
    ("GET", "/api/v1/status/flags", Needs(Read)),
    ("POST", "/api/v1/admin/tsdb/delete_series", Needs(ManageSamples)),
    ("PUT", "/api/v1/admin/tsdb/delete_series", Needs(ManageSamples)),
    ("POST", "/api/v1/admin/tsdb/clean_tombstones", Needs(ManageSamples)),
    ("PUT", "/api/v1/admin/tsdb/clean_tombstones", Needs(ManageSamples)),
    ("POST", "/api/v1/admin/tsdb/snapshot", Needs(ManageSamples)),
    ("PUT", "/api/v1/admin/tsdb/snapshot", Needs(ManageSamples)),
    // Alertmanager's API before v2: nothing but the word that it is gone.
    ("POST", "/api/v1/alerts", Open),
    ("GET", "/api/v1/silences", Open),
    ("POST", "/api/v1/silences", Open),
    ("GET", "/api/v1/silence/{id}", Open),
    ("DELETE", "/api/v1/silence/{id}", Open),
    ("GET", "/api/v1/receivers", Open),
    ("GET", "/api/v1/status", Open),
    ("GET", "/api/v2/status", Needs(Read)),
    ("GET", "/api/v2/receivers", Needs(Read)),
    ("GET", "/api/v2/alerts", Needs(Read)),
    ("POST", "/api/v2/alerts", Needs(SendAlerts)),
    ("GET", "/api/v2/alerts/groups", Needs(Read)),
    ("GET", "/api/v2/silences", Needs(Read)),
    ("POST", "/api/v2/silences", Needs(Silence)),
    ("GET", "/api/v2/silence/{id}", Needs(Read)),
    ("DELETE", "/api/v2/silence/{id}", Needs(Silence)),
];

fn access(method: &Method, path: &str) -> Option<Access> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|(own, pattern, _)| *own == method && *pattern == path).map(|route| route.2)
}

/// Says that a path knows no such method, or that there is no such path.
fn not_served(method: &Method, path: &str) -> Problem {
    match path {
        // The page's own files; nothing but GET reaches them.
        "/{*path}" => Problem::not_found(format!("nothing here takes {method}")),
        _ if ROUTES.iter().any(|(_, pattern, _)| *pattern == path) => {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", format!("this address does not take {method}"))
        }
        _ => Problem::forbidden("this route is in no table of roles"),
    }
}

/// The cookie that holds a login's secret.
pub const COOKIE: &str = "tocsin_session";
/// The header that a mutation by cookie must carry.
pub const CSRF_HEADER: &str = "x-tocsin-csrf";

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    /// Who answers for it: the person, or who made the token.
    pub account: String,
    pub role: Role,
}

impl Caller {
    /// Returns a person.
    pub fn new(name: &str, role: Role) -> Caller {
        Caller { name: name.to_owned(), account: name.to_owned(), role }
    }

    /// Returns who has signed in; None: nobody had to.
    pub fn signed_in(&self) -> Option<String> {
        (self.name != ANONYMOUS).then(|| self.name.clone())
    }

    /// Returns a line of the audit about what this caller does now.
    pub fn note(&self, action: &str, subject: &str, outcome: &str, detail: impl Into<String>) -> AuditEntry {
        AuditEntry {
            at: clock::now(),
            who: self.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
            detail: detail.into(),
        }
    }
}

/// Everybody, where nobody signs in.
const ANONYMOUS: &str = "anonymous";

/// What the guard needs.
#[derive(Clone)]
pub struct Guard {
    pub db: Db,
    /// False under `--no-auth`: then every caller is trusted, and only loopback is listened on.
    pub asks: bool,
    /// Where people reach us, such as `https://tocsin.example.com`.
    pub external_url: String,
}

/// Returns whether a request was sent to a name that is ours: an address, this machine's own name, or the host of our external URL.
///
/// Another site can make its own name point to this machine, and the browser then takes our answers for that site's.
fn to_our_name(headers: &HeaderMap, external_url: &str) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return true };
    if external_url.split_once("://").is_some_and(|(_, rest)| rest.split('/').next() == Some(host)) {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

/// How a caller proved who they are.
enum Proof {
    Cookie { csrf: String },
    Token,
    NotAsked,
}

/// Returns the value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value)
}

/// Returns the token of `Authorization: Bearer TOKEN` or of Basic authorisation, whose password is then the token.
fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = base64::engine::general_purpose::STANDARD.decode(credentials.trim()).ok()?;
        return Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_owned());
    }
    None
}

/// Returns whether a browser sent the request on behalf of another site.
///
/// Without a login there is no secret that another site could lack, so the browser's own word is asked.
fn from_another_site(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let foreign_origin = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, origin_host)| origin_host != host),
        (Some(_), None) => true,
        (None, _) => false,
    };
    matches!(site, Some("cross-site" | "same-site")) || foreign_origin
}

impl Guard {
    /// Returns who is calling, or None for a stranger.
    async fn identify(&self, headers: &HeaderMap) -> Result<Option<(Caller, Proof)>, Problem> {
        if !self.asks {
            return Ok(Some((Caller::new(ANONYMOUS, Role::SreLead), Proof::NotAsked)));
        }
        if let Some(secret) = token(headers) {
            let token = self.db.token(&id::digest(&secret), clock::now()).await?;
            return Ok(token.map(|token| {
                (Caller { name: format!("token {}", token.name), account: token.created_by, role: token.role }, Proof::Token)
            }));
        }
        let Some(secret) = cookie(headers, COOKIE) else { return Ok(None) };
        let login = self.db.login(&id::digest(secret), clock::now()).await?;
        Ok(login.map(|login| (Caller::new(&login.name, login.role), Proof::Cookie { csrf: login.csrf })))
    }

    async fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let unsafe_method = !(method == Method::GET || method == Method::HEAD);
        if !self.asks && !to_our_name(headers, &self.external_url) {
            return Err(Problem::forbidden("without logins this service answers only under its own name; set web.external_url"));
        }
        if !self.asks && unsafe_method && from_another_site(headers) {
            return Err(Problem::forbidden("another site's page sent this request"));
        }
        let Some(access) = access(method, path) else {
            return Err(not_served(method, path));
        };
        let permission = match access {
            // Nobody is looked up: what is open answers also while the database is away.
            Open | Signature => return Ok(None),
            Needs(permission) => permission,
        };
        let Some((caller, proof)) = self.identify(headers).await? else {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "log in, or send an API token as a bearer token",
            ));
        };
        let refusal = if !caller.role.may(permission) {
            Some(format!("the role {} may not do this", caller.role.word()))
        } else {
            match proof {
                Proof::Cookie { csrf } if unsafe_method => {
                    let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
                    (sent != Some(csrf.as_str())).then(|| format!("the header {CSRF_HEADER} is missing or wrong"))
                }
                Proof::Cookie { .. } | Proof::Token | Proof::NotAsked => None,
            }
        };
        match refusal {
            None => Ok(Some(caller)),
            Some(reason) => {
                if unsafe_method {
                    self.audit(&caller, method.as_str(), path, "refused", &reason).await?;
                }
                Err(Problem::forbidden(reason))
            }
        }
    }

    /// Appends to the audit what changes nothing else in the database.
    pub async fn audit(&self, caller: &Caller, action: &str, subject: &str, outcome: &str, detail: &str) -> Result<(), Problem> {
        Ok(self.db.add_audit(&caller.note(action, subject, outcome, detail)).await?)
    }
}

/// Lets a request pass when the table allows it; the handler finds its `Caller` in the request's extensions.
pub async fn guard(State(guard): State<Arc<Guard>>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    match guard.check(request.method(), path.as_str(), request.headers()).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        // Which methods an address takes is in the header `Allow`, which the router adds. Nothing is said to pages of other sites: they
        // may not read this service.
        Err(problem) if request.method() == Method::OPTIONS && problem.status == StatusCode::METHOD_NOT_ALLOWED => {
            StatusCode::NO_CONTENT.into_response()
        }
        // Clients of Alertmanager's API read what is wrong in its form; that they must log in is a matter of ours.
        Err(problem) if is_v2(request.uri().path()) && matches!(problem.status, 404 | 405) => {
            V2Error::from(problem).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Returns whether an address belongs to Alertmanager's API.
pub fn is_v2(path: &str) -> bool {
    path.starts_with("/api/v2/")
}
