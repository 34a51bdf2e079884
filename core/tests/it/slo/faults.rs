//! All faults of a file at once, each with its place and what to write instead.

use tocsin_core::problem::Problem;

use super::{AVAILABILITY, define_with_faults};

fn faults(text: &str) -> Vec<String> {
    define_with_faults(text).1.iter().map(Problem::to_string).collect()
}

#[test]
fn all_faults_of_a_file_come_at_once() {
    let text = "\
apiVersion: openslo/v1
kind: SLO
metadata: {name: Checkout_API, labels: {-x: y}, annotations: {nodomain/x: y}}
spec:
  service: shop
  indicatorRef: gone
  indicator:
    metadata: {name: i}
    spec: {ratioMetric: {counter: true, good: {}, bad: {}}}
  timeWindow:
  - {duration: 30days, isRolling: true, calendar: {startTime: 2026-01-01, timeZone: Berlin}}
  budgetingMethod: Occurences
  objectives:
  - {target: 1.0}
  - {target: 0.9, targetPercent: 99}
  - {targetPercent: 99.95, indicatorRef: x, compositeWeight: 0, timeSliceWindow: 0}
  alertPolicys: []
---
apiVersion: openslo/v1
kind: AlertCondtion
metadata: {name: a}
spec: {}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {}
spec: {conditions: [], notificationTargets: [{foo: bar}]}
";
    assert_eq!(
        faults(text),
        [
            "slo.yml:3:18: error: metadata.name: \"Checkout_API\" is no name; write 1 to 63 lower case letters, digits and dashes, no \
             dash at the ends, such as checkout-api",
            "slo.yml:3:45: error: metadata.labels.-x: \"-x\" is no key of a label; write letters, digits, dots, dashes and underscores",
            "slo.yml:3:75: error: metadata.annotations.nodomain/x: \"nodomain/x\" is no key of an annotation; write name or \
             domain.example/name",
            "slo.yml:6:17: error: spec.indicatorRef: only one of indicator and indicatorRef may be set; remove one of the two",
            "slo.yml:9:47: error: spec.indicator.spec.ratioMetric.good: metricSource is missing",
            "slo.yml:9:56: error: spec.indicator.spec.ratioMetric.bad: metricSource is missing",
            "slo.yml:9:56: error: spec.indicator.spec.ratioMetric.bad: only one of good and bad may be set; remove one of the two",
            "slo.yml:11:16: error: spec.timeWindow[0].duration: cannot read the length \"30days\"; write a whole number and one of m, h, \
             d, w, M (months), Q (quarters), Y, such as 4w",
            "slo.yml:11:51: error: spec.timeWindow[0].calendar: a rolling window has no calendar; remove it, or write isRolling: false",
            "slo.yml:12:20: error: spec.budgetingMethod: expected Occurrences, Timeslices or RatioTimeslices",
            "slo.yml:14:14: error: spec.objectives[0].target: expected a number from 0 to below 1, of at most nine digits after the \
             point of the share",
            "slo.yml:15:34: error: spec.objectives[1].targetPercent: only one of target and targetPercent may be set; remove one of the \
             two",
            "slo.yml:16:42: error: spec.objectives[2].indicatorRef: the SLO has an indicator already; move it into each objective, or \
             remove this one",
            "slo.yml:16:62: error: spec.objectives[2].compositeWeight: expected a number above 0",
            "slo.yml:16:82: error: spec.objectives[2].timeSliceWindow: expected at least one minute",
            "slo.yml:17:3: error: spec.alertPolicys: unknown key alertPolicys; did you mean alertPolicies?",
            "slo.yml:20:7: error: kind: unknown kind \"AlertCondtion\"; it is one of AlertCondition, AlertNotificationTarget, \
             AlertPolicy, DataSource, SLI, SLO, Service; did you mean AlertCondition?",
            "slo.yml:26:11: error: metadata: name is missing; give the object a name",
            "slo.yml:27:7: warning: spec: the policy never alerts; set alertWhenBreaching: true",
            "slo.yml:27:7: error: spec: conditions must hold one condition",
            "slo.yml:27:46: error: spec.notificationTargets[0]: write targetRef: with a name, or kind: AlertNotificationTarget with \
             metadata: and spec:",
        ]
    );
}

#[test]
fn queries_and_sources_that_cannot_be_counted_are_told_where_they_stand() {
    let fault = |from: &str, to: &str| {
        let text = AVAILABILITY.replace(from, to);
        assert_ne!(text, AVAILABILITY);
        let (definitions, problems) = define_with_faults(&text);
        assert!(definitions.is_empty());
        problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    };
    let told = fault("query: sum(requests_total)", "query: avg(requests_total)");
    let place = "slo.yml:13:64: error: spec.indicator.spec.ratioMetric.total.metricSource.spec.query: a counter is counted";
    assert!(told.starts_with(place), "{told}");
    let told = fault("type: Prometheus, spec: {query: sum", "type: Datadog, spec: {query: sum");
    assert!(told.contains("sources of type \"Datadog\" are not read"), "{told}");
    let told = fault("query: sum(requests_total)", "query: sum(requests_total");
    assert!(told.contains("could not parse expression"), "{told}");
    let told = fault("query: sum(requests_total)", "metric: x");
    assert!(told.contains("query is missing"), "{told}");
    let told = fault("type: Prometheus, spec: {query: sum", "metricSourceRef: prom, spec: {query: sum");
    assert!(told.contains("there is no DataSource named \"prom\""), "{told}");
    let (_, problems) =
        define_with_faults(&AVAILABILITY.replace("labels:", "annotations: {tocsin.dev/events-min: few}, labels:"));
    assert!(problems[0].message.contains("must be a whole number"), "{problems:?}");
}

#[test]
fn a_source_gives_its_type_and_objectives_are_definitions_of_their_own() {
    let text = AVAILABILITY
        .replace("type: Prometheus", "metricSourceRef: prom")
        .replace("[{target: 0.999}]", "[{target: 0.9}, {targetPercent: 99.95}]")
        + "---\napiVersion: openslo/v1\nkind: DataSource\nmetadata: {name: prom}\nspec: {type: Prometheus, connectionDetails: [{token: x}]}\n";
    let (definitions, problems) = define_with_faults(&text);
    assert_eq!(problems, []);
    let told: Vec<(&str, f64)> = definitions.iter().map(|one| (one.id.as_str(), one.target.ratio())).collect();
    assert_eq!(told, [("checkout", 0.9), ("checkout/1", 0.9995)]);
    assert_eq!(definitions[0].hash(), definitions[1].hash());
}
