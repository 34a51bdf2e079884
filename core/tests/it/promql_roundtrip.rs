//! The parser of PromQL over real expressions: what it prints reads back as the same tree.

use std::collections::BTreeSet;

use saphyr_parser::{Event, Parser};
use tocsin_core::promql::ast::{Expr, ExprKind, MatrixSelector};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::pretty::{WIDTH, pretty};

use crate::corpora;

/// Returns the values of all keys `expr` of a YAML text.
fn expressions_of_rules(text: &str) -> Vec<String> {
    let (mut out, mut after_key) = (Vec::new(), false);
    for event in Parser::new_from_str(text) {
        let Ok((Event::Scalar(value, ..), _)) = event else {
            after_key = false;
            continue;
        };
        if after_key {
            out.push(value.to_string());
        }
        after_key = !after_key && value == "expr";
    }
    out
}

/// Returns the expressions of the evaluations of a script that are not meant to fail.
fn expressions_of_script(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut out = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((command, rest)) = line.split_once(' ').filter(|(command, _)| command.starts_with("eval")) else { continue };
        let block = lines[index + 1..].iter().take_while(|line| !line.is_empty() && !line.starts_with('#'));
        if command == "eval_fail" || block.into_iter().any(|line| line.starts_with("expect fail")) {
            continue;
        }
        let words = if rest.starts_with("instant") { 3 } else { 7 };
        out.push(rest.splitn(words + 1, char::is_whitespace).last().unwrap().to_owned());
    }
    out
}

/// Returns every expression of the collections, each once.
pub fn all_expressions() -> Option<BTreeSet<String>> {
    let root = corpora::path("")?;
    let mut out = BTreeSet::new();
    for collection in ["awesome-prometheus-alerts", "kubernetes-mixin", "monitoring-mixins", "kube-prometheus"] {
        for path in corpora::files(&root.join(collection), &["yaml", "yml"]) {
            out.extend(expressions_of_rules(&std::fs::read_to_string(path).unwrap()));
        }
    }
    for path in corpora::files(&root.join("prometheus/promqltest"), &["test"]) {
        out.extend(expressions_of_script(&std::fs::read_to_string(path).unwrap()));
    }
    Some(out)
}

/// Puts the conditions of every selector in the order in which they are printed.
fn with_sorted_matchers(mut expr: Expr) -> Expr {
    fn sort(expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => {}
            ExprKind::Vector(vector) | ExprKind::Matrix(MatrixSelector { vector, .. }) => {
                vector.matchers.sort_by_key(|matcher| matcher.to_string());
            }
            ExprKind::Subquery(subquery) => sort(&mut subquery.expr),
            ExprKind::Call(call) => call.args.iter_mut().for_each(sort),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter_mut().for_each(sort);
                sort(&mut aggregate.expr);
            }
            ExprKind::Binary(binary) => {
                sort(&mut binary.left);
                sort(&mut binary.right);
            }
            ExprKind::Unary { operand, .. } => sort(operand),
            ExprKind::Paren(inner) => sort(inner),
        }
    }
    sort(&mut expr);
    expr
}

/// Says why an expression does not survive being printed and read again.
fn lost(text: &str) -> Option<String> {
    let syntax = Syntax::everything();
    let expr = match parse(text, &syntax) {
        Ok(expr) => expr,
        Err(faults) => return Some(faults[0].render(text)),
    };
    let printed = expr.to_string();
    let expr = with_sorted_matchers(expr);
    for form in [printed.clone(), pretty(&expr, WIDTH), pretty(&expr, 10)] {
        match parse(&form, &syntax) {
            Err(faults) => return Some(format!("printed as {form}\n{}", faults[0].render(&form))),
            Ok(again) if again.to_string() != printed => return Some(format!("printed as {form}, then as {again}")),
            // NaN is not equal to itself, and a plus before a length of time is not printed.
            Ok(again)
                if with_sorted_matchers(again.clone()) != expr && !printed.contains("NaN") && !text.contains("offset +") =>
            {
                return Some(format!("another tree after {form}"));
            }
            Ok(_) => {}
        }
    }
    None
}

#[test]
fn what_is_printed_reads_back_as_the_same_tree() {
    let Some(expressions) = all_expressions() else { return };
    let failed: Vec<String> =
        expressions.iter().filter_map(|text| lost(text).map(|reason| format!("{text}\n{reason}"))).collect();
    println!("{} expressions, {} lost", expressions.len(), failed.len());
    assert!(expressions.len() > 1000, "the corpora hold fewer expressions than they did");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Whether `promql-parser` is known to print an expression otherwise than Prometheus does.
fn printed_otherwise(text: &str) -> bool {
    // It drops the sign of infinity and of a selector, and forgets that a number was a length of time or that both sides are
    // filled alike.
    let lower = text.to_ascii_lowercase();
    lower.contains("inf") || lower.contains("fill(nan)") || text.starts_with('+') || text.contains("predict_linear(")
}

#[test]
fn another_parser_reads_the_same() {
    let Some(expressions) = all_expressions() else { return };
    let (mut same, mut unknown_there, mut differ) = (0, 0, Vec::new());
    for text in expressions.iter().filter(|text| !printed_otherwise(text)) {
        let ours = parse(text, &Syntax::everything()).map(|expr| expr.to_string()).map_err(|faults| faults[0].to_string());
        match promql_parser::parser::parse(text).map(|expr| expr.to_string()) {
            Ok(theirs) if ours.as_ref() == Ok(&theirs) => same += 1,
            Ok(theirs) => differ.push(format!("{text}\n  ours   {ours:?}\n  theirs {theirs}")),
            // It knows fewer forms than Prometheus.
            Err(_) => unknown_there += 1,
        }
    }
    println!("{same} alike, {unknown_there} unknown to the other parser, {} differ", differ.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn bytes_that_are_no_text_print_as_an_escape_that_is_read_again() {
    for text in [r#"label_replace(a, "\xff", "", "b", "")"#, r#"{"a\xffb", c="\xfe"}"#] {
        let expr = parse(text, &Syntax::everything()).expect("it is well formed");
        let printed = expr.to_string();
        let again = parse(&printed, &Syntax::everything()).unwrap_or_else(|faults| panic!("{}", faults[0].render(&printed)));
        assert_eq!(again.to_string(), printed);
    }
}
