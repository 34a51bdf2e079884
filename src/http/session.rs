//! Logging in and out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::access::{COOKIE, Caller, Guard, cookie};
use super::problem::Problem;
use crate::clock;
use crate::db::accounts::{Account, Login};
use crate::id;

/// How long a login lasts.
const LOGIN_SPAN: Span = Span::from_secs(14 * 24 * 3600);
/// Wrong passwords that are let through for one name, and for all together, before the minute is over.
const WRONG_MAX: u32 = 8;
const WRONG_ALL_MAX: u32 = 60;
/// Passwords are hashed one at a time: each costs 19 MiB and a good part of a core, and alerts come first.
static HASHING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

/// Who is logged in, and what the page needs to know of the service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    pub authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<SessionUser>,
    /// What a mutation must repeat in `X-Tocsin-CSRF`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// `password`, or `off` under `--no-auth`.
    pub auth: &'static str,
    pub demo: bool,
    pub version: &'static str,
    pub external_url: String,
    pub server_time: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionUser {
    pub name: String,
    pub role: String,
}

#[derive(Clone, Deserialize, ToSchema)]
pub struct Credentials {
    pub name: String,
    pub password: String,
}

#[derive(Clone)]
pub struct SessionState {
    pub guard: Arc<Guard>,
    pub demo: bool,
    pub external_url: Arc<str>,
    wrong: Arc<Mutex<Wrong>>,
}

/// Wrong passwords of the running minute.
#[derive(Default)]
struct Wrong {
    minute: i64,
    by_name: BTreeMap<String, u32>,
    all: u32,
}

impl Wrong {
    fn roll(&mut self, now: Timestamp) {
        let minute = now.0.div_euclid(60_000);
        if minute != self.minute {
            *self = Wrong { minute, ..Wrong::default() };
        }
    }

    fn allows(&mut self, name: &str, now: Timestamp) -> bool {
        self.roll(now);
        self.all < WRONG_ALL_MAX && self.by_name.get(name).is_none_or(|count| *count < WRONG_MAX)
    }

    fn note(&mut self, name: &str, now: Timestamp) {
        self.roll(now);
        self.all += 1;
        *self.by_name.entry(name.to_owned()).or_default() += 1;
    }
}

/// Returns a password's hash in text form, for the table of accounts.
pub async fn hash_password(password: String) -> Result<String, Problem> {
    let _turn = HASHING.acquire().await.map_err(|_| Problem::unavailable("the service is stopping"))?;
    tokio::task::spawn_blocking(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "password", "the password could not be hashed"))
}

async fn verify_password(password: String, hash: String) -> Result<bool, Problem> {
    let _turn = HASHING.acquire().await.map_err(|_| Problem::unavailable("the service is stopping"))?;
    let verified = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    Ok(verified.await.unwrap_or(false))
}

impl SessionState {
    pub fn new(guard: Arc<Guard>, demo: bool, external_url: &str) -> SessionState {
        SessionState { guard, demo, external_url: Arc::from(external_url), wrong: Arc::default() }
    }

    fn session(&self, login: Option<(SessionUser, String)>) -> Session {
        let (user, csrf) = login.unzip();
        Session {
            authenticated: user.is_some(),
            user,
            csrf,
            auth: if self.guard.asks { "password" } else { "off" },
            demo: self.demo,
            version: env!("CARGO_PKG_VERSION"),
            external_url: self.external_url.to_string(),
            server_time: clock::now().rfc3339(),
        }
    }

    fn cookie(&self, value: &str, seconds: i64) -> Result<HeaderValue, Problem> {
        let secure = if self.external_url.starts_with("https://") { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
            .map_err(|_| Problem::bad_request("the cookie cannot be written"))
    }

    /// Returns the account that a name and a password open; takes as long for an unknown name as for a wrong password.
    async fn verify(&self, credentials: Credentials) -> Result<Option<Account>, Problem> {
        /// The hash of nothing that anybody types.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZG9lc25vdGV4aXN0MDE$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";
        let account = self.guard.db.account(&credentials.name).await?.filter(|account| !account.disabled);
        let hash = account.as_ref().map_or(NOBODY.to_owned(), |account| account.password_hash.clone());
        let right = verify_password(credentials.password, hash).await?;
        Ok(account.filter(|_| right))
    }
}

/// Says who is logged in.
#[utoipa::path(get, path = "/api/tocsin/v1/session", tag = "session", responses((status = 200, body = Session)))]
pub async fn get_session(State(state): State<SessionState>, headers: HeaderMap) -> Result<Json<Session>, Problem> {
    if !state.guard.asks {
        let user = SessionUser { name: "anonymous".to_owned(), role: tocsin_core::access::Role::SreLead.word().to_owned() };
        return Ok(Json(state.session(Some((user, String::new())))));
    }
    let login = match cookie(&headers, COOKIE) {
        Some(secret) => state.guard.db.login(&id::digest(secret), clock::now()).await?,
        None => None,
    };
    Ok(Json(state.session(login.map(|login| (SessionUser { name: login.name, role: login.role.word().to_owned() }, login.csrf)))))
}

/// Logs in.
#[utoipa::path(post, path = "/api/tocsin/v1/session", tag = "session", request_body = Credentials,
    responses((status = 200, body = Session), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub async fn log_in(State(state): State<SessionState>, Json(credentials): Json<Credentials>) -> Result<Response, Problem> {
    let now = clock::now();
    if credentials.name.len() > 256 || credentials.password.len() > 1024 {
        return Err(Problem::bad_request("a name has at most 256 characters and a password at most 1024"));
    }
    if !state.wrong.lock().expect("no holder of this lock panics").allows(&credentials.name, now) {
        let mut response =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "too many wrong passwords; wait a minute")
                .into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return Ok(response);
    }
    let name = credentials.name.clone();
    let caller = |role| Caller { name: name.clone(), role };
    let Some(account) = state.verify(credentials).await? else {
        state.wrong.lock().expect("no holder of this lock panics").note(&name, now);
        state
            .guard
            .audit(&caller(tocsin_core::access::Role::Viewer), "log in", &name, "refused", "wrong name or password")
            .await?;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-credentials", "the name or the password is wrong"));
    };
    let secret = id::secret();
    let login = Login { name: account.name.clone(), role: account.role, csrf: id::secret(), expires_at: now + LOGIN_SPAN };
    state.guard.db.add_login(&id::digest(&secret), &login, now).await?;
    state.guard.audit(&caller(account.role), "log in", &account.name, "done", "").await?;
    let user = SessionUser { name: account.name, role: account.role.word().to_owned() };
    let mut response = Json(state.session(Some((user, login.csrf)))).into_response();
    response.headers_mut().insert(header::SET_COOKIE, state.cookie(&secret, LOGIN_SPAN.0 / 1000)?);
    Ok(response)
}

/// Logs out.
#[utoipa::path(delete, path = "/api/tocsin/v1/session", tag = "session", responses((status = 204)))]
pub async fn log_out(State(state): State<SessionState>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(secret) = cookie(&headers, COOKIE) {
        state.guard.db.end_login(&id::digest(secret)).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, state.cookie("", 0)?);
    Ok(response)
}

pub fn routes(state: SessionState) -> Router {
    Router::new().route("/api/tocsin/v1/session", routing::get(get_session).post(log_in).delete(log_out)).with_state(state)
}
