//! E-mail over SMTP, as text and HTML.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use handlebars::Handlebars;
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Identity, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::json;
use tocsin_core::plane::Delivery;
use tocsin_core::route::receiver::Email;
use tocsin_core::route::retry::{Class, smtp_class};
use tocsin_core::route::templates::Templates;

use super::Outcome;
use crate::client;
use crate::client::answer::with_causes;
use crate::clock;

const TIMEOUT: Duration = Duration::from_secs(20);
const HTML: &str = include_str!("email/page.html.hbs");
const TEXT: &str = include_str!("email/page.txt.hbs");
/// A mail tells of at most this many alerts; the rest is counted.
const ALERTS_SHOWN: usize = 50;

/// Deliveries that wait for some of their recipients while others have the mail.
const MAILS_MAX: usize = 1000;

/// Why a mail cannot be made or sent: by its settings, which can be mended, or by what may pass.
enum Failure {
    BySettings(String),
    Passing(String),
}

/// How far each mail has come that is not over yet, by the key of its delivery. It lasts as long as the process: after a restart in
/// between, a recipient may get a mail a second time, under the same Message-ID.
#[derive(Default)]
pub struct Mails(Mutex<BTreeMap<String, Progress>>);

#[derive(Clone, Default)]
struct Progress {
    taken: BTreeSet<Address>,
    /// Why a recipient will not get it.
    refused: BTreeMap<Address, String>,
}

