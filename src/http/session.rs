//! Logging in and out.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::access::Role;
use tocsin_core::access::attempts::Attempts;
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::access::{COOKIE, Caller, Guard, cookie};
use super::accounts::check_password;
use super::problem::Problem;
use crate::clock;
use crate::db::DbError;
use crate::db::accounts::{Account, Login};
use crate::id;

/// How long a login lasts.
const LOGIN_SPAN: Span = Span::from_secs(14 * 24 * 3600);
/// Passwords are hashed one at a time: each costs 19 MiB and a good part of a core, and alerts come first.
static HASHING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
/// Passwords that may wait for their turn; who comes when all places are taken waits for none, and so does whoever has waited long.
const WAITING_MAX: usize = 32;
static WAITING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(WAITING_MAX);
const WAIT_MAX: Duration = Duration::from_secs(10);

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
    /// Below which path all is served; empty: the root.
    prefix: Arc<str>,
    attempts: Arc<Mutex<Attempts>>,
}

#[derive(Clone, Deserialize, ToSchema)]
pub struct PasswordChange {
    pub current: String,
    pub new: String,
}

/// The address that a request came from, when the server says it.
type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

fn address(peer: &Peer) -> Option<IpAddr> {
    peer.as_ref().map(|Extension(ConnectInfo(address))| address.ip())
}

/// Waits for a turn at hashing.
async fn turn() -> Result<tokio::sync::SemaphorePermit<'static>, Problem> {
    let busy = || Problem::unavailable("too many passwords are being looked at; try again in a while");
    let _place = WAITING.try_acquire().map_err(|_| busy())?;
    match tokio::time::timeout(WAIT_MAX, HASHING.acquire()).await {
        Ok(turn) => turn.map_err(|_| Problem::unavailable("the service is stopping")),
        Err(_) => Err(busy()),
    }
}

/// Returns a password's hash in text form, for the table of accounts.
pub async fn hash_password(password: String) -> Result<String, Problem> {
    let _turn = turn().await?;
    tokio::task::spawn_blocking(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "password", "the password could not be hashed"))
}

async fn verify_password(password: String, hash: String) -> Result<bool, Problem> {
    let _turn = turn().await?;
    let verified = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    Ok(verified.await.unwrap_or(false))
}

