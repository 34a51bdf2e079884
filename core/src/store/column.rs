//! Columns: the values of one series over one list of instants, as a block stores them. Every bit pattern comes back.
//!
//! Floats that are decimal fractions are stored as whole numbers, but only where the division gives back the very bits of each of them;
//! the others as their bits, in the order of the floats. NaNs, staleness markers among them, and infinities stand apart.
//! Native histograms are columns of columns: their counts, sums and buckets, as long as the buckets are the same.

use std::sync::Arc;

use crate::model::histogram::Histogram;
use crate::model::sample::STALE_BITS;

use super::codec::{Damaged, Reader, put_histogram, put_layout, put_varint, same_layout, take_histogram, take_layout};
use super::ints;

/// Floats with more digits behind the point than this are stored as bits.
const DIGITS_MAX: u8 = 12;
const POWERS: [f64; DIGITS_MAX as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Whole numbers beyond this do not stand for one float each.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

/// The form of a column of floats: the digits behind the point, or this.
const BITS: u8 = 15;
const SCALE_MASK: u8 = 0b0000_1111;
/// Some values stand apart.
const APART: u8 = 0b0001_0000;
/// All values are the same; the bits of one follow.
const SAME: u8 = 0b0010_0000;

/// How a value stands apart.
const STALE: u8 = 0;
const AS_BEFORE: u8 = 1;
const RAW: u8 = 2;

/// Values of one column of histograms, buckets and all, that are in memory at once.
const CELLS_MAX: usize = 1 << 22;

/// Whole numbers that stand for the floats of a column; other columns over the same instants may follow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    scale: u8,
    numbers: Vec<i64>,
}

