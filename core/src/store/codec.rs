//! Bytes: variable-length integers, short exact floats, and native histograms.
//!
//! Every float round-trips bit for bit. Readers take hostile bytes and answer `Damaged`; they never panic.

use std::sync::Arc;

use crate::model::histogram::{BucketSpan, Histogram, ResetHint};
use crate::model::sample::{STALE_BITS, Value};

/// Stored bytes that are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are damaged: {0}")]
pub struct Damaged(pub &'static str);

/// Returns the checksum of stored bytes.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Returns whether stored bytes have the checksum that was written with them; while fuzzing all do, for what lies behind is to be reached.
pub(super) fn is_whole(bytes: &[u8], expected: u32) -> bool {
    cfg!(fuzzing) || checksum(bytes) == expected
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_varint(out, zigzag(number));
}

pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// What is left to read of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged("a byte is missing"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damaged("a run of bytes is cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        Ok(self.take(N)?.try_into().expect("take returns what was asked for"))
    }

    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err(Damaged("an integer does not end"))
    }

    pub fn signed(&mut self) -> Result<i64, Damaged> {
        Ok(unzigzag(self.varint()?))
    }

    /// Reads a number of things that take at least one byte each.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.varint()?;
        if count > self.0.len() as u64 { Err(Damaged("a count exceeds the bytes that follow")) } else { Ok(count as usize) }
    }

    pub fn series(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged("a series number is too large"))
    }
}

/// The shortest exact form of a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    Integer(i64),
    /// Thousandths.
    Milli(i64),
    /// Billionths.
    Nano(i64),
    Stale,
    Raw(u64),
}

pub(super) const INTEGER: u8 = 0;
pub(super) const MILLI: u8 = 1;
pub(super) const NANO: u8 = 2;
pub(super) const STALE: u8 = 3;
pub(super) const RAW: u8 = 4;
pub(super) const HISTOGRAM: u8 = 5;

/// Whole numbers below this take at most seven bytes, so they are always shorter than raw bits.
const WHOLE_MAX: f64 = (1u64 << 47) as f64;

fn classify(value: f64) -> Float {
    let bits = value.to_bits();
    let whole = value as i64;
    if (whole as f64).to_bits() == bits {
        return if value.abs() < WHOLE_MAX { Float::Integer(whole) } else { Float::Raw(bits) };
    }
    for (scale, form) in [(1e3, Float::Milli as fn(i64) -> Float), (1e9, Float::Nano)] {
        let scaled = value * scale;
        let whole = scaled.round() as i64;
        if scaled.abs() < WHOLE_MAX && (whole as f64 / scale).to_bits() == bits {
            return form(whole);
        }
    }
    if bits == STALE_BITS { Float::Stale } else { Float::Raw(bits) }
}

/// Appends the value's payload and returns its tag, which the caller stores in front of it.
pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) -> u8 {
    match value {
        Value::Float(value) => put_float(out, *value),
        Value::Histogram(histogram) => {
            put_histogram(out, histogram);
            HISTOGRAM
        }
    }
}

pub(super) fn put_float(out: &mut Vec<u8>, value: f64) -> u8 {
    match classify(value) {
        Float::Integer(whole) => {
            put_signed(out, whole);
            INTEGER
        }
        Float::Milli(whole) => {
            put_signed(out, whole);
            MILLI
        }
        Float::Nano(whole) => {
            put_signed(out, whole);
            NANO
        }
        Float::Stale => STALE,
        Float::Raw(bits) => {
            out.extend_from_slice(&bits.to_le_bytes());
            RAW
        }
    }
}

pub(super) fn take_value(reader: &mut Reader<'_>, tag: u8) -> Result<Value, Damaged> {
    if tag == HISTOGRAM {
        Ok(Value::Histogram(Arc::new(take_histogram(reader)?)))
    } else {
        take_float(reader, tag).map(Value::Float)
    }
}

pub(super) fn take_float(reader: &mut Reader<'_>, tag: u8) -> Result<f64, Damaged> {
    Ok(match tag {
        INTEGER => reader.signed()? as f64,
        MILLI => reader.signed()? as f64 / 1e3,
        NANO => reader.signed()? as f64 / 1e9,
        STALE => f64::from_bits(STALE_BITS),
        RAW => f64::from_bits(u64::from_le_bytes(reader.array()?)),
        _ => return Err(Damaged("a value has an unknown form")),
    })
}

fn put_tagged(out: &mut Vec<u8>, value: f64) {
    let at = out.len();
    out.push(0);
    out[at] = put_float(out, value);
}

fn take_tagged(reader: &mut Reader<'_>) -> Result<f64, Damaged> {
    let tag = reader.byte()?;
    take_float(reader, tag)
}

pub(super) fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    put_layout(out, histogram);
    for value in [histogram.zero_count, histogram.count, histogram.sum] {
        put_tagged(out, value);
    }
    for value in histogram.positive_buckets.iter().chain(&histogram.negative_buckets) {
        put_tagged(out, *value);
    }
}

pub(super) fn take_histogram(reader: &mut Reader<'_>) -> Result<Histogram, Damaged> {
    let mut histogram = take_layout(reader)?;
    histogram.zero_count = take_tagged(reader)?;
    histogram.count = take_tagged(reader)?;
    histogram.sum = take_tagged(reader)?;
    for value in histogram.positive_buckets.iter_mut().chain(&mut histogram.negative_buckets) {
        *value = take_tagged(reader)?;
    }
    Ok(histogram)
}

