//! Receivers: where notifications go.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::client::{Auth, HttpClient, Secret, Tls};

use super::dispatch::group::hex;
use super::message::Posted;
pub use super::message::discord::Discord;
pub use super::message::msteams::MsTeams;
pub use super::message::ntfy::Ntfy;
pub use super::message::opsgenie::Opsgenie;
pub use super::message::pagerduty::PagerDuty;
pub use super::message::pushover::Pushover;
pub use super::message::slack::Slack;
pub use super::message::sns::Sns;
pub use super::message::telegram::{Chat, Telegram};
pub use super::message::twilio::Twilio;
pub use super::message::webhook::Webhook;

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
pub enum Channel {
    Webhook(Webhook),
    PagerDuty(PagerDuty),
    Email(Email),
    Slack(Slack),
    MsTeams(MsTeams),
    Discord(Discord),
    Opsgenie(Opsgenie),
    Pushover(Pushover),
    Telegram(Telegram),
    Ntfy(Ntfy),
    Sns(Sns),
    Twilio(Twilio),
    /// The inbox on our own web page.
    Inbox,
    /// A kind that Alertmanager knows and we do not send to, such as `wechat_configs`; a delivery to it is rejected, visibly.
    Unserved {
        kind: String,
    },
}

/// How the messages of a channel get to their place.
pub enum Way<'a> {
    /// By HTTP, as its provider wants it.
    Posted(&'a dyn Posted),
    Mailed(&'a Email),
    /// They stay with us.
    Kept,
    /// The key of a kind that is not served.
    Unserved(&'a str),
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
            Channel::Slack(slack) => format!("{} {}", secret_text(&slack.url), slack.channel),
            Channel::MsTeams(teams) => secret_text(&teams.url),
            Channel::Discord(discord) => secret_text(&discord.url),
            Channel::Opsgenie(opsgenie) => format!("{} {}", opsgenie.url, key_text(&opsgenie.client)),
            Channel::Pushover(pushover) => format!("{} {}", secret_text(&pushover.user), pushover.device),
            Channel::Telegram(telegram) => match &telegram.chat {
                Chat::Id(id) => format!("{id} {}", telegram.thread),
                Chat::File(file) => format!("{} {}", secret_text(file), telegram.thread),
            },
            Channel::Ntfy(ntfy) => format!("{} {}", ntfy.url, secret_text(&ntfy.topic)),
            Channel::Sns(sns) => format!("{} {}", sns.region, sns.place.text()),
            Channel::Twilio(twilio) => format!("{} {}", twilio.account, twilio.to),
            Channel::Inbox | Channel::Unserved { .. } => String::new(),
        };
        format!("{}/{}", self.kind(), hex(&Sha256::digest(place.as_bytes())[..DIGEST_BYTES]))
    }

    /// Returns the kind in one word, such as `webhook`, or the key of a kind that is not served.
    pub fn kind(&self) -> &str {
        match self {
            Channel::Webhook(_) => "webhook",
            Channel::PagerDuty(_) => "pagerduty",
            Channel::Email(_) => "email",
            Channel::Slack(_) => "slack",
            Channel::MsTeams(_) => "msteamsv2",
            Channel::Discord(_) => "discord",
            Channel::Opsgenie(_) => "opsgenie",
            Channel::Pushover(_) => "pushover",
            Channel::Telegram(_) => "telegram",
            Channel::Ntfy(_) => "ntfy",
            Channel::Sns(_) => "sns",
            Channel::Twilio(_) => "twilio",
            Channel::Inbox => "inbox",
            Channel::Unserved { kind } => kind,
        }
    }

    /// Returns how messages get there.
    pub fn way(&self) -> Way<'_> {
        match self {
            Channel::Webhook(webhook) => Way::Posted(webhook),
            Channel::PagerDuty(pagerduty) => Way::Posted(pagerduty),
            Channel::Slack(slack) => Way::Posted(slack),
            Channel::MsTeams(teams) => Way::Posted(teams),
            Channel::Discord(discord) => Way::Posted(discord),
            Channel::Opsgenie(opsgenie) => Way::Posted(opsgenie),
            Channel::Pushover(pushover) => Way::Posted(pushover),
            Channel::Telegram(telegram) => Way::Posted(telegram),
            Channel::Ntfy(ntfy) => Way::Posted(ntfy),
            Channel::Sns(sns) => Way::Posted(sns),
            Channel::Twilio(twilio) => Way::Posted(twilio),
            Channel::Email(email) => Way::Mailed(email),
            Channel::Inbox => Way::Kept,
            Channel::Unserved { kind } => Way::Unserved(kind),
        }
    }

    /// Returns whether the provider keeps an incident, which a later message ends and which people acknowledge.
    pub fn keeps_incidents(&self) -> bool {
        matches!(self, Channel::PagerDuty(_) | Channel::Opsgenie(_))
    }
}

/// Returns what the key is named by with which a client speaks.
fn key_text(client: &HttpClient) -> String {
    match &client.auth {
        Auth::Authorization { credentials, .. } => secret_text(credentials),
        Auth::Basic { username, .. } => secret_text(username),
        Auth::None => String::new(),
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
