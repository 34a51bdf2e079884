//! E-mail over SMTP, as text and HTML.

use std::time::Duration;

use handlebars::Handlebars;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Identity, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;
use tocsin_core::plane::Delivery;
use tocsin_core::route::receiver::Email;
use tocsin_core::route::templates::Templates;

use super::{Outcome, with_causes};
use crate::client;
use crate::clock;

const TIMEOUT: Duration = Duration::from_secs(20);
const HTML: &str = include_str!("email/page.html.hbs");
const TEXT: &str = include_str!("email/page.txt.hbs");
/// A mail tells of at most this many alerts; the rest is counted.
const ALERTS_SHOWN: usize = 50;

/// Why a mail cannot be made or sent: for ever, or for now.
enum Failure {
    ForEver(String),
    ForNow(String),
}

fn for_ever(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::ForEver(format!("{what}: {}", with_causes(error)))
}

fn for_now(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::ForNow(format!("{what}: {}", with_causes(error)))
}

/// What our own layouts are filled with.
fn layout_data(delivery: &Delivery) -> serde_json::Value {
    let data = &delivery.data;
    let alerts: Vec<_> = data
        .alerts
        .iter()
        .take(ALERTS_SHOWN)
        .map(|alert| {
            let labels: Vec<_> = alert.labels.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            let annotations: Vec<_> =
                alert.annotations.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            json!({
                "firing": alert.status == tocsin_core::route::notification::Status::Firing,
                "name": alert.labels.get("alertname"),
                "severity": alert.labels.get("severity"),
                "summary": alert.annotations.get("summary").or_else(|| alert.annotations.get("description")),
                "since": alert.starts_at.rfc3339(),
                "labels": labels,
                "annotations": annotations,
                "source": alert.generator_url,
            })
        })
        .collect();
    let page = delivery.page_id.as_ref().map(|id| format!("{}/alerts?page={id}", data.external_url.trim_end_matches('/')));
    json!({
        "title": delivery.title,
        "firing": data.status == tocsin_core::route::notification::Status::Firing,
        "receiver": data.receiver,
        "group": data.group_labels.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "more": data.alerts.len().saturating_sub(ALERTS_SHOWN),
        "alerts": alerts,
        "page": page,
        "external_url": data.external_url,
    })
}

/// Returns the text and the HTML of a mail: the configured templates, else our own layouts.
fn bodies(delivery: &Delivery, settings: &Email, templates: &Templates) -> Result<(Option<String>, Option<String>), Failure> {
    let fault = |reason: String| Failure::ForEver(format!("a template cannot be expanded: {reason}"));
    let own = |layout: &str, plain: bool| {
        let mut handlebars = Handlebars::new();
        if plain {
            handlebars.register_escape_fn(handlebars::no_escape);
        }
        handlebars.render_template(layout, &layout_data(delivery)).map_err(|error| with_causes(&error))
    };
    let text = match &settings.text {
        Some(text) if text.is_empty() => None,
        Some(text) => Some(templates.render(text, &delivery.data, clock::now()).map_err(|error| fault(error.to_string()))?),
        None => Some(own(TEXT, true).map_err(fault)?),
    };
    let html = match &settings.html {
        Some(html) if html.is_empty() => None,
        Some(html) => Some(templates.render_html(html, &delivery.data, clock::now()).map_err(|error| fault(error.to_string()))?),
        None => Some(own(HTML, false).map_err(fault)?),
    };
    Ok((text, html))
}