/// Appends what a histogram says beside its counts and its sum: which buckets there are, first of all.
pub(super) fn put_layout(out: &mut Vec<u8>, histogram: &Histogram) {
    out.push(match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NoReset => 2,
        ResetHint::Gauge => 3,
    });
    put_signed(out, i64::from(histogram.schema));
    put_tagged(out, histogram.zero_threshold);
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_signed(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    put_varint(out, histogram.custom_values.len() as u64);
    for value in &histogram.custom_values {
        put_tagged(out, *value);
    }
    put_varint(out, histogram.positive_buckets.len() as u64);
    put_varint(out, histogram.negative_buckets.len() as u64);
}

/// Returns a histogram without counts. Each bucket takes a byte at least of what follows.
pub(super) fn take_layout(reader: &mut Reader<'_>) -> Result<Histogram, Damaged> {
    let reset_hint = match reader.byte()? {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NoReset,
        3 => ResetHint::Gauge,
        _ => return Err(Damaged("a histogram has an unknown reset hint")),
    };
    let schema = i32::try_from(reader.signed()?).map_err(|_| Damaged("a histogram's schema is out of range"))?;
    let mut histogram = Histogram { reset_hint, schema, ..Histogram::default() };
    histogram.zero_threshold = take_tagged(reader)?;
    histogram.positive_spans = take_spans(reader)?;
    histogram.negative_spans = take_spans(reader)?;
    histogram.custom_values = (0..reader.count()?).map(|_| take_tagged(reader)).collect::<Result<_, _>>()?;
    histogram.positive_buckets = vec![0.0; reader.count()?];
    histogram.negative_buckets = vec![0.0; reader.count()?];
    Ok(histogram)
}

/// Returns whether `put_layout` writes the same for both.
pub(super) fn same_layout(left: &Histogram, right: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>();
    left.reset_hint == right.reset_hint
        && left.schema == right.schema
        && left.zero_threshold.to_bits() == right.zero_threshold.to_bits()
        && left.positive_spans == right.positive_spans
        && left.negative_spans == right.negative_spans
        && left.positive_buckets.len() == right.positive_buckets.len()
        && left.negative_buckets.len() == right.negative_buckets.len()
        && bits(&left.custom_values) == bits(&right.custom_values)
}

fn take_spans(reader: &mut Reader<'_>) -> Result<Vec<BucketSpan>, Damaged> {
    let wide = Damaged("a histogram's span is out of range");
    (0..reader.count()?)
        .map(|_| {
            let offset = i32::try_from(reader.signed()?).map_err(|_| wide)?;
            let length = u32::try_from(reader.varint()?).map_err(|_| wide)?;
            Ok(BucketSpan { offset, length })
        })
        .collect()
}

/// Returns whether two values are the same to the last bit.
pub(super) fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits(),
        (Value::Histogram(left), Value::Histogram(right)) => {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            put_histogram(&mut one, left);
            put_histogram(&mut other, right);
            one == other
        }
        (Value::Float(_), Value::Histogram(_)) | (Value::Histogram(_), Value::Float(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit patterns at the edges of every form.
    const EDGES: [u64; 14] = [
        0,
        1,
        0x8000_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x7ff8_0000_0000_0001,
        0xffff_ffff_ffff_ffff,
        STALE_BITS,
        STALE_BITS | 1 << 63,
        0x3ff0_0000_0000_0000,
        0x42e0_0000_0000_0000,
        0x42df_ffff_ffff_ffff,
        0x43e0_0000_0000_0000,
    ];

    #[test]
    fn floats_round_trip_bit_for_bit() {
        let mut seed = 1u64;
        let random = (0..200_000).map(|index| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            match index % 4 {
                0 => seed,
                1 => ((seed as i32) as f64).to_bits(),
                2 => ((seed as i32) as f64 / 100.0).to_bits(),
                _ => ((seed >> 20) as f64 / 1e7).to_bits(),
            }
        });
        for bits in EDGES.into_iter().chain(random) {
            let mut bytes = Vec::new();
            put_tagged(&mut bytes, f64::from_bits(bits));
            assert!(bytes.len() <= 9, "{bits:x} takes {} bytes", bytes.len());
            let mut reader = Reader(&bytes);
            assert_eq!(take_tagged(&mut reader).map(f64::to_bits), Ok(bits));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn integers_round_trip() {
        for number in [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(Reader(&bytes).signed(), Ok(number));
        }
        assert!(Reader(&[0xff; 12]).varint().is_err());
        assert!(Reader(&[0x80]).varint().is_err());
    }

    #[test]
    fn histograms_round_trip_and_cut_ones_are_refused() {
        let histogram = Histogram {
            reset_hint: ResetHint::Gauge,
            schema: -53,
            zero_threshold: 1e-128,
            zero_count: f64::NAN,
            count: 12.5,
            sum: f64::from_bits(STALE_BITS),
            positive_spans: vec![BucketSpan { offset: -7, length: 2 }, BucketSpan { offset: 3, length: 1 }],
            negative_spans: vec![BucketSpan { offset: i32::MIN, length: u32::MAX }],
            positive_buckets: vec![1.0, -0.0, 3.25],
            negative_buckets: vec![],
            custom_values: vec![0.1, 0.25, f64::INFINITY],
        };
        let mut bytes = Vec::new();
        put_histogram(&mut bytes, &histogram);
        let read = take_histogram(&mut Reader(&bytes)).unwrap();
        assert!(same_value(&Value::Histogram(Arc::new(histogram)), &Value::Histogram(Arc::new(read))));
        for cut in 0..bytes.len() {
            assert!(take_histogram(&mut Reader(&bytes[..cut])).is_err(), "{cut} bytes were enough");
        }
    }
}
