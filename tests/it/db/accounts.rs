//! People, logins, tokens and the audit.

use tocsin::db::accounts::{Account, AuditEntry, Login, Token, audit_writes};
use tocsin_core::access::Role;

use super::{Place, at};

fn account(name: &str, role: Role) -> Account {
    Account { name: name.to_owned(), password_hash: format!("hash of {name}"), role, created_at: at(100), disabled: false }
}

fn login(name: &str, expires_at: i64) -> Login {
    Login { name: name.to_owned(), role: Role::Viewer, csrf: format!("csrf of {name}"), expires_at: at(expires_at) }
}

pub async fn names_are_unique(place: Place) {
    let db = place.open().await;
    assert!(db.add_account(&account("ada", Role::SreLead), None).await.expect("a write"));
    assert!(!db.add_account(&account("ada", Role::Viewer), None).await.expect("a write"), "the name is taken");
    assert!(db.add_account(&account("Ada", Role::Author), None).await.expect("a write"), "names differ by case");
    for role in Role::ALL {
        assert!(db.add_account(&account(role.word(), role), None).await.expect("a write"));
    }
    let found = db.account("ada").await.expect("an account").expect("it is there");
    assert_eq!((found.role, found.created_at, found.disabled), (Role::SreLead, at(100), false));
    assert_eq!(found.password_hash, "hash of ada");
    for role in Role::ALL {
        assert_eq!(db.account(role.word()).await.expect("an account").expect("it is there").role, role);
    }
    assert!(db.account("nobody").await.expect("an answer").is_none());
    let mut names: Vec<String> = db.accounts().await.expect("accounts").into_iter().map(|account| account.name).collect();
    assert_eq!(names.len(), 2 + Role::ALL.len());
    let listed = names.clone();
    names.sort();
    assert_eq!(listed, names, "accounts are listed by name");
    db.close().await;
}

pub async fn a_change_ends_the_logins_of_that_person(place: Place) {
    let db = place.open().await;
    for name in ["ada", "ben"] {
        db.add_account(&account(name, Role::Responder), None).await.expect("a write");
        db.add_login(&format!("secret of {name}"), &login(name, 500), at(100), None).await.expect("a write");
    }
    let changed = Account { role: Role::Operator, password_hash: "new".to_owned(), ..account("ada", Role::Responder) };
    assert!(db.change_account(&changed, at(150), None).await.expect("a write"));
    assert!(db.login("secret of ada", at(200)).await.expect("an answer").is_none(), "the old role must not live on");
    assert!(db.login("secret of ben", at(200)).await.expect("an answer").is_some());
    let found = db.account("ada").await.expect("an account").expect("it is there");
    assert_eq!((found.role, found.password_hash.as_str()), (Role::Operator, "new"));
    assert!(!db.change_account(&account("nobody", Role::Viewer), at(150), None).await.expect("an answer"));
    db.close().await;
}

pub async fn a_login_ends_by_time_by_word_and_by_disabling(place: Place) {
    let db = place.open().await;
    db.add_account(&account("ada", Role::Operator), None).await.expect("a write");
    db.add_login("one", &login("ada", 500), at(100), None).await.expect("a write");
    let found = db.login("one", at(499)).await.expect("an answer").expect("a login");
    // The role is the account's of today, not what it was when the login began.
    assert_eq!(
        (found.name.as_str(), found.role, found.csrf.as_str(), found.expires_at),
        ("ada", Role::Operator, "csrf of ada", at(500))
    );
    assert!(db.login("one", at(500)).await.expect("an answer").is_none(), "it has run out");
    assert!(db.login("two", at(200)).await.expect("an answer").is_none());
    db.end_login("one", None).await.expect("a write");
    assert!(db.login("one", at(200)).await.expect("an answer").is_none());
    db.end_login("one", None).await.expect("ending what has ended is no fault");

    db.add_login("three", &login("ada", 500), at(100), None).await.expect("a write");
    db.change_account(&Account { disabled: true, ..account("ada", Role::Operator) }, at(150), None).await.expect("a write");
    assert!(db.login("three", at(200)).await.expect("an answer").is_none());
    db.add_login("four", &login("ada", 500), at(100), None).await.expect("a write");
    assert!(db.login("four", at(200)).await.expect("an answer").is_none(), "a disabled person stays out");

    // A new login sweeps out those that have run out.
    db.add_login("five", &login("ada", 9_000), at(8_000), None).await.expect("a write");
    let rows = db.rows("login", "SELECT secret_hash FROM login", []).await.expect("rows");
    assert_eq!(rows.len(), 1);
    db.close().await;
}

