//! Budgets and alerts at their limits, and their way into routing.

use std::sync::Arc;

use tocsin_core::alert::{Instances, State};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::rule::Active;
use tocsin_core::slo::{Count, Definition, Standing, Tick, Verdict};
use tocsin_core::time::{Span, Timestamp};

use super::{AVAILABILITY, Memory, START, advance, counted, define, secs};

/// Requests minute by minute: how many minutes, requests in each, bad ones among them.
fn requests(story: &[(i64, i64, i64)]) -> (Memory, Timestamp) {
    let mut memory = Memory::default();
    let (mut at, mut good, mut bad) = (START, 0, 0);
    let mut add = |at, good: i64, bad: i64| {
        memory.add("requests_total{code=\"200\",job=\"shop\"}", at, good as f64);
        memory.add("requests_total{code=\"500\",job=\"shop\"}", at, bad as f64);
    };
    add(at, good, bad);
    for (minutes, total, failed) in story {
        for _ in 0..*minutes {
            (at, good, bad) = (at + Span::from_mins(1), good + total - failed, bad + failed);
            add(at, good, bad);
        }
    }
    (memory, at)
}

fn told(text: &str, story: &[(i64, i64, i64)]) -> (Standing, Tick, Arc<Definition>) {
    let definition = define(text).remove(0);
    let (memory, end) = requests(story);
    let (standing, tick) = counted(&definition, &memory, START, end);
    (standing, tick, definition)
}

/// Returns which alerts are active: name and severity.
fn active(tick: &Tick) -> Vec<String> {
    let all = tick.judged.iter().flat_map(|judged| &judged.active);
    all.map(|alert| format!("{} {}", alert.labels.get("alertname"), alert.labels.get("severity"))).collect()
}

fn verdicts(standing: &Standing) -> Vec<Verdict> {
    standing.status().pairs.iter().map(|pair| pair.verdict).collect()
}

use Verdict::{Burning, Quiet};

#[test]
fn a_pair_burns_above_its_factor_and_not_at_it() {
    let page = "SloErrorBudgetBurn page";
    let ticket = "SloErrorBudgetBurn ticket";
    // Bad requests of 10,000 each minute at 99.9 %: exactly the factor, and one request more in the last minute.
    for (bad, at_factor, above) in [
        (10, vec![], vec![ticket]),
        (30, vec![ticket], vec![ticket]),
        (60, vec![ticket], vec![page, ticket]),
        (144, vec![page, ticket], vec![page, ticket]),
    ] {
        let pair = match bad {
            144 => 0,
            60 => 1,
            30 => 2,
            _ => 3,
        };
        // The budget of so short a history is spent as well; that is another alert.
        let burns = |tick: &Tick| active(tick).into_iter().filter(|name| name.contains("Burn")).collect::<Vec<_>>();
        let (standing, tick, _) = told(AVAILABILITY, &[(60, 10_000, bad)]);
        assert_eq!(verdicts(&standing)[pair], Quiet, "{bad}");
        assert_eq!(burns(&tick), at_factor, "{bad}");
        let rate = standing.status().pairs[pair].long.rate.unwrap();
        assert!((rate - bad as f64 / 10.0).abs() < 1e-9, "{rate}");
        let (standing, tick, _) = told(AVAILABILITY, &[(59, 10_000, bad), (1, 10_000, bad + 1)]);
        assert_eq!(verdicts(&standing)[pair], Burning, "{bad}");
        assert_eq!(burns(&tick), above, "{bad}");
    }
}

#[test]
fn both_windows_must_burn() {
    // An hour of trouble at twenty times the rate, then five minutes of peace: the short window says that it is over.
    let (standing, _, _) = told(AVAILABILITY, &[(60, 1000, 20)]);
    assert_eq!(verdicts(&standing)[0], Burning);
    let (standing, _, _) = told(AVAILABILITY, &[(60, 1000, 20), (5, 1000, 0)]);
    assert_eq!(verdicts(&standing)[0], Quiet);
    assert!(standing.status().pairs[0].long.rate.unwrap() > 14.4);
    // Two minutes of trouble after a good day do not show in the hour.
    let (standing, _, _) = told(AVAILABILITY, &[(1440, 1000, 0), (2, 1000, 400)]);
    assert_eq!(verdicts(&standing)[0], Quiet);
    assert!(standing.status().pairs[0].short.rate.unwrap() > 100.0);
    let (standing, _, _) = told(AVAILABILITY, &[(1440, 1000, 0), (3, 1000, 400)]);
    assert_eq!(verdicts(&standing)[0], Burning);
}

