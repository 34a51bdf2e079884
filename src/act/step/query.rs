//! One look at an expression over our own metrics.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tocsin_core::model::Value as Sample;
use tocsin_core::promql::evaluate::{CancelOnDrop, Options, instant};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::value::Value;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;

use super::{Issue, Means};
use crate::client::answer::with_causes;
use crate::clock;

/// As long as a rule may take.
const EVALUATION_MAX: Duration = Duration::from_secs(60);

/// Returns the one value of an expression now, or none where there is no data.
///
/// Errors: the expression cannot be evaluated, or has several values.
pub async fn value(means: &Means, text: &str) -> Result<Option<f64>, String> {
    let expr = parse(text, &Syntax::default()).map_err(|_| format!("cannot read the expression {text:?}"))?;
    let cancel = CancelOnDrop::default();
    let (store, switch) = (means.store.clone(), cancel.0.clone());
    let options = Options { text: Some(Arc::from(text)), ..Options::default() };
    let work = tokio::task::spawn_blocking(move || instant(&expr, clock::now(), &store.snapshot(), &options, &switch));
    let answer = match tokio::time::timeout(EVALUATION_MAX, work).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(error))) => return Err(format!("cannot evaluate the expression: {}", with_causes(&error))),
        Ok(Err(_)) => return Err("the evaluation ended in a fault of the program".to_owned()),
        Err(_) => return Err(format!("the evaluation took longer than {EVALUATION_MAX:?}")),
    };
    match answer.value {
        Value::Scalar(value) => Ok(Some(value)),
        Value::Vector(samples) => match samples.as_slice() {
            [] => Ok(None),
            [one] => match &one.value {
                Sample::Float(value) => Ok(Some(*value)),
                _ => Err("the expression gives a histogram; ask for a number of it, such as histogram_quantile does".to_owned()),
            },
            more => Err(format!("the expression has {} values; aggregate them into one, such as by sum or max", more.len())),
        },
        Value::Text(_) | Value::Matrix(_) => Err("the expression gives neither a number nor an instant vector".to_owned()),
    }
}

pub(super) async fn ask(means: &Means, issue: &Issue) -> Outcome {
    let Request::Query { expr, .. } = &issue.request else { return Outcome::NotDone("this is no expression".to_owned()) };
    match value(means, expr).await {
        // JSON knows neither: as null it would pass for no data, which a condition may allow.
        Ok(Some(found)) if found.is_nan() => Outcome::NotDone("the value of the expression is no number (NaN)".to_owned()),
        Ok(Some(found)) => Outcome::Answer(json!({ "value": found.clamp(f64::MIN, f64::MAX) })),
        Ok(None) => Outcome::Answer(json!({ "value": null })),
        Err(why) => Outcome::NotDone(why),
    }
}
