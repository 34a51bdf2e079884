//! Sequences of whole numbers in few bits: what is left of them once a prediction is taken off, in Rice codes.
//!
//! A number is predicted as the first one, as the one before, as the one before and the step that led to it, or by the step that another
//! sequence takes at the same place: the buckets of a histogram grow together. The form that takes the fewest bits wins. All steps are
//! divided by what they have in common, such as the size of a memory page.
//! Source: Rice and Plaunt, "Adaptive Variable-Length Coding for Efficient Compression of Spacecraft Television Data", 1971.

use super::bits::{BitReader, BitWriter};
use super::codec::{Damaged, Reader, put_signed, put_varint, unzigzag, zigzag};

/// So many numbers share the width of their codes.
const SEGMENT_LEN: usize = 128;
const WIDTH_BITS: u32 = 6;
/// A segment of nothing but zeros has this width, and no bits.
const ZEROS: u32 = 63;
const WIDTH_MAX: u32 = 62;
/// A number whose code would begin with so many zeros stands there in full.
const ESCAPE: u32 = 24;
/// Steps of another sequence are weighed in parts of this.
const WEIGHT_BITS: u32 = 20;
/// The median is taken of about so many numbers.
const PROBES: usize = 31;

/// How the numbers are predicted; the lowest bits of the form.
const CONSTANT: u8 = 0;
const FROM_FIRST: u8 = 1;
const FROM_LAST: u8 = 2;
const FROM_STEP: u8 = 3;
const FROM_OTHER: u8 = 4;
const PREDICTION_MASK: u8 = 0b0111;
/// What is left is never negative.
const UNSIGNED: u8 = 0b0000_1000;
/// What is left is mostly zero: lengths of runs of zeros, then what stands between them.
const SPARSE: u8 = 0b0001_0000;
/// What is left is zero everywhere.
const EXACT: u8 = 0b0010_0000;

/// A way to write a sequence.
struct Plan {
    form: u8,
    bias: i64,
    weight: i64,
    left: Vec<u64>,
}

/// Appends a sequence that is not empty; the reader must know its length, and `other` if that helped: another sequence of this length.
/// Returns whether it did.
pub(super) fn put(out: &mut Vec<u8>, numbers: &[i64], other: Option<&[i64]>) -> bool {
    let first = numbers[0];
    let mut steps: Vec<i64> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let unit = common_unit(&steps);
    if unit == 0 {
        out.push(CONSTANT);
        put_signed(out, first);
        return false;
    }
    if unit > 1 {
        steps.iter_mut().for_each(|step| *step = divide(*step, unit));
    }
    let plan = best(numbers, &steps, unit, other);
    let exact = plan.left.iter().all(|left| *left == 0);
    let events = if exact { None } else { sparse(&plan) };
    let flags = if exact { EXACT } else { 0 } | if events.is_some() { SPARSE } else { 0 };
    out.push(plan.form | flags);
    put_signed(out, first);
    put_varint(out, unit);
    put_signed(out, plan.bias);
    if plan.form & PREDICTION_MASK == FROM_OTHER {
        put_signed(out, plan.weight);
    }
    let mut bits = BitWriter::default();
    match events {
        _ if exact => {}
        None => put_rice(&mut bits, &plan.left),
        Some((gaps, rest)) => {
            put_varint(out, gaps.len() as u64);
            put_rice(&mut bits, &gaps);
            put_rice(&mut bits, &rest);
        }
    }
    bits.copy_to(out);
    plan.form & PREDICTION_MASK == FROM_OTHER
}

