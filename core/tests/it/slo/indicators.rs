//! Every kind of indicator and of budget, counted from samples.

use tocsin_core::slo::{Bounds, Pace, Standing, Verdict};
use tocsin_core::time::{Span, Timestamp};

use super::{AVAILABILITY, Memory, START, advance, counted, define, secs};

fn minute(number: i64) -> Timestamp {
    START + Span::from_mins(number)
}

/// Returns good and total as they stand at the end.
fn sums(text: &str, memory: &Memory, end: Timestamp) -> (String, String) {
    let definition = define(text).remove(0);
    let (standing, _) = counted(&definition, memory, START, end);
    let tally = standing.ledger().last().1;
    (tally.good.to_string(), tally.total.to_string())
}

fn pair(good: &str, total: &str) -> (String, String) {
    (good.to_owned(), total.to_owned())
}

#[test]
fn good_of_total_and_bad_of_total_agree() {
    let mut memory = Memory::default();
    for number in 0..=10 {
        memory.add("requests_total{code=\"200\",job=\"a\"}", minute(number), (100 * number) as f64);
        memory.add("requests_total{code=\"500\",job=\"a\"}", minute(number), (3 * number) as f64);
    }
    assert_eq!(sums(AVAILABILITY, &memory, minute(10)), pair("1000", "1030"));
    let good = AVAILABILITY.replace("bad:", "good:").replace("5..", "2..");
    assert_eq!(sums(&good, &memory, minute(10)), pair("1000", "1030"));
    let difference = good.replace(
        "sum(rate(requests_total{code=~\"2..\"}[5m]))",
        "sum(requests_total) - sum(increase(requests_total{code=\"500\"}[{{.window}}]))",
    );
    assert_ne!(difference, good);
    assert_eq!(sums(&difference, &memory, minute(10)), pair("1000", "1030"));
}

#[test]
fn new_series_count_as_the_definition_says() {
    let mut memory = Memory::default();
    for number in -5..=10 {
        memory.add("requests_total{code=\"200\",job=\"a\",instance=\"1\"}", minute(number), (1000 + 10 * number) as f64);
    }
    // The first error of a known target, and a target that has counted elsewhere before.
    memory.add("requests_total{code=\"500\",job=\"a\",instance=\"1\"}", minute(4), 2.0);
    memory.add("requests_total{code=\"500\",job=\"a\",instance=\"1\"}", minute(5), 3.0);
    for number in 6..=10 {
        memory.add("requests_total{code=\"200\",job=\"a\",instance=\"2\"}", minute(number), (5_000 + number) as f64);
    }
    let with =
        |choice: &str| AVAILABILITY.replace("labels:", &format!("annotations: {{tocsin.dev/new-series: {choice}}}, labels:"));
    assert_eq!(sums(AVAILABILITY, &memory, minute(10)), pair("104", "107"));
    assert_eq!(sums(&with("known-target"), &memory, minute(10)), pair("104", "107"));
    assert_eq!(sums(&with("first"), &memory, minute(10)), pair("104", "105"));
    assert_eq!(sums(&with("zero"), &memory, minute(10)), pair("5110", "5113"));
}

#[test]
fn late_samples_are_waited_for_or_made_up_by_the_next() {
    let definition = define(AVAILABILITY).remove(0);
    let (mut standing, _) = Standing::new(definition, Pace::new(secs(15), secs(10)).unwrap(), START);
    let mut memory = Memory::default();
    let series = "requests_total{code=\"200\",job=\"a\"}";
    memory.add(series, START, 0.0);
    assert!(standing.wants(START + secs(24)).is_none(), "nothing is settled yet");
    // A sample of the second 14 that comes in at second 24 is in time.
    memory.add(series, START + secs(14), 7.0);
    let tick = advance(&mut standing, &memory, START + secs(25));
    assert_eq!((tick.rows.len(), tick.rows[0].total, tick.rows[0].at_ms), (1, 7, (START + secs(15)).0));
    // One of the second 29 comes in after its time: the next one counts for both, and nothing is lost.
    let tick = advance(&mut standing, &memory, START + secs(40));
    assert_eq!(tick.rows[0].total, 7);
    memory.add(series, START + secs(29), 9.0);
    memory.add(series, START + secs(44), 12.0);
    let tick = advance(&mut standing, &memory, START + secs(55));
    assert_eq!(tick.rows[0].total, 12);
    // Samples that were not asked for are refused, and nothing is taken.
    let want = standing.wants(START + secs(70)).expect("a step is settled");
    let mut samples = want.fetch(&memory, &Default::default(), &Default::default()).expect("memory can be read");
    samples.after = START;
    assert!(standing.tick(START + secs(70), &samples).is_err());
    assert_eq!(standing.ledger().last().0, START + secs(45));
}

