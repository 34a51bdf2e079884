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
    /// When it ends by itself; None: it does not.
    pub expires_at: Option<Timestamp>,
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
const TOKEN: &str = "SELECT api_token.id, api_token.name, api_token.role, api_token.created_by, api_token.created_at_ms, \
                     api_token.revoked_at_ms, api_token.expires_at_ms, account.role FROM api_token \
                     LEFT JOIN account ON account.name = api_token.created_by";

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
        expires_at: row.optional_int(6)?.map(Timestamp),
    })
}

/// Returns the statements that append to the audit. They belong in the transaction of what they tell of, and may be repeated with it.
///
/// The counter's row lets one writer through at a time, on both databases, so that numbers rise in the order of the commits.
pub fn audit_writes(entry: &AuditEntry) -> [Write; 2] {
    [
        Write::new(
            "INSERT INTO counter (name, value) VALUES ('audit', 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1",
            [],
        ),
        Write::new(
            "INSERT INTO audit (id, at_ms, who, action, subject, outcome, detail) \
             SELECT value, $1, $2, $3, $4, $5, $6 FROM counter WHERE name = 'audit' AND NOT EXISTS \
             (SELECT 1 FROM audit AS same WHERE same.id > counter.value - 1000 AND same.at_ms = $1 AND same.who = $2 \
             AND same.action = $3 AND same.subject = $4 AND same.outcome = $5 AND same.detail = $6)",
            [
                Cell::from(entry.at),
                entry.who.as_str().into(),
                entry.action.as_str().into(),
                entry.subject.as_str().into(),
                entry.outcome.as_str().into(),
                entry.detail.as_str().into(),
            ],
        ),
    ]
}

pub(super) fn with_note(mut writes: Vec<Write>, note: Option<&AuditEntry>) -> Vec<Write> {
    writes.extend(note.into_iter().flat_map(audit_writes));
    writes
}

fn insert_login(secret_hash: &str, login: &Login, now: Timestamp) -> Write {
    Write::new(
        "INSERT INTO login (secret_hash, name, csrf, created_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5)",
        [secret_hash.into(), login.name.as_str().into(), login.csrf.as_str().into(), now.into(), login.expires_at.into()],
    )
}

/// Returns the statements that revoke those tokens of a person that may do more than the person may.
fn revoke_beyond(account: &Account, now: Timestamp) -> Vec<Write> {
    let beyond = Role::ALL.into_iter().filter(|role| account.disabled || !role.is_within(account.role));
    let sql = "UPDATE api_token SET revoked_at_ms = $2 WHERE created_by = $1 AND role = $3 AND revoked_at_ms IS NULL";
    beyond.map(|role| Write::new(sql, [account.name.as_str().into(), now.into(), role.word().into()])).collect()
}

impl Db {
    pub async fn accounts(&self) -> Result<Vec<Account>, DbError> {
        self.rows("account", format!("{ACCOUNT} ORDER BY name"), []).await?.iter().map(account).collect()
    }

    pub async fn account(&self, name: &str) -> Result<Option<Account>, DbError> {
        self.rows("account", format!("{ACCOUNT} WHERE name = $1"), [name.into()]).await?.first().map(account).transpose()
    }

    /// Adds a person, with a line of the audit; returns false when the name is taken.
    pub async fn add_account(&self, account: &Account, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let add = Write::new(
            "INSERT INTO account (name, password_hash, role, created_at_ms, disabled) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING",
            [
                account.name.as_str().into(),
                account.password_hash.as_str().into(),
                account.role.word().into(),
                account.created_at.into(),
                account.disabled.into(),
            ],
        );
        self.apply_if_first_touches(with_note(vec![add], note)).await
    }

    /// Changes a person's password, role and whether they may log in. In the same step their logins end, and those of their tokens
    /// that may do more than they may. Returns false for an unknown name.
    pub async fn change_account(&self, account: &Account, now: Timestamp, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let mut writes = vec![
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
        ];
        writes.extend(revoke_beyond(account, now));
        self.apply_if_first_touches(with_note(writes, note)).await
    }