/// Returns the way that takes the fewest bits, about.
fn best(numbers: &[i64], steps: &[i64], unit: u64, other: Option<&[i64]>) -> Plan {
    let bias = median(steps);
    let from_last = || steps.iter().map(move |step| zigzag(step.wrapping_sub(bias)));
    let least = steps.iter().copied().min().unwrap_or(0);
    let above = || steps.iter().map(move |step| step.wrapping_sub(least) as u64);
    let turns = || std::iter::once(0).chain(steps.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0]))));
    let (low, high) = numbers.iter().fold((i64::MAX, i64::MIN), |(low, high), own| (low.min(*own), high.max(*own)));
    let offsets: Option<Vec<i64>> =
        high.checked_sub(low).map(|_| numbers[1..].iter().map(|own| divide(own - numbers[0], unit)).collect());
    let middle = offsets.as_deref().map_or(0, median);
    let from_first = || offsets.iter().flatten().map(move |own| zigzag(own.wrapping_sub(middle)));
    let follow = other.and_then(|other| {
        let others: Vec<i64> = other.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        let sum = |steps: &[i64]| steps.iter().map(|step| i128::from(*step)).sum::<i128>();
        let weight = (sum(steps) << WEIGHT_BITS).checked_div(sum(&others)).and_then(|weight| i64::try_from(weight).ok())?;
        let left = steps.iter().zip(&others).map(|(own, other)| zigzag(own.wrapping_sub(weigh(*other, weight))));
        Some((weight, left.collect::<Vec<u64>>()))
    });
    let costs = [
        Some(rough_cost(from_last())),
        Some(rough_cost(above())),
        offsets.as_ref().map(|_| rough_cost(from_first())),
        Some(rough_cost(turns())),
        follow.as_ref().map(|(_, left)| rough_cost(left.iter().copied())),
    ];
    let least_cost = costs.iter().flatten().min();
    let chosen = costs.iter().position(|cost| cost.as_ref() == least_cost && cost.is_some());
    match (chosen, follow) {
        (Some(1), _) => Plan { form: FROM_LAST | UNSIGNED, bias: least, weight: 0, left: above().collect() },
        (Some(2), _) => Plan { form: FROM_FIRST, bias: middle, weight: 0, left: from_first().collect() },
        (Some(3), _) => Plan { form: FROM_STEP, bias: steps[0], weight: 0, left: turns().collect() },
        (Some(4), Some((weight, left))) => Plan { form: FROM_OTHER, bias: 0, weight, left },
        _ => Plan { form: FROM_LAST, bias, weight: 0, left: from_last().collect() },
    }
}