#[test]
fn the_table_follows_the_window() {
    for (window, pairs) in [
        ("30d", [("1h", "5m"), ("6h", "30m"), ("1d", "2h"), ("3d", "6h")]),
        ("28d", [("56m", "5m"), ("5h36m", "28m"), ("22h24m", "1h52m"), ("2d19h12m", "5h36m")]),
        ("1w", [("14m", "1m"), ("1h24m", "7m"), ("5h36m", "28m"), ("16h48m", "1h24m")]),
        ("90d", [("3h", "15m"), ("18h", "1h30m"), ("3d", "6h"), ("9d", "18h")]),
        ("1d", [("12m", "1m"), ("12m", "1m"), ("48m", "4m"), ("2h24m", "12m")]),
    ] {
        let (standing, _, _) = told(&AVAILABILITY.replace("30d", window), &[(1, 10, 0)]);
        let told: Vec<(f64, String, String)> = standing
            .status()
            .pairs
            .iter()
            .map(|status| (status.pair.rate(), status.pair.long.to_string(), status.pair.short.to_string()))
            .collect();
        let expected =
            [14.4, 6.0, 3.0, 1.0].into_iter().zip(pairs).map(|(rate, (long, short))| (rate, long.into(), short.into()));
        assert_eq!(told, expected.collect::<Vec<_>>(), "{window}");
    }
}

#[test]
fn too_few_events_are_said_and_not_fired() {
    let few = |events, bad| Verdict::TooFew { events: Count::whole(events), bad: Count::whole(bad) };
    for (total, bad, verdict) in [(0, 0, few(0, 0)), (9, 9, few(9, 9)), (10, 2, few(10, 2)), (10, 3, Burning), (10, 10, Burning)]
    {
        let (standing, tick, _) = told(AVAILABILITY, &[(1, total, bad)]);
        assert_eq!(verdicts(&standing)[0], verdict, "{bad} of {total}");
        assert_eq!(!active(&tick).is_empty(), verdict == Burning, "{bad} of {total}: {:?}", active(&tick));
    }
    // Few events and none bad: quiet is a judgement too, and there is nothing to judge by.
    let (standing, _, _) = told(AVAILABILITY, &[(1, 9, 0)]);
    assert_eq!(verdicts(&standing), [few(9, 0); 4]);
    let own =
        AVAILABILITY.replace("labels:", "annotations: {tocsin.dev/events-min: '2', tocsin.dev/bad-events-min: '1'}, labels:");
    let (standing, _, _) = told(&own, &[(1, 2, 1)]);
    assert_eq!(verdicts(&standing)[0], Burning);
}

#[test]
fn the_budget_is_spent_at_its_last_event() {
    let text = AVAILABILITY.replace("0.999", "0.99");
    let (standing, tick, _) = told(&text, &[(60, 100, 0), (1, 4000, 99)]);
    let budget = standing.status().budget;
    assert_eq!((budget.allowed, budget.events_left, budget.counted.is_whole), (100.0, 1.0, false));
    assert!((budget.left - 0.01).abs() < 1e-12);
    // 1 % of 1 % of 30 days.
    assert_eq!(budget.time_left, Span(259_200));
    assert!((budget.good_ratio.unwrap() - 0.9901).abs() < 1e-12);
    assert!(!active(&tick).contains(&"SloErrorBudgetExhausted ticket".to_owned()));
    let (standing, tick, _) = told(&text, &[(60, 100, 0), (1, 4000, 100)]);
    let budget = standing.status().budget;
    assert_eq!((budget.events_left, budget.time_left, budget.exhausted_in), (0.0, Span::ZERO, Some(Span::ZERO)));
    assert!(active(&tick).contains(&"SloErrorBudgetExhausted ticket".to_owned()));
}

#[test]
fn the_end_of_the_budget_is_foretold() {
    // Half of the budget went on a bad hour; it now burns at twice the rate: a quarter of the window remains.
    let text = AVAILABILITY.replace("0.999", "0.9");
    let (standing, _, _) = told(&text, &[(60, 1000, 0), (60, 1000, 0), (60, 1000, 200)]);
    let budget = standing.status().budget;
    let expected = 30.0 * 24.0 * 60.0 * (1.0 / 3.0) / 2.0;
    assert!((budget.exhausted_in.unwrap().0 as f64 / 60_000.0 - expected).abs() < 1.0, "{budget:?}");
    let (standing, _, _) = told(&text, &[(60, 1000, 200), (60, 1000, 0)]);
    assert_eq!(standing.status().budget.exhausted_in, Some(Span::ZERO));
    let (standing, _, _) = told(&text, &[(60, 1000, 90), (60, 1000, 0)]);
    assert_eq!(standing.status().budget.exhausted_in, None);
    let (standing, _, _) = told(&text, &[(60, 1000, 10)]);
    assert_eq!(standing.status().budget.exhausted_in, None, "a tenth of the rate lasts beyond the window");
}

