//! What happens when a group's timer falls due.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::Fingerprint;
use crate::page::{Page, State};
use crate::route::alert::Alert;
use crate::route::dispatch::decision::{Reason, Sight, decide};
use crate::route::dispatch::group::{Group, GroupId};
use crate::route::dispatch::log::{LogEntry, Telling};
use crate::route::notification::NotificationData;
use crate::route::silence::Silence;
use crate::route::time_interval::silent_by;
use crate::time::{Span, Timestamp};
use crate::trace::{Flush, Held, Holder, Said, Told};

use super::{Action, DELIVERY_LIFE, Delivery, Plane};

/// What a group looks like at a flush.
struct Survey {
    /// Firing alerts that nothing mutes.
    visible: BTreeSet<Fingerprint>,
    /// The others, under all that mutes them.
    held: BTreeMap<Holder, BTreeSet<Fingerprint>>,
    /// Alerts that have ended, departed ones included.
    ended: BTreeSet<Fingerprint>,
}

impl Survey {
    /// Returns what is to be taken down.
    fn decided(
        &self,
        group: &Group,
        intervals: Vec<String>,
        said: Vec<Said>,
        page: Option<String>,
        interval: Option<Span>,
    ) -> Flush {
        let held = |(by, alerts): (&Holder, &BTreeSet<Fingerprint>)| Held { by: by.clone(), alerts: alerts.clone() };
        Flush {
            group: group.id.clone(),
            labels: group.labels.clone(),
            shown: self.visible.clone(),
            ended: self.ended.clone(),
            held: self.held.iter().map(held).collect(),
            intervals,
            said,
            page,
            interval,
        }
    }
}

/// A flush's own circumstances.
struct Circumstances {
    /// When the timer fell due; now, where that was longer ago than the timer's interval. Intervals are counted from here, so that
    /// a late tick does not push all later ones.
    told_at: Timestamp,
    now: Timestamp,
    /// None: there is nothing to repeat.
    repeat_interval: Option<Span>,
    page: Option<String>,
}

impl Plane {
    pub(super) fn next_flush(&self) -> Option<Timestamp> {
        let due = |group: &Group| match group.strands.values().map(|strand| strand.next_flush_at).min() {
            Some(at) => at,
            None if group.departed.is_empty() => group.replaceable_at(),
            None => self.departed_end(group),
        };
        self.groups.values().map(due).min()
    }

    /// Returns when the last alert of those that are routed elsewhere ends, as far as is known, and may be told.
    fn departed_end(&self, group: &Group) -> Timestamp {
        let ends = group.departed.iter().filter_map(|one| self.alerts.get(one)).map(|alert| alert.ends_at);
        ends.chain(group.again_at.filter(|_| !group.departed.is_empty())).max().unwrap_or(Timestamp::MIN)
    }

    pub(super) fn flush_due(&mut self, now: Timestamp) {
        let mut due: Vec<(Timestamp, GroupId, u32)> = Vec::new();
        let mut leftovers: Vec<GroupId> = Vec::new();
        for group in self.groups.values() {
            for (twin, strand) in group.strands.iter().filter(|(_, strand)| strand.next_flush_at <= now) {
                due.push((strand.next_flush_at, group.id.clone(), *twin));
            }
            if group.strands.is_empty() && self.departed_end(group) <= now {
                leftovers.push(group.id.clone());
            }
        }
        due.sort();
        // One set of silences for all groups of one instant; alerts do not change in between either.
        let silences: Vec<Silence> =
            if due.is_empty() { Vec::new() } else { self.silences.active(now).into_iter().cloned().collect() };
        for (_, id, twin) in due {
            self.flush_strand(&id, twin, &silences, now);
        }
        for id in leftovers {
            self.flush_leftover(&id, now);
        }
    }

