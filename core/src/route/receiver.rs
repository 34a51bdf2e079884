//! Receivers: where notifications go.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::client::{HttpClient, Secret, Tls};
use crate::time::Span;

use super::dispatch::group::hex;

/// A named list of places that all hear of a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    pub name: String,
    /// Which receiver of the configuration it is, from zero.
    pub position: usize,
    /// By which clients of the API choose among receivers; they route nothing.
    pub labels: BTreeMap<String, String>,
    pub integrations: Vec<Integration>,
    /// Users who are paged through this receiver, until schedules say who is on call.
    pub users: Vec<String>,
}

/// One place to send to. Texts are Go templates of Alertmanager, expanded when sending.
#[derive(Clone, Debug, PartialEq)]
pub struct Integration {
    pub send_resolved: bool,
    pub channel: Channel,
}

impl Receiver {
    /// Returns the integrations, each with the name under which is remembered what it was told: its kind, and a digest of where it
    /// sends to. So it stays the same one when others come, go or change places, and becomes another when it sends elsewhere, where
    /// nobody has heard of anything yet.
    pub fn named(&self) -> Vec<(String, &Integration)> {
        let mut named: Vec<(String, &Integration)> = Vec::new();
        for integration in &self.integrations {
            let name = integration.channel.name();
            let twins = named.iter().filter(|(_, other)| other.channel.name() == name).count();
            named.push((if twins == 0 { name } else { format!("{name}-{}", twins + 1) }, integration));
        }
        named
    }

    /// Returns the integration of a name; None when the receiver has it no more.
    pub fn find(&self, name: &str) -> Option<&Integration> {
        self.named().into_iter().find(|(own, _)| own == name).map(|(_, integration)| integration)
    }
}

/// Where the messages of an integration go.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are as many of these as the configuration has lines for them")]
pub enum Channel {
    Webhook(Webhook),
    PagerDuty(PagerDuty),
    Email(Email),
    /// The inbox on our own web page.
    Inbox,
    /// A kind that Alertmanager knows and we do not send to, such as `slack_configs`; a delivery to it is rejected, visibly.
    Unserved {
        kind: String,
    },
}

/// The digest is short on purpose: it tells the places of one receiver apart and gives nothing of a secret away.
const DIGEST_BYTES: usize = 4;

impl Channel {
    fn name(&self) -> String {
        let place = match self {
            Channel::Webhook(webhook) => secret_text(&webhook.url),
            Channel::PagerDuty(pagerduty) => {
                let key = pagerduty.routing_key.as_ref().or(pagerduty.service_key.as_ref());
                format!("{} {}", pagerduty.url, key.map(secret_text).unwrap_or_default())
            }
            Channel::Email(email) => email.to.clone(),
            Channel::Inbox | Channel::Unserved { .. } => String::new(),
        };
        format!("{}/{}", self.kind(), hex(&Sha256::digest(place.as_bytes())[..DIGEST_BYTES]))
    }

    /// Returns the kind in one word: `webhook`, `pagerduty`, `email`, `inbox`, or the key of a kind that is not served.
    pub fn kind(&self) -> &str {
        match self {
            Channel::Webhook(_) => "webhook",
            Channel::PagerDuty(_) => "pagerduty",
            Channel::Email(_) => "email",
            Channel::Inbox => "inbox",
            Channel::Unserved { kind } => kind,
        }
    }
}

/// Returns what a secret is named by; a value that is rotated in its file stays the same secret.
fn secret_text(secret: &Secret) -> String {
    match secret {
        Secret::Inline(value) => format!("text {value}"),
        Secret::File(path) => format!("file {path}"),
        Secret::Env(name) => format!("env {name}"),
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Holds secrets often, so it is one.
    pub url: Secret,
    pub client: HttpClient,
    /// At most this many alerts in one body; zero: no limit.
    pub max_alerts: u32,
    /// Zero: no limit of its own.
    pub timeout: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    /// Integration key of Events API v2.
    pub routing_key: Option<Secret>,
    /// Key of the old Events API v1, which we refuse to send to; kept to say so.
    pub service_key: Option<Secret>,
    /// Address of `enqueue`.
    pub url: String,
    pub client: HttpClient,
    pub client_name: String,
    pub client_url: String,
    pub description: String,
    pub details: BTreeMap<String, String>,
    pub images: Vec<BTreeMap<String, String>>,
    pub links: Vec<BTreeMap<String, String>>,
    pub source: String,
    pub severity: String,
    pub class: String,
    pub component: String,
    pub group: String,
    pub timeout: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    /// Addresses separated by commas; a template.
    pub to: String,
    pub from: String,
    pub hello: String,
    /// `host:port`; port 465 speaks TLS from the first byte.
    pub smarthost: String,
    pub auth_username: Option<String>,
    pub auth_password: Option<Secret>,
    pub auth_identity: Option<String>,
    pub auth_secret: Option<Secret>,
    pub headers: BTreeMap<String, String>,
    /// None: our own layout.
    pub html: Option<String>,
    pub text: Option<String>,
    /// Refuse to send where the server offers no STARTTLS.
    pub require_tls: bool,
    /// TLS from the first byte on any port.
    pub implicit_tls: bool,
    pub tls: Tls,
}
