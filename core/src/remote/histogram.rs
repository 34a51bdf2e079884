//! Native histograms as remote write carries them; both versions write them alike.

use std::sync::Arc;

use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint};
use crate::model::wire::{BadMessage, Message};
use crate::model::{Histogram, Value};

use super::wire::Out;

/// A histogram before its counts are looked at.
#[derive(Default)]
struct Raw {
    is_float: bool,
    count: u64,
    count_float: f64,
    zero_count: u64,
    zero_count_float: f64,
    positive: Vec<i64>,
    negative: Vec<i64>,
    histogram: Histogram,
}

/// A histogram's message may take so many bytes; what it says takes eight times as much.
const BYTES_MAX: usize = 1 << 20;

/// Reads a histogram with its instant in milliseconds; the inner error says why it is none.
///
/// Errors: bytes that are no message.
pub(super) fn read(mut message: Message<'_>) -> Result<(i64, Result<Value, String>), BadMessage> {
    let bytes = message.bytes().len();
    if bytes > BYTES_MAX {
        return Ok((0, Err(format!("a histogram takes {bytes} bytes; at most {BYTES_MAX} are allowed"))));
    }
    let (mut raw, mut at) = (Raw::default(), 0);
    while let Some(field) = message.field()? {
        let own = &mut raw.histogram;
        match field.number {
            1 => (raw.count, raw.is_float) = (message.integer(field)?, false),
            2 => (raw.count_float, raw.is_float) = (message.double(field)?, true),
            3 => own.sum = message.double(field)?,
            4 => own.schema = message.small_signed(field)?,
            5 => own.zero_threshold = message.double(field)?,
            6 => raw.zero_count = message.integer(field)?,
            7 => raw.zero_count_float = message.double(field)?,
            8 => own.negative_spans.push(message.inner(field)?.span()?),
            9 => message.signed(field, &mut raw.negative)?,
            10 => message.doubles(field, &mut own.negative_buckets)?,
            11 => own.positive_spans.push(message.inner(field)?.span()?),
            12 => message.signed(field, &mut raw.positive)?,
            13 => message.doubles(field, &mut own.positive_buckets)?,
            // That there was no reset is true only of samples that all arrive; it is seen in the counts anyway.
            14 => match message.integer(field)? {
                1 => own.reset_hint = ResetHint::Reset,
                3 => own.reset_hint = ResetHint::Gauge,
                _ => own.reset_hint = ResetHint::Unknown,
            },
            15 => at = message.integer(field)? as i64,
            16 => message.doubles(field, &mut own.custom_values)?,
            _ => message.skip(field)?,
        }
    }
    Ok((at, raw.finish().map(|histogram| Value::Histogram(Arc::new(histogram)))))
}

impl Raw {
    fn finish(self) -> Result<Histogram, String> {
        let Raw { is_float, count, count_float, zero_count, zero_count_float, positive, negative, mut histogram } = self;
        if !(-4..=8).contains(&histogram.schema) && histogram.schema != CUSTOM_BUCKETS_SCHEMA {
            return Err(format!("histogram has schema {}, which is not known", histogram.schema));
        }
        let checked = if is_float {
            (histogram.count, histogram.zero_count) = (count_float, zero_count_float);
            if count_float < 0.0 || zero_count_float < 0.0 {
                return Err("histogram's observation count is negative".to_owned());
            }
            histogram.check()
        } else {
            histogram.fill_whole(count, zero_count, &positive, &negative)
        };
        checked.map_err(|fault| fault.to_string())?;
        histogram.compact();
        Ok(histogram)
    }
}

/// Whole numbers up to this one are told apart by floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a histogram as a message: with whole counts where all are whole, else with fractional ones.
pub(super) fn write(out: &mut Out, at: i64, histogram: &Histogram) {
    let own = histogram;
    let is_whole = |count: &f64| *count >= 0.0 && *count <= WHOLE_MAX && count.fract() == 0.0;
    let buckets = own.positive_buckets.iter().chain(&own.negative_buckets);
    // Whole counts must add up; those of a staleness marker and of a difference need not.
    let in_buckets: f64 = own.zero_count + buckets.clone().sum::<f64>();
    let adds_up = if own.sum.is_nan() { in_buckets <= own.count } else { in_buckets == own.count };
    let whole = adds_up && buckets.chain([&own.count, &own.zero_count]).all(is_whole);
    if whole {
        out.integer_always(1, own.count as u64);
    } else {
        out.double_always(2, own.count);
    }
    out.double(3, own.sum);
    out.signed(4, own.schema.into());
    out.double(5, own.zero_threshold);
    if whole {
        out.integer_always(6, own.zero_count as u64);
    } else {
        out.double_always(7, own.zero_count);
    }
    for (first, spans, counts) in
        [(8, &own.negative_spans, &own.negative_buckets), (11, &own.positive_spans, &own.positive_buckets)]
    {
        for span in spans {
            out.message(first, |out| {
                out.signed(1, span.offset.into());
                out.integer(2, span.length.into());
            });
        }
        if whole {
            let mut before = 0;
            let deltas = counts.iter().map(|count| {
                let delta = *count as i64 - before;
                before = *count as i64;
                delta
            });
            out.packed_signed(first + 1, deltas);
        } else {
            out.packed_doubles(first + 2, counts);
        }
    }
    let hint = match own.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NoReset => 2,
        ResetHint::Gauge => 3,
    };
    out.integer(14, hint);
    out.integer(15, at as u64);
    out.packed_doubles(16, &own.custom_values);
}