    fn flush_strand(&mut self, id: &GroupId, twin: u32, silences: &[Silence], now: Timestamp) {
        // Another strand of the same group, due at the same instant, may have said all there was to say.
        if !self.groups.get(id).is_some_and(|group| group.strands.contains_key(&twin)) {
            return;
        }
        let Some(mut group) = self.groups.remove(id) else { return };
        if self.waits_for_witnesses(&mut group, twin, now) {
            self.groups.insert(id.clone(), group);
            return;
        }
        let index = group.path().and_then(|path| self.tree.find(path, &id.receiver, twin));
        let node = self.tree.node(index.expect("reconcile leaves only strands whose node exists"));
        let strand = group.strands.get_mut(&twin).expect("the strand was looked for just now");
        let due = strand.next_flush_at;
        let told_at = if due + node.group_interval > now { due } else { now };
        strand.next_flush_at = told_at + node.group_interval;
        strand.flushed = true;
        let intervals = silent_by(&self.routing.time_intervals, &node.mute_time_intervals, &node.active_time_intervals, now);
        let (interval, repeat_interval) = (Some(node.group_interval), Some(node.repeat_interval));
        let survey = self.survey(&group, twin, silences, now);
        let (mut said, mut page) = (Vec::new(), None);
        if intervals.is_empty() {
            page = self.page_for(&group, &survey.visible, told_at, now);
            said = self.tell(&mut group, &survey, &Circumstances { told_at, now, repeat_interval, page: page.clone() });
        }
        let decided = survey.decided(&group, intervals, said, page, interval);
        let strand = group.strands.get_mut(&twin).expect("nothing has taken it away");
        self.tracer.flush(decided, &mut strand.stretch, now);
        self.finish(group, &survey.ended, now);
    }

    /// Speaks for a group that no route feeds any more: once the last of its alerts has ended, receivers hear of it.
    fn flush_leftover(&mut self, id: &GroupId, now: Timestamp) {
        let Some(mut group) = self.groups.remove(id) else { return };
        group.again_at = None;
        let survey = Survey { visible: BTreeSet::new(), held: BTreeMap::new(), ended: group.departed.clone() };
        let page = self.open_pages.get(id).cloned();
        let around = Circumstances { told_at: now, now, repeat_interval: None, page: page.clone() };
        let said = self.tell(&mut group, &survey, &around);
        // A group that only waits for its numbers to be free decides nothing.
        if !survey.ended.is_empty() {
            self.tracer.flush(survey.decided(&group, Vec::new(), said, page, None), &mut None, now);
        }
        self.finish(group, &survey.ended, now);
    }

    fn survey(&self, group: &Group, twin: u32, silences: &[Silence], now: Timestamp) -> Survey {
        let strand = group.strands.get(&twin).map(|strand| &strand.alerts);
        let departed_ended = group.departed.iter().filter(|fingerprint| !self.is_firing(**fingerprint, now));
        let mut ended: BTreeSet<Fingerprint> = departed_ended.copied().collect();
        let (mut visible, mut held) = (BTreeSet::new(), BTreeMap::<Holder, BTreeSet<Fingerprint>>::new());
        for fingerprint in strand.into_iter().flatten().copied() {
            let Some(alert) = self.alerts.get(&fingerprint).filter(|alert| alert.is_firing(now)) else {
                ended.insert(fingerprint);
                continue;
            };
            let holders = self.holders(alert, silences, now);
            if holders.is_empty() {
                visible.insert(fingerprint);
            }
            holders.into_iter().for_each(|holder| _ = held.entry(holder).or_default().insert(fingerprint));
        }
        Survey { visible, held, ended }
    }

    /// Returns all that keeps an alert from being told.
    fn holders(&self, alert: &Alert, silences: &[Silence], now: Timestamp) -> Vec<Holder> {
        let muting = self.muting(silences, &alert.labels, now);
        let silence = |silence: &Silence| Holder::Silence {
            id: silence.id.clone(),
            by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            ends_at: silence.ends_at,
        };
        let inhibitors = self.inhibitor.inhibited_by(alert, |source| self.is_firing(source, now));
        let inhibitor = |one: Fingerprint| Holder::Inhibitor { labels: self.alerts[&one].labels.clone() };
        muting.map(silence).chain(inhibitors.into_iter().map(inhibitor)).collect()
    }