const SLICED: &str = "  budgetingMethod: Timeslices
  objectives: [{target: 0.9, timeSliceTarget: 0.95, timeSliceWindow: 1m}]
";

fn sliced(method: &str) -> String {
    let (before, _) = AVAILABILITY.split_once("  budgetingMethod").unwrap();
    format!("{before}{}", SLICED.replace("Timeslices", method))
}

/// Two scrapes a minute; the rate of errors of each minute is given in percent, none: no scrape at all.
fn minutes(percents: &[Option<i64>]) -> (Memory, Timestamp) {
    let mut memory = Memory::default();
    let (mut good, mut bad) = (0, 0);
    memory.add("requests_total{code=\"200\",job=\"a\"}", START, 0.0);
    memory.add("requests_total{code=\"500\",job=\"a\"}", START, 0.0);
    for (number, percent) in (0..).zip(percents) {
        for second in [30, 60] {
            if let Some(percent) = percent {
                (good, bad) = (good + 100 - percent, bad + percent);
                memory.add("requests_total{code=\"200\",job=\"a\"}", minute(number) + secs(second), good as f64);
                memory.add("requests_total{code=\"500\",job=\"a\"}", minute(number) + secs(second), bad as f64);
            }
        }
    }
    (memory, minute(percents.len() as i64))
}

#[test]
fn time_slices_are_good_bad_or_not_measured() {
    let (memory, end) = minutes(&[Some(0), Some(5), Some(6), None, Some(100), Some(0)]);
    // After the gap the counters go on; the fifth minute is bad by itself.
    assert_eq!(sums(&sliced("Timeslices"), &memory, end), pair("3", "5"));
    assert_eq!(sums(&sliced("RatioTimeslices"), &memory, end), pair("3.89", "5"));
    let definition = define(&sliced("Timeslices")).remove(0);
    let (standing, tick) = counted(&definition, &memory, START, end);
    let budget = standing.status().budget;
    // Of 43,200 minutes a tenth may be bad.
    assert_eq!((budget.allowed, budget.events_left), (4320.0, 4318.0));
    assert_eq!(budget.time_left, Span::from_mins(4318));
    assert!(
        tick.judged.iter().flat_map(|judged| &judged.active).all(|alert| alert.annotations["description"].contains("slices"))
    );
}

