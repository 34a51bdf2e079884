//! What the plane asks the edge to store and to send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Fingerprint;
use crate::page::Page;
use crate::route::alert::Alert;
use crate::route::dispatch::group::{Group, GroupId};
use crate::route::message::{Action, Message};
use crate::route::notification::NotificationData;
use crate::route::silence::{Silence, Tombstone};
use crate::time::{Span, Timestamp};
use crate::trace::{Mark, TraceChange};

use super::extension::Extension;
use super::flap::Flap;

/// One durable write. All that a `drain` returns belongs in one transaction, made before anything is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    PutAlert(Alert),
    DropAlert(Fingerprint),
    /// Goes behind those that are there.
    AddExtension(Extension),
    /// Every extension goes: those that count come anew.
    DropExtensions,
    PutFlap(Flap),
    DropFlap(Fingerprint),
    PutGroup(Group),
    DropGroup(GroupId),
    PutSilence(Silence),
    DropSilence(String),
    PutPage(Page),
    /// The plane forgets a page that was resolved long ago; the edge may keep it for its history.
    DropPage(String),
    Deliver(Delivery),
    Trace(TraceChange),
}

/// The state that an earlier plane stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Records {
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// In the order of their numbers.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    #[serde(default)]
    pub flaps: Vec<Flap>,
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Silences that have ended before their time, as far as that is known from elsewhere.
    #[serde(default)]
    pub tombstones: Vec<Tombstone>,
    #[serde(default)]
    pub silences: Vec<Silence>,
    #[serde(default)]
    pub pages: Vec<Page>,
    /// When that plane was last known to listen. Alerts whose end passed after that are not taken as ended, because nobody was there
    /// to hear that they go on. None: the last word that any alert record carries.
    #[serde(default)]
    pub alive_at: Option<Timestamp>,
    #[serde(default)]
    pub trace: Mark,
}

/// One message to one integration of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same whenever the same decision is made again, and of no other delivery.
    pub key: String,
    /// Deliveries of one lane must arrive in order of `sequence`.
    pub lane: String,
    pub sequence: i64,
    pub page_id: Option<String>,
    pub receiver: String,
    /// The integration of the receiver, by the name that `Receiver::named` gives it.
    pub integration: String,
    /// The kind of the channel, as `Channel::kind` says it.
    pub channel: String,
    pub action: Action,
    /// Under which an outside service folds what belongs together: SHA-256 of the group key.
    pub dedup_key: String,
    pub data: NotificationData,
    pub title: String,
    /// Of the ends that it tells and that were said before and did not arrive: when each was said first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends_since: BTreeMap<Fingerprint, Timestamp>,
    pub created_at: Timestamp,
    /// After this nobody wants to hear it any more.
    pub expires_at: Timestamp,
}

/// A delivery is worth trying for this long.
pub const DELIVERY_LIFE: Span = Span::from_mins(24 * 60);

impl Delivery {
    /// Returns what is to be told.
    pub fn message(&self) -> Message<'_> {
        Message { key: &self.key, dedup_key: &self.dedup_key, action: self.action, title: &self.title, data: &self.data }
    }
}