    /// Opens the group's page when something is visible and none is open, adds what is new to an open one. Returns its id.
    ///
    /// A receiver without integrations and users is a place where alerts go to be forgotten; it opens no pages.
    fn page_for(
        &mut self,
        group: &Group,
        visible: &BTreeSet<Fingerprint>,
        decided_at: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        let alerts = visible.iter().filter_map(|fingerprint| self.alerts.get(fingerprint));
        let alerts = self.flaps.all_annotated(alerts, self.routing.flapping);
        let alerts: Vec<&Alert> = alerts.iter().map(Cow::as_ref).collect();
        if let Some(id) = self.open_pages.get(&group.id) {
            if self.pages.get_mut(id).is_some_and(|page| page.add(&alerts, now)) {
                self.unsaved.pages.insert(id.clone());
            }
            return Some(id.clone());
        }
        let receiver = self.routing.receivers.get(&group.id.receiver)?;
        if alerts.is_empty() || (receiver.integrations.is_empty() && receiver.users.is_empty()) {
            return None;
        }
        let page = Page::open(&group.id, &group.labels, &receiver.users, &alerts, decided_at, now);
        let id = page.id.clone();
        self.open_pages.insert(group.id.clone(), id.clone());
        self.unsaved.pages.insert(id.clone());
        self.pages.insert(id.clone(), page);
        Some(id)
    }

    /// Tells each integration what is news to it, and writes down that it was told. Returns what each of them heard.
    fn tell(&mut self, group: &mut Group, survey: &Survey, flush: &Circumstances) -> Vec<Said> {
        let now = flush.now;
        let routing = self.routing.clone();
        let Some(receiver) = routing.receivers.get(&group.id.receiver) else { return Vec::new() };
        let taken = flush.page.as_ref().and_then(|id| self.pages.get(id)).is_some_and(|page| page.state == State::Acknowledged);
        let mut said: Vec<(&str, Reason)> = Vec::new();
        let mut heard = Vec::with_capacity(receiver.integrations.len());
        for (name, integration) in receiver.named() {
            let send_resolved = integration.send_resolved;
            let entry = group.log.get(&name).cloned();
            let owed = entry.as_ref().map(|entry| entry.owed.clone()).unwrap_or_default();
            let ended: BTreeSet<Fingerprint> = survey.ended.intersection(&owed).copied().collect();
            let repeat_due = !taken
                && entry.as_ref().zip(flush.repeat_interval).is_some_and(|(entry, repeat)| flush.told_at - entry.at >= repeat);
            let departed_fires = group.departed.iter().any(|one| owed.contains(one) && !survey.ended.contains(one));
            let sight = Sight { visible: &survey.visible, ended: &ended, departed_fires, send_resolved, repeat_due };
            let decision = decide(entry.as_ref(), sight);
            let repeats = !taken && !survey.visible.is_empty();
            let heard_at = entry.as_ref().and_then(LogEntry::heard_at);
            let last = if decision.is_some() { Some(flush.told_at) } else { heard_at };
            let repeat_at = last.zip(flush.repeat_interval).filter(|_| repeats).map(|(at, repeat)| at + repeat);
            heard.push(Said { integration: name.clone(), told: None, heard_at, repeat_at });
            let Some(reason) = decision else {
                if !send_resolved && let Some(entry) = group.log.get_mut(&name) {
                    entry.owed.retain(|one| !ended.contains(one));
                }
                continue;
            };
            let mut shown = survey.visible.clone();
            if send_resolved {
                shown.extend(&ended);
            }
            let (mut sequence, mut delivery) = (None, None);
            if !shown.is_empty() {
                let next = now.0.max(entry.as_ref().map_or(0, |entry| entry.sequence).saturating_add(1));
                sequence = Some(next);
                let action = Action::on(&integration.channel, !survey.visible.is_empty());
                said.push((integration.channel.kind(), reason));
                let unheard = entry.as_ref().map(|entry| entry.unheard.clone()).unwrap_or_default();
                let ends_since = unheard.into_iter().filter(|(one, _)| ended.contains(one)).collect();
                let channel = integration.channel.kind();
                let message = Message { integration: &name, action, reason, sequence: next, channel, ends_since };
                delivery = Some(self.deliver(group, &shown, message, flush.page.clone(), now));
            }
            heard.last_mut().expect("it was put in just now").told = Some(Told { reason, delivery });
            let telling = Telling { at: flush.told_at, reason, firing: &survey.visible, ended: &ended, sequence };
            group.log.insert(name, LogEntry::told(entry, telling, DELIVERY_LIFE));
        }
        if let (Some(id), Some((_, reason))) = (&flush.page, said.first())
            && let Some(page) = self.pages.get_mut(id)
        {
            let channels: Vec<&str> = said.iter().map(|(kind, _)| *kind).collect();
            page.notified(format!("{} by {}", reason.as_str(), channels.join(", ")), now);
            self.unsaved.pages.insert(id.clone());
        }
        heard
    }

