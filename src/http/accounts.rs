//! People, API tokens and the audit.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::access::Role;
use tocsin_core::time::Span;
use utoipa::{IntoParams, ToSchema};

use super::access::{Caller, Guard};
use super::problem::Problem;
use super::session::hash_password;
use crate::clock;
use crate::db::accounts::{Account, Token};
use crate::id;

#[derive(Serialize, ToSchema)]
pub struct User {
    pub name: String,
    pub role: String,
    pub created_at: String,
    pub disabled: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Users {
    pub users: Vec<User>,
}

#[derive(Deserialize, ToSchema)]
pub struct NewUser {
    pub name: String,
    pub password: String,
    pub role: String,
}

#[derive(Deserialize, ToSchema)]
pub struct UserChange {
    pub role: Option<String>,
    pub disabled: Option<bool>,
    pub password: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub role: String,
    pub created_by: String,
    pub created_at: String,
    pub revoked_at: Option<String>,
    /// When it ends by itself; null: it does not.
    pub expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Tokens {
    pub tokens: Vec<TokenView>,
}

#[derive(Deserialize, ToSchema)]
pub struct NewToken {
    pub name: String,
    pub role: String,
    /// After so many days it ends by itself, 1 to 3,650; without this it does not.
    pub expires_in_days: Option<u16>,
}

/// A new token. Its secret is shown this once.
#[derive(Serialize, ToSchema)]
pub struct IssuedToken {
    pub id: String,
    pub token: String,
}

#[derive(Serialize, ToSchema)]
pub struct AuditLine {
    pub at: String,
    pub who: String,
    pub action: String,
    pub subject: String,
    pub outcome: String,
    pub detail: String,
}

#[derive(Serialize, ToSchema)]
pub struct Audit {
    pub entries: Vec<AuditLine>,
}

#[derive(Deserialize, IntoParams)]
pub struct Limit {
    /// At most this many, up to 1,000.
    pub limit: Option<u32>,
}

fn user(account: Account) -> User {
    User {
        name: account.name,
        role: account.role.word().to_owned(),
        created_at: account.created_at.rfc3339(),
        disabled: account.disabled,
    }
}

fn role(word: &str) -> Result<Role, Problem> {
    Role::parse(word).ok_or_else(|| {
        let words: Vec<_> = Role::ALL.iter().map(|role| role.word()).collect();
        Problem::bad_request(format!("there is no role {word:?}; the roles are {}", words.join(", ")))
    })
}

pub fn check_password(password: &str) -> Result<(), Problem> {
    if !(12..=1024).contains(&password.len()) {
        return Err(Problem::bad_request("a password has 12 to 1024 characters"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Problem::bad_request("a name has 1 to 64 letters, digits or . - _ @"));
    }
    Ok(())
}

/// Lists the people.
#[utoipa::path(get, path = "/api/tocsin/v1/users", tag = "accounts", responses((status = 200, body = Users)))]
pub async fn list_users(State(guard): State<Arc<Guard>>) -> Result<Json<Users>, Problem> {
    Ok(Json(Users { users: guard.db.accounts().await?.into_iter().map(user).collect() }))
}

/// Adds a person.
#[utoipa::path(post, path = "/api/tocsin/v1/users", tag = "accounts", request_body = NewUser,
    responses((status = 201, body = User), (status = 409, body = Problem)))]
pub async fn add_user(
    State(guard): State<Arc<Guard>>,
    Extension(caller): Extension<Caller>,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    check_name(&new.name)?;
    check_password(&new.password)?;
    let account = Account {
        role: role(&new.role)?,
        password_hash: hash_password(new.password).await?,
        name: new.name,
        created_at: clock::now(),
        disabled: false,
    };
    let note = caller.note("add user", &account.name, "done", account.role.word());
    if !guard.db.add_account(&account, Some(&note)).await? {
        return Err(Problem::new(StatusCode::CONFLICT, "name-taken", format!("there is a user {} already", account.name)));
    }
    Ok((StatusCode::CREATED, Json(user(account))))
}

/// Changes a person's role or password, or whether they may log in. Their logins end, and tokens of theirs that may do more than they.
#[utoipa::path(patch, path = "/api/tocsin/v1/users/{name}", tag = "accounts", request_body = UserChange,
    responses((status = 200, body = User), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn change_user(
    State(guard): State<Arc<Guard>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(change): Json<UserChange>,
) -> Result<Json<User>, Problem> {
    let Some(mut account) = guard.db.account(&name).await? else {
        return Err(Problem::not_found(format!("there is no user {name}")));
    };
    let mut said = Vec::new();
    if let Some(word) = &change.role {
        account.role = role(word)?;
        said.push(format!("role {word}"));
    }
    if let Some(disabled) = change.disabled {
        account.disabled = disabled;
        said.push(if disabled { "disabled".to_owned() } else { "enabled".to_owned() });
    }
    if let Some(password) = change.password {
        check_password(&password)?;
        account.password_hash = hash_password(password).await?;
        said.push("new password".to_owned());
    }
    // Without anyone who manages accounts nobody could ever be let in again.
    let others = guard.db.accounts().await?;
    let keeps_a_lead = |account: &Account| account.role == Role::SreLead && !account.disabled;
    if !keeps_a_lead(&account) && !others.iter().any(|other| other.name != account.name && keeps_a_lead(other)) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "last-lead",
            "this is the last sre-lead who may log in; name another one first",
        ));
    }
    let note = caller.note("change user", &account.name, "done", said.join(", "));
    guard.db.change_account(&account, note.at, Some(&note)).await?;
    Ok(Json(user(account)))
}

