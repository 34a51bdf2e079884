//! Records of the queue to other servers: what a row brought, with the labels of series that the file has not named yet.

use crate::model::wire::{BadMessage, Message};
use crate::model::{Exemplar, LabelSet, Row, SeriesRef, Value};
use crate::time::Timestamp;

use super::histogram;
use super::wire::Out;

/// A record as it is read.
#[derive(Debug, Default)]
pub struct Record {
    pub series: Vec<(u32, LabelSet)>,
    pub samples: Vec<(u32, Timestamp, Value)>,
    pub exemplars: Vec<(u32, Exemplar)>,
}

/// Returns the bytes of a record.
///
/// `named`: the series that the file has not named yet; `left_out`: places of the row's cells that are not sent, ascending.
pub fn write(named: &[(u32, LabelSet)], row: &Row, left_out: &[u32], exemplars: &[(SeriesRef, Exemplar)]) -> Vec<u8> {
    let mut out = Out::default();
    for (series, labels) in named {
        out.message(1, |out| {
            out.integer(1, (*series).into());
            out.bytes(2, labels.packed());
        });
    }
    let (mut refs, mut floats, mut others) =
        (Vec::with_capacity(row.cells.len()), Vec::with_capacity(row.cells.len()), Vec::new());
    let mut skipped = left_out.iter().peekable();
    for (place, cell) in row.cells.iter().enumerate() {
        if skipped.next_if(|own| **own as usize == place).is_some() {
            continue;
        }
        match &cell.value {
            Value::Float(value) if cell.at.is_none_or(|at| at == row.at) => {
                refs.push(i64::from(cell.series.0));
                floats.push(*value);
            }
            _ => others.push(cell),
        }
    }
    out.signed(2, row.at.0);
    let mut before = 0;
    let deltas = refs.into_iter().map(|series| {
        let delta = series - before;
        before = series;
        delta
    });
    out.packed_signed(3, deltas);
    out.packed_doubles(4, &floats);
    for cell in others {
        let at = cell.at.unwrap_or(row.at);
        out.message(5, |out| {
            out.integer(1, cell.series.0.into());
            match &cell.value {
                Value::Float(value) => {
                    out.signed(2, at.0);
                    out.double(3, *value);
                }
                Value::Histogram(own) => out.message(4, |out| histogram::write(out, at.0, own)),
            }
        });
    }
    for (series, exemplar) in exemplars {
        out.message(6, |out| {
            out.integer(1, series.0.into());
            out.signed(2, exemplar.at.0);
            out.double(3, exemplar.value);
            out.bytes(4, exemplar.labels.packed());
            out.integer(5, exemplar.has_own_time.into());
        });
    }
    out.0
}

fn labels(bytes: &[u8], at: usize) -> Result<LabelSet, BadMessage> {
    LabelSet::from_packed(bytes).ok_or_else(|| BadMessage::new(at, "labels in a record are damaged"))
}

/// Reads a record.
///
/// Errors: bytes that `write` did not write.
pub fn read(bytes: &[u8]) -> Result<Record, BadMessage> {
    let (mut record, mut message) = (Record::default(), Message::new(bytes));
    let (mut at, mut deltas, mut floats) = (0, Vec::new(), Vec::new());
    while let Some(field) = message.field()? {
        match field.number {
            1 => {
                let (mut inner, mut series, mut own) = (message.inner(field)?, 0, LabelSet::empty());
                while let Some(field) = inner.field()? {
                    match field.number {
                        1 => series = inner.integer(field)? as u32,
                        2 => own = labels(inner.inner(field)?.bytes(), field.at)?,
                        _ => inner.skip(field)?,
                    }
                }
                record.series.push((series, own));
            }
            2 => at = message.zigzag(field)?,
            3 => message.signed(field, &mut deltas)?,
            4 => message.doubles(field, &mut floats)?,
            5 => {
                let sample = cell(message.inner(field)?, field.at)?;
                record.samples.push(sample);
            }
            6 => {
                let exemplar = exemplar(message.inner(field)?)?;
                record.exemplars.push(exemplar);
            }
            _ => message.skip(field)?,
        }
    }
    if deltas.len() != floats.len() {
        return Err(BadMessage::new(0, "a record has not as many values as series"));
    }
    let mut series = 0i64;
    for (delta, value) in deltas.into_iter().zip(floats) {
        series = series.wrapping_add(delta);
        record.samples.push((series as u32, Timestamp(at), Value::Float(value)));
    }
    Ok(record)
}