    /// Puts a message about some alerts of a group into the outbox; returns the key of the delivery.
    pub(super) fn deliver(
        &mut self,
        group: &Group,
        shown: &BTreeSet<Fingerprint>,
        message: Message<'_>,
        page_id: Option<String>,
        now: Timestamp,
    ) -> String {
        let alerts = shown.iter().filter_map(|fingerprint| self.alerts.get(fingerprint));
        let alerts = self.flaps.all_annotated(alerts, self.routing.flapping);
        let alerts = alerts.iter().map(Cow::as_ref).collect();
        let data = NotificationData::new(&group.id, &group.labels, alerts, message.reason, &self.external_url, now);
        let dedup_key = group.id.dedup_key();
        let lane = group.id.lane(message.integration);
        let key = format!("{lane}/{}/{}", message.action.as_str(), message.sequence);
        self.unsaved.deliveries.push(Delivery {
            key: key.clone(),
            lane,
            sequence: message.sequence,
            page_id,
            receiver: group.id.receiver.clone(),
            integration: message.integration.to_owned(),
            channel: message.channel.to_owned(),
            action: message.action,
            dedup_key,
            title: data.title(),
            data,
            ends_since: message.ends_since,
            created_at: now,
            expires_at: now + DELIVERY_LIFE,
        });
        key
    }

    /// Lets go of what has ended and is no longer owed to anyone, and puts the group back unless nothing is left of it.
    fn finish(&mut self, mut group: Group, ended: &BTreeSet<Fingerprint>, now: Timestamp) {
        for entry in group.log.values_mut() {
            // An ended alert that comes back is news, also where a mute timing kept its end from being told.
            ended.iter().for_each(|one| _ = entry.firing.remove(one));
        }
        self.settle_page(&group.id, now);
        let over: BTreeSet<Fingerprint> = ended.iter().filter(|one| !group.owes(**one)).copied().collect();
        for strand in group.strands.values_mut() {
            over.iter().for_each(|one| _ = strand.alerts.remove(one));
        }
        group.strands.retain(|_, strand| {
            if strand.alerts.is_empty() {
                self.tracer.lasted(strand.stretch.take());
            }
            !strand.alerts.is_empty()
        });
        for fingerprint in over {
            group.departed.remove(&fingerprint);
            self.leave(fingerprint, &group.id, now);
        }
        self.unsaved.groups.insert(group.id.clone());
        if !group.is_empty() || group.replaceable_at() > now {
            self.groups.insert(group.id.clone(), group);
        }
    }

    /// Marks what has ended on the group's page.
    fn settle_page(&mut self, id: &GroupId, now: Timestamp) {
        let Some(page_id) = self.open_pages.get(id).cloned() else { return };
        let Some(page) = self.pages.get(&page_id) else { return };
        let over = page.firing().filter(|fingerprint| !self.is_firing(*fingerprint, now));
        let ended: BTreeMap<Fingerprint, Timestamp> =
            over.map(|one| (one, self.alerts.get(&one).map_or(now, |alert| alert.ends_at))).collect();
        let Some(page) = self.pages.get_mut(&page_id) else { return };
        if page.settle(&ended, now) {
            if !page.is_open() {
                self.open_pages.remove(id);
            }
            self.unsaved.pages.insert(page_id);
        }
    }
}

/// What distinguishes one message of a group from the others.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub integration: &'a str,
    pub action: Action,
    pub reason: Reason,
    pub sequence: i64,
    pub channel: &'a str,
    /// Of the ends that were said before and did not arrive: when each was said first.
    pub ends_since: BTreeMap<Fingerprint, Timestamp>,
}
