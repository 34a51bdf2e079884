//! Sequences of alerts, silences and time, made from a seed; and what can be said of them beforehand.
//!
//! A sequence acts at whole slots of two seconds, and timers of groups fall due between two slots: what is told never hangs on who was a
//! little earlier. An alert is acted upon once in a slot at most.

use std::fmt;

use serde_json::{Value, json};

/// Slots in which a sequence does as it likes; then all of it ends in order.
pub const FREE_SLOTS: usize = 8;
/// Slots of a whole sequence: silences end in the first of the last four, then the sources of inhibition, then what these muted.
pub const SLOTS: usize = FREE_SLOTS + 4;
/// Far enough to outlast a sequence.
const FOR_EVER: usize = 1000;

pub const KINDS: [&str; 9] = ["plain", "all", "whole", "both", "quiet", "nested", "few", "größe 🙂", "muted"];

/// What both servers are configured with; `{url}` is where notifications go.
pub const CONFIG: &str = r#"
global: {resolve_timeout: 5m}
route:
  receiver: root
  group_by: [seq]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - {matchers: ['kind="plain"'], receiver: plain, group_by: [seq, alertname], repeat_interval: 5s}
    - {matchers: ['kind="all"'], receiver: all, group_by: ['...']}
    - {matchers: ['kind="whole"'], receiver: whole, repeat_interval: 9s}
    - {matchers: ['kind="both"'], receiver: first, continue: true}
    - {matchers: ['kind="both"'], receiver: second, group_by: [seq, zone], repeat_interval: 5s}
    - {matchers: ['kind="quiet"'], receiver: quiet, repeat_interval: 5s}
    - matchers: ['kind="nested"']
      receiver: nested
      routes: [{matchers: ['severity=~"crit.*"', 'zone!="b"'], receiver: deep, group_by: [seq, alertname]}]
    - {matchers: ['kind="few"'], receiver: few}
    - {matchers: ['"größe 🙂"=~"gro.+"'], receiver: sized, group_by: [seq, 'größe 🙂']}
    - {matchers: ['kind="muted"'], receiver: root, mute_time_intervals: [always]}
receivers:
  - {name: root, webhook_configs: [{url: '{url}'}]}
  - {name: plain, webhook_configs: [{url: '{url}'}]}
  - {name: all, webhook_configs: [{url: '{url}'}]}
  - {name: whole, webhook_configs: [{url: '{url}'}]}
  - {name: first, webhook_configs: [{url: '{url}'}]}
  - {name: second, webhook_configs: [{url: '{url}'}]}
  - {name: quiet, webhook_configs: [{url: '{url}', send_resolved: false}]}
  - {name: nested, webhook_configs: [{url: '{url}'}]}
  - {name: deep, webhook_configs: [{url: '{url}'}]}
  - {name: few, webhook_configs: [{url: '{url}', max_alerts: 1}]}
  - {name: sized, webhook_configs: [{url: '{url}'}]}
inhibit_rules:
  - {source_matchers: ['alertname="Boss"'], target_matchers: ['alertname=~"A|B"'], equal: [seq, zone]}
  - {source_matchers: ['severity="critical"'], target_matchers: ['severity="warning"'], equal: [seq, alertname]}
  - {source_matchers: ['alertname="Self"'], target_matchers: ['alertname=~"Self|C"'], equal: [seq]}
time_intervals:
  - {name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
"#;

/// Numbers that look like nothing, the same for a seed each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) as usize % sides
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    pub name: &'static str,
    pub severity: &'static str,
    pub zone: &'static str,
}

impl Alert {
    /// Returns how many can inhibit it at most, one after the other.
    fn level(self) -> usize {
        match (self.name, self.severity) {
            ("Boss" | "Self", _) => 0,
            (_, "critical") => 1,
            _ => 2,
        }
    }

    /// Returns the rules by which the other inhibits it, each with what must be equal. Source: `CONFIG`.
    fn inhibited_by(self, source: Alert) -> Vec<(usize, &'static str)> {
        let by_boss = source.name == "Boss" && matches!(self.name, "A" | "B") && source.zone == self.zone;
        let by_grave = source.severity == "critical" && self.severity == "warning" && source.name == self.name;
        let by_self = source.name == "Self" && self.name == "C";
        let rules = [(by_boss, (0, source.zone)), (by_grave, (1, source.name)), (by_self, (2, ""))];
        rules.into_iter().filter(|(is_so, _)| *is_so).map(|(_, rule)| rule).collect()
    }

