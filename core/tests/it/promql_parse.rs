//! The parser of PromQL against the tables of other projects.

use serde_json::Value;
use tocsin_core::promql::ast::Expr;
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::pretty::pretty;

use crate::corpora;

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