fn with_policy(condition: &str, flags: &str) -> String {
    format!(
        "{AVAILABILITY}  alertPolicies:
  - kind: AlertPolicy
    metadata: {{name: fast}}
    spec:
      {flags}
      conditions:
      - kind: AlertCondition
        metadata: {{name: burns-fast}}
        spec: {{severity: sev1, description: Look at the payments, condition: {{{condition}}}}}
      notificationTargets:
      - kind: AlertNotificationTarget
        metadata: {{name: oncall}}
        spec: {{target: pagerduty}}
"
    )
}

#[test]
fn policies_alert_at_their_thresholds() {
    let breaching = "alertWhenBreaching: true";
    for (op, below, at, above) in
        [("gt", false, false, true), ("gte", false, true, true), ("lt", true, false, false), ("lte", true, true, false)]
    {
        for (bad, fires) in [(19, below), (20, at), (21, above)] {
            let text = with_policy(&format!("op: {op}, threshold: 2, lookbackWindow: 1h, alertAfter: 5m"), breaching);
            let (_, tick, _) = told(&text, &[(30, 10_000, bad)]);
            assert_eq!(tick.judged.len(), 1);
            assert_eq!(tick.judged[0].terms.hold, Span::from_mins(5));
            assert_eq!(active(&tick), if fires { vec!["burns-fast sev1"] } else { vec![] }, "{op} {bad}");
        }
    }
    let text = with_policy("op: gt, threshold: 2, lookbackWindow: 1h", "alertWhenNoData: true");
    let (_, tick, _) = told(&text, &[(30, 10_000, 9_000)]);
    assert_eq!(active(&tick), [""; 0]);
    let (_, tick, _) = told(&text, &[(1, 10_000, 0), (61, 0, 0)]);
    assert_eq!(active(&tick), ["burns-fast sev1"]);
    let alert: &Active = &tick.judged[0].active[0];
    assert_eq!(alert.annotations["summary"], "Checkout: nothing was counted over 1h");
    assert_eq!(alert.annotations["policy"], "Look at the payments");
    assert_eq!(
        alert.labels.to_string(),
        "{alertname=\"burns-fast\", notification_target=\"pagerduty\", objective=\"checkout\", service=\"shop\", \
         severity=\"sev1\", slo=\"checkout\", team=\"shop\"}"
    );
    // Beside policies the default alerts stand only when asked for.
    let both = text.replace("labels:", "annotations: {tocsin.dev/default-alerts: 'true'}, labels:");
    assert_eq!(told(&both, &[(1, 1, 0)]).1.judged.len(), 4);
}

#[test]
fn alerts_go_the_way_of_rules() {
    let definition = define(AVAILABILITY).remove(0);
    let (memory, end) = requests(&[(60, 1000, 0), (10, 1000, 500), (20, 1000, 0)]);
    let (mut standing, _) = Standing::new(definition, tocsin_core::slo::Pace::default(), START);
    let mut page = Instances::new();
    let mut seen = Vec::new();
    let mut now = START;
    while now < end {
        now = now + secs(15);
        let tick = advance(&mut standing, &memory, now + secs(5));
        let judged = &tick.judged[0];
        assert_eq!(
            (judged.rule.group.as_str(), judged.rule.labels["severity"].as_str(), judged.at),
            ("slo/checkout", "page", now)
        );
        page.step(judged.active.clone(), judged.at, &judged.terms).expect("there is no limit");
        for news in page.take_due(judged.at, secs(15), Span::from_mins(1)) {
            let incoming = IncomingAlert {
                labels: news.labels,
                annotations: news.annotations,
                starts_at: Some(news.starts_at),
                ends_at: Some(news.ends_at),
                generator_url: String::new(),
                source: "rule/slo.yml/slo/checkout".to_owned(),
            };
            let alert = incoming.receive(now, Span::from_mins(5)).expect("routing takes it");
            assert_eq!(alert.name(), "SloErrorBudgetBurn");
            seen.push((news.state, now.since(START).0 / 60_000, alert.annotations.get("summary").unwrap().to_owned()));
        }
    }
    let fired = seen.iter().find(|(state, _, _)| *state == State::Firing).expect("it fired");
    assert!((61..=64).contains(&fired.1), "{fired:?}");
    assert!(
        fired.2.starts_with("Checkout: the error budget burns ") && fired.2.ends_with("over 30m (alert above 6)"),
        "{fired:?}"
    );
    let resolved = seen.iter().find(|(state, _, _)| *state == State::Resolved);
    assert_eq!(resolved, None, "the slower pair still burns");
    let firing = seen.iter().filter(|(state, _, _)| *state == State::Firing).count();
    assert!(firing >= 20, "{firing}");
}