fn len_bits(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Returns the bits of the numbers alone; a few wild ones weigh no more than they have to.
fn rough_cost(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.map(|number| u64::from(len_bits(number))).sum()
}

fn weigh(step: i64, weight: i64) -> i64 {
    ((i128::from(step) * i128::from(weight) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS) as i64
}

/// Returns the greatest number that divides all steps; 0 when they are all zero.
fn common_unit(steps: &[i64]) -> u64 {
    let mut unit = 0u64;
    for step in steps {
        let step = step.unsigned_abs();
        if unit == 1 {
            break;
        }
        if unit == 0 || step % unit != 0 {
            let (mut left, mut right) = (unit, step);
            while right != 0 {
                (left, right) = (right, left % right);
            }
            unit = left;
        }
    }
    unit
}

/// Divides a multiple of the unit.
fn divide(step: i64, unit: u64) -> i64 {
    let part = step.unsigned_abs() / unit;
    if step < 0 { (part as i64).wrapping_neg() } else { part as i64 }
}

/// Returns a number in the middle of a few of the numbers.
fn median(numbers: &[i64]) -> i64 {
    let mut probes: Vec<i64> = numbers.iter().step_by((numbers.len() / PROBES).max(1)).copied().collect();
    let middle = probes.len() / 2;
    *probes.select_nth_unstable(middle).1
}

/// Returns the lengths of the runs of zeros, each up to a number that is none, and these numbers less one, when that is shorter.
fn sparse(plan: &Plan) -> Option<(Vec<u64>, Vec<u64>)> {
    let count = plan.left.iter().filter(|left| **left != 0).count();
    if count * 4 > plan.left.len() {
        return None;
    }
    let (mut gaps, mut rest, mut gap) = (Vec::with_capacity(count), Vec::with_capacity(count), 0);
    for left in &plan.left {
        if *left == 0 {
            gap += 1;
        } else {
            gaps.push(std::mem::take(&mut gap));
            rest.push(left - 1);
        }
    }
    (cost(&gaps) + cost(&rest) + 16 < cost(&plan.left)).then_some((gaps, rest))
}

/// Returns the width that suits a segment, and about the bits that it takes with it.
fn width(segment: &[u64]) -> (u32, u64) {
    // How many numbers there are of each length.
    let mut lens = [0u64; 65];
    segment.iter().for_each(|left| lens[len_bits(*left) as usize] += 1);
    let all = segment.len() as u64;
    if lens[0] == all {
        return (ZEROS, 0);
    }
    let mut below = 0;
    let middle = lens.iter().position(|count| {
        below += count;
        below * 2 >= all
    });
    let middle = middle.unwrap_or(0) as u32;
    let bits = |width: u32| {
        // Twice the bits in front of the width: numbers that are longer have half of the greatest number there, on average.
        let longer = lens[width as usize + 1..].iter().enumerate();
        let tops: u64 = longer.map(|(more, count)| count * if more < 4 { (3 << more) - 1 } else { 2 * (64 + 25) }).sum();
        tops / 2 + all * u64::from(width + 1)
    };
    let tried = (middle.saturating_sub(2)..=middle + 1).map(|width| width.min(WIDTH_MAX));
    tried.map(|width| (width, bits(width))).min_by_key(|(_, bits)| *bits).unwrap_or((middle, 0))
}

/// Returns about the bits that `put_rice` takes.
fn cost(numbers: &[u64]) -> u64 {
    numbers.chunks(SEGMENT_LEN).map(|segment| u64::from(WIDTH_BITS) + width(segment).1).sum()
}

fn put_rice(bits: &mut BitWriter, numbers: &[u64]) {
    for segment in numbers.chunks(SEGMENT_LEN) {
        let (width, _) = width(segment);
        bits.put(u64::from(width), WIDTH_BITS);
        if width == ZEROS {
            continue;
        }
        for number in segment {
            let top = number >> width;
            if top >= u64::from(ESCAPE) {
                bits.put(1, ESCAPE + 1);
                bits.put(*number, 64);
            } else {
                let code = 1 << width | number & ((1 << width) - 1);
                if top as u32 + 1 + width <= 64 {
                    bits.put(code, top as u32 + 1 + width);
                } else {
                    bits.put(1, top as u32 + 1);
                    bits.put(number & ((1 << width) - 1), width);
                }
            }
        }
    }
}

/// Hands out so many numbers.
fn take_rice(bits: &mut BitReader<'_>, count: usize, mut take: impl FnMut(u64)) -> Result<(), Damaged> {
    let mut left = count;
    while left > 0 {
        let len = left.min(SEGMENT_LEN);
        left -= len;
        let width = bits.take(WIDTH_BITS) as u32;
        if width == ZEROS {
            (0..len).for_each(|_| take(0));
            continue;
        }
        for _ in 0..len {
            take(bits.rice(width, ESCAPE)?);
        }
        bits.check()?;
    }
    Ok(())
}

/// Reads the first `limit` of `len` numbers, which `put` wrote; the bytes are all of them. `other` is what `put` had, as far as `limit`.
pub(super) fn take(bytes: &[u8], len: usize, limit: usize, other: Option<&[i64]>) -> Result<Vec<i64>, Damaged> {
    let mut reader = Reader(bytes);
    let (form, first, limit) = (reader.byte()?, reader.signed()?, limit.min(len));
    if limit == 0 {
        return Ok(Vec::new());
    }
    if form == CONSTANT {
        return Ok(vec![first; limit]);
    }
    let unit = reader.varint()? as i64;
    let bias = reader.signed()?;
    let weight = if form & PREDICTION_MASK == FROM_OTHER { reader.signed()? } else { 0 };
    let mut numbers = Vec::with_capacity(limit);
    numbers.push(first);
    let sign = |left: u64| if form & UNSIGNED == 0 { unzigzag(left) } else { left as i64 };
    match form & PREDICTION_MASK {
        FROM_FIRST => {
            take_left(&mut reader, form, len - 1, limit - 1, |left| {
                numbers.push(first.wrapping_add(sign(left).wrapping_add(bias).wrapping_mul(unit)));
            })?;
        }
        FROM_LAST => {
            let mut last = first;
            take_left(&mut reader, form, len - 1, limit - 1, |left| {
                last = last.wrapping_add(sign(left).wrapping_add(bias).wrapping_mul(unit));
                numbers.push(last);
            })?;
        }
        FROM_STEP => {
            let (mut last, mut step) = (first, bias);
            take_left(&mut reader, form, len - 1, limit - 1, |left| {
                step = step.wrapping_add(sign(left));
                last = last.wrapping_add(step.wrapping_mul(unit));
                numbers.push(last);
            })?;
        }
        FROM_OTHER => {
            let other = other.filter(|other| other.len() >= limit).ok_or(Damaged("a sequence misses the one that it follows"))?;
            let (mut last, mut others) = (first, other.windows(2));
            take_left(&mut reader, form, len - 1, limit - 1, |left| {
                let step = others.next().map_or(0, |pair| weigh(pair[1].wrapping_sub(pair[0]), weight));
                last = last.wrapping_add(sign(left).wrapping_add(step).wrapping_mul(unit));
                numbers.push(last);
            })?;
        }
        _ => return Err(Damaged("a sequence has an unknown form")),
    }
    Ok(numbers)
}

/// Hands out the first `limit` of `len` numbers of what predictions left.
fn take_left(reader: &mut Reader<'_>, form: u8, len: usize, limit: usize, mut take: impl FnMut(u64)) -> Result<(), Damaged> {
    if form & EXACT != 0 {
        (0..limit).for_each(|_| take(0));
        return Ok(());
    }
    if form & SPARSE == 0 {
        return take_rice(&mut BitReader::new(reader.0), limit, take);
    }
    let count = reader.varint()?;
    if count > len as u64 {
        return Err(Damaged("a sequence has too many numbers"));
    }
    let count = count as usize;
    let mut bits = BitReader::new(reader.0);
    let mut gaps = Vec::new();
    take_rice(&mut bits, count, |gap| gaps.push(gap))?;
    let (mut gaps, mut given) = (gaps.into_iter(), 0);
    take_rice(&mut bits, count, |rest| {
        let gap = gaps.next().unwrap_or(0).min((limit - given) as u64) as usize;
        (0..gap).for_each(|_| take(0));
        given += gap;
        if given < limit {
            take(rest.wrapping_add(1));
            given += 1;
        }
    })?;
    (given..limit).for_each(|_| take(0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    fn check(numbers: &[i64], other: Option<&[i64]>) -> usize {
        let mut bytes = Vec::new();
        let helped = put(&mut bytes, numbers, other);
        let other = other.filter(|_| helped);
        assert_eq!(take(&bytes, numbers.len(), usize::MAX, other).as_deref(), Ok(numbers));
        let part = numbers.len() / 2;
        assert_eq!(take(&bytes, numbers.len(), part, other).as_deref(), Ok(&numbers[..part]));
        bytes.len()
    }

    #[test]
    fn any_numbers_come_back() {
        let mut seed = 5;
        for round in 0..3000 {
            let len = random(&mut seed) as usize % 400 + 1;
            let (spread, unit) = (random(&mut seed) % 64, 1 << (random(&mut seed) % 20));
            let mut last = random(&mut seed) as i64 >> (random(&mut seed) % 64);
            let mut next = |seed: &mut u64| {
                match round % 7 {
                    0 => last = random(seed) as i64,
                    1 => {
                        last = last.wrapping_add(if random(seed).is_multiple_of(20) {
                            (random(seed) >> spread) as i64
                        } else {
                            15_000
                        })
                    }
                    2 => last = if random(seed).is_multiple_of(50) { random(seed) as i64 >> spread } else { last },
                    3 => last = (random(seed) >> spread) as i64,
                    _ => last = last.wrapping_add((random(seed) as i64 >> spread).wrapping_mul(unit)),
                }
                last
            };
            let numbers: Vec<i64> = (0..len).map(|_| next(&mut seed)).collect();
            let other: Vec<i64> = numbers.iter().map(|own| (own / 3).wrapping_add((random(&mut seed) % 2) as i64)).collect();
            check(&numbers, None);
            check(&numbers, Some(&other));
            check(&other, Some(&numbers));
        }
        check(&[i64::MIN, i64::MAX, i64::MIN, 0, -1, i64::MAX], Some(&[i64::MAX, i64::MIN, 0, 0, 5, i64::MIN]));
        check(&[i64::MIN], None);
        check(&[i64::MIN, 0], None);
    }

    #[test]
    fn what_can_be_predicted_takes_little() {
        let steady: Vec<i64> = (0..480).map(|index| 1_795_231_655_000 + index * 15_000).collect();
        assert!(check(&steady, None) < 16);
        assert!(check(&[7; 480], None) < 4);
        let pages: Vec<i64> = (0..480).map(|index| index * index % 7 * 4096).collect();
        assert!(check(&pages, None) < 480 / 2);
        let mut seed = 9;
        let mut total = 0;
        let whole: Vec<i64> = (0..480)
            .map(|_| {
                total += random(&mut seed) as i64 & 1023;
                total
            })
            .collect();
        let part: Vec<i64> = whole.iter().map(|own| own * 3 / 10).collect();
        let (alone, together) = (check(&part, None), check(&part, Some(&whole)));
        assert!(together * 4 < alone, "{together} against {alone} bytes");
        let mut rare = vec![5; 2000];
        (0..2000).step_by(211).for_each(|index| rare[index] = 900 + index as i64);
        assert!(check(&rare, None) < 60);
    }

    #[test]
    fn damaged_sequences_never_panic() {
        let numbers: Vec<i64> = (0..300).map(|index: i64| index * index % 37).collect();
        let mut bytes = Vec::new();
        put(&mut bytes, &numbers, None);
        let mut seed = 3;
        for _ in 0..20_000 {
            let mut bad = bytes.clone();
            let at = random(&mut seed) as usize % bad.len();
            bad[at] ^= random(&mut seed) as u8;
            bad[0] = if random(&mut seed).is_multiple_of(4) { random(&mut seed) as u8 } else { bad[0] };
            bad.truncate(random(&mut seed) as usize % (bad.len() + 1));
            if let Ok(read) = take(&bad, 300, usize::MAX, Some(&numbers)) {
                assert!(read.len() <= 300);
            }
        }
    }
}
