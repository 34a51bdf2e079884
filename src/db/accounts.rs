//! People, their logins, API tokens, and the audit.

use tocsin_core::access::Role;
use tocsin_core::time::Timestamp;

use super::{Cell, Db, DbError, Row, Write};

#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    /// Argon2 in PHC text form.
    pub password_hash: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub disabled: bool,
}

/// A browser that is logged in.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub role: Role,
    /// The word that a mutation must repeat in a header.
    pub csrf: String,
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub created_by: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// One line of the audit: who did what to what, and how it ended.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub who: String,
    pub action: String,
    pub subject: String,
    pub outcome: String,
    pub detail: String,
}

const ACCOUNT: &str = "SELECT name, password_hash, role, created_at_ms, disabled FROM account";
const TOKEN: &str = "SELECT id, name, role, created_by, created_at_ms, revoked_at_ms FROM api_token";

/// A role that this program does not know (a newer one wrote it) reads as the least trusted.
fn role(word: &str) -> Role {
    Role::parse(word).unwrap_or(Role::Viewer)
}

fn account(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        name: row.text(0)?.to_owned(),
        password_hash: row.text(1)?.to_owned(),
        role: role(row.text(2)?),
        created_at: Timestamp(row.int(3)?),
        disabled: row.int(4)? != 0,
    })
}

fn token(row: &Row) -> Result<Token, DbError> {
    Ok(Token {
        id: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        role: role(row.text(2)?),
        created_by: row.text(3)?.to_owned(),
        created_at: Timestamp(row.int(4)?),
        revoked_at: row.optional_int(5)?.map(Timestamp),
    })
}

impl Db {
    pub async fn accounts(&self) -> Result<Vec<Account>, DbError> {
        self.rows("account", format!("{ACCOUNT} ORDER BY name"), []).await?.iter().map(account).collect()
    }

    pub async fn account(&self, name: &str) -> Result<Option<Account>, DbError> {
        self.rows("account", format!("{ACCOUNT} WHERE name = $1"), [name.into()]).await?.first().map(account).transpose()
    }

    /// Adds a person; returns false when the name is taken.
    pub async fn add_account(&self, account: &Account) -> Result<bool, DbError> {
        let touched = self
            .write(
                "INSERT INTO account (name, password_hash, role, created_at_ms, disabled) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING",
                [
                    account.name.as_str().into(),
                    account.password_hash.as_str().into(),
                    account.role.word().into(),
                    account.created_at.into(),
                    account.disabled.into(),
                ],
            )
            .await?;
        Ok(touched == 1)
    }

    /// Changes a person's password, role and whether they may log in, and ends their logins in the same step. Returns false for an unknown name.
    pub async fn change_account(&self, account: &Account) -> Result<bool, DbError> {
        let touched = self
            .apply(&[
                Write::new(
                    "UPDATE account SET password_hash = $2, role = $3, disabled = $4 WHERE name = $1",
                    [
                        account.name.as_str().into(),
                        account.password_hash.as_str().into(),
                        account.role.word().into(),
                        account.disabled.into(),
                    ],
                ),
                Write::new("DELETE FROM login WHERE name = $1", [account.name.as_str().into()]),
            ])
            .await?;
        Ok(touched[0] == 1)
    }

    /// Starts a login; `secret_hash` is the digest of what the cookie holds. Old logins that have run out are swept out.
    pub async fn add_login(&self, secret_hash: &str, login: &Login, now: Timestamp) -> Result<(), DbError> {
        self.apply(&[
            Write::new("DELETE FROM login WHERE expires_at_ms < $1", [now.into()]),
            Write::new(
                "INSERT INTO login (secret_hash, name, csrf, created_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5)",
                [secret_hash.into(), login.name.as_str().into(), login.csrf.as_str().into(), now.into(), login.expires_at.into()],
            ),
        ])
        .await
        .map(drop)
    }

    /// Returns the login behind a cookie, when it has not run out and its person may still log in.
    pub async fn login(&self, secret_hash: &str, now: Timestamp) -> Result<Option<Login>, DbError> {
        let rows = self
            .rows(
                "login",
                "SELECT login.name, account.role, login.csrf, login.expires_at_ms FROM login JOIN account ON account.name = login.name \
                 WHERE login.secret_hash = $1 AND login.expires_at_ms > $2 AND account.disabled = 0",
                [secret_hash.into(), now.into()],
            )
            .await?;
        rows.first()
            .map(|row| {
                Ok(Login {
                    name: row.text(0)?.to_owned(),
                    role: role(row.text(1)?),
                    csrf: row.text(2)?.to_owned(),
                    expires_at: Timestamp(row.int(3)?),
                })
            })
            .transpose()
    }

    pub async fn end_login(&self, secret_hash: &str) -> Result<(), DbError> {
        self.write("DELETE FROM login WHERE secret_hash = $1", [secret_hash.into()]).await.map(drop)
    }

    pub async fn add_token(&self, token: &Token, secret_hash: &str) -> Result<(), DbError> {
        self.write(
            "INSERT INTO api_token (id, name, secret_hash, role, created_by, created_at_ms, revoked_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                token.id.as_str().into(),
                token.name.as_str().into(),
                secret_hash.into(),
                token.role.word().into(),
                token.created_by.as_str().into(),
                token.created_at.into(),
                token.revoked_at.into(),
            ],
        )
        .await
        .map(drop)
    }

    pub async fn tokens(&self) -> Result<Vec<Token>, DbError> {
        self.rows("api_token", format!("{TOKEN} ORDER BY created_at_ms, id"), []).await?.iter().map(token).collect()
    }

    /// Returns the token behind a secret, unless it was revoked.
    pub async fn token(&self, secret_hash: &str) -> Result<Option<Token>, DbError> {
        let sql = format!("{TOKEN} WHERE secret_hash = $1 AND revoked_at_ms IS NULL");
        self.rows("api_token", sql, [secret_hash.into()]).await?.first().map(token).transpose()
    }

    /// Revokes a token; returns false when it was not there or already revoked.
    pub async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, DbError> {
        let sql = "UPDATE api_token SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL";
        Ok(self.write(sql, [id.into(), now.into()]).await? == 1)
    }

    /// Appends to the audit. Its numbers rise without holes, because the number is taken inside the transaction.
    pub async fn add_audit(&self, entry: &AuditEntry) -> Result<(), DbError> {
        self.write(
            "INSERT INTO audit (id, at_ms, who, action, subject, outcome, detail) \
             SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM audit",
            [
                Cell::from(entry.at),
                entry.who.as_str().into(),
                entry.action.as_str().into(),
                entry.subject.as_str().into(),
                entry.outcome.as_str().into(),
                entry.detail.as_str().into(),
            ],
        )
        .await
        .map(drop)
    }

    /// Returns the newest entries first.
    pub async fn audit(&self, limit: i64) -> Result<Vec<AuditEntry>, DbError> {
        self.rows(
            "audit",
            "SELECT at_ms, who, action, subject, outcome, detail FROM audit ORDER BY id DESC LIMIT $1",
            [limit.into()],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(AuditEntry {
                at: Timestamp(row.int(0)?),
                who: row.text(1)?.to_owned(),
                action: row.text(2)?.to_owned(),
                subject: row.text(3)?.to_owned(),
                outcome: row.text(4)?.to_owned(),
                detail: row.text(5)?.to_owned(),
            })
        })
        .collect()
    }
}
