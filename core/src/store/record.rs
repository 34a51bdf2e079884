//! Records: what the log and the checkpoint hold. A record is a batch of items and says all that its items need, so that it reads the
//! same whatever the store holds.

use crate::model::{Cell, LabelSet, Row, SeriesRef, Value};
use crate::time::Timestamp;

use super::codec::{Damaged, Reader, put_signed, put_value, put_varint, take_value, unzigzag, zigzag};
use super::head::Bounds;

/// The longest record.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

const SERIES: u8 = 1;
const ROW: u8 = 2;
const DUMP: u8 = 3;
const NEXT: u8 = 4;
const DELETION: u8 = 5;

/// In a cell's head: the value's form, then whether it has its own time, then the step from the previous series.
const FORM_MASK: u64 = 0b0111;
const OWN_TIME: u64 = 0b1000;
const STEP_SHIFT: u32 = 4;

#[derive(Debug)]
pub(super) enum Item<'a> {
    Series {
        series: u32,
        labels: LabelSet,
    },
    Row(Row),
    /// The samples of one series in a checkpoint.
    Dump {
        series: u32,
        bounds: Bounds,
        run: &'a [u8],
    },
    /// The number that the next new series gets.
    Next(u32),
    /// Samples in `start ..= end` left memory.
    Deletion {
        series: Vec<u32>,
        start: i64,
        end: i64,
    },
}

pub(super) fn put_series(out: &mut Vec<u8>, series: u32, labels: &LabelSet) {
    out.push(SERIES);
    put_varint(out, u64::from(series));
    put_varint(out, labels.packed().len() as u64);
    out.extend_from_slice(labels.packed());
}

pub(super) fn put_next(out: &mut Vec<u8>, next: u32) {
    out.push(NEXT);
    put_varint(out, u64::from(next));
}

/// Writes which series, sorted by number, lose their samples in `start ..= end`.
pub(super) fn put_deletion(out: &mut Vec<u8>, series: &[u32], start: i64, end: i64) {
    out.push(DELETION);
    put_signed(out, start);
    put_signed(out, end);
    put_varint(out, series.len() as u64);
    let mut last = 0;
    for own in series {
        put_varint(out, u64::from(own - last));
        last = *own;
    }
}

fn take_deletion<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Damaged> {
    let (start, end, count) = (reader.signed()?, reader.signed()?, reader.count()?);
    let (mut series, mut last) = (Vec::with_capacity(count), 0u32);
    for _ in 0..count {
        last = last.checked_add(reader.series()?).ok_or(Damaged("a series number is out of range"))?;
        series.push(last);
    }
    Ok(Item::Deletion { series, start, end })
}

pub(super) fn put_dump(out: &mut Vec<u8>, series: u32, bounds: Bounds, run: &[u8]) {
    out.push(DUMP);
    put_varint(out, u64::from(series));
    put_signed(out, bounds.oldest);
    put_signed(out, bounds.newest);
    out.push(u8::from(bounds.value.is_some()));
    out.extend_from_slice(&bounds.value.unwrap_or(0).to_le_bytes());
    put_varint(out, run.len() as u64);
    out.extend_from_slice(run);
}

/// A row under construction: cells are added one by one, their number is filled in at the end.
pub(super) struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    at: i64,
    count_at: usize,
    count: u32,
    last: u32,
}

impl<'a> RowWriter<'a> {
    pub fn begin(out: &'a mut Vec<u8>, at: i64) -> RowWriter<'a> {
        out.push(ROW);
        put_signed(out, at);
        let count_at = out.len();
        out.extend_from_slice(&[0; 4]);
        RowWriter { out, at, count_at, count: 0, last: 0 }
    }

    pub fn put(&mut self, series: u32, at: i64, value: &Value) {
        let own_time = if at == self.at { 0 } else { OWN_TIME };
        let step = zigzag(i64::from(series) - i64::from(self.last) - 1);
        let head_at = self.out.len();
        put_varint(self.out, step << STEP_SHIFT | own_time);
        if own_time != 0 {
            put_signed(self.out, at.wrapping_sub(self.at));
        }
        // The form stands in the lowest bits, which the first byte holds.
        self.out[head_at] |= put_value(self.out, value);
        self.last = series;
        self.count += 1;
    }

    pub fn end(self) {
        self.out[self.count_at..self.count_at + 4].copy_from_slice(&self.count.to_le_bytes());
    }
}

/// The items of a record, in order; ends behind the first damaged one.
pub(super) struct Items<'a>(Reader<'a>);

