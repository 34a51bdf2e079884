//! Silences with terms, and what the configuration allows of them.

use std::collections::BTreeMap;

use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::{Change, Event, Plane, Records};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::silence::{EndedWhy, SilenceState, Silencing, Terms, Tombstone};
use tocsin_core::route::time_interval::{IntervalForm, RangeForm};
use tocsin_core::route::tree::Routing;
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::history::{History, Muted};

use super::script::{check, silence};
use super::world::{World, calm};

fn plain() -> Routing {
    calm(&["webhook"])
}

fn with(silencing: Silencing) -> Routing {
    Routing { silencing, ..plain() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap() + Span::from_secs(seconds)
}

/// Returns a world in which the alerts fire from the start for an hour.
fn firing(routing: Routing, names: &[&str]) -> World {
    let mut world = World::new(routing, at(0));
    world.accept(Event::Warm).unwrap();
    for name in names {
        fire(&mut world, name, 3600);
    }
    world
}

fn fire(world: &mut World, name: &str, until: i64) {
    let labels = LabelSet::from_pairs([("alertname", name), ("severity", "page")]);
    let alert = IncomingAlert { labels, ends_at: Some(at(until)), source: "api".to_owned(), ..IncomingAlert::default() };
    world.accept(Event::Alerts(vec![alert])).unwrap();
}

fn refusal(world: &mut World, words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    world.accept(Event::SilenceSet(silence(&words))).unwrap_err().to_string()
}

fn set(world: &mut World, words: &str) {
    let words: Vec<&str> = words.split_whitespace().collect();
    world.accept(Event::SilenceSet(silence(&words))).unwrap();
}

#[test]
fn a_silence_until_resolved_ends_with_the_last_of_its_alerts_and_what_begins_then_is_told() {
    check(
        plain(),
        &[],
        "
        0  fire one team=a ..1000
        0  fire two team=a ..30
        0  silence s 0..3600 team=a until-resolved
        10 fire one team=a ..10
        # One that begins while others are awaited is awaited too.
        20 fire three team=a ..40
        39 restart
        50 fire one team=a @50 ..1000
        60 end
        ",
        "
        51 page team triggered 1
        51 team/0 notify (first notification) one{team=a}@50
        ",
    );
    let mut world = firing(plain(), &["one"]);
    set(&mut world, "s 0..3600 alertname=one until-resolved");
    world.run_until(at(10));
    assert_eq!(world.plane.silence("s").unwrap().state(at(10)), SilenceState::Active);
    fire(&mut world, "one", 10);
    world.run_until(at(11));
    let ended = world.store.silences["s"].clone();
    assert_eq!((ended.ends_at, ended.state(at(11))), (at(10), SilenceState::Expired));
    let how = ended.ended.unwrap();
    assert_eq!((how.why, how.by, how.instead_of), (EndedWhy::Resolved, None, at(3600)));
}

#[test]
fn a_silence_until_resolved_needs_something_to_wait_for_and_outlives_its_alerts_no_longer_than_its_end() {
    let mut world = firing(plain(), &["one"]);
    assert!(refusal(&mut world, "s 0..3600 alertname=other until-resolved").contains("nothing to wait for"));
    assert!(refusal(&mut world, "s 10..3600 alertname=one until-resolved").contains("begins at once"));
    assert!(refusal(&mut world, "s 0..3600 alertname=one until-resolved within=00:00-06:00").contains("begins at once"));
    assert_eq!(world.plane.silences().len(), 0);
    set(&mut world, "s 0..60 alertname=one until-resolved");
    world.run_until(at(59));
    assert!(world.store.deliveries.is_empty());
    // What was not looked at for a while did not end meanwhile.
    world.restart(Some(at(59)));
    world.run_until(at(59));
    assert_eq!(world.plane.silence("s").unwrap().ended, None);
    world.accept(Event::Warm).unwrap();
    world.run_until(at(62));
    assert_eq!((world.store.deliveries.len(), world.store.silences["s"].ended.as_ref()), (1, None));
}

#[test]
fn a_recurring_silence_mutes_at_its_times_only() {
    check(
        plain(),
        &[],
        "
        0     silence s 0..90000 alertname=~.+ within=02:00-03:00
        7100  fire one @7100 ..7190
        7195  fire two @7195 ..12000
        7210  fire three @7210 ..10900
        10810 fire four @10810 ..12000
        # Cut short, and then gone for the rest.
        11000 expire s
        93700 fire five @93700 ..100000
        93710 end
        ",
        "
        7101 page team triggered 1
        7101 team/0 notify (first notification) one@7100
        7190 page team resolved 0
        7190 team/0 notify (all alerts resolved)  - one@7100..7190
        7196 page team triggered 1
        7196 team/0 notify (first notification) two@7195
        10800 page team triggered 1
        10800 team/0 notify (first notification) three@7210
        10811 page team triggered 1
        10811 team/0 notify (first notification) four@10810
        10900 page team resolved 0
        10900 team/0 notify (all alerts resolved)  - three@7210..10900
        12000 page team resolved 0
        12000 page team resolved 0
        12000 team/0 notify (all alerts resolved)  - four@10810..12000
        12000 team/0 notify (all alerts resolved)  - two@7195..12000
        93701 page team triggered 1
        93701 team/0 notify (first notification) five@93700
        ",
    );
    let mut world = firing(plain(), &[]);
    assert!(refusal(&mut world, "s 0..3600 alertname=one within=02:00-03:00").contains("none of the silence's times"));
    set(&mut world, "s 60..90000 alertname=one within=02:00-03:00");
    let silence = world.plane.silence("s").unwrap().clone();
    let shown = |seconds| (silence.state(at(seconds)), silence.next_turn(at(seconds)));
    assert_eq!(shown(0), (SilenceState::Pending, Some(at(7200))));
    assert_eq!(shown(7199), (SilenceState::Pending, Some(at(7200))));
    assert_eq!(shown(7200), (SilenceState::Active, Some(at(10_800))));
    assert_eq!(shown(10_800), (SilenceState::Pending, None));
    assert_eq!(shown(90_000), (SilenceState::Expired, None));
    // It is changed in place, between its times too, and keeps its terms where a client knows none.
    world.run_until(at(11_000));
    set(&mut world, "t =s 60..200000 alertname=one");
    let silence = world.plane.silence("s").unwrap();
    assert_eq!((silence.ends_at, silence.terms.times.len(), silence.starts_at), (at(200_000), 1, at(60)));
}

#[test]
fn the_configuration_says_how_far_silences_reach_and_every_fault_is_told() {
    let never = vec![vec![Matcher::equal("alertname", "Watchdog")]];
    let mut world = firing(
        with(Silencing {
            longest: Some(Span::from_mins(60)),
            longest_recurring: Some(Span::from_mins(48 * 60)),
            needs: vec!["alertname".to_owned(), "service".to_owned()],
            most: Some(2),
            never,
            remind: None,
        }),
        &["one", "two", "three", "Watchdog"],
    );
    let all = refusal(&mut world, "s 0..3661 severity=page");
    for part in
        ["silences.longest allows 1h", "silences.needs", "alertname or service", "mutes 3 alerts", "silences.most allows 2"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert_eq!(world.plane.silences().len(), 0);
    assert!(refusal(&mut world, "s 0..172861 alertname=one within=00:00-06:00").contains("silences.longest_recurring"));
    set(&mut world, "s 0..172800 alertname=one within=00:00-06:00");
    // What can be no silence anywhere is said as Alertmanager says it.
    assert_eq!(refusal(&mut world, "t 50..40 severity=page"), "start time must be before end time");
    set(&mut world, "t 0..3600 alertname=two");
    // From now on it may last for as long again, but not longer.
    world.run_until(at(600));
    assert!(refusal(&mut world, "u =t 0..4261 alertname=two").contains("silences.longest"));
    assert_eq!(world.plane.silence("t").unwrap().ends_at, at(3600));
    set(&mut world, "u =t 0..4200 alertname=two");
    assert_eq!(world.plane.silence("t").unwrap().ends_at, at(4200));
}

#[test]
fn what_is_never_silenced_is_told_whatever_is_silenced() {
    let never = vec![vec![Matcher::equal("team", "security"), Matcher::equal("severity", "page")]];
    let silencing = Silencing { never, ..Silencing::default() };
    check(
        with(silencing),
        &[plain()],
        "
        0  silence s 0..3600 alertname=~.+
        0  fire one team=security severity=page @0 ..3600
        0  fire two team=security ..3600
        10 reload 0
        11 fire three team=security severity=page ..3600
        20 end
        ",
        "
        1 page team triggered 1
        1 team/0 notify (first notification) one{severity=page,team=security}@0
        ",
    );
    let mut world =
        firing(with(Silencing { never: vec![vec![Matcher::equal("severity", "page")]], ..Silencing::default() }), &["one"]);
    set(&mut world, "s 0..3600 alertname=one");
    assert!(world.plane.alerts(at(0))[0].silenced_by.is_empty());
    let counts = world.plane.counts(at(0));
    assert_eq!((counts.active, counts.suppressed), (1, 0));
    assert_eq!(world.plane.duties(None, &Default::default(), 10, at(0)).duties.len(), 1);
    assert!(refusal(&mut world, "t 0..3600 alertname=one until-resolved").contains("nothing to wait for"));
}

#[test]
fn people_are_reminded_of_a_silence_that_ends_while_alerts_fire_under_it() {
    let remind = Some(Span::from_mins(15));
    let mut world = firing(with(Silencing { remind, ..Silencing::default() }), &["one", "two"]);
    set(&mut world, "wide 0..1800 severity=page");
    set(&mut world, "idle 0..1200 alertname=other");
    set(&mut world, "far 0..3600 alertname=one");
    let reminders = |world: &World, seconds| {
        let all = world.plane.reminders(at(seconds));
        all.iter().map(|reminder| (reminder.silence.id.clone(), reminder.firing)).collect::<Vec<_>>()
    };
    assert_eq!(reminders(&world, 899), []);
    assert_eq!(reminders(&world, 900), [("wide".to_owned(), 2)]);
    assert_eq!(reminders(&world, 1800), []);
    // A silence mutes everything but what is said of itself.
    let about = |id: &str| LabelSet::from_pairs([("alertname", "TocsinSilenceEnds"), ("severity", "page"), ("silence", id)]);
    let wide = world.plane.silence("wide").unwrap();
    assert_eq!((wide.mutes(&about("wide"), at(900)), wide.mutes(&about("far"), at(900))), (false, true));
    let world = firing(plain(), &["one"]);
    assert_eq!(reminders(&world, 900), []);
}

#[test]
fn who_made_and_who_ended_a_silence_is_kept() {
    let mut world = firing(plain(), &["one"]);
    let by = |words: &str, owner: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        Event::SilenceSet(tocsin_core::route::silence::SilenceRequest { owner: Some(owner.to_owned()), ..silence(&words) })
    };
    world.accept(by("s 0..3600 alertname=one", "ada")).unwrap();
    world.accept(by("t =s 0..3700 alertname=one", "bob")).unwrap();
    assert_eq!(world.store.silences["s"].owner.as_deref(), Some("ada"));
    world.accept(by("t =s 0..3700 alertname=two", "bob")).unwrap();
    let replaced = world.store.silences["s"].ended.clone().unwrap();
    assert_eq!((replaced.why, replaced.by.as_deref(), replaced.instead_of), (EndedWhy::Replaced, Some("bob"), at(3700)));
    assert_eq!(world.store.silences["t"].owner.as_deref(), Some("ada"));
    world.accept(Event::SilenceExpire { id: "t".to_owned(), by: Some("eve".to_owned()) }).unwrap();
    let ended = world.store.silences["t"].ended.clone().unwrap();
    assert_eq!((ended.why, ended.by.as_deref()), (EndedWhy::Person, Some("eve")));
}

#[test]
fn the_trace_tells_what_a_silence_would_have_muted() {
    let mut world = firing(plain(), &[]);
    let count = |world: &World, matchers: &[Matcher], terms: &Terms, silencing: &Silencing| {
        let mut history = History::new(matchers.to_vec(), terms.clone(), silencing.clone());
        world.store.trace.iter().for_each(|record| history.take(record));
        history.finish(10)
    };
    for round in 0..3 {
        for name in ["one", "two"] {
            world.run_until(at(round * 1000));
            fire(&mut world, name, round * 1000 + 500);
        }
        world.run_until(at(round * 1000 + 990));
    }
    let (all, nothing) = (vec![Matcher::equal("severity", "page")], (Terms::default(), Silencing::default()));
    let muted = count(&world, &all, &nothing.0, &nothing.1);
    // Each of two groups told a beginning and an end three times; an end shows nothing that fires.
    assert_eq!((muted.alerts, muted.begins, muted.notifications, muted.pages), (2, 6, 6, 6));
    assert_eq!((muted.last_at, muted.names), (Some(at(2000)), vec![("one".to_owned(), 3), ("two".to_owned(), 3)]));
    let one = vec![Matcher::equal("alertname", "one")];
    let muted = count(&world, &one, &nothing.0, &nothing.1);
    assert_eq!((muted.alerts, muted.begins, muted.notifications), (1, 3, 3));
    // Midnight is past after a minute.
    let times = vec![RangeForm { start_time: "00:00".to_owned(), end_time: "00:10".to_owned() }];
    let night = Terms { times: vec![IntervalForm { times, ..IntervalForm::default() }.read().unwrap()], until_resolved: false };
    let muted = count(&world, &all, &night, &nothing.1);
    assert_eq!((muted.alerts, muted.begins, muted.notifications), (2, 2, 2));
    let spares = Silencing { never: vec![one.clone()], ..Silencing::default() };
    let muted = count(&world, &all, &nothing.0, &spares);
    assert_eq!((muted.alerts, muted.begins, muted.names), (1, 3, vec![("two".to_owned(), 3)]));
    assert_eq!(count(&world, &[Matcher::equal("alertname", "three")], &nothing.0, &nothing.1), Muted::default());
}

#[test]
fn clients_of_alertmanager_set_and_see_terms_as_annotations() {
    let annotations = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let mut none = annotations(&[("ticket", "OPS-1")]);
    assert_eq!(Terms::from_annotations(&mut none), Ok(None));
    let night =
        r#"[{"times":[{"start_time":"22:00","end_time":"06:00"}],"weekdays":["monday:friday"],"location":"Europe/Berlin"}]"#;
    let said = annotations(&[("tocsin_times", night), ("ticket", "OPS-1")]);
    let mut rest = said.clone();
    let terms = Terms::from_annotations(&mut rest).unwrap().unwrap();
    assert_eq!((rest.len(), terms.times.len(), terms.until_resolved), (1, 1, false));
    terms.annotate(&mut rest);
    assert_eq!(rest, said);
    let mut waits = annotations(&[("tocsin_until", "resolved")]);
    assert!(Terms::from_annotations(&mut waits).unwrap().unwrap().until_resolved);
    let mut bad =
        annotations(&[("tocsin_until", "morning"), ("tocsin_times", r#"[{"weekdays":["freitag"],"location":"Mars"}]"#)]);
    let faults = Terms::from_annotations(&mut bad).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults[0].contains("write resolved") && faults[2].contains("unknown time zone Mars"), "{faults:#?}");
}

#[test]
fn a_silence_that_was_ended_stays_so_when_an_older_copy_of_it_comes_back() {
    let mut world = firing(plain(), &["one", "two"]);
    for words in ["early 0..3600 alertname=one", "late 0..3600 alertname=two", "planned 600..3600 alertname=one"] {
        set(&mut world, words);
    }
    world.run_until(at(10));
    let older = world.store.records(Some(at(10)));
    for id in ["early", "planned"] {
        world.accept(Event::SilenceExpire { id: id.to_owned(), by: Some("ada".to_owned()) }).unwrap();
    }
    let tombstones: Vec<Tombstone> = world.store.silences.values().filter_map(Tombstone::of).collect();
    assert_eq!(tombstones.len(), 2);
    assert!(!tombstones[0].is_over(at(3599)) && tombstones[0].is_over(at(3600)));
    let newer = world.store.records(Some(at(10)));
    let restored = |records: Records| {
        let mut plane =
            Plane::restore(world.routing.clone(), "http://tocsin.test", Records { tombstones: tombstones.clone(), ..records });
        let changed = plane.drain().iter().filter(|change| matches!(change, Change::PutSilence(_))).count();
        (plane.silences().into_iter().cloned().collect::<Vec<_>>(), changed)
    };
    let (silences, changed) = restored(older);
    assert_eq!((silences, changed), (newer.silences.clone(), 2));
    assert_eq!(restored(newer.clone()), (newer.silences, 0));
}