    /// Changes a person's own password: every login of theirs ends, and a new one begins. Returns false, and does nothing, when the
    /// password is not the one of `old_hash` any more.
    pub async fn change_password(
        &self,
        old_hash: &str,
        new_hash: &str,
        (secret_hash, login): (&str, &Login),
        now: Timestamp,
        note: &AuditEntry,
    ) -> Result<bool, DbError> {
        let name = login.name.as_str();
        let writes = vec![
            Write::new(
                "UPDATE account SET password_hash = $3 WHERE name = $1 AND password_hash = $2 AND disabled = 0",
                [name.into(), old_hash.into(), new_hash.into()],
            ),
            Write::new("DELETE FROM login WHERE name = $1", [name.into()]),
            insert_login(secret_hash, login, now),
        ];
        self.apply_if_first_touches(with_note(writes, Some(note))).await
    }

    /// Starts a login; `secret_hash` is the digest of what the cookie holds. Old logins that have run out are swept out.
    pub async fn add_login(
        &self,
        secret_hash: &str,
        login: &Login,
        now: Timestamp,
        note: Option<&AuditEntry>,
    ) -> Result<(), DbError> {
        let writes =
            vec![Write::new("DELETE FROM login WHERE expires_at_ms < $1", [now.into()]), insert_login(secret_hash, login, now)];
        self.apply(&with_note(writes, note)).await.map(drop)
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

    /// Ends a login; returns false when there is none.
    pub async fn end_login(&self, secret_hash: &str, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let end = Write::new("DELETE FROM login WHERE secret_hash = $1", [secret_hash.into()]);
        self.apply_if_first_touches(with_note(vec![end], note)).await
    }

    pub async fn add_token(&self, token: &Token, secret_hash: &str, note: Option<&AuditEntry>) -> Result<(), DbError> {
        let add = Write::new(
            "INSERT INTO api_token (id, name, secret_hash, role, created_by, created_at_ms, revoked_at_ms, expires_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                token.id.as_str().into(),
                token.name.as_str().into(),
                secret_hash.into(),
                token.role.word().into(),
                token.created_by.as_str().into(),
                token.created_at.into(),
                token.revoked_at.into(),
                token.expires_at.into(),
            ],
        );
        self.apply(&with_note(vec![add], note)).await.map(drop)
    }

    pub async fn tokens(&self) -> Result<Vec<Token>, DbError> {
        self.rows("api_token", format!("{TOKEN} ORDER BY api_token.created_at_ms, api_token.id"), [])
            .await?
            .iter()
            .map(token)
            .collect()
    }

    /// Returns the token behind a secret, unless it was revoked, has run out, or may do more than the person who made it may now. One
    /// that nobody with an account made stands for itself.
    pub async fn token(&self, secret_hash: &str, now: Timestamp) -> Result<Option<Token>, DbError> {
        let sql = format!(
            "{TOKEN} WHERE api_token.secret_hash = $1 AND api_token.revoked_at_ms IS NULL \
             AND (api_token.expires_at_ms IS NULL OR api_token.expires_at_ms > $2) AND COALESCE(account.disabled, 0) = 0"
        );
        let rows = self.rows("api_token", sql, [secret_hash.into(), now.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let token = token(row)?;
        let is_within = row.optional_text(7)?.is_none_or(|maker| token.role.is_within(role(maker)));
        Ok(is_within.then_some(token))
    }

    /// Revokes a token; returns false when it was not there or already revoked.
    pub async fn revoke_token(&self, id: &str, now: Timestamp, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let sql = "UPDATE api_token SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL";
        self.apply_if_first_touches(with_note(vec![Write::new(sql, [id.into(), now.into()])], note)).await
    }

    /// Appends to the audit what changes nothing else in the database.
    pub async fn add_audit(&self, entry: &AuditEntry) -> Result<(), DbError> {
        self.apply(&audit_writes(entry)).await.map(drop)
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