fn cell(mut message: Message<'_>, place: usize) -> Result<(u32, Timestamp, Value), BadMessage> {
    let (mut series, mut at, mut value) = (0, 0, Value::Float(0.0));
    while let Some(field) = message.field()? {
        match field.number {
            1 => series = message.integer(field)? as u32,
            2 => at = message.zigzag(field)?,
            3 => value = Value::Float(message.double(field)?),
            4 => {
                let (own_at, own) = histogram::read(message.inner(field)?)?;
                (at, value) = (own_at, own.map_err(|fault| BadMessage::new(place, fault))?);
            }
            _ => message.skip(field)?,
        }
    }
    Ok((series, Timestamp(at), value))
}

fn exemplar(mut message: Message<'_>) -> Result<(u32, Exemplar), BadMessage> {
    let mut own = Exemplar { labels: LabelSet::empty(), value: 0.0, at: Timestamp(0), has_own_time: false };
    let mut series = 0;
    while let Some(field) = message.field()? {
        match field.number {
            1 => series = message.integer(field)? as u32,
            2 => own.at = Timestamp(message.zigzag(field)?),
            3 => own.value = message.double(field)?,
            4 => own.labels = labels(message.inner(field)?.bytes(), field.at)?,
            5 => own.has_own_time = message.integer(field)? != 0,
            _ => message.skip(field)?,
        }
    }
    Ok((series, own))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Cell, Histogram};

    #[test]
    fn a_record_is_read_as_it_was_written_without_what_is_left_out() {
        let histogram = Value::Histogram(Arc::new(Histogram { count: 2.5, zero_count: 2.5, sum: 1.0, ..Histogram::default() }));
        let cell = |series, at: Option<i64>, value: Value| Cell { series: SeriesRef(series), at: at.map(Timestamp), value };
        let cells = vec![
            cell(9, None, Value::Float(-0.0)),
            cell(4, None, Value::Float(1.5)),
            cell(700, Some(-3), Value::Float(f64::INFINITY)),
            cell(5, None, Value::Float(7.0)),
            cell(6, None, histogram),
        ];
        let exemplar = Exemplar { labels: LabelSet::empty(), value: 3.0, at: Timestamp(-1), has_own_time: true };
        let named = [(9, LabelSet::from_pairs([("__name__", "up")])), (0, LabelSet::empty())];
        let bytes = write(&named, &Row { at: Timestamp(50), cells }, &[1], &[(SeriesRef(9), exemplar.clone())]);
        let record = read(&bytes).unwrap();
        let mut samples: Vec<String> = record.samples.iter().map(|sample| format!("{sample:?}")).collect();
        samples.sort();
        assert_eq!(samples.len(), 4, "{samples:?}");
        assert!(samples[3] == "(9, Timestamp(50), Float(-0.0))" && samples[0].starts_with("(5, Timestamp(50)"), "{samples:?}");
        assert!(samples[2] == "(700, Timestamp(-3), Float(inf))" && samples[1].starts_with("(6, Timestamp(50), Histogram"));
        assert_eq!(record.series, named);
        assert!(record.exemplars[0].0 == 9 && record.exemplars[0].1.is_same(&exemplar));
        for end in 0..bytes.len() {
            // Whatever is cut off, it ends.
            let _ = read(&bytes[..end]);
        }
    }
}
