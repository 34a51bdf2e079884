//! What the comparisons of a rule's condition compared.

use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::rule::margin::margins;

use crate::slo::{Memory, START};

/// Returns a line for each comparison, with the readings of its left side.
fn lines(expr: &str) -> Vec<String> {
    let mut memory = Memory::default();
    for (service, errors, seconds) in [("a", 3.0, 0.2), ("b", 40.0, 0.9), ("c", 7.0, 0.1), ("d", 1.0, 0.4)] {
        memory.add(&format!("errors{{service=\"{service}\"}}"), START, errors);
        memory.add(&format!("seconds{{service=\"{service}\"}}"), START, seconds);
    }
    let expr = parse(expr, &Syntax::everything()).unwrap();
    let found = margins(&expr, START, &memory, &Options::default(), &Cancel::new()).unwrap();
    let line = |margin: tocsin_core::rule::margin::Margin| {
        let left: Vec<String> = margin.left.iter().map(|(labels, value)| format!("{}={value}", labels.get("service"))).collect();
        let right = margin.right.unwrap_or("?".to_owned());
        format!("{} | {} | right {right} | {} of {}", margin.comparison, left.join(" "), margin.holds, margin.series)
    };
    found.into_iter().map(line).collect()
}

#[test]
fn each_comparison_tells_its_sides_nearest_to_holding_first() {
    assert_eq!(lines("errors > 5"), ["errors > 5 | b=40 c=7 a=3 d=1 | right 5 | 2 of 4"]);
    assert_eq!(lines("seconds < 0.15"), ["seconds < 0.15 | c=0.1 a=0.2 d=0.4 b=0.9 | right 0.15 | 1 of 4"]);
    assert_eq!(lines("errors == 4"), ["errors == 4 | a=3 c=7 d=1 b=40 | right 4 | 0 of 4"]);
    assert_eq!(
        lines("(errors > 5 and on(service) (seconds > 0.5)) unless absent(errors)"),
        ["errors > 5 | b=40 c=7 a=3 d=1 | right 5 | 2 of 4", "seconds > 0.5 | b=0.9 d=0.4 a=0.2 c=0.1 | right 0.5 | 1 of 4"]
    );
    // A right side of several series has no one number.
    assert_eq!(
        lines("errors > on(service) seconds * 10"),
        ["errors > on (service) seconds * 10 | b=40 c=7 a=3 d=1 | right ? | 3 of 4"]
    );
    // What is compared inside an aggregation is part of its value.
    assert_eq!(lines("count(errors > 5) >= 3"), ["count(errors > 5) >= 3 | =2 | right 3 | 0 of 1"]);
    assert_eq!(lines("missing > 1"), ["missing > 1 |  | right 1 | 0 of 0"]);
    assert_eq!(lines("absent(missing)"), Vec::<String>::new());
    assert_eq!(lines("errors > bool 5"), Vec::<String>::new());
}