impl SessionState {
    pub fn new(guard: Arc<Guard>, demo: bool, external_url: &str, prefix: &str) -> SessionState {
        let (external_url, prefix) = (Arc::from(external_url), Arc::from(prefix));
        SessionState { guard, demo, external_url, prefix, attempts: Arc::default() }
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
        let prefix = &self.prefix;
        HeaderValue::from_str(&format!("{COOKIE}={value}; Path={prefix}/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
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

    /// Looks at a name and a password, unless they were tried too often. What is wrong stands in the audit under `action`.
    async fn try_password(&self, credentials: Credentials, peer: &Peer, action: &str) -> Result<Account, Refusal> {
        if credentials.name.len() > 256 || credentials.password.len() > 1024 {
            return Err(Problem::bad_request("a name has at most 256 characters and a password at most 1024").into());
        }
        let name = credentials.name.clone();
        let begun = self.attempts.lock().expect("no holder of this lock panics").begin(&name, address(peer), clock::now());
        let Some(attempt) = begun else { return Err(Refusal::TooMany) };
        let verified = self.verify(credentials).await;
        if !matches!(verified, Ok(None)) {
            self.attempts.lock().expect("no holder of this lock panics").take_back(&attempt);
        }
        if let Some(account) = verified? {
            return Ok(account);
        }
        self.guard.audit(&Caller::new(&name, Role::Viewer), action, &name, "refused", "wrong name or password").await?;
        Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-credentials", "the name or the password is wrong").into())
    }

    fn new_login(account: &Account, now: Timestamp) -> (String, Login) {
        let login = Login { name: account.name.clone(), role: account.role, csrf: id::secret(), expires_at: now + LOGIN_SPAN };
        (id::secret(), login)
    }

    /// Answers with a login that has just begun.
    fn welcome(&self, secret: &str, login: Login) -> Result<Response, Problem> {
        let user = SessionUser { name: login.name, role: login.role.word().to_owned() };
        let mut response = Json(self.session(Some((user, login.csrf)))).into_response();
        response.headers_mut().insert(header::SET_COOKIE, self.cookie(secret, LOGIN_SPAN.0 / 1000)?);
        Ok(response)
    }
}

/// Why a password is not taken.
pub enum Refusal {
    TooMany,
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal::Problem(problem)
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Refusal {
        Refusal::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Problem(problem) => problem.into_response(),
            Refusal::TooMany => {
                let detail = "too many wrong passwords; wait a minute";
                let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", detail).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
                response
            }
        }
    }
}

/// Says who is logged in.
#[utoipa::path(get, path = "/api/tocsin/v1/session", tag = "session", responses((status = 200, body = Session)))]
pub async fn get_session(State(state): State<SessionState>, headers: HeaderMap) -> Result<Json<Session>, Problem> {
    if !state.guard.asks {
        let user = SessionUser { name: "anonymous".to_owned(), role: Role::SreLead.word().to_owned() };
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
pub async fn log_in(
    State(state): State<SessionState>,
    peer: Peer,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Refusal> {
    let account = state.try_password(credentials, &peer, "log in").await?;
    let now = clock::now();
    let (secret, login) = SessionState::new_login(&account, now);
    let note = Caller::new(&account.name, account.role).note("log in", &account.name, "done", "");
    state.guard.db.add_login(&id::digest(&secret), &login, now, Some(&note)).await?;
    Ok(state.welcome(&secret, login)?)
}

/// Changes one's own password. Every login of that person ends but the one that the answer begins.
#[utoipa::path(post, path = "/api/tocsin/v1/session/password", tag = "session", request_body = PasswordChange,
    responses((status = 200, body = Session), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem)))]
pub async fn change_password(
    State(state): State<SessionState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    peer: Peer,
    Json(change): Json<PasswordChange>,
) -> Result<Response, Refusal> {
    // A token is not the person who made it, and without logins there is no password.
    let login = match cookie(&headers, COOKIE) {
        Some(secret) if state.guard.asks => state.guard.db.login(&id::digest(secret), clock::now()).await?,
        _ => None,
    };
    if login.is_none_or(|login| login.name != caller.name) {
        return Err(Problem::forbidden("only somebody who is logged in has a password to change").into());
    }
    check_password(&change.new)?;
    let credentials = Credentials { name: caller.name.clone(), password: change.current };
    let account = state.try_password(credentials, &peer, "change own password").await?;
    let new_hash = hash_password(change.new).await?;
    let now = clock::now();
    let (secret, login) = SessionState::new_login(&account, now);
    let note = caller.note("change own password", &account.name, "done", "");
    let login_at = (id::digest(&secret), login);
    if !state.guard.db.change_password(&account.password_hash, &new_hash, (&login_at.0, &login_at.1), now, &note).await? {
        return Err(Problem::new(StatusCode::CONFLICT, "changed", "somebody else changed this account meanwhile").into());
    }
    Ok(state.welcome(&secret, login_at.1)?)
}

/// Logs out.
#[utoipa::path(delete, path = "/api/tocsin/v1/session", tag = "session", responses((status = 204)))]
pub async fn log_out(State(state): State<SessionState>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(secret) = cookie(&headers, COOKIE) {
        let digest = id::digest(secret);
        let login = state.guard.db.login(&digest, clock::now()).await?;
        let note = login.map(|login| Caller::new(&login.name, login.role).note("log out", &login.name, "done", ""));
        state.guard.db.end_login(&digest, note.as_ref()).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, state.cookie("", 0)?);
    Ok(response)
}

pub fn routes(state: SessionState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/session", routing::get(get_session).post(log_in).delete(log_out))
        .route("/api/tocsin/v1/session/password", routing::post(change_password))
        .with_state(state)
}