impl Whole {
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// Maps bits of floats to integers in the order of the floats, and back.
fn ordered(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn scaled(value: f64, scale: u8) -> Option<i64> {
    if scale == 0 {
        let whole = value as i64;
        return ((whole as f64).to_bits() == value.to_bits() && value.abs() < WHOLE_MAX).then_some(whole);
    }
    let power = POWERS[scale as usize];
    let shifted = (value * power).round();
    (shifted.abs() < WHOLE_MAX && (shifted as i64 as f64 / power).to_bits() == value.to_bits()).then_some(shifted as i64)
}

/// Returns the whole numbers for floats, none of them NaN or infinite.
fn whole(values: &[f64]) -> Whole {
    let mut scale = 0;
    for value in values {
        while scale <= DIGITS_MAX && scaled(*value, scale).is_none() {
            scale += 1;
        }
    }
    // What fits fewer digits need not fit more.
    let numbers = if scale <= DIGITS_MAX { values.iter().map(|value| scaled(*value, scale)).collect() } else { None };
    match numbers {
        Some(numbers) => Whole { scale, numbers },
        None => Whole { scale: BITS, numbers: values.iter().map(|value| ordered(value.to_bits() as i64)).collect() },
    }
}

/// Appends a column that is not empty. `other` is what an earlier call with as many values returned; the reader needs it if the second
/// thing returned, which says whether it helped, is true. Returns the column's own numbers if others may follow them.
pub(super) fn put_floats(out: &mut Vec<u8>, values: &[f64], other: Option<&Whole>) -> (Option<Whole>, bool) {
    let first = values[0].to_bits();
    if values.iter().all(|value| value.to_bits() == first) {
        out.push(SAME);
        put_bits(out, first);
        return (None, false);
    }
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let own = whole(&finite);
    let apart = finite.len() < values.len();
    out.push(own.scale | if apart { APART } else { 0 });
    if apart {
        put_apart(out, values);
    }
    if finite.is_empty() {
        return (None, false);
    }
    let other = other.filter(|other| !apart && own.scale != BITS && other.scale == own.scale);
    let helped = ints::put(out, &own.numbers, other.map(|other| other.numbers.as_slice()));
    ((!apart && own.scale != BITS).then_some(own), helped)
}

/// Appends bits in the fewest bytes for whole numbers and zeros.
fn put_bits(out: &mut Vec<u8>, bits: u64) {
    put_varint(out, bits.reverse_bits());
}

fn take_bits(reader: &mut Reader<'_>) -> Result<u64, Damaged> {
    reader.varint().map(u64::reverse_bits)
}

/// Appends where the values are that stand apart, and what they are.
fn put_apart(out: &mut Vec<u8>, values: &[f64]) {
    let apart = || values.iter().enumerate().filter(|(_, value)| !value.is_finite());
    put_varint(out, apart().count() as u64);
    let (mut next, mut last) = (0, 0);
    for (place, value) in apart() {
        let bits = value.to_bits();
        let form = if bits == STALE_BITS {
            STALE
        } else if bits == last {
            AS_BEFORE
        } else {
            RAW
        };
        put_varint(out, ((place - next) as u64) << 2 | u64::from(form));
        if form == RAW {
            out.extend_from_slice(&bits.to_le_bytes());
            last = bits;
        }
        next = place + 1;
    }
}

fn take_apart(reader: &mut Reader<'_>, len: usize) -> Result<Vec<(usize, f64)>, Damaged> {
    let (count, mut next, mut last) = (reader.count()?, 0u64, 0);
    let mut apart = Vec::new();
    for _ in 0..count {
        let head = reader.varint()?;
        let place = next.checked_add(head >> 2).filter(|place| *place < len as u64).ok_or(Damaged("a value lies elsewhere"))?;
        next = place + 1;
        let bits = match (head & 3) as u8 {
            STALE => STALE_BITS,
            AS_BEFORE => last,
            RAW => u64::from_le_bytes(reader.array()?),
            _ => return Err(Damaged("a value has an unknown form")),
        };
        if (head & 3) as u8 == RAW {
            last = bits;
        }
        apart.push((place as usize, f64::from_bits(bits)));
    }
    Ok(apart)
}

/// Reads the whole numbers of a column that `put_floats` returned some for, as far as `limit`.
pub(super) fn take_whole(bytes: &[u8], len: usize, limit: usize) -> Result<Whole, Damaged> {
    let mut reader = Reader(bytes);
    let form = reader.byte()?;
    if form > DIGITS_MAX {
        return Err(Damaged("a column follows one that cannot be followed"));
    }
    Ok(Whole { scale: form, numbers: ints::take(reader.0, len, limit, None)? })
}

/// Reads the first `limit` of `len` values, which `put_floats` wrote; the bytes are all of them.
pub(super) fn take_floats(bytes: &[u8], len: usize, limit: usize, other: Option<&Whole>) -> Result<Vec<f64>, Damaged> {
    let mut reader = Reader(bytes);
    let (form, limit) = (reader.byte()?, limit.min(len));
    if form == SAME {
        return Ok(vec![f64::from_bits(take_bits(&mut reader)?); limit]);
    }
    let scale = form & SCALE_MASK;
    if form & !(SCALE_MASK | APART) != 0 || scale > DIGITS_MAX && scale != BITS {
        return Err(Damaged("a column has an unknown form"));
    }
    let apart = if form & APART == 0 { Vec::new() } else { take_apart(&mut reader, len)? };
    let rest = len - apart.len();
    let wanted = limit - apart.partition_point(|(place, _)| *place < limit);
    if rest == 0 {
        return Ok(apart.into_iter().take(limit).map(|(_, value)| value).collect());
    }
    let numbers = ints::take(reader.0, rest, wanted, other.map(|other| other.numbers.as_slice()))?;
    let mut values: Vec<f64> = match scale {
        BITS => numbers.into_iter().map(|number| f64::from_bits(ordered(number) as u64)).collect(),
        0 => numbers.into_iter().map(|number| number as f64).collect(),
        scale => {
            let power = POWERS[scale as usize];
            numbers.into_iter().map(|number| number as f64 / power).collect()
        }
    };
    if !apart.is_empty() {
        let mut finite = values.into_iter();
        let mut apart = apart.into_iter().peekable();
        values = (0..limit)
            .filter_map(|place| apart.next_if(|(own, _)| *own == place).map(|(_, own)| own).or_else(|| finite.next()))
            .collect();
    }
    Ok(values)
}

/// Histograms that stand one behind the other, whole, or columns of columns.
const WHOLE_ONES: u8 = 0;
const COLUMNS: u8 = 1;

/// Returns how many values a histogram has, about.
fn cells(own: &Histogram) -> usize {
    let spans = own.positive_spans.len() + own.negative_spans.len();
    own.positive_buckets.len() + own.negative_buckets.len() + own.custom_values.len() + spans + 3
}

/// Appends a column of histograms, in the shorter of two forms.
pub(super) fn put_histograms(out: &mut Vec<u8>, histograms: &[&Histogram]) {
    let mut columns = vec![COLUMNS];
    let mut rest = histograms;
    while let Some(first) = rest.first() {
        let same = rest.iter().take((CELLS_MAX / cells(first)).max(1)).take_while(|own| same_layout(own, first)).count();
        let (own, behind) = rest.split_at(same);
        put_alike(&mut columns, own);
        rest = behind;
    }
    let mut whole = vec![WHOLE_ONES];
    for histogram in histograms {
        if whole.len() > columns.len() {
            break;
        }
        put_histogram(&mut whole, histogram);
    }
    out.extend_from_slice(if whole.len() <= columns.len() { &whole } else { &columns });
}

/// Appends histograms of one layout: the count first, which the buckets follow.
fn put_alike(out: &mut Vec<u8>, histograms: &[&Histogram]) {
    put_varint(out, histograms.len() as u64);
    put_layout(out, histograms[0]);
    let mut leader = None;
    let mut put = |values: Vec<f64>| {
        let mut bytes = Vec::new();
        let (own, _) = put_floats(&mut bytes, &values, leader.as_ref());
        leader = leader.take().or(own);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    };
    put(histograms.iter().map(|own| own.count).collect());
    put(histograms.iter().map(|own| own.zero_count).collect());
    put(histograms.iter().map(|own| own.sum).collect());
    for place in 0..histograms[0].positive_buckets.len() {
        put(histograms.iter().map(|own| own.positive_buckets[place]).collect());
    }
    for place in 0..histograms[0].negative_buckets.len() {
        put(histograms.iter().map(|own| own.negative_buckets[place]).collect());
    }
}

/// Reads the first `limit` of `len` histograms, which `put_histograms` wrote; the bytes are all of them.
pub(super) fn take_histograms(bytes: &[u8], len: usize, limit: usize) -> Result<Vec<Arc<Histogram>>, Damaged> {
    let (mut reader, limit, mut all) = (Reader(bytes), limit.min(len), Vec::new());
    match reader.byte()? {
        WHOLE_ONES => {
            for _ in 0..limit {
                all.push(Arc::new(take_histogram(&mut reader)?));
            }
        }
        COLUMNS => {
            while all.len() < limit {
                let same = reader.varint()?;
                if same == 0 || same > (len - all.len()) as u64 {
                    return Err(Damaged("a run of histograms has an impossible length"));
                }
                let wanted = (same as usize).min(limit - all.len());
                take_alike(&mut reader, same as usize, wanted, &mut all)?;
            }
        }
        _ => return Err(Damaged("a column has an unknown form")),
    }
    Ok(all)
}

fn take_alike(reader: &mut Reader<'_>, len: usize, limit: usize, all: &mut Vec<Arc<Histogram>>) -> Result<(), Damaged> {
    let layout = take_layout(reader)?;
    if len > 1 && len.checked_mul(cells(&layout)).is_none_or(|cells| cells > CELLS_MAX) {
        return Err(Damaged("a run of histograms is too long"));
    }
    let mut leader = None;
    let mut take = || {
        let bytes = reader.count().and_then(|len| reader.take(len))?;
        let values = take_floats(bytes, len, limit, leader.as_ref())?;
        leader = leader.take().or_else(|| take_whole(bytes, len, limit).ok());
        Ok::<_, Damaged>(values.into_iter())
    };
    let (positive, negative) = (layout.positive_buckets.len(), layout.negative_buckets.len());
    let mut own = vec![layout; limit];
    own.iter_mut().zip(take()?).for_each(|(own, value)| own.count = value);
    own.iter_mut().zip(take()?).for_each(|(own, value)| own.zero_count = value);
    own.iter_mut().zip(take()?).for_each(|(own, value)| own.sum = value);
    for place in 0..positive {
        own.iter_mut().zip(take()?).for_each(|(own, value)| own.positive_buckets[place] = value);
    }
    for place in 0..negative {
        own.iter_mut().zip(take()?).for_each(|(own, value)| own.negative_buckets[place] = value);
    }
    all.extend(own.into_iter().map(Arc::new));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::BucketSpan;
    use crate::model::sample::Value;
    use crate::store::codec::same_value;

    fn random(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    fn check(values: &[f64], other: Option<&Whole>) -> (usize, Option<Whole>) {
        let mut bytes = Vec::new();
        let (own, helped) = put_floats(&mut bytes, values, other);
        let other = other.filter(|_| helped);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for limit in [values.len(), values.len() / 2, 1] {
            let read = take_floats(&bytes, values.len(), limit, other).unwrap();
            assert_eq!(bits(&read), bits(&values[..limit.min(values.len())]));
        }
        if !helped && own.is_some() {
            assert_eq!(take_whole(&bytes, values.len(), values.len()).ok(), own);
        }
        (bytes.len(), own)
    }

    #[test]
    fn any_bits_come_back() {
        let mut seed = 11;
        for round in 0..3000 {
            let len = random(&mut seed) as usize % 300 + 1;
            let mut last = 0.0f64;
            let mut next = |seed: &mut u64| {
                match (round % 6, random(seed) % 8) {
                    (0, _) | (_, 0) if random(seed).is_multiple_of(3) => return f64::from_bits(random(seed)),
                    (_, 1) if round % 2 == 0 => return f64::from_bits(STALE_BITS),
                    (_, 2) if round % 5 == 0 => {
                        return *[f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE / 8.0].get(random(seed) as usize % 4).unwrap();
                    }
                    (1, _) => last += (random(seed) % 100) as f64,
                    (2, _) => last = (random(seed) % 100_000) as f64 / 1000.0,
                    (3, _) => last += (random(seed) % 100_000) as f64 * 0.1,
                    (4, _) => last = -((random(seed) % 3) as f64),
                    _ => last = f64::from((random(seed) as f32) / 3.0),
                }
                last
            };
            let values: Vec<f64> = (0..len).map(|_| next(&mut seed)).collect();
            let (_, own) = check(&values, None);
            let halves: Vec<f64> = values.iter().map(|value| (value / 2.0).floor()).collect();
            check(&halves, own.as_ref());
        }
    }

    #[test]
    fn decimal_fractions_are_whole_numbers_only_where_they_give_back_every_bit() {
        assert_eq!(check(&[0.1, 0.25, 1.0], None).1.map(|own| (own.scale, own.numbers)), Some((2, vec![10, 25, 100])));
        assert_eq!(check(&[0.1, 0.1 + 0.2], None).1, None);
        assert_eq!(check(&[0.0, -0.0], None).1, None);
        assert_eq!(check(&[9_007_199_254_740_993.0, 1.0], None).1, None);
    }

    fn histogram(seed: &mut u64, before: &Histogram) -> Histogram {
        let mut own = before.clone();
        match random(seed) % 30 {
            0 => own.positive_buckets.push(0.0),
            1 => own.positive_spans.push(BucketSpan { offset: random(seed) as i32, length: random(seed) as u32 }),
            2 => own.zero_threshold = f64::from_bits(random(seed)),
            3 => own.custom_values.push(0.5),
            _ => {}
        }
        for bucket in own.positive_buckets.iter_mut().chain(&mut own.negative_buckets) {
            *bucket += (random(seed) % 5) as f64;
        }
        own.count += (random(seed) % 9) as f64;
        own.sum += (random(seed) % 900) as f64 * 0.1;
        own
    }

    #[test]
    fn histograms_come_back_and_take_no_more_than_whole_ones() {
        let mut seed = 23;
        for _ in 0..60 {
            let mut last = Histogram { positive_buckets: vec![1.0; 9], negative_buckets: vec![2.0], ..Histogram::default() };
            let mut all = Vec::new();
            for _ in 0..random(&mut seed) % 200 + 1 {
                last = histogram(&mut seed, &last);
                all.push(last.clone());
            }
            let all: Vec<&Histogram> = all.iter().collect();
            let (mut bytes, mut whole) = (Vec::new(), Vec::new());
            put_histograms(&mut bytes, &all);
            all.iter().for_each(|own| put_histogram(&mut whole, own));
            assert!(bytes.len() <= whole.len() + 1);
            for limit in [all.len(), all.len() / 2] {
                let read = take_histograms(&bytes, all.len(), limit).unwrap();
                assert_eq!(read.len(), limit);
                let same = |(own, read): (&&Histogram, &Arc<Histogram>)| {
                    same_value(&Value::Histogram(Arc::new((*own).clone())), &Value::Histogram(read.clone()))
                };
                assert!(all.iter().zip(&read).all(same));
            }
        }
    }

    #[test]
    fn damaged_columns_never_panic() {
        let mut seed = 5;
        let values: Vec<f64> = (0..200).map(|index| if index % 50 == 3 { f64::NAN } else { f64::from(index) / 10.0 }).collect();
        let histograms: Vec<Histogram> = (0..50).map(|_| histogram(&mut seed, &Histogram::default())).collect();
        let (mut floats, mut columns) = (Vec::new(), Vec::new());
        put_floats(&mut floats, &values, None);
        put_histograms(&mut columns, &histograms.iter().collect::<Vec<_>>());
        for round in 0..40_000 {
            let mut bad = if round % 2 == 0 { floats.clone() } else { columns.clone() };
            for _ in 0..random(&mut seed) % 3 {
                let at = random(&mut seed) as usize % bad.len();
                bad[at] ^= random(&mut seed) as u8;
            }
            bad.truncate(random(&mut seed) as usize % (bad.len() + 1));
            let _ = take_floats(&bad, 200, 200, None);
            let _ = take_histograms(&bad, 50, 50);
        }
    }
}
