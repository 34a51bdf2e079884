//! What people do with pages: take them, and give them back.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Fingerprint;
use crate::page::{Page, State};
use crate::route::dispatch::decision::Reason;
use crate::time::Timestamp;

use super::flush::Message;
use super::{Action, Plane, Refused, Reply};

const NAME_BYTES_MAX: usize = 256;

impl Plane {
    /// Whoever comes second is told who was first; whoever comes twice is told that all is well.
    pub(super) fn acknowledge(&mut self, id: &str, by: &str, now: Timestamp) -> Result<Reply, Refused> {
        let page = self.page_for_person(id, by)?;
        match page.state {
            State::Triggered => {}
            State::Acknowledged => {
                let first = page.acknowledged_by.clone().unwrap_or_default();
                if first == by {
                    return Ok(Reply::Page(Box::new(page.clone())));
                }
                let at = page.acknowledged_at.unwrap_or(now);
                return Err(Refused::AlreadyAcknowledged { id: id.to_owned(), by: first, at });
            }
            State::Resolved => return Err(Refused::PageResolved { id: id.to_owned() }),
        }
        page.acknowledge(by, now).expect("a triggered page can be acknowledged");
        let page = page.clone();
        self.unsaved.pages.insert(page.id.clone());
        self.pass_on_acknowledgement(&page, now);
        Ok(Reply::Page(Box::new(page)))
    }

    /// Gives a page back. PagerDuty has no way to be told; its next word from us is the next notification.
    pub(super) fn unacknowledge(&mut self, id: &str, by: &str, now: Timestamp) -> Result<Reply, Refused> {
        let page = self.page_for_person(id, by)?;
        match page.state {
            State::Acknowledged => page.unacknowledge(by, now).expect("an acknowledged page can be given back"),
            State::Triggered => return Err(Refused::NotAcknowledged { id: id.to_owned() }),
            State::Resolved => return Err(Refused::PageResolved { id: id.to_owned() }),
        }
        let page = page.clone();
        self.unsaved.pages.insert(page.id.clone());
        Ok(Reply::Page(Box::new(page)))
    }

    fn page_for_person(&mut self, id: &str, by: &str) -> Result<&mut Page, Refused> {
        if by.is_empty() || by.len() > NAME_BYTES_MAX {
            return Err(Refused::BadName { limit: NAME_BYTES_MAX });
        }
        self.pages.get_mut(id).ok_or_else(|| Refused::UnknownPage(id.to_owned()))
    }

    /// Tells each integration that keeps an incident and has heard of the group that a person is at it.
    fn pass_on_acknowledgement(&mut self, page: &Page, now: Timestamp) {
        let routing = self.routing.clone();
        let Some(receiver) = routing.receivers.get(&page.group.receiver) else { return };
        let Some(mut group) = self.groups.remove(&page.group) else { return };
        let firing: BTreeSet<Fingerprint> = page.firing().filter(|one| self.alerts.contains_key(one)).collect();
        for (name, integration) in receiver.named() {
            if !integration.channel.keeps_incidents() {
                continue;
            }
            let Some(entry) = group.log.get_mut(&name).filter(|entry| !entry.owed.is_empty()) else { continue };
            entry.sequence = now.0.max(entry.sequence.saturating_add(1));
            let message = Message {
                integration: &name,
                action: Action::Acknowledge,
                reason: Reason::Acknowledged,
                sequence: entry.sequence,
                channel: integration.channel.kind(),
                ends_since: BTreeMap::new(),
            };
            self.deliver(&group, &firing, message, Some(page.id.clone()), now);
            self.unsaved.groups.insert(group.id.clone());
        }
        self.groups.insert(group.id.clone(), group);
    }
}