/// Lists the API tokens, never their secrets.
#[utoipa::path(get, path = "/api/tocsin/v1/tokens", tag = "accounts", responses((status = 200, body = Tokens)))]
pub async fn list_tokens(State(guard): State<Arc<Guard>>) -> Result<Json<Tokens>, Problem> {
    let tokens = guard.db.tokens().await?.into_iter().map(|token| TokenView {
        id: token.id,
        name: token.name,
        role: token.role.word().to_owned(),
        created_by: token.created_by,
        created_at: token.created_at.rfc3339(),
        revoked_at: token.revoked_at.map(|at| at.rfc3339()),
        expires_at: token.expires_at.map(|at| at.rfc3339()),
    });
    Ok(Json(Tokens { tokens: tokens.collect() }))
}

/// Makes an API token.
#[utoipa::path(post, path = "/api/tocsin/v1/tokens", tag = "accounts", request_body = NewToken, responses((status = 201, body = IssuedToken)))]
pub async fn add_token(
    State(guard): State<Arc<Guard>>,
    Extension(caller): Extension<Caller>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>), Problem> {
    check_name(&new.name)?;
    let days = match new.expires_in_days {
        Some(days) if !(1..=3650).contains(&days) => return Err(Problem::bad_request("expires_in_days is 1 to 3650")),
        days => days,
    };
    let (secret, now) = (format!("tocsin_{}", id::secret()), clock::now());
    let token = Token {
        id: id::uuid(),
        name: new.name,
        role: role(&new.role)?,
        created_by: caller.account.clone(),
        created_at: now,
        revoked_at: None,
        expires_at: days.map(|days| now + Span::from_mins(i64::from(days) * 24 * 60)),
    };
    let note = caller.note("add token", &token.name, "done", token.role.word());
    guard.db.add_token(&token, &id::digest(&secret), Some(&note)).await?;
    Ok((StatusCode::CREATED, Json(IssuedToken { id: token.id, token: secret })))
}

/// Revokes an API token.
#[utoipa::path(delete, path = "/api/tocsin/v1/tokens/{id}", tag = "accounts", responses((status = 204), (status = 404, body = Problem)))]
pub async fn revoke_token(
    State(guard): State<Arc<Guard>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let note = caller.note("revoke token", &id, "done", "");
    if !guard.db.revoke_token(&id, note.at, Some(&note)).await? {
        return Err(Problem::not_found("there is no such token, or it was revoked already"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the audit, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/audit", tag = "accounts", params(Limit), responses((status = 200, body = Audit)))]
pub async fn read_audit(State(guard): State<Arc<Guard>>, Query(limit): Query<Limit>) -> Result<Json<Audit>, Problem> {
    let entries = guard.db.audit(limit.limit.unwrap_or(200).min(1000).into()).await?.into_iter().map(|entry| AuditLine {
        at: entry.at.rfc3339(),
        who: entry.who,
        action: entry.action,
        subject: entry.subject,
        outcome: entry.outcome,
        detail: entry.detail,
    });
    Ok(Json(Audit { entries: entries.collect() }))
}

#[derive(Serialize, ToSchema)]
pub struct AuditChain {
    pub lines: usize,
    /// The hash of the last line that is linked: keep it elsewhere, and you can tell later whether anything before it was changed.
    pub head: Option<String>,
    pub head_id: Option<i64>,
    /// Lines of the last seconds.
    pub unlinked: usize,
    /// The first line that does not belong to the one before it; null: all do.
    pub broken_at: Option<i64>,
}

/// Computes the chain of the audit anew: each line is linked to the one before it by a hash.
#[utoipa::path(get, path = "/api/tocsin/v1/audit/chain", tag = "accounts", responses((status = 200, body = AuditChain)))]
pub async fn check_audit(State(guard): State<Arc<Guard>>) -> Result<Json<AuditChain>, Problem> {
    let chain = guard.db.check_audit().await?;
    Ok(Json(AuditChain {
        lines: chain.lines,
        head: chain.head,
        head_id: chain.head_id,
        unlinked: chain.unlinked,
        broken_at: chain.broken_at,
    }))
}

pub fn routes(guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/api/tocsin/v1/users", routing::get(list_users).post(add_user))
        .route("/api/tocsin/v1/users/{name}", routing::patch(change_user))
        .route("/api/tocsin/v1/tokens", routing::get(list_tokens).post(add_token))
        .route("/api/tocsin/v1/tokens/{id}", routing::delete(revoke_token))
        .route("/api/tocsin/v1/audit", routing::get(read_audit))
        .route("/api/tocsin/v1/audit/chain", routing::get(check_audit))
        .with_state(guard)
}