    /// Returns the rules of which it may be a source, as `inhibited_by` does.
    fn inhibits_by(self) -> Vec<(usize, &'static str)> {
        let rules = [
            (self.name == "Boss", (0, self.zone)),
            (self.severity == "critical", (1, self.name)),
            (self.name == "Self", (2, "")),
        ];
        rules.into_iter().filter(|(is_so, _)| *is_so).map(|(_, rule)| rule).collect()
    }
}

/// Which alerts of its sequence a silence mutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutes {
    All,
    Name(&'static str),
    NotName(&'static str),
    Zone(&'static str),
    /// By an expression.
    Grave,
}

impl Mutes {
    fn mutes(self, alert: Alert) -> bool {
        match self {
            Mutes::All => true,
            Mutes::Name(name) => alert.name == name,
            Mutes::NotName(name) => alert.name != name,
            Mutes::Zone(zone) => alert.zone == zone,
            Mutes::Grave => alert.severity == "critical",
        }
    }

    /// Returns the matchers of the silence beside that of the sequence.
    pub fn matcher(self) -> Option<Value> {
        let one = |name: &str, value: &str, is_regex: bool, is_equal: bool| {
            Some(json!({ "name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal }))
        };
        match self {
            Mutes::All => None,
            Mutes::Name(name) => one("alertname", name, false, true),
            Mutes::NotName(name) => one("alertname", name, false, false),
            Mutes::Zone(zone) => one("zone", zone, false, true),
            Mutes::Grave => one("severity", "crit.*", true, true),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `until`: the slot at which it ends by itself. None: the server's resolve timeout, which no sequence reaches.
    Fire {
        alert: Alert,
        until: Option<usize>,
    },
    End(Alert),
    /// `number`: of the silences of the sequence.
    Silence {
        number: usize,
        mutes: Mutes,
        until: usize,
    },
    Expire(usize),
}

/// Why both may differ over a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Differs {
    EndsMuted,
    EndsUntold,
    ComesBack,
    OneOfTwoSources,
    Cut,
}

impl Differs {
    pub fn reason(self) -> &'static str {
        match self {
            Differs::EndsMuted => {
                "an alert that was told ends while it is muted, or in the moment in which that is over: Alertmanager may never tell the \
                 end, and take the alert for told when it comes back; we tell both"
            }
            Differs::ComesBack => {
                "an alert comes back that has ended, to a receiver that hears no ends, in a group that goes on: Alertmanager takes it for \
                 told until the repeat interval is over; we tell it as new"
            }
            Differs::OneOfTwoSources => {
                "of two alerts that inhibit the same ones by one rule, one ends: Alertmanager no longer sees the other; we do"
            }
            Differs::Cut => {
                "a notification is cut to max_alerts: Alertmanager's status and common labels are those of the alerts that are left; ours \
                 are those of all"
            }
            Differs::EndsUntold => {
                "an alert ends that nobody was told of: Alertmanager tells the end in a group that was told of others; we do not"
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Sequence {
    pub number: usize,
    pub kind: &'static str,
    /// What it does, by slot.
    pub acts: Vec<Vec<Act>>,
    /// None: both must agree.
    pub differs: Option<Differs>,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.name, self.severity, self.zone)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Fire { alert, until: None } => write!(f, "fire {alert}"),
            Act::Fire { alert, until: Some(until) } => write!(f, "fire {alert} until {until}"),
            Act::End(alert) => write!(f, "end {alert}"),
            Act::Silence { number, mutes, until } => write!(f, "silence {number} {mutes:?} until {until}"),
            Act::Expire(number) => write!(f, "expire silence {number}"),
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequence {} of kind {}, which may differ: {:?}", self.number, self.kind, self.differs)?;
        for (slot, acts) in self.acts.iter().enumerate().filter(|(_, acts)| !acts.is_empty()) {
            let acts: Vec<String> = acts.iter().map(Act::to_string).collect();
            writeln!(f, "  slot {slot}: {}", acts.join(", "))?;
        }
        Ok(())
    }
}

/// What a sequence has come to while it is made.
#[derive(Default)]
struct World {
    /// The slot at which each fires no more, and whether that is only the timeout.
    firing: Vec<(Alert, usize, bool)>,
    /// What each silence mutes, and until when.
    silences: Vec<(Mutes, usize)>,
    /// Alerts that were told in this occurrence, and those that were in an earlier one.
    told: Vec<Alert>,
    told_before: Vec<Alert>,
    /// Alerts that nothing muted when timers last fell due.
    visible: Vec<Alert>,
    /// Rules that have lost one of several sources, each with what must be equal.
    shaken: Vec<(usize, &'static str)>,
    hears_no_ends: bool,
    differs: Option<Differs>,
}

impl World {
    fn fires(&self, alert: Alert) -> bool {
        self.firing.iter().any(|(one, ..)| *one == alert)
    }

    fn is_silenced(&self, alert: Alert, slot: usize) -> bool {
        self.silences.iter().any(|(mutes, until)| *until > slot && mutes.mutes(alert))
    }

    fn is_inhibited(&self, alert: Alert) -> bool {
        self.firing.iter().any(|(source, ..)| !alert.inhibited_by(*source).is_empty())
    }

    /// Takes note of the rules that a source leaves with another one, and returns whether an alert hangs on such a rule.
    fn note_sources(&mut self, ended: &[Alert]) -> bool {
        let still: Vec<(usize, &str)> = self.firing.iter().flat_map(|(source, ..)| source.inhibits_by()).collect();
        self.shaken.extend(ended.iter().flat_map(|source| source.inhibits_by()));
        self.shaken.retain(|rule| still.contains(rule));
        let hangs = |alert: Alert| {
            let rules = self.firing.iter().flat_map(|(source, ..)| alert.inhibited_by(*source));
            rules.into_iter().any(|rule| self.shaken.contains(&rule))
        };
        self.firing.iter().any(|(alert, ..)| hangs(*alert))
    }

    fn apply(&mut self, act: Act, slot: usize, ended: &mut Vec<Alert>) {
        match act {
            Act::Fire { alert, until } => {
                let old = self.firing.iter().position(|(one, ..)| *one == alert).map(|at| self.firing.swap_remove(at));
                let (mut end, is_timeout) = (until.unwrap_or(FOR_EVER), until.is_none());
                // An end that a sender named counts if it is the later one.
                if let Some((_, known, false)) = old {
                    end = end.max(known);
                }
                self.firing.push((alert, end, is_timeout));
            }
            Act::End(alert) => {
                self.firing.retain(|(one, ..)| *one != alert);
                ended.push(alert);
            }
            Act::Silence { mutes, until, .. } => self.silences.push((mutes, until)),
            Act::Expire(number) => self.silences[number].1 = slot,
        }
    }

    /// Takes what happens at a slot, and what the timers make of it behind it.
    fn pass(&mut self, acts: &[Act], slot: usize) {
        let mut ended = Vec::new();
        for act in acts {
            self.apply(*act, slot, &mut ended);
        }
        ended.extend(self.firing.iter().filter(|(_, end, _)| *end <= slot).map(|(alert, ..)| *alert));
        self.firing.retain(|(_, end, _)| *end > slot);
        if self.note_sources(&ended) {
            self.differs = self.differs.or(Some(Differs::OneOfTwoSources));
        }
        for alert in ended {
            let is_muted = self.is_silenced(alert, slot) || self.is_inhibited(alert);
            let was_told = self.told.contains(&alert);
            self.told.retain(|one| *one != alert);
            if was_told {
                self.told_before.push(alert);
            }
            match (was_told, is_muted || was_told && !self.visible.contains(&alert)) {
                (true, true) => self.differs = self.differs.or(Some(Differs::EndsMuted)),
                (false, false) => self.differs = self.differs.or(Some(Differs::EndsUntold)),
                (true, false) | (false, true) => {}
            }
        }
        let visible: Vec<Alert> = self.firing.iter().map(|(alert, ..)| *alert).collect();
        let visible = visible.into_iter().filter(|alert| !self.is_silenced(*alert, slot) && !self.is_inhibited(*alert));
        self.visible = visible.collect();
        let news: Vec<Alert> = self.visible.iter().copied().filter(|alert| !self.told.contains(alert)).collect();
        if self.hears_no_ends && news.iter().any(|alert| self.told_before.contains(alert)) {
            self.differs = self.differs.or(Some(Differs::ComesBack));
        }
        self.told.extend(news);
    }
}

/// Returns a sequence, the same for a seed and a number each time.
pub fn sequence(seed: u64, number: usize) -> Sequence {
    let mut dice = Dice(seed ^ (number as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let kind = dice.pick(&KINDS);
    let mut alerts: Vec<Alert> = Vec::new();
    for _ in 0..2 + dice.below(4) {
        let name = dice.pick(&["A", "A", "B", "B", "C", "C", "Boss", "Self"]);
        let is_source = matches!(name, "Boss" | "Self");
        let severity = if is_source || dice.below(2) == 0 { "critical" } else { "warning" };
        let alert = Alert { name, severity, zone: dice.pick(&["a", "b"]) };
        if !alerts.contains(&alert) {
            alerts.push(alert);
        }
    }
    let (mut world, mut all) = (World { hears_no_ends: kind == "quiet", ..World::default() }, Vec::new());
    for slot in 0..FREE_SLOTS {
        let mut acts: Vec<Act> = Vec::new();
        for _ in 0..if slot == 0 { 2 } else { dice.below(3) } {
            let alert = dice.pick(&alerts);
            let is_touched = |act: &Act| matches!(act, Act::Fire { alert: one, .. } | Act::End(one) if *one == alert);
            let act = match dice.below(20) {
                0..=9 => {
                    let until = (dice.below(4) == 0).then(|| slot + 2 + dice.below(2));
                    Some(Act::Fire { alert, until })
                }
                // Ends that both tell alike are what most sequences are for; some are for the others.
                10..=14 => {
                    let is_plain = world.told.contains(&alert) && !world.is_silenced(alert, slot) && !world.is_inhibited(alert);
                    (is_plain || world.fires(alert) && dice.below(12) == 0).then_some(Act::End(alert))
                }
                15..=17 => {
                    let mutes = match dice.below(5) {
                        0 => Mutes::All,
                        1 => Mutes::Name(alert.name),
                        2 => Mutes::NotName(alert.name),
                        3 => Mutes::Zone(alert.zone),
                        _ => Mutes::Grave,
                    };
                    let until = if dice.below(2) == 0 { slot + 1 + dice.below(3) } else { FOR_EVER };
                    Some(Act::Silence { number: world.silences.len(), mutes, until })
                }
                _ => {
                    let stands = |(number, (_, until)): (usize, &(Mutes, usize))| (*until > slot + 1).then_some(number);
                    let standing: Vec<usize> = world.silences.iter().enumerate().filter_map(stands).collect();
                    (!standing.is_empty()).then(|| Act::Expire(dice.pick(&standing)))
                }
            };
            let Some(act) = act else { continue };
            let is_second = acts.iter().any(|one| match act {
                Act::Fire { .. } | Act::End(_) => is_touched(one),
                // One silence a slot, so that their numbers are those of the order in which they are set.
                Act::Silence { .. } | Act::Expire(_) => matches!(one, Act::Silence { .. } | Act::Expire(_)),
            });
            if !is_second {
                acts.push(act);
            }
        }
        world.pass(&acts, slot);
        all.push(acts);
    }
    for level in 0..SLOTS - FREE_SLOTS {
        let slot = FREE_SLOTS + level;
        let stands = |(number, (_, until)): (usize, &(Mutes, usize))| (*until > slot).then_some(Act::Expire(number));
        let acts: Vec<Act> = match level.checked_sub(1) {
            None => world.silences.iter().enumerate().filter_map(stands).collect(),
            Some(level) => {
                let due = alerts.iter().filter(|alert| alert.level() == level && world.fires(**alert));
                due.map(|one| Act::End(*one)).collect()
            }
        };
        world.pass(&acts, slot);
        all.push(acts);
    }
    Sequence { number, kind, acts: all, differs: world.differs }
}