pub async fn a_token_opens_until_it_is_revoked(place: Place) {
    let db = place.open().await;
    let token = |id: &str, seconds| Token {
        id: id.to_owned(),
        name: format!("token {id}"),
        role: Role::Responder,
        created_by: "ada".to_owned(),
        created_at: at(seconds),
        revoked_at: None,
        expires_at: None,
    };
    db.add_token(&token("b", 1), "secret b", None).await.expect("a write");
    db.add_token(&token("a", 2), "secret a", None).await.expect("a write");
    db.add_token(&token("c", 3), "secret a", None).await.expect_err("one secret opens one token");
    let found = db.token("secret b", at(5)).await.expect("an answer").expect("a token");
    assert_eq!((found.id.as_str(), found.name.as_str(), found.role), ("b", "token b", Role::Responder));
    assert!(db.token("secret c", at(5)).await.expect("an answer").is_none());
    assert!(db.revoke_token("b", at(9), None).await.expect("a write"));
    assert!(!db.revoke_token("b", at(10), None).await.expect("a write"), "it is revoked already");
    assert!(!db.revoke_token("z", at(10), None).await.expect("a write"));
    assert!(db.token("secret b", at(5)).await.expect("an answer").is_none());
    let listed: Vec<_> = db.tokens().await.expect("tokens").into_iter().map(|token| (token.id, token.revoked_at)).collect();
    assert_eq!(listed, [("b".to_owned(), Some(at(9))), ("a".to_owned(), None)]);
    db.close().await;
}

fn entry(number: i64) -> AuditEntry {
    AuditEntry {
        at: at(number),
        who: "ada".to_owned(),
        action: "acknowledge".to_owned(),
        subject: format!("page {number}"),
        outcome: "done".to_owned(),
        detail: String::new(),
    }
}

pub async fn the_audit_is_read_newest_first(place: Place) {
    let db = place.open().await;
    for number in [3, 1, 2] {
        db.add_audit(&entry(number)).await.expect("a write");
    }
    let subjects = |entries: Vec<AuditEntry>| entries.into_iter().map(|entry| entry.subject).collect::<Vec<_>>();
    assert_eq!(subjects(db.audit(10).await.expect("entries")), ["page 2", "page 1", "page 3"]);
    assert_eq!(subjects(db.audit(1).await.expect("entries")), ["page 2"]);
    assert_eq!(subjects(db.audit(0).await.expect("entries")), [""; 0]);
    db.close().await;
}

