//! Reports: what they hold, that they can be made again, and that nothing a stranger wrote gets out of its place.

use serde_json::json;
use tocsin_core::run::machine::Seen;
use tocsin_core::run::record::SampleRow;
use tocsin_core::run::report::{html::html, report};
use tocsin_core::time::Span;

use super::lab::{Lab, Script, document, live};
use super::world::{START, secs};

const EXPERIMENT: &str = "
apiVersion: tocsin/v1
kind: Experiment
metadata: {id: e1, platform: shop, title: 'Orders <stay> & \"fast\"'}
spec:
  environment: staging
  hypothesis: [{id: p95, expr: 'orders:p95 > 0', op: '<', value: 0.5}]
  phases: {baseline: 20s, fault: 1m, recovery: 30s}
  targets: {select: {kind: proxy, labels: {service: db}}, expect: 1}
  faults: [{id: slow, kind: net.proxy, with: {latency: 80ms}, ttl: 3m}]
  alerts: {expect: [{name: OrdersSlow, within: 1m}], forbid: ['<script>alert(1)</script>']}
";

fn experiment() -> Lab {
    let probe = |_: &str, broken: Option<Span>, healed: Option<Span>| {
        Seen::Value(if broken.is_some() && healed.is_none() { 0.75 } else { 0.125 })
    };
    live(document(EXPERIMENT), Script { probe, alerts: vec![("OrdersSlow", secs(20), true)], ..Script::default() })
}

#[test]
fn an_experiment_is_told_with_its_samples_and_marks() {
    let lab = experiment();
    let found = report(&lab.document, &lab.records(), &lab.stored.samples);
    assert_eq!(found.verdict, "broken");
    let names: Vec<(&str, bool)> = found.phases.iter().map(|phase| (phase.name.as_str(), phase.ok)).collect();
    assert_eq!(names, [("baseline", true), ("fault", true), ("recovery", true)]);
    let checks: Vec<(&str, bool)> = found.checks.iter().map(|check| (check.id.as_str(), check.ok)).collect();
    assert_eq!(checks, [("p95", false), ("OrdersSlow", true), ("<script>alert(1)</script>", true)]);
    let plot = &found.plots[0];
    assert_eq!((plot.title.as_str(), plot.bound), ("orders:p95 > 0 < 0.5", Some(0.5)));
    assert_eq!(plot.marks.iter().map(|mark| mark.text.as_str()).collect::<Vec<_>>(), ["broken", "healed"]);
    // The verification goes on with the same line.
    let last = plot.series[0].points.last().unwrap().0;
    assert_eq!(lab.stored.samples.iter().map(|sample| sample.at.0).max(), Some(last));
    assert!(found.timeline.windows(2).all(|pair| pair[0].at <= pair[1].at));
    for says in
        ["asked for by olga", "fault/slow began (net.proxy)", "the alert OrdersSlow fired", "fault/slow is taken back", "healed"]
    {
        assert!(found.timeline.iter().any(|moment| moment.text == says), "{says}: {:#?}", found.timeline);
    }
    let text = serde_json::to_value(&found).unwrap();
    assert!(text["phases"][0]["from"].as_str().unwrap().starts_with("2026-11-21T03:00:"));
    assert_eq!(text["plots"][0]["series"][0]["points"][0][1], json!(0.125));
}

#[test]
fn a_page_stands_alone_and_holds_texts_as_texts() {
    let lab = experiment();
    let (records, samples) = (lab.records(), lab.stored.samples.clone());
    let page = html(&report(&lab.document, &records, &samples));
    for tag in ["<script", "javascript:", "onload", "<stay>", "href", "src=", "@import", "url(", "NaN", "inf"] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(page.contains("Orders &lt;stay&gt; &amp; &quot;fast&quot;"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("prefers-color-scheme: dark"));
    assert_eq!(page.matches("<polyline").count(), 1);
    for tag in ["svg", "table", "tr", "td", "h2", "text"] {
        assert_eq!(page.matches(&format!("</{tag}>")).count(), page.matches(&format!("<{tag}")).count(), "{tag}");
    }
    // Whatever the order in which rows are read.
    let (mut other, mut mixed) = (records.clone(), samples.clone());
    other.attempts.reverse();
    mixed.reverse();
    assert_eq!(html(&report(&lab.document, &other, &mixed)), page);
}

#[test]
fn gaps_are_gaps_and_peaks_stay_when_a_line_is_thinned_out() {
    let lab = experiment();
    let sample = |second: i64, value: Option<f64>| SampleRow {
        run_id: "run-1".to_owned(),
        at: START + secs(second),
        probe: "p95".to_owned(),
        value,
        ok: true,
    };
    let mut samples: Vec<SampleRow> = (0..10_000).map(|second| sample(second, Some((second % 7) as f64))).collect();
    samples[5_000].value = Some(99.0);
    samples[6_000].value = None;
    samples[7_000].value = Some(f64::INFINITY);
    let found = report(&lab.document, &lab.records(), &samples);
    let points = &found.plots[0].series[0].points;
    assert!(points.len() <= 700, "{}", points.len());
    assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(points.contains(&((START + secs(5_000)).0, Some(99.0))));
    assert_eq!(points.iter().filter(|(_, value)| value.is_none()).count(), 2);
    assert_eq!(html(&found).matches("<polyline").count(), 3);
    // One sample, and none.
    let page = html(&report(&lab.document, &lab.records(), &[sample(5, Some(1.0))]));
    assert_eq!((page.matches("<circle").count(), page.matches("<polyline").count()), (1, 0));
    assert!(report(&lab.document, &lab.records(), &[]).plots.is_empty());
    let none = html(&report(&lab.document, &lab.records(), &[sample(5, None)]));
    assert!(none.contains("<svg") && !none.contains("NaN"));
}

#[test]
fn a_drill_is_told_with_what_was_measured() {
    let text = "
apiVersion: tocsin/v1
kind: Drill
metadata: {id: d1, platform: shop, title: Lose the database}
spec:
  environment: staging
  mode: isolated
  objective: {rpo: 1s, rto: 10s, phases: {traffic: 20s}}
  canary: {write: {kind: sql, sources: [main, spare]}}
  clock: {start: {event: first_failed_journey, journey: order}, stop: {event: clean_journeys, journey: order}}
  inject: [{id: cut, kind: net.proxy, with: {proxy: db-a, blackhole: true}, ttl: 10m}]
  recover: [{runbook: promote}]
";
    let script = Script {
        canary: json!({
            "acknowledged": 70, "surviving": 20, "lost": 50, "last_acknowledged_at": START.0 + 9000,
            "newest_surviving_at": START.0 + 6060, "first_accepted_after_gap_at": START.0 + 20_000
        }),
        ..Script::default()
    };
    let lab = live(document(text), script);
    let found = report(&lab.document, &lab.records(), &lab.stored.samples);
    assert_eq!(found.verdict, "missed");
    assert_eq!(
        (found.measured["rpo_seconds"], found.measured["lost_writes"], found.objective["rto_seconds"]),
        (2.94, 50.0, 10.0)
    );
    let page = html(&found);
    assert!(page.contains("2.94 s") && page.contains("the recovery: "), "{page}");
    assert!(found.timeline.iter().any(|moment| moment.text == "the first journey failed"));
    assert_eq!(found.plots[0].marks.len(), 4);
}