fn message(delivery: &Delivery, settings: &Email, templates: &Templates) -> Result<Message, Failure> {
    let expand = |text: &str| {
        templates
            .render(text, &delivery.data, clock::now())
            .map_err(|reason| Failure::ForEver(format!("a template cannot be expanded: {reason}")))
    };
    let from: Mailbox =
        expand(&settings.from)?.parse().map_err(|error| for_ever("the address in `from` cannot be read")(&error))?;
    let to: Mailboxes =
        expand(&settings.to)?.parse().map_err(|error| for_ever("the addresses in `to` cannot be read")(&error))?;
    let mut builder = Message::builder().from(from.clone());
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    let mut subject = None;
    let mut extra = Vec::new();
    for (name, text) in &settings.headers {
        // A line end in a label must not start a header of its own.
        let value: String = expand(text)?.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match name.to_ascii_lowercase().as_str() {
            "subject" => subject = Some(value),
            // The envelope decides these; a second one would make the mail ambiguous.
            "from" | "to" => {}
            _ => extra.push((name, value)),
        }
    }
    let subject: String = match subject {
        Some(subject) => subject,
        None => delivery.title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    };
    let domain = from.email.domain();
    // The same delivery always has the same id, so a mail that is sent again after a crash is recognised as the same.
    let identity = crate::id::digest(&delivery.key);
    let thread = &delivery.dedup_key;
    builder = builder
        .subject(subject)
        .message_id(Some(format!("<{identity}@{domain}>")))
        .references(format!("<{thread}@{domain}>"))
        .in_reply_to(format!("<{thread}@{domain}>"));
    let (text, html) = bodies(delivery, settings, templates)?;
    let fault = for_ever("the mail cannot be put together");
    let mut message = match (text, html) {
        (Some(text), Some(html)) => {
            builder.multipart(MultiPart::alternative_plain_html(text, html)).map_err(|error| fault(&error))?
        }
        (Some(text), None) => builder.singlepart(SinglePart::plain(text)).map_err(|error| fault(&error))?,
        (None, Some(html)) => builder.singlepart(SinglePart::html(html)).map_err(|error| fault(&error))?,
        (None, None) => return Err(Failure::ForEver("both `html` and `text` are empty, so the mail says nothing".to_owned())),
    };
    for (name, value) in extra {
        let name =
            HeaderName::new_from_ascii(name.clone()).map_err(|_| Failure::ForEver(format!("{name:?} is no name of a header")))?;
        message.headers_mut().insert_raw(HeaderValue::new(name, value));
    }
    Ok(message)
}

async fn tls(settings: &Email, host: &str) -> Result<TlsParameters, Failure> {
    let server = settings.tls.server_name.clone().unwrap_or_else(|| host.to_owned());
    let mut builder = TlsParameters::builder(server).dangerous_accept_invalid_certs(settings.tls.insecure_skip_verify);
    if let Some(ca) = &settings.tls.ca {
        let pem = client::reveal(ca).await.map_err(|error| for_now("tls_config")(&error))?;
        let certificate =
            Certificate::from_pem(pem.as_bytes()).map_err(|error| for_ever("the ca of tls_config cannot be read")(&error))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    if let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) {
        let cert = client::reveal(cert).await.map_err(|error| for_now("tls_config")(&error))?;
        let key = client::reveal(key).await.map_err(|error| for_now("tls_config")(&error))?;
        let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes());
        builder =
            builder.identify_with(identity.map_err(|error| for_ever("the certificate of tls_config cannot be read")(&error))?);
    }
    builder.build().map_err(|error| for_ever("tls_config cannot be used")(&error))
}

async fn transport(settings: &Email) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let bad = || Failure::ForEver(format!("smarthost {:?} is not host:port", settings.smarthost));
    let (host, port) = settings.smarthost.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let protection = if settings.implicit_tls || port == 465 {
        Tls::Wrapper(tls(settings, host).await?)
    } else if settings.require_tls {
        Tls::Required(tls(settings, host).await?)
    } else {
        Tls::Opportunistic(tls(settings, host).await?)
    };
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(protection).timeout(Some(TIMEOUT));
    if !settings.hello.is_empty() {
        builder = builder.hello_name(ClientId::Domain(settings.hello.clone()));
    }
    if let Some(user) = settings.auth_username.as_ref().filter(|user| !user.is_empty()) {
        let password = match settings.auth_password.as_ref().or(settings.auth_secret.as_ref()) {
            Some(password) => client::reveal(password).await.map_err(|error| for_now("auth_password")(&error))?,
            None => String::new(),
        };
        builder = builder
            .credentials(Credentials::new(user.clone(), password))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

pub async fn send(delivery: &Delivery, settings: &Email, templates: &Templates) -> Outcome {
    let attempt = async {
        let message = message(delivery, settings, templates)?;
        let transport = transport(settings).await?;
        transport.send(message).await.map_err(|error| {
            // 5xx is the server's last word; everything else (4xx, no connection, a broken line) may pass.
            if error.is_permanent() {
                for_ever("the mail server refuses")(&error)
            } else {
                for_now("the mail server does not take it")(&error)
            }
        })
    };
    match attempt.await {
        Ok(answer) => Outcome::Delivered(format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" "))),
        Err(Failure::ForEver(reason)) => Outcome::Rejected(reason),
        Err(Failure::ForNow(reason)) => Outcome::Retry { reason, after: None },
    }
}
