//! The syntax tree of a query as JSON.
//!
//! The forms are those of Prometheus' `web/api/v1/translate_ast.go`. Beyond them every node tells its `position`, as errors do.

use serde_json::{Value, json};
use tocsin_core::model::{MatchOp, Matcher};
use tocsin_core::promql::ast::{At, Binary, Cardinality, DurationExpr, Edges, Expr, ExprKind, Matching, VectorSelector};
use tocsin_core::promql::signature::ValueType;

use super::encode::plain;

fn matcher(matcher: &Matcher) -> Value {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json!({ "name": matcher.name, "type": op, "value": matcher.value })
}

/// Returns a length of time in milliseconds; one that only an evaluation knows is told as its text.
fn duration(duration: &DurationExpr) -> Value {
    match duration {
        DurationExpr::Literal(span) => span.0.into(),
        DurationExpr::Number(seconds) => ((seconds * 1000.0) as i64).into(),
        other => other.to_string().into(),
    }
}

/// Adds what the modifiers of a selector or a subquery say.
fn add_modifiers(node: &mut Value, offset: Option<&DurationExpr>, at: Option<At>) {
    node["offset"] = offset.map_or(0.into(), duration);
    node["timestamp"] = match at {
        Some(At::Instant(at)) => at.0.into(),
        Some(At::Start | At::End) | None => Value::Null,
    };
    node["startOrEnd"] = match at {
        Some(At::Start) => "start".into(),
        Some(At::End) => "end".into(),
        Some(At::Instant(_)) | None => Value::Null,
    };
}

fn selector(kind: &str, vector: &VectorSelector) -> Value {
    let mut node = json!({
        "type": kind,
        "name": vector.name.as_deref().unwrap_or(""),
        "matchers": vector.matchers.iter().map(matcher).collect::<Vec<_>>(),
    });
    add_modifiers(&mut node, vector.offset.as_ref(), vector.at);
    match vector.edges {
        Some(Edges::Anchored) => node["anchored"] = true.into(),
        Some(Edges::Smoothed) => node["smoothed"] = true.into(),
        None => {}
    }
    node
}

fn matching(matching: &Matching) -> Value {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let mut node = json!({ "card": card, "labels": matching.labels, "on": matching.on, "include": matching.include });
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        let value = |fill: Option<f64>| fill.map_or(Value::Null, |value| plain(value).into());
        node["fillValues"] = json!({ "lhs": value(matching.fill_left), "rhs": value(matching.fill_right) });
    }
    node
}

fn binary(binary: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": binary.op.symbol(),
        "lhs": json(&binary.left),
        "rhs": json(&binary.right),
        "matching": binary.matching.as_ref().map(matching),
        "bool": binary.returns_bool,
    })
}

/// Returns a tree.
pub fn json(expr: &Expr) -> Value {
    let mut node = match &expr.kind {
        ExprKind::Number(value) | ExprKind::DurationNumber(value) => json!({ "type": "numberLiteral", "val": plain(*value) }),
        ExprKind::Text(text) => json!({ "type": "stringLiteral", "val": text }),
        ExprKind::Vector(vector) => selector("vectorSelector", vector),
        ExprKind::Matrix(matrix) => {
            let mut node = selector("matrixSelector", &matrix.vector);
            node["range"] = duration(&matrix.range);
            node
        }
        ExprKind::Subquery(subquery) => {
            let mut node = json!({
                "type": "subquery",
                "expr": json(&subquery.expr),
                "range": duration(&subquery.range),
                "step": subquery.step.as_ref().map_or(0.into(), duration),
            });
            add_modifiers(&mut node, subquery.offset.as_ref(), subquery.at);
            node
        }
        ExprKind::Call(call) => {
            let function = call.function;
            let types: Vec<&str> = function.args.iter().copied().map(ValueType::api_name).collect();
            json!({
                "type": "call",
                "func": {
                    "name": function.name,
                    "argTypes": types,
                    "variadic": function.variadic,
                    "returnType": function.returns.api_name(),
                },
                "args": call.args.iter().map(json).collect::<Vec<_>>(),
            })
        }
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.symbol(),
            "expr": json(&aggregate.expr),
            "param": aggregate.param.as_ref().map(json),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        ExprKind::Binary(operation) => binary(operation),
        ExprKind::Unary { negative, operand } => {
            json!({ "type": "unaryExpr", "op": if *negative { "-" } else { "+" }, "expr": json(operand) })
        }
        ExprKind::Paren(inner) => json!({ "type": "parenExpr", "expr": json(inner) }),
    };
    node["position"] = json!({ "start": expr.place.start, "end": expr.place.end });
    node
}
