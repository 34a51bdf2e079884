//! Stories of e-mail, with a real server.

use serde_json::Value;

use crate::harness::scene::{Scene, Script};
use crate::harness::smtp::{PASSWORD, Protection, SmtpServer, USER};
use crate::harness::soon;

fn receiver(server: &SmtpServer, to: &str, implicit_tls: bool) -> String {
    format!(
        "    email_configs:\n      - to: {to}\n        from: tocsin@example.com\n        smarthost: {}\n        auth_username: {USER}\n        \
         auth_password: {PASSWORD}\n        force_implicit_tls: {implicit_tls}\n        send_resolved: true\n        tls_config: {{ca_file: {}}}\n",
        server.address,
        server.authority().display(),
    )
}

async fn mail(server: &SmtpServer, number: usize) -> Value {
    soon("a mail", async || server.mails().get(number).cloned()).await
}

fn part(mail: &Value, kind: &str) -> String {
    let parts = mail["parts"].as_array().expect("a list");
    let found = parts.iter().find(|part| part["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {mail}"));
    found["text"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_by_starttls_with_text_and_html() {
    let server = SmtpServer::start(Protection::StartTls, "PLAIN").await;
    let scene = Scene::start(Script { receiver: receiver(&server, "team@example.com", false), ..Script::default() }).await;
    scene.exporter.set(r#"shop_up{shop="<b>&"}"#, 0.0);
    let fires = mail(&server, 0).await;
    assert_eq!((&fires["tls"], &fires["user"]), (&true.into(), &format!("PLAIN {USER}").into()));
    assert_eq!((&fires["from"], &fires["to"][0]), (&"tocsin@example.com".into(), &"team@example.com".into()));
    assert_eq!(fires["type"], "multipart/alternative");
    let (text, html) = (part(&fires, "text/plain"), part(&fires, "text/html"));
    assert!(text.contains("shop <b>& on shop is down"), "{text}");
    assert!(html.contains("shop &lt;b&gt;&amp; on shop is down") && !html.contains("<b>&"), "labels are text, not HTML: {html}");
    assert!(!html.contains("<script") && !html.contains("src=\"http"), "{html}");
    let subject = fires["headers"]["subject"].as_str().expect("a subject");
    assert!(subject.contains("FIRING:1") && subject.contains("ShopDown"), "{subject}");
    for header in ["message-id", "date", "mime-version"] {
        assert!(fires["headers"][header].is_string(), "no {header} in {fires}");
    }
    let page = scene.service.pages("open").await.remove(0);
    let link = format!("{}/alerts?page={}", scene.service.url("").trim_end_matches('/'), page["id"].as_str().expect("an id"));
    assert!(
        text.contains(&link) && html.replace("&#x3D;", "=").contains(&format!("href=\"{link}\"")),
        "one touch leads to the page, {link}: {text}\n{html}"
    );
    scene.exporter.set(r#"shop_up{shop="<b>&"}"#, 1.0);
    let ends = mail(&server, 1).await;
    assert!(ends["headers"]["subject"].as_str().is_some_and(|subject| subject.contains("RESOLVED")), "{ends}");
    assert_ne!(ends["headers"]["message-id"], fires["headers"]["message-id"]);
    assert_eq!(ends["headers"]["references"], fires["headers"]["references"], "mails of one group are one thread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_by_implicit_tls() {
    let server = SmtpServer::start(Protection::ImplicitTls, "LOGIN").await;
    let scene = Scene::start(Script { receiver: receiver(&server, "team@example.com", true), ..Script::default() }).await;
    scene.break_shop();
    let fires = mail(&server, 0).await;
    assert_eq!((&fires["tls"], &fires["user"]), (&true.into(), &format!("LOGIN {USER}").into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_not_there_is_rejected_and_one_that_is_busy_is_tried_again() {
    let server = SmtpServer::start(Protection::StartTls, "PLAIN").await;
    let one_list = |mailbox| receiver(&server, mailbox, false).replace("    email_configs:\n", "");
    let both = format!("    email_configs:\n{}{}", one_list("unknown@example.com"), one_list("greylisted@example.com"));
    let scene = Scene::start(Script { receiver: both, ..Script::default() }).await;
    scene.break_shop();
    let fires = mail(&server, 0).await;
    assert_eq!(fires["to"][0], "greylisted@example.com");
    let mails = soon("both mails have ended", async || {
        let mut mails = scene.service.deliveries().await;
        mails.retain(|one| one["channel"] == "email" && one["state"] != "pending");
        // What is refused is told again at each interval.
        let both = ["rejected", "delivered"].iter().all(|state| mails.iter().any(|one| one["state"] == *state));
        both.then_some(mails)
    })
    .await;
    let ended =
        |state: &str| mails.iter().find(|one| one["state"] == state).unwrap_or_else(|| panic!("none is {state}: {mails:?}"));
    let detail = ended("rejected")["attempts"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains("no such mailbox"), "{detail}");
    let outcomes: Vec<&str> = ended("delivered")["attempts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|attempt| attempt["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["retry", "delivered"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_not_there_keeps_the_mail_from_nobody_else() {
    let server = SmtpServer::start(Protection::StartTls, "PLAIN").await;
    let three = receiver(&server, "'unknown@example.com, greylisted@example.com, team@example.com'", false)
        + "        html: '{{ (index .Alerts 99).Status }}'\n";
    let scene = Scene::start(Script { receiver: three, ..Script::default() }).await;
    scene.break_shop();
    let delivery = soon("the mail has ended", async || {
        scene.service.deliveries().await.into_iter().find(|one| one["channel"] == "email" && one["state"] != "pending")
    })
    .await;
    let to: Vec<String> = server.mails().iter().map(|mail| mail["to"].to_string()).collect();
    assert_eq!(to, [r#"["team@example.com"]"#, r#"["greylisted@example.com"]"#], "each gets it once");
    let detail = delivery["attempts"][1]["detail"].as_str().expect("a text");
    assert_eq!((&delivery["state"], &delivery["attempts"][0]["outcome"]), (&"rejected".into(), &"retry".into()), "{delivery}");
    assert!(detail.contains("unknown@example.com: ") && detail.contains("taken for greylisted@example.com, team@"), "{detail}");
    // A template that cannot be expanded costs its layout, not the mail.
    let html = part(&mail(&server, 0).await, "text/html");
    assert!(html.contains("ShopDown") && html.contains("the configured template cannot be expanded"), "{html}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_an_unknown_authority_is_told_nothing() {
    let (server, other) =
        (SmtpServer::start(Protection::StartTls, "PLAIN").await, SmtpServer::start(Protection::StartTls, "PLAIN").await);
    let wrong = receiver(&server, "team@example.com", false)
        .replace(&server.authority().display().to_string(), &other.authority().display().to_string());
    let scene = Scene::start(Script { receiver: wrong, ..Script::default() }).await;
    scene.break_shop();
    let failing = soon("an attempt has failed", async || {
        scene.service.deliveries().await.into_iter().find(|one| one["channel"] == "email" && !one["attempts"][0].is_null())
    })
    .await;
    assert_eq!(failing["attempts"][0]["outcome"], "retry", "a certificate can be mended: {failing}");
    assert!(!failing.to_string().contains(PASSWORD), "no secret is shown");
    assert!(server.mails().is_empty());
}
