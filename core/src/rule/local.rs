//! Expressions evaluated by our own engine over a source of series.

use std::error::Error;
use std::sync::Arc;

use crate::model::{LabelSet, Source, Value as SampleValue};
use crate::promql::ast::Expr;
use crate::promql::evaluate::{Cancel, EvalError, Options, instant};
use crate::promql::value::Value;
use crate::time::Timestamp;

use super::Queries;

/// Our own engine over a source: one view of the samples for all that an evaluation asks.
pub struct Local<'a> {
    pub source: &'a dyn Source,
    pub options: &'a Options,
    pub cancel: &'a Cancel,
}

impl Queries for Local<'_> {
    fn instant(&self, expr: &Expr, text: &str, at: Timestamp) -> Result<Vec<(LabelSet, SampleValue)>, String> {
        let options = Options { text: Some(Arc::from(text)), ..self.options.clone() };
        let answer = instant(expr, at, self.source, &options, self.cancel).map_err(|error| said(&error))?;
        match answer.value {
            Value::Scalar(value) => Ok(vec![(LabelSet::empty(), SampleValue::Float(value))]),
            Value::Vector(samples) => Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()),
            Value::Text(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".into()),
        }
    }
}

/// Returns an error with its causes and its place in one line, since a rule's health is one line.
fn said(error: &EvalError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    match error.place() {
        Some(place) => format!("{text} (at byte {} of the expression)", place.start),
        None => text,
    }
}