impl<'a> Items<'a> {
    pub fn of(record: &'a [u8]) -> Items<'a> {
        Items(Reader(record))
    }

    fn item(&mut self) -> Result<Item<'a>, Damaged> {
        let reader = &mut self.0;
        match reader.byte()? {
            SERIES => {
                let series = reader.series()?;
                let len = reader.count()?;
                let labels = LabelSet::from_packed(reader.take(len)?).ok_or(Damaged("a label set cannot be read"))?;
                Ok(Item::Series { series, labels })
            }
            ROW => take_row(reader).map(Item::Row),
            DUMP => {
                let series = reader.series()?;
                let (oldest, newest) = (reader.signed()?, reader.signed()?);
                let has_value = reader.byte()? != 0;
                let value = u64::from_le_bytes(reader.array()?);
                let len = reader.count()?;
                let bounds = Bounds { oldest, newest, value: has_value.then_some(value) };
                Ok(Item::Dump { series, bounds, run: reader.take(len)? })
            }
            NEXT => reader.series().map(Item::Next),
            DELETION => take_deletion(reader),
            _ => Err(Damaged("a record holds an unknown item")),
        }
    }
}

fn take_row(reader: &mut Reader<'_>) -> Result<Row, Damaged> {
    let at = reader.signed()?;
    let count = u32::from_le_bytes(reader.array()?) as usize;
    if count > reader.0.len() {
        return Err(Damaged("a row's count exceeds the bytes that follow"));
    }
    let (mut cells, mut last) = (Vec::with_capacity(count), 0u32);
    for _ in 0..count {
        let head = reader.varint()?;
        let step = unzigzag(head >> STEP_SHIFT);
        let series = i64::from(last).checked_add(step).and_then(|series| series.checked_add(1));
        last = series.and_then(|series| u32::try_from(series).ok()).ok_or(Damaged("a series number is out of range"))?;
        let own = if head & OWN_TIME == 0 { None } else { Some(Timestamp(at.wrapping_add(reader.signed()?))) };
        let value = take_value(reader, (head & FORM_MASK) as u8)?;
        cells.push(Cell { series: SeriesRef(last), at: own, value });
    }
    Ok(Row { at: Timestamp(at), cells })
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Damaged>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_err() {
            self.0 = Reader(&[]);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut record = Vec::new();
        put_series(&mut record, 9, &LabelSet::from_pairs([("__name__", "up"), ("job", "a")]));
        let mut row = RowWriter::begin(&mut record, 1_795_231_655_000);
        for (series, at, value) in
            [(9, 1_795_231_655_000, 1.0), (10, 5, -0.5), (2, 1_795_231_655_000, f64::NAN), (u32::MAX, i64::MAX, 1e300)]
        {
            row.put(series, at, &Value::Float(value));
        }
        row.end();
        put_dump(&mut record, 3, Bounds { oldest: -1, newest: 5, value: Some(7) }, b"run");
        put_next(&mut record, 77);
        put_deletion(&mut record, &[0, 1, 9, u32::MAX], i64::MIN, -7);
        record
    }

    #[test]
    fn items_round_trip() {
        let record = sample();
        let items: Vec<Item<'_>> = Items::of(&record).map(Result::unwrap).collect();
        let [
            Item::Series { series: 9, labels },
            Item::Row(row),
            Item::Dump { series: 3, bounds, run: b"run" },
            Item::Next(77),
            Item::Deletion { series, start: i64::MIN, end: -7 },
        ] = items.as_slice()
        else {
            panic!("{items:?}")
        };
        assert_eq!(series, &[0, 1, 9, u32::MAX]);
        assert_eq!(labels.to_string(), r#"{__name__="up", job="a"}"#);
        assert_eq!(*bounds, Bounds { oldest: -1, newest: 5, value: Some(7) });
        let cells: Vec<String> =
            row.cells.iter().map(|cell| format!("{} {:?} {:?}", cell.series.0, cell.at.map(|at| at.0), cell.value)).collect();
        assert_eq!(
            cells,
            [
                "9 None Float(1.0)",
                "10 Some(5) Float(-0.5)",
                "2 None Float(NaN)",
                "4294967295 Some(9223372036854775807) Float(1e300)"
            ]
        );
    }

    #[test]
    fn damaged_records_never_panic() {
        let record = sample();
        for cut in 0..record.len() {
            for bit in 0..8 {
                let mut bad = record.clone();
                bad[cut] ^= 1 << bit;
                assert!(Items::of(&bad).count() <= bad.len());
            }
            assert!(Items::of(&record[..cut]).count() <= 5);
        }
    }
}