#[test]
fn look_backs_are_not_shorter_than_a_slice() {
    let (memory, end) = minutes(&[Some(9); 60]);
    let definition = define(&sliced("Timeslices").replace("timeSliceWindow: 1m", "timeSliceWindow: 10m")).remove(0);
    let (standing, tick) = counted(&definition, &memory, START, end);
    let pairs = standing.status().pairs;
    let shorts: Vec<String> = pairs.iter().map(|status| status.pair.short.to_string()).collect();
    assert_eq!(shorts, ["10m", "30m", "2h", "6h"]);
    // All slices are bad: ten times as fast as it may, which is above the factor of the second pair.
    assert_eq!(pairs[1].short.counted.tally.total.to_string(), "3");
    assert_eq!(pairs.iter().map(|status| status.verdict == Verdict::Burning).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(tick.judged[0].active.len(), 1);
}

#[test]
fn an_open_slice_survives_a_restart() {
    let (memory, end) = minutes(&[Some(0), Some(5), Some(6), None, Some(100), Some(0), Some(4), Some(7), Some(0)]);
    let text = sliced("Timeslices").replace("timeSliceWindow: 1m", "timeSliceWindow: 2m");
    let definition = define(&text).remove(0);
    let (whole, _) = counted(&definition, &memory, START, end);
    let (mut standing, mut rows) = Standing::new(definition.clone(), Pace::default(), START);
    let mut now = START;
    while now < end {
        now = now + secs(15);
        rows.extend(advance(&mut standing, &memory, now + secs(5)).rows);
        (standing, _) = Standing::resume(definition.clone(), Pace::default(), rows.clone()).expect("the rows are good");
    }
    assert_eq!(standing.ledger().rows(), whole.ledger().rows());
    assert_eq!(whole.ledger().last().1.total.to_string(), "4");
}

fn with_metric(metric: &str, objective: &str) -> String {
    format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{name: latency}}
spec:
  service: shop
  indicator: {{metadata: {{name: i}}, spec: {{{metric}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{objective}]
"
    )
}

#[test]
fn values_are_held_against_a_threshold() {
    let mut memory = Memory::default();
    for (number, value) in (1..).zip([100.0, 499.9, 500.0, 500.1, f64::NAN]) {
        memory.add("latency_ms{job=\"a\"}", minute(number), value);
        memory.add("latency_ms{job=\"b\"}", minute(number), 1.0);
    }
    let metric = |query: &str| format!("thresholdMetric: {{metricSource: {{type: Prometheus, spec: {{query: '{query}'}}}}}}");
    let text = |query: &str, op: &str| with_metric(&metric(query), &format!("{{op: {op}, value: 500, target: 0.9}}"));
    assert_eq!(sums(&text("latency_ms{job=\"a\"}", "lt"), &memory, minute(6)), pair("2", "4"));
    assert_eq!(sums(&text("latency_ms{job=\"a\"}", "lte"), &memory, minute(6)), pair("3", "4"));
    assert_eq!(sums(&text("latency_ms", "gte"), &memory, minute(6)), pair("2", "9"));
    // An expression has a value each full minute.
    assert_eq!(sums(&text("max(latency_ms{job=\"a\"}) + 1", "lte"), &memory, minute(4)), pair("1", "4"));
}

#[test]
fn ratios_and_amounts_are_counted_as_they_come() {
    let mut memory = Memory::default();
    for (number, value) in (1..).zip([0.25, 0.1, 1.0, 7.0]) {
        memory.add("satisfied{job=\"a\"}", minute(number), value);
    }
    let raw = |kind: &str| {
        let metric =
            format!("ratioMetric: {{rawType: {kind}, raw: {{metricSource: {{type: Prometheus, spec: {{query: satisfied}}}}}}}}");
        with_metric(&metric, "{target: 0.9}")
    };
    assert_eq!(sums(&raw("success"), &memory, minute(4)), pair("2.35", "4"));
    assert_eq!(sums(&raw("failure"), &memory, minute(4)), pair("1.65", "4"));
    for (number, (good, total)) in (1..).zip([(5, 6), (0, 0), (9, 10)]) {
        memory.add("good{job=\"a\"}", minute(number), f64::from(good));
        memory.add("all{job=\"a\"}", minute(number), f64::from(total));
    }
    let source = |query: &str| format!("{{metricSource: {{type: Prometheus, spec: {{query: {query}}}}}}}");
    let metric = format!("ratioMetric: {{counter: false, good: {}, total: {}}}", source("sum(good)"), source("all"));
    assert_eq!(sums(&with_metric(&metric, "{target: 0.9}"), &memory, minute(3)), pair("14", "16"));
}

#[test]
fn counts_reach_as_far_back_as_there_are_samples() {
    let (memory, end) = minutes(&[Some(1); 60]);
    let definition = define(AVAILABILITY).remove(0);
    let (standing, _) = counted(&definition, &memory, START, end);
    let counted = standing.window(Bounds { from: START - Span::from_mins(60), to: end + Span::from_mins(60) });
    assert_eq!((counted.bounds.from, counted.bounds.to, counted.is_whole), (START, end, false));
    assert!(standing.window(Bounds { from: START, to: end }).is_whole);
    assert_eq!(standing.burn(Span::from_mins(30)).rate.map(|rate| (rate * 1000.0).round()), Some(10_000.0));
}
