//! What is told of an objective beside its alerts: series, expressions, plots and texts.

use tocsin_core::promql::evaluate::{Cancel, Options, instant};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::value::Value;
use tocsin_core::slo::{Pace, Standing};
use tocsin_core::time::Span;

use super::{AVAILABILITY, Memory, START, advance, counted, define, secs};

/// Two hours at a scrape each 15 s: ten requests each time, of which one fails in the last ten minutes.
fn burning() -> (Memory, Standing) {
    let mut memory = Memory::default();
    for number in 0..=480 {
        let at = START + secs(number * 15);
        let bad = (number - 440).max(0);
        memory.add(r#"requests_total{code="200",job="shop"}"#, at, (number * 10 - bad) as f64);
        memory.add(r#"requests_total{code="500",job="shop"}"#, at, bad as f64);
    }
    let definition = define(AVAILABILITY).remove(0);
    let standing = counted(&definition, &memory, START, START + secs(480 * 15)).0;
    (memory, standing)
}

#[test]
fn figures_come_as_series_and_the_alerts_are_expressions_over_them() {
    let (_, standing) = burning();
    let (at, series) = standing.series();
    assert_eq!(at, START + secs(7200));
    let mut told = Memory::default();
    for (labels, value) in &series {
        told.add(&labels.to_string(), at, *value);
    }
    let value = |text: &str| {
        let expr = parse(text, &Syntax::default()).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        let answer = instant(&expr, at, &told, &Options::default(), &Cancel::new()).expect("it can be evaluated");
        let Value::Vector(vector) = answer.value else { panic!("{text} gives no vector") };
        vector.iter().map(|sample| format!("{:?}", sample.value)).collect::<Vec<_>>()
    };
    let own = r#"{objective="checkout",slo="checkout",service="shop",team="shop"}"#;
    assert_eq!(value(&format!("tocsin_slo_events_total{own} == 4800")).len(), 1);
    assert_eq!(value(&format!("tocsin_slo_events_total{own} - tocsin_slo_events_good_total == 40")).len(), 1);
    assert_eq!(value(&format!("tocsin_slo_objective_ratio{own} == 0.999")).len(), 1);
    assert_eq!(value(&format!("abs(tocsin_slo_sli_ratio{own} - (1 - 40 / 4800)) < 1e-12")).len(), 1);
    assert_eq!(value(&format!("abs(tocsin_slo_error_budget_remaining_ratio{own} - (1 - 40 / 4.8)) < 1e-9")).len(), 1);
    assert_eq!(value(r#"abs(tocsin_slo_burn_rate{window="1h",slo="checkout"} - 40 / 2400 / 0.001) < 1e-9"#).len(), 1);
    assert_eq!(value("tocsin_slo_burn_rate").len(), standing.definition().lookbacks().len());
    // What burns for the ledger burns for the expressions: the page (16.7 over 1 h, 100 over 5 m) and the end of the budget.
    let definition = standing.definition();
    let fires: Vec<bool> = definition.alerts.iter().map(|rule| !value(&definition.expr(rule)).is_empty()).collect();
    assert_eq!(fires, [true, true, true]);
}

#[test]
fn nothing_is_said_of_what_was_not_counted() {
    let definition = define(AVAILABILITY).remove(0);
    let standing = counted(&definition, &Memory::default(), START, START + secs(60)).0;
    let names: Vec<String> = standing.series().1.iter().map(|(labels, _)| labels.get("__name__").to_owned()).collect();
    assert_eq!(names, ["tocsin_slo_objective_ratio", "tocsin_slo_events_total", "tocsin_slo_events_good_total"]);
    let plot = standing.burn_down(10);
    assert!(plot.len() == 10 && plot.iter().all(|point| point.left == 1.0 && point.bad == 0.0));
}

#[test]
fn the_plot_of_a_budget_ends_where_the_status_stands() {
    let (_, standing) = burning();
    let status = standing.status();
    for points in [1, 7, 200, 2880] {
        let plot = standing.burn_down(points);
        assert_eq!(plot.len(), points);
        let last = plot.last().expect("a point");
        assert_eq!((last.at, last.left), (status.at, status.budget.left));
        assert_eq!(plot.iter().map(|point| point.bad).sum::<f64>(), 40.0);
        assert!(plot.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].left >= pair[1].left));
    }
}

#[test]
fn a_definition_says_what_it_counts() {
    let text = define(AVAILABILITY).remove(0).text();
    assert_eq!(
        text,
        "checkout: 99.9 % of events over 30d\n\
         good - increments of {code=~\"5..\",__name__=\"requests_total\"}\n\
         good + and total + increments of {__name__=\"requests_total\"}\n"
    );
    let slices = AVAILABILITY
        .replace("budgetingMethod: Occurrences", "budgetingMethod: Timeslices")
        .replace("objectives: [{target: 0.999}]", "objectives: [{target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: 1m}]");
    assert!(define(&slices).remove(0).text().contains("a slice is 1m long, and good with at least 95 % of its events\n"));
}

#[test]
fn the_next_step_is_due_once_it_is_settled() {
    let pace = Pace::default();
    for (now, due) in [(0, 5_000), (4_999, 5_000), (5_000, 20_000), (19_999, 20_000), (20_000, 35_000)] {
        assert_eq!(pace.next_due(START + Span(now)), START + Span(due), "{now}");
    }
}

#[test]
fn rows_that_were_stored_in_part_are_gone_on_from() {
    let (memory, standing) = burning();
    let definition = standing.definition().clone();
    let mut rows = standing.ledger().rows();
    rows.sort_by_key(|row| row.at_ms);
    // As after a crash in the middle: the coarser tiers reach further than the finest.
    let cut = START + secs(3600);
    rows.retain(|row| row.tier_ms > 0 || row.at_ms <= cut.0);
    let (mut again, _) = Standing::resume(definition, Pace::default(), rows).expect("the rows are good");
    assert_eq!(again.ledger().last().0, cut);
    advance(&mut again, &memory, START + secs(480 * 15 + 5));
    assert_eq!((again.status(), again.ledger().rows()), (standing.status(), standing.ledger().rows()));
}
