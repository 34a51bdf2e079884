//! The parser of PromQL against the tables of other projects.

use serde_json::Value;
use tocsin_core::promql::ast::{Expr, ExprKind};
use tocsin_core::promql::parse::{Syntax, parse, parse_metric, parse_selector};
use tocsin_core::promql::pretty::pretty;
use tocsin_core::promql::walk::walk;

use crate::corpora;

fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(binary) => format!("({} {} {})", shape(&binary.left), binary.op.symbol(), shape(&binary.right)),
        ExprKind::Unary { negative, operand } => format!("({}{})", if *negative { "neg " } else { "pos " }, shape(operand)),
        _ => expr.to_string(),
    }
}

#[test]
fn operators_bind_as_mathematics_has_it() {
    for (text, expected) in [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("2 ^ 3 ^ 2", "(2 ^ (3 ^ 2))"),
        ("-2 ^ 2", "(neg (2 ^ 2))"),
        ("-2 * 2", "(-2 * 2)"),
        ("2 ^ -1 * 3", "((2 ^ -1) * 3)"),
        ("- -a", "(neg (neg a))"),
        ("-a offset 1m", "(neg a offset 1m)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a > b + c == bool d", "((a > (b + c)) == d)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a offset 5m + 1", "(a offset 5m + 1)"),
        ("a offset -2 ^ 2", "(a offset -2s ^ 2)"),
        ("a offset (1m + 1m) * 2", "a offset (1m + 1m) * 2"),
        ("a offset -(1m) * 2", "(a offset -(1m) * 2)"),
    ] {
        assert_eq!(read(text).map(|expr| shape(&expr)).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn words_with_a_meaning_may_name_metrics_and_labels() {
    for text in [
        "sum(sum)",
        "by + without",
        "offset offset 5m",
        "start - end",
        "step * range",
        "min_of / max_of",
        "and and or or unless",
        "anchored anchored",
        "fill + fill",
        "fill_left + on (fill) fill_right",
        "sum by (on, by, bool, atan2, offset) (x)",
        "x{sum=\"a\",by=\"b\",offset=\"c\",nan=\"d\"}",
        "SUM BY (a) (x) AND ON (b) y OFFSET 5m",
        "Inf + nan",
    ] {
        assert!(read(text).is_ok(), "{text}: {:?}", read(text));
    }
    for text in ["bool", "on", "ignoring", "group_left", "atan2", "sum by (without) (x)", "sum by (a:b) (x)"] {
        assert!(read(text).is_err(), "{text} was accepted");
    }
}

#[test]
fn what_is_experimental_is_closed_until_it_is_opened() {
    for text in
        ["limitk(1, x)", "sort_by_label(x, \"a\")", "x[5m + 5m]", "x offset (5m)", "x[5m] anchored", "a + fill (0) b", "start()"]
    {
        assert!(parse(text, &Syntax::default()).is_err(), "{text} was accepted");
        assert!(read(text).is_ok(), "{text}: {:?}", read(text));
    }
}

#[test]
fn faults_show_where_they_are() {
    let rendered = |text: &str| parse(text, &Syntax::default()).unwrap_err()[0].render(text);
    assert_eq!(
        rendered("sum(a)\n  by (b) +\n"),
        "3:1: parse error: unexpected end of input",
        "the last line is empty, so there is nothing to show"
    );
    assert_eq!(rendered("up +\n\trate(ä)"), "2:7: parse error: unexpected character: 'ä'\n\trate(ä)\n\t     ^^");
    assert_eq!(
        rendered("rate(up)"),
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector\nrate(up)\n     ^^"
    );
    assert_eq!(rendered(""), "unknown position: parse error: no expression found in input");
}

#[test]
fn several_faults_are_told_at_once() {
    let told = |text: &str| read(text).unwrap_err();
    let without_token = told("up{a, b=1, c=~\"(\"} and x");
    assert_eq!(without_token.len(), 2, "a character that is no token ends the reading: {without_token:?}");
    assert_eq!(told("up{a, b=\"1\" c, d=~\"(\"}").len(), 3);
    assert_eq!(told("foo(1) + bar(2)").len(), 2);
    let preceded =
        |name: &str| format!("{name} modifier must be preceded by an instant vector selector or range vector selector");
    assert_eq!(told("(a) smoothed + 1 anchored"), ["smoothed", "anchored"].map(preceded));
    assert_eq!(told("rate(a) + rate(b) == 1 > bool on (x) 2").len(), 3);
}

#[test]
fn selectors_and_metrics_have_doors_of_their_own() {
    let shown =
        |text: &str| parse_selector(text).map(|matchers| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    assert_eq!(shown(r#"up{job!="a"}"#).unwrap(), r#"job!="a",__name__="up""#);
    assert_eq!(shown(r#"{"a.b", "c d"=~'x|y'}"#).unwrap(), r#"__name__="a.b","c d"=~"x|y""#);
    assert_eq!(shown("{}").unwrap(), "");
    for bad in ["", "up[5m]", "up offset 1m", "1", "up{", "up{a}", "up up"] {
        assert!(shown(bad).is_err(), "{bad} was accepted");
    }
    let labels = |text: &str| parse_metric(text).map(|labels| labels.to_string());
    assert_eq!(labels(r#"up{b="2",a='1',}"#).unwrap(), r#"{__name__="up", a="1", b="2"}"#);
    assert_eq!(labels(r#"{"a.b", "c.d"="x", e=""}"#).unwrap(), r#"{__name__="a.b", "c.d"="x"}"#);
    assert_eq!(labels("{}").unwrap(), "{}");
    for bad in [r#"up{a!="b"}"#, "up{a}", "up{} 1", r#"up{a="b" c="d"}"#] {
        assert!(labels(bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn strings_have_three_kinds_of_quotes_and_the_escapes_of_go() {
    for (text, says) in [
        (r#""\a\x41\u00e4\U0001F600\101\"\n""#, "\u{7}Aä😀A\"\n"),
        (r"'it\'s'", "it's"),
        ("`raw \\n\n`", "raw \\n\n"),
        (r#""\xc3\xa4""#, "ä"),
        (r#""\xff""#, "\u{fffd}"),
    ] {
        assert_eq!(read(text).map(|expr| expr.kind), Ok(ExprKind::Text(says.to_owned())), "{text}");
    }
    for bad in [r#""\'""#, r#""\q""#, r#""\ud800""#, r#""\x4""#, "\"a\nb\"", "`a", r#""\400""#] {
        assert!(read(bad).is_err(), "{bad} was accepted");
    }
}

#[test]
fn every_expression_of_a_tree_is_visited() {
    let expr = read("sum(rate(a[5m])) / topk(1, -(b + 2))[5m:] offset 1m").unwrap_err();
    assert_eq!(expr.len(), 1, "a range has no quotient");
    let (expr, mut seen) = (read("sum(rate(a[5m])) / max_over_time(topk(1, -(b + 2))[5m:])").unwrap(), Vec::new());
    walk(&expr, &mut |part| seen.push(part.to_string().len()));
    assert_eq!(seen.len(), 13);
    assert!(seen.iter().all(|len| *len <= seen[0]));
}

/// Replaces each lone surrogate, which stands for a byte that is not UTF-8, by U+FFFD.
fn without_surrogates(line: &str) -> String {
    let mut out = line.to_owned();
    while let Some(at) = out.find("\\udc") {
        out.replace_range(at..at + 6, "\u{fffd}");
    }
    out
}

fn cases(file: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(corpora::path(&format!("go-test-tables/{file}"))?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(&without_surrogates(line)).unwrap()).collect())
}

fn read(text: &str) -> Result<Expr, Vec<String>> {
    parse(text, &Syntax::everything()).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

#[test]
fn the_table_of_expressions_is_accepted_and_refused_alike() {
    let Some(cases) = cases("promql-parse.jsonl") else { return };
    // Behind the expressions the table holds series and histograms, which are another language.
    const EXPRESSIONS_END: u64 = 356;
    let (mut wrong, mut total, mut refused, mut same_words) = (Vec::new(), 0, 0, 0);
    for case in cases.iter().filter(|case| case["n"].as_u64().unwrap() < EXPRESSIONS_END) {
        let (Some(input), fails) = (case["input"].as_str(), case["fail"] == true) else { continue };
        total += 1;
        match read(input) {
            Ok(_) if fails => wrong.push(format!("accepted {input:?}: {}", case["errors"])),
            Ok(_) => {}
            Err(faults) if !fails => wrong.push(format!("refused {input:?}: {faults:?}")),
            Err(faults) => {
                refused += 1;
                let expected: Vec<&str> = case["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                if faults == expected {
                    same_words += 1;
                } else {
                    println!("other words for {input:?}\n  ours:   {faults:?}\n  theirs: {expected:?}");
                }
            }
        }
    }
    println!("{total} expressions; of {refused} refused, {same_words} in the same words");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_printed_expressions_agrees() {
    let Some(cases) = cases("promql-print.jsonl") else { return };
    let mut wrong = Vec::new();
    for case in &cases {
        let input = case["in"].as_str().unwrap();
        let expected = case["out"].as_str().unwrap_or(input);
        match read(input) {
            Ok(expr) if expr.to_string() == expected => {}
            other => wrong.push(format!("{input}\n  expected {expected}\n  got      {:?}", other.map(|expr| expr.to_string()))),
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_table_of_pretty_expressions_agrees() {
    let Some(cases) = cases("promql-pretty.jsonl") else { return };
    const WIDTH: usize = 10;
    let mut wrong = Vec::new();
    for case in &cases {
        let input = case["in"].as_str().unwrap();
        let expected = case["out"].as_str().unwrap_or(input);
        match read(input).map(|expr| pretty(&expr, WIDTH)) {
            Ok(text) if text == expected => {}
            other => wrong.push(format!("{input}\n{expected}\ngot {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