pub async fn audit_lines_of_many_callers_all_land(place: Place) {
    let db = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let db = db.clone();
        tasks.spawn(async move {
            for number in 0..4 {
                db.add_audit(&entry(task * 100 + number)).await.expect("two callers at the same time both leave a line");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    assert_eq!(db.audit(1000).await.expect("entries").len(), 64);
    db.close().await;
}

pub async fn a_token_ends_by_time_and_with_the_rights_of_its_maker(place: Place) {
    let db = place.open().await;
    for name in ["ada", "ben"] {
        db.add_account(&account(name, Role::SreLead), None).await.expect("a write");
    }
    let make = async |id: &str, role, created_by: &str, expires_at| {
        let created_by = created_by.to_owned();
        let token =
            Token { id: id.to_owned(), name: id.to_owned(), role, created_by, created_at: at(1), revoked_at: None, expires_at };
        db.add_token(&token, id, None).await.expect("a write");
    };
    let opens = async |id: &str, now| db.token(id, at(now)).await.expect("an answer").is_some();
    make("short", Role::Viewer, "ben", Some(at(10))).await;
    assert!(opens("short", 9).await && !opens("short", 10).await);
    make("lead", Role::SreLead, "ada", None).await;
    make("responder", Role::Responder, "ada", None).await;
    make("bens", Role::SreLead, "ben", None).await;
    make("machine", Role::SreLead, "nobody", None).await;
    // A person who may do less takes along what may do more, for ever.
    assert!(db.change_account(&account("ada", Role::Responder), at(20), None).await.expect("a write"));
    assert!(!opens("lead", 30).await && opens("responder", 30).await && opens("bens", 30).await && opens("machine", 30).await);
    assert!(db.change_account(&account("ada", Role::SreLead), at(40), None).await.expect("a write"));
    assert!(!opens("lead", 50).await, "what was revoked stays so");
    assert!(
        db.change_account(&Account { disabled: true, ..account("ada", Role::SreLead) }, at(60), None).await.expect("a write")
    );
    assert!(!opens("responder", 70).await && opens("bens", 70).await);
    db.close().await;
}

pub async fn what_is_done_and_its_line_in_the_audit_are_one_step(place: Place) {
    let db = place.open().await;
    let lines = async || db.audit(100).await.expect("entries").len();
    assert!(db.add_account(&account("ada", Role::SreLead), Some(&entry(1))).await.expect("a write"));
    assert_eq!(lines().await, 1);
    assert!(!db.add_account(&account("ada", Role::Viewer), Some(&entry(2))).await.expect("a write"));
    assert!(!db.change_account(&account("nobody", Role::Viewer), at(3), Some(&entry(3))).await.expect("a write"));
    assert!(!db.revoke_token("nothing", at(4), Some(&entry(4))).await.expect("a write"));
    assert!(!db.end_login("nothing", Some(&entry(5))).await.expect("a write"));
    assert_eq!(lines().await, 1, "what was not done leaves no line that says so");
    db.add_login("secret", &login("ada", 500), at(6), Some(&entry(6))).await.expect("a write");
    assert_eq!(lines().await, 2);
    // The audit cannot be written, so nothing is done.
    db.write("ALTER TABLE audit RENAME TO hidden", []).await.expect("a write");
    db.change_account(&account("ada", Role::Viewer), at(7), Some(&entry(7))).await.expect_err("the audit is away");
    db.end_login("secret", Some(&entry(8))).await.expect_err("the audit is away");
    assert_eq!(db.account("ada").await.expect("an answer").map(|found| found.role), Some(Role::SreLead));
    assert!(db.login("secret", at(10)).await.expect("an answer").is_some());
    db.write("ALTER TABLE hidden RENAME TO audit", []).await.expect("a write");
    // A transaction that is made again because its commit got no answer leaves one line.
    db.apply(&audit_writes(&entry(9))).await.expect("a write");
    db.apply(&audit_writes(&entry(9))).await.expect("a write");
    assert_eq!(lines().await, 3);
    db.close().await;
}

pub async fn a_person_changes_their_own_password(place: Place) {
    let db = place.open().await;
    db.add_account(&account("ada", Role::Operator), None).await.expect("a write");
    for secret in ["phone", "desk"] {
        db.add_login(secret, &login("ada", 500), at(1), None).await.expect("a write");
    }
    let change = async |old: &str, secret: &str| {
        db.change_password(old, "new", (secret, &login("ada", 600)), at(2), &entry(1)).await.expect("a write")
    };
    assert!(!change("not this one", "x").await, "the password is another by now");
    assert!(db.login("phone", at(3)).await.expect("an answer").is_some());
    assert!(change("hash of ada", "fresh").await);
    for (secret, is_in) in [("phone", false), ("desk", false), ("x", false), ("fresh", true)] {
        assert_eq!(db.login(secret, at(3)).await.expect("an answer").is_some(), is_in, "{secret}");
    }
    let found = db.account("ada").await.expect("an account").expect("it is there");
    assert_eq!((found.password_hash.as_str(), found.role), ("new", Role::Operator));
    assert_eq!(db.audit(10).await.expect("entries").len(), 1);
    db.close().await;
}

pub async fn the_lines_of_the_audit_are_linked(place: Place) {
    let db = place.open().await;
    let chain = async || db.check_audit().await.expect("an answer");
    assert_eq!(chain().await, Default::default());
    for number in 1..=3 {
        db.add_audit(&entry(number)).await.expect("a write");
    }
    assert_eq!((chain().await.lines, chain().await.unlinked), (3, 3));
    assert!(!db.link_audit().await.expect("a write"));
    let linked = chain().await;
    assert_eq!((linked.lines, linked.unlinked, linked.broken_at), (3, 0, None));
    db.add_audit(&entry(4)).await.expect("a write");
    db.link_audit().await.expect("a write");
    let longer = chain().await;
    assert!(longer.head.is_some() && longer.head != linked.head);
    // Whoever changes a line, or takes one out, is seen.
    db.write("UPDATE audit SET detail = 'another' WHERE id = 2", []).await.expect("a write");
    assert_eq!(chain().await.broken_at, Some(2));
    db.write("DELETE FROM audit WHERE id = 2", []).await.expect("a write");
    assert_eq!(chain().await.broken_at, Some(3));
    db.close().await;
}