impl Mails {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Progress>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Progress {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    fn put(&self, key: &str, progress: &Progress) {
        let mut mails = self.lock();
        mails.insert(key.to_owned(), progress.clone());
        while mails.len() > MAILS_MAX {
            mails.pop_first();
        }
    }
}

fn by_settings(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::BySettings(format!("{what}: {}", with_causes(error)))
}

fn for_now(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Failure {
    move |error| Failure::Passing(format!("{what}: {}", with_causes(error)))
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

/// Returns the text and the HTML of a mail: the configured templates, else our own layouts. These also stand in, and say why, where a
/// template cannot be expanded.
fn bodies(delivery: &Delivery, settings: &Email, templates: &Templates) -> Result<(Option<String>, Option<String>), Failure> {
    let own = |layout: &str, plain: bool, fault: Option<String>| {
        let mut handlebars = Handlebars::new();
        if plain {
            handlebars.register_escape_fn(handlebars::no_escape);
        }
        let mut data = layout_data(delivery);
        data["fault"] = fault.into();
        handlebars.render_template(layout, &data).map_err(|error| by_settings("the mail cannot be laid out")(&error))
    };
    let text = match settings.text.as_deref().map(|text| templates.render(text, &delivery.data, clock::now())) {
        Some(Ok(text)) => Some(text).filter(|text| !text.is_empty()),
        Some(Err(error)) => Some(own(TEXT, true, Some(error.to_string()))?),
        None => Some(own(TEXT, true, None)?),
    };
    let html = match settings.html.as_deref().map(|html| templates.render_html(html, &delivery.data, clock::now())) {
        Some(Ok(html)) => Some(html).filter(|html| !html.is_empty()),
        Some(Err(error)) => Some(own(HTML, false, Some(error.to_string()))?),
        None => Some(own(HTML, false, None)?),
    };
    // A mail that says nothing would be none.
    Ok(if text.is_none() && html.is_none() { (Some(own(TEXT, true, None)?), None) } else { (text, html) })
}

fn message(delivery: &Delivery, settings: &Email, templates: &Templates) -> Result<Message, Failure> {
    let expand = |text: &str| {
        templates
            .render(text, &delivery.data, clock::now())
            .map_err(|reason| Failure::BySettings(format!("a template cannot be expanded: {reason}")))
    };
    let from: Mailbox =
        expand(&settings.from)?.parse().map_err(|error| by_settings("the address in `from` cannot be read")(&error))?;
    let to: Mailboxes =
        expand(&settings.to)?.parse().map_err(|error| by_settings("the addresses in `to` cannot be read")(&error))?;
    let mut builder = Message::builder().from(from.clone());
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    let mut subject = None;
    let mut extra = Vec::new();
    for (name, text) in &settings.headers {
        // A line end in a label must not start a header of its own.
        let Ok(value) = expand(text) else { continue };
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match name.to_ascii_lowercase().as_str() {
            "subject" => subject = Some(value),
            // The envelope decides these; a second one would make the mail ambiguous.
            "from" | "to" => {}
            _ => extra.push((name, value)),
        }
    }
    let subject: String = match subject.filter(|subject| !subject.trim().is_empty()) {
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
    let fault = by_settings("the mail cannot be put together");
    let mut message = match (text, html) {
        (Some(text), Some(html)) => {
            builder.multipart(MultiPart::alternative_plain_html(text, html)).map_err(|error| fault(&error))?
        }
        (Some(text), None) => builder.singlepart(SinglePart::plain(text)).map_err(|error| fault(&error))?,
        (None, Some(html)) => builder.singlepart(SinglePart::html(html)).map_err(|error| fault(&error))?,
        (None, None) => unreachable!("`bodies` leaves no mail empty"),
    };
    for (name, value) in extra {
        let name = HeaderName::new_from_ascii(name.clone())
            .map_err(|_| Failure::BySettings(format!("{name:?} is no name of a header")))?;
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
            Certificate::from_pem(pem.as_bytes()).map_err(|error| by_settings("the ca of tls_config cannot be read")(&error))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    if let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) {
        let cert = client::reveal(cert).await.map_err(|error| for_now("tls_config")(&error))?;
        let key = client::reveal(key).await.map_err(|error| for_now("tls_config")(&error))?;
        let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes());
        builder =
            builder.identify_with(identity.map_err(|error| by_settings("the certificate of tls_config cannot be read")(&error))?);
    }
    builder.build().map_err(|error| by_settings("tls_config cannot be used")(&error))
}

async fn transport(settings: &Email) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let bad = || Failure::BySettings(format!("smarthost {:?} is not host:port", settings.smarthost));
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

/// Sends a mail to each recipient who has not got it yet, and says of each one what became of it.
///
/// A server that refuses one recipient takes the mail for none, so then each gets an envelope of their own.
pub async fn send(mails: &Mails, delivery: &Delivery, settings: &Email, templates: &Templates) -> Outcome {
    let made = async { Ok((message(delivery, settings, templates)?, transport(settings).await?)) };
    let (message, transport) = match made.await {
        Ok(made) => made,
        Err(Failure::BySettings(reason)) => return Outcome::mendable(reason),
        Err(Failure::Passing(reason)) => return Outcome::Retry { reason, after: None },
    };
    let raw = message.formatted();
    let post = async |recipients: Vec<Address>| {
        let envelope =
            Envelope::new(message.envelope().from().cloned(), recipients).map_err(|error| (None, with_causes(&error)))?;
        match transport.send_raw(&envelope, &raw).await {
            Ok(answer) => Ok(format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" "))),
            Err(error) => Err((error.status().map(u16::from), with_causes(&error))),
        }
    };
    let mut progress = mails.get(&delivery.key);
    let mut left: Vec<Address> = Vec::new();
    for one in message.envelope().to() {
        if !progress.taken.contains(one) && !progress.refused.contains_key(one) && !left.contains(one) {
            left.push(one.clone());
        }
    }
    let mut later = None;
    if left.len() > 1 {
        match post(left.clone()).await {
            Ok(_) => progress.taken.extend(std::mem::take(&mut left)),
            Err((Some(450..=452 | 550..=556), _)) => {}
            Err((code, reason)) => {
                left.clear();
                later = Some((code, reason));
            }
        }
    }
    let mut said = String::new();
    for recipient in left {
        match post(vec![recipient.clone()]).await {
            Ok(answer) => {
                said = answer;
                progress.taken.insert(recipient);
            }
            Err((Some(code), reason)) if smtp_class(code) == Class::Rejected => {
                progress.refused.insert(recipient, reason);
            }
            Err((code, reason)) => later = Some((code, format!("{recipient}: {reason}"))),
        }
        mails.put(&delivery.key, &progress);
    }
    outcome(mails, delivery, progress, later, &said)
}

fn outcome(mails: &Mails, delivery: &Delivery, progress: Progress, later: Option<(Option<u16>, String)>, said: &str) -> Outcome {
    if let Some((code, reason)) = later {
        mails.put(&delivery.key, &progress);
        let reason = format!("the mail server does not take it: {reason}");
        return match code.map(smtp_class) {
            Some(Class::Mendable) => Outcome::mendable(reason),
            _ => Outcome::Retry { reason, after: None },
        };
    }
    mails.lock().remove(&delivery.key);
    let list = |addresses: &BTreeSet<Address>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if progress.refused.is_empty() {
        return Outcome::Delivered(format!("taken for {} {said}", list(&progress.taken)).trim_end().to_owned());
    }
    let refused: Vec<String> = progress.refused.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
    let refused = format!("the mail server refuses {}", refused.join(", "));
    if progress.taken.is_empty() {
        return Outcome::Rejected(refused);
    }
    Outcome::Partly(format!("{refused}; taken for {}", list(&progress.taken)))
}
