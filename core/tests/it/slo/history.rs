//! Thirty days with resets, gaps and churn, counted live with restarts, and held against a plain count of all samples.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tocsin_core::model::{STALE, Series, is_stale};
use tocsin_core::slo::{Bounds, Counted, Definition, FORGET, Pace, Row, Standing, Tier};
use tocsin_core::time::{Span, Timestamp};

use super::{AVAILABILITY, Memory, START, advance, counted, define, labels, secs};

const DAYS: i64 = 30;
const SCRAPE: i64 = 60_000;
const END: Timestamp = Timestamp(START.0 + DAYS * 24 * 3_600_000);
const WINDOWS: usize = 500;

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: i64) -> i64 {
        (self.roll() % limit as u64) as i64
    }
}

/// The counters of one target over its life: they are reset, fall silent, and some begin late.
fn live(dice: &mut Dice, instance: &str, from: i64, until: i64, found: &mut BTreeMap<String, Series>) {
    let codes = ["200", "404", "500", "503"];
    let mut values = [0i64; 4];
    let mut silent_until = 0;
    let mut at = from + dice.below(SCRAPE);
    // Some targets were there long before anybody looked.
    if dice.below(3) == 0 {
        values = [1_000_000, 5_000, 700, 0];
    }
    while at < until {
        values[0] += dice.below(50);
        values[1] += dice.below(3);
        values[2] += i64::from(dice.below(5) == 0) * dice.below(4);
        values[3] += i64::from(dice.below(2000) == 0) * (1 + dice.below(9));
        if dice.below(4000) == 0 {
            values = [0; 4];
        }
        let falls_silent = at >= silent_until && dice.below(2000) == 0;
        if falls_silent {
            silent_until = at + SCRAPE * (1 + dice.below(200));
        }
        for (code, value) in codes.iter().zip(values) {
            // A code that never occurred has no series.
            if value == 0 && *code != "200" {
                continue;
            }
            let name = format!("requests_total{{code=\"{code}\",job=\"shop\",instance=\"{instance}\"}}");
            let series = found.entry(name.clone()).or_insert_with(|| Series { labels: labels(&name), ..Series::default() });
            if falls_silent {
                series.floats.push((at, STALE));
            } else if at >= silent_until {
                series.floats.push((at, value as f64));
            }
        }
        at += SCRAPE;
    }
}

fn history() -> &'static Memory {
    static HISTORY: OnceLock<Memory> = OnceLock::new();
    HISTORY.get_or_init(|| {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut found = BTreeMap::new();
        // Counters have stood somewhere before the count begins.
        let first = START.0 - 2 * 3_600_000;
        for node in 0..3 {
            live(&mut dice, &format!("node-{node}"), first, END.0, &mut found);
        }
        for slot in 0..2 {
            let (mut from, mut number) = (first, 0);
            while from < END.0 {
                let until = from + 3_600_000 + dice.below(18 * 3_600_000);
                live(&mut dice, &format!("pod-{slot}-{number}"), from, until.min(END.0), &mut found);
                // The next one comes at once, after a while, or after a long while.
                from = until + dice.below(2) * dice.below(3 * 3_600_000);
                number += 1;
            }
        }
        let mut series: Vec<Series> = found.into_values().collect();
        series.sort_by(|one, other| one.labels.cmp(&other.labels));
        Memory { series }
    })
}

/// All increments of a counter, as the documents define them: instant, and how much.
fn increments(series: &Series, of_target: &[i64]) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    let mut last: Option<(i64, i64)> = None;
    for &(at, value) in series.floats.iter().filter(|(_, value)| !is_stale(*value)) {
        let value = value as i64;
        let grown = match last {
            Some((before, stood)) if at - before <= FORGET.0 => {
                if value < stood {
                    value
                } else {
                    value - stood
                }
            }
            // A series of a target that was seen within the hour before has grown from zero; of others nobody knows.
            _ => {
                let seen = of_target.partition_point(|seen| *seen < at);
                if seen > 0 && of_target[seen - 1] >= at - FORGET.0 { value } else { 0 }
            }
        };
        found.push((at, grown));
        last = Some((at, value));
    }
    found
}

/// Every event that counts, in order of time: instant, good, total.
fn events(bad_codes: &[&str]) -> Vec<(i64, i64, i64)> {
    let mut of_targets: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for series in &history().series {
        let times = series.floats.iter().filter(|(_, value)| !is_stale(*value)).map(|(at, _)| *at);
        of_targets.entry(series.labels.get("instance").to_owned()).or_default().extend(times);
    }
    of_targets.values_mut().for_each(|times| times.sort_unstable());
    let mut found = Vec::new();
    for series in &history().series {
        let good = i64::from(!bad_codes.contains(&series.labels.get("code")));
        let grown = increments(series, &of_targets[series.labels.get("instance")]);
        found.extend(grown.into_iter().filter(|(at, _)| *at > START.0).map(|(at, grown)| (at, good * grown, grown)));
    }
    found.sort_unstable();
    found
}

fn assert_counted(counted: Counted, events: &[(i64, i64, i64)]) {
    let Bounds { from, to } = counted.bounds;
    let upto = |until: Timestamp| events.partition_point(|(at, _, _)| *at <= until.0);
    let within = events[upto(from)..upto(to)].iter();
    let (good, total) = within.fold((0i64, 0i64), |(good, total), event| (good + event.1, total + event.2));
    assert_eq!((counted.tally.good.to_string(), counted.tally.total.to_string()), (good.to_string(), total.to_string()));
}

/// Returns how far from what was asked a window may begin.
fn resolution(tiers: &[Tier], age: Span) -> Span {
    let tier = tiers.iter().find(|tier| age < tier.keep).expect("the ledger keeps the window");
    tier.step.max(secs(15))
}

