//! Expressions evaluated by our own engine over a source of series.

use std::error::Error;

use crate::model::{LabelSet, Source, Value as SampleValue};
use crate::promql::ast::Expr;
use crate::promql::evaluate::{Cancel, EvalError, Options, instant};
use crate::promql::value::Value;
use crate::time::Timestamp;

use super::Queries;

/// Our own engine over a source.
pub struct Local<'a> {
    pub source: &'a dyn Source,
    pub options: &'a Options,
    pub cancel: &'a Cancel,
}

impl Queries for Local<'_> {
    fn instant(&self, expr: &Expr, _text: &str, at: Timestamp) -> Result<Vec<(LabelSet, SampleValue)>, String> {
        let answer = instant(expr, at, self.source, self.options, self.cancel).map_err(|error| chain(&error))?;
        match answer.value {
            Value::Scalar(value) => Ok(vec![(LabelSet::empty(), SampleValue::Float(value))]),
            Value::Vector(samples) => Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()),
            Value::Text(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".into()),
        }
    }
}

/// Returns an error and its causes in one line, since a rule's health is one line.
fn chain(error: &EvalError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