fn rows_within(standing: &Standing, tiers: &[Tier]) -> Vec<Row> {
    let keeps = |row: &Row| tiers.iter().any(|tier| tier.step.0 == row.tier_ms && row.at_ms >= END.0 - tier.keep.0);
    standing.ledger().rows().into_iter().filter(keeps).collect()
}

/// What `live_through` leaves behind.
fn lived() -> &'static (Standing, usize) {
    static LIVED: OnceLock<(Standing, usize)> = OnceLock::new();
    LIVED.get_or_init(|| live_through(&define(AVAILABILITY).remove(0)))
}

/// Counts from START to END as a service does that ticks unevenly, dies now and then, and is down for up to some hours.
fn live_through(definition: &Arc<Definition>) -> (Standing, usize) {
    let mut dice = Dice(7);
    let (mut standing, mut stored) = Standing::new(definition.clone(), Pace::default(), START);
    let (mut now, mut restarts) = (START, 0);
    while now < END + secs(5) {
        now = (now + Span(5_000 + dice.below(600_000))).min(END + secs(5));
        if dice.below(100) == 0 {
            restarts += 1;
            now = (now + Span(dice.below(2) * dice.below(6 * 3_600_000))).min(END + secs(5));
            for (tier, before) in standing.ledger().cutoffs() {
                stored.retain(|row| row.tier_ms != tier || row.at_ms >= before.0);
            }
            let (resumed, seeded) =
                Standing::resume(definition.clone(), Pace::default(), stored.clone()).expect("the rows are good");
            assert_eq!((seeded.len(), resumed.ledger().last()), (0, standing.ledger().last()));
            standing = resumed;
        }
        let tick = advance(&mut standing, history(), now);
        assert!(tick.is_current && tick.refused == 0);
        stored.extend(tick.rows);
    }
    (standing, restarts)
}

#[test]
fn five_hundred_windows_equal_a_plain_count_whatever_happened_on_the_way() {
    let definition = define(AVAILABILITY).remove(0);
    let tiers = definition.tiers();
    let (standing, restarts) = lived();
    assert!(*restarts > 50, "{restarts}");
    let plain = events(&["500", "503"]);
    let samples: usize = history().series.iter().map(|series| series.floats.len()).sum();
    println!("{} series, {samples} samples, {restarts} restarts", history().series.len());
    let mut dice = Dice(11);
    for number in 0..WINDOWS {
        // Half of the windows are cut anywhere, half end now and look back from minutes to the month.
        let (from, to) = if number % 2 == 0 {
            let from = START + Span(dice.below(DAYS * 24 * 3_600_000));
            (from, from + Span(dice.below(END.since(from).0)))
        } else {
            let widest = 60_000i64 << dice.below(16);
            (END - Span(60_000 + dice.below(widest.min(DAYS * 24 * 3_600_000 - 60_000))), END)
        };
        let counted = standing.window(Bounds { from, to });
        assert_counted(counted, &plain);
        assert!(counted.is_whole && counted.bounds.from <= from && counted.bounds.to <= to);
        for (asked, told) in [(from, counted.bounds.from), (to, counted.bounds.to)] {
            assert!(asked.since(told) < resolution(&tiers, END.since(told)), "asked {asked}, told {told}");
        }
    }
    let month = standing.window(definition.window.bounds(END));
    assert_eq!((month.bounds.from, month.bounds.to), (START, END));
    assert!(month.tally.bad().float() > 1000.0);
    let (points, bytes) = standing.ledger().size();
    println!("{points} points in {bytes} bytes");
    assert!(points < 17_000 && bytes < 200_000);
}

#[test]
fn a_count_anew_gives_the_same_rows_and_a_changed_definition_its_own() {
    let definition = define(AVAILABILITY).remove(0);
    let mut standing = lived().0.clone();
    let (anew, _) = counted(&definition, history(), START, END);
    assert_eq!(rows_within(&anew, &definition.tiers()), rows_within(&standing, &definition.tiers()));

    // Target, window, name and alerts change no count: the ledger goes on.
    let milder = AVAILABILITY.replace("0.999", "0.99").replace("displayName: Checkout", "displayName: Other");
    let milder = define(&milder).remove(0);
    assert_eq!(milder.hash(), definition.hash());
    assert_eq!(standing.redefine(milder).map(|rows| rows.len()), Some(0));
    let longer = define(&AVAILABILITY.replace("30d", "90d")).remove(0);
    let added = standing.redefine(longer.clone()).expect("a longer window counts the same");
    assert!(added.len() > 20 && added.iter().all(|row| row.tier_ms == 3_600_000));
    let mut rows = rows_within(&anew, &definition.tiers());
    rows.extend(added);
    let (resumed, seeded) = Standing::resume(longer, Pace::default(), rows).expect("the rows are good");
    assert_eq!((resumed.ledger().last(), seeded.len()), (anew.ledger().last(), 0));

    let stricter = define(&AVAILABILITY.replace("5..", "5..|404")).remove(0);
    assert_ne!(stricter.hash(), definition.hash());
    assert_eq!(standing.redefine(stricter.clone()), None);
    assert!(Standing::resume(stricter.clone(), Pace::default(), standing.ledger().rows()).is_err());
    let (changed, _) = counted(&stricter, history(), START, END);
    let plain = events(&["404", "500", "503"]);
    let mut dice = Dice(23);
    for _ in 0..100 {
        let from = START + Span(dice.below(DAYS * 24 * 3_600_000));
        assert_counted(changed.window(Bounds { from, to: END }), &plain);
    }
}
