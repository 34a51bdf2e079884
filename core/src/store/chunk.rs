//! Chunks: up to 120 samples of one series, compressed.
//!
//! A chunk spends one bit on a float that repeats the value at the usual interval. Otherwise it stores how much the interval changed, and
//! then what became of the value: where all values are whole numbers, as counters are, the step from the previous one; else the exclusive
//! or with the previous one, as Gorilla does. A histogram chunk stores whole histograms.
//! Sealed chunks of a series stand one behind the other in a *run*: header, bits, header, bits …; blocks on disk hold the same runs.
//! Source: Pelkonen et al., "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015.

use std::sync::Arc;

use crate::model::histogram::Histogram;
use crate::model::sample::Value;

use super::bits::{AHEAD, BitReader, BitWriter};
use super::codec::{Damaged, Reader, put_histogram, put_signed, put_varint, take_histogram, unzigzag, zigzag};

/// The most samples of a chunk.
pub(super) const SAMPLES_MAX: u8 = 120;
/// A chunk is sealed when it spans this much, so that chunks of slow series can leave memory too.
pub(super) const SPAN_MS_MAX: i64 = 2 * 3600 * 1000;
/// A histogram chunk is sealed when it takes this much.
const HISTOGRAM_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Float,
    /// Floats that are whole numbers.
    Whole,
    Histogram,
}

/// Whole numbers up to this are exact as floats, and so are the steps between them.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;
/// A width that one wild step opened wide is given up once a new one costs so many bits less.
const WIDTH_SLACK: u8 = 7;

/// Returns whether the very bits of a float come back from its whole number.
fn is_whole(value: f64) -> bool {
    (value as i64 as f64).to_bits() == value.to_bits() && value.abs() <= WHOLE_MAX
}

/// Samples of one span of time, as they are read from chunks.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoded {
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl Decoded {
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Drops what is older than an instant; the samples are in order.
    pub fn cut_before(&mut self, horizon: i64) {
        self.floats.drain(..self.floats.partition_point(|(at, _)| *at < horizon));
        self.histograms.drain(..self.histograms.partition_point(|(at, _)| *at < horizon));
    }

    /// Puts the samples in order of time; of several at one instant the one that was appended first stays, floats before histograms.
    pub fn settle(&mut self) {
        if !self.floats.is_sorted_by(|left, right| left.0 < right.0) {
            self.floats.sort_by_key(|(at, _)| *at);
            self.floats.dedup_by_key(|(at, _)| *at);
        }
        if !self.histograms.is_sorted_by(|left, right| left.0 < right.0) {
            self.histograms.sort_by_key(|(at, _)| *at);
            self.histograms.dedup_by_key(|(at, _)| *at);
        }
        if !self.histograms.is_empty() && !self.floats.is_empty() {
            let floats = &self.floats;
            self.histograms.retain(|(at, _)| floats.binary_search_by_key(at, |(own, _)| *own).is_err());
        }
    }
}

/// The chunk that a series' next sample goes to.
#[derive(Debug)]
pub(super) struct Open {
    bits: BitWriter,
    /// The time of the last sample, of this chunk or of those before it; `i64::MIN` for none.
    pub last: i64,
    /// The bits of the last float.
    pub value: u64,
    /// From the first sample to the last, and from the last but one; in milliseconds, as a chunk spans little.
    reach: u32,
    delta: u32,
    pub count: u8,
    pub kind: Kind,
    /// The window of changed bits: zeros above it, and its length; length 0 for none yet. Steps between whole numbers have a length alone.
    leading: u8,
    window: u8,
    /// A chunk of whole numbers had to end for a fraction.
    has_fractions: bool,
}

impl Default for Open {
    fn default() -> Open {
        Open {
            bits: BitWriter::default(),
            last: i64::MIN,
            value: 0,
            reach: 0,
            delta: 0,
            count: 0,
            kind: Kind::Float,
            leading: 0,
            window: 0,
            has_fractions: false,
        }
    }
}

impl Open {
    /// Returns the time of the chunk's first sample.
    pub fn first(&self) -> i64 {
        self.last.wrapping_sub(i64::from(self.reach))
    }

    /// Returns whether the chunk has samples in `start ..= end`.
    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.count > 0 && self.first() <= end && self.last >= start
    }

    /// Returns the chunk as if it were sealed; its bits come to stand in `bits`.
    pub fn as_sealed<'a>(&self, bits: &'a mut Vec<u8>) -> Option<Chunk<'a>> {
        bits.clear();
        self.copy_bits(bits);
        let Open { kind, count, last, .. } = *self;
        (count > 0).then(|| Chunk { kind, count, first: self.first(), last, bits })
    }

    /// Returns in what kind of chunk a value goes on.
    pub fn kind_for(&mut self, value: &Value) -> Kind {
        let Value::Float(value) = value else { return Kind::Histogram };
        let goes_on = self.count > 0 && self.kind != Kind::Histogram;
        if goes_on && self.kind == Kind::Float || self.has_fractions || !is_whole(*value) {
            // One fraction is seldom the last. A marker that ends the series tells nothing of its values.
            self.has_fractions |= goes_on && self.kind == Kind::Whole && !value.is_nan();
            return Kind::Float;
        }
        Kind::Whole
    }

    /// Returns whether the chunk must be sealed before it takes a sample.
    pub fn is_full_for(&self, at: i64, kind: Kind) -> bool {
        self.count > 0
            && (self.count >= SAMPLES_MAX
                || self.kind != kind
                || at.saturating_sub(self.first()) > SPAN_MS_MAX
                || (kind == Kind::Histogram && self.bits.len_bytes() > HISTOGRAM_BYTES_MAX))
    }

    /// Appends a sample to a chunk of a kind, as `kind_for` says. The caller has asked `is_full_for`.
    pub fn push(&mut self, at: i64, value: &Value, kind: Kind) {
        match value {
            Value::Float(value) => self.push_float(at, *value, kind),
            Value::Histogram(histogram) => self.push_histogram(at, histogram),
        }
    }

    fn push_float(&mut self, at: i64, value: f64, kind: Kind) {
        let value = value.to_bits();
        if self.count == 0 {
            (self.kind, self.reach, self.delta, self.window) = (kind, 0, 0, 0);
            self.bits.put(value, 64);
        } else {
            let delta = self.step_to(at);
            let change = i64::from(delta) - i64::from(self.delta);
            let flips = value ^ self.value;
            if change == 0 && flips == 0 {
                self.bits.put(0, 1);
            } else {
                self.put_change(change);
                match kind {
                    Kind::Whole => self.put_step(f64::from_bits(value) as i64 - f64::from_bits(self.value) as i64),
                    Kind::Float | Kind::Histogram => self.put_flips(flips),
                }
            }
            self.delta = delta;
        }
        (self.value, self.last) = (value, at);
        self.count += 1;
    }

    /// Reaches on to a sample; returns how far that is.
    fn step_to(&mut self, at: i64) -> u32 {
        let delta = at.wrapping_sub(self.last) as u32;
        self.reach += delta;
        delta
    }

    /// Writes the bit that says "not as before" and how much the interval changed.
    fn put_change(&mut self, change: i64) {
        let fits = |len: u32| (-(1i64 << (len - 1))..1i64 << (len - 1)).contains(&change);
        let low = |len: u32| change as u64 & (u64::MAX >> (64 - len));
        if change == 0 {
            self.bits.put(0b10, 2);
        } else if fits(7) {
            self.bits.put(0b110 << 7 | low(7), 10);
        } else if fits(13) {
            self.bits.put(0b1110 << 13 | low(13), 17);
        } else if fits(21) {
            self.bits.put(0b11110 << 21 | low(21), 26);
        } else {
            self.bits.put(0b11111, 5);
            self.bits.put(change as u64, 64);
        }
    }

    fn put_flips(&mut self, flips: u64) {
        if flips == 0 {
            self.bits.put(0, 1);
            return;
        }
        let leading = flips.leading_zeros().min(31) as u8;
        let own = 64 - leading - flips.trailing_zeros() as u8;
        let trailing = 64u8.wrapping_sub(self.leading).wrapping_sub(self.window);
        let inside = self.window > 0 && leading >= self.leading && flips.trailing_zeros() as u8 >= trailing;
        // A window that one wild value opened wide is given up once a new one costs less.
        if inside && self.window <= own + 11 {
            self.bits.put(0b10, 2);
            self.bits.put(flips >> trailing, u32::from(self.window));
        } else {
            (self.leading, self.window) = (leading, own);
            self.bits.put(0b11 << 11 | u64::from(leading) << 6 | u64::from(own - 1), 13);
            self.bits.put(flips >> flips.trailing_zeros(), u32::from(own));
        }
    }

    fn put_step(&mut self, step: i64) {
        if step == 0 {
            self.bits.put(0, 1);
            return;
        }
        // No step is zero here, so the shortest code is of the smallest steps.
        let code = zigzag(step) - 1;
        let own = (64 - code.leading_zeros()).max(1) as u8;
        if own <= self.window && self.window <= own + WIDTH_SLACK {
            self.bits.put(0b10, 2);
        } else {
            self.window = own;
            self.bits.put(0b11 << 6 | u64::from(own - 1), 8);
        }
        self.bits.put(code, u32::from(self.window));
    }

    fn push_histogram(&mut self, at: i64, histogram: &Histogram) {
        let mut bytes = Vec::with_capacity(64);
        if self.count == 0 {
            (self.kind, self.reach) = (Kind::Histogram, 0);
        } else {
            put_signed(&mut bytes, i64::from(self.step_to(at)));
        }
        put_histogram(&mut bytes, histogram);
        self.bits.put_bytes(&bytes);
        self.last = at;
        self.count += 1;
    }

    pub fn len_bytes(&self) -> usize {
        self.bits.len_bytes()
    }

    pub fn copy_bits(&self, out: &mut Vec<u8>) {
        self.bits.copy_to(out);
    }

    /// Moves the samples, if any, to the end of a run. `last` and `value` stay as they are.
    pub fn seal(&mut self, run: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        put_header(run, self.kind, self.count, self.first(), self.last, self.bits.len_bytes());
        self.bits.copy_to(run);
        self.bits = BitWriter::default();
        self.count = 0;
    }
}

/// A sealed chunk inside a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub kind: Kind,
    pub count: u8,
    pub first: i64,
    pub last: i64,
    pub bits: &'a [u8],
}

fn put_header(run: &mut Vec<u8>, kind: Kind, count: u8, first: i64, last: i64, len: usize) {
    debug_assert!(count > 0 && count <= SAMPLES_MAX && first <= last);
    run.push(count | if kind == Kind::Histogram { 0x80 } else { 0 });
    put_signed(run, first);
    put_varint(run, last.wrapping_sub(first) as u64);
    put_varint(run, (len as u64) << 1 | u64::from(kind == Kind::Whole));
}

impl<'a> Chunk<'a> {
    pub fn put(&self, run: &mut Vec<u8>) {
        put_header(run, self.kind, self.count, self.first, self.last, self.bits.len());
        run.extend_from_slice(self.bits);
    }

    fn take(reader: &mut Reader<'a>) -> Result<Chunk<'a>, Damaged> {
        let head = reader.byte()?;
        let first = reader.signed()?;
        let last = first.wrapping_add(reader.varint()? as i64);
        let len = reader.varint()?;
        let kind = match (head & 0x80, len & 1) {
            (0, 0) => Kind::Float,
            (0, _) => Kind::Whole,
            (_, 0) => Kind::Histogram,
            _ => return Err(Damaged("a chunk's header is impossible")),
        };
        let len = usize::try_from(len >> 1).map_err(|_| Damaged("a chunk's header is impossible"))?;
        let count = head & 0x7f;
        if count == 0 || count > SAMPLES_MAX || last < first {
            return Err(Damaged("a chunk's header is impossible"));
        }
        Ok(Chunk { kind, count, first, last, bits: reader.take(len)? })
    }

    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.first <= end && self.last >= start
    }

    /// Appends the samples in `start ..= end`.
    pub fn decode(&self, start: i64, end: i64, out: &mut Decoded) -> Result<(), Damaged> {
        match self.kind {
            Kind::Float | Kind::Whole => self.decode_floats(start, end, &mut out.floats),
            Kind::Histogram => self.decode_histograms(start, end, &mut out.histograms),
        }
    }

    /// Returns all samples, in order. What memory holds is whole.
    pub fn samples(&self) -> Vec<(i64, Value)> {
        let mut own = Decoded::default();
        self.decode(i64::MIN, i64::MAX, &mut own).expect("what memory holds is whole");
        let floats = own.floats.into_iter().map(|(at, value)| (at, Value::Float(value)));
        floats.chain(own.histograms.into_iter().map(|(at, value)| (at, Value::Histogram(value)))).collect()
    }

    /// Returns about how many samples lie in `start ..= end`, as if they were evenly spaced; never more than there are.
    fn about(&self, start: i64, end: i64) -> usize {
        let (from, to) = (start.max(self.first), end.min(self.last));
        let (part, whole) = (i128::from(to) - i128::from(from), i128::from(self.last) - i128::from(self.first));
        match part {
            ..0 => 0,
            part if whole > 0 => {
                usize::try_from(part * i128::from(self.count) / whole).map_or(0, |about| about.min(self.count as usize - 1) + 1)
            }
            _ => 1,
        }
    }

    fn decode_floats(&self, start: i64, end: i64, out: &mut Vec<(i64, f64)>) -> Result<(), Damaged> {
        let mut reader = FloatReader::new(self)?;
        out.reserve(self.about(start, end));
        let mut left = u32::from(self.count);
        while left > 0 && reader.at <= end {
            if reader.at >= start {
                out.push((reader.at, f64::from_bits(reader.value)));
            }
            left -= 1;
            // Samples that go on as before stand in one word, so they need no look at single bits.
            let same = reader.same(left);
            for _ in 0..same {
                reader.at = reader.at.wrapping_add(reader.delta);
                if reader.at >= start && reader.at <= end {
                    out.push((reader.at, f64::from_bits(reader.value)));
                }
            }
            left -= same;
            if left > 0 {
                reader.next()?;
            }
        }
        reader.bits.check()
    }

    fn decode_histograms(&self, start: i64, end: i64, out: &mut Vec<(i64, Arc<Histogram>)>) -> Result<(), Damaged> {
        let (mut reader, mut at) = (Reader(self.bits), self.first);
        for index in 0..self.count {
            if index > 0 {
                at = at.wrapping_add(reader.signed()?);
            }
            let histogram = take_histogram(&mut reader)?;
            if at > end {
                break;
            }
            if at >= start {
                out.push((at, Arc::new(histogram)));
            }
        }
        Ok(())
    }
}

/// The floats of a chunk, one at a time.
struct FloatReader<'a> {
    bits: BitReader<'a>,
    at: i64,
    value: u64,
    delta: i64,
    leading: u32,
    window: u32,
    is_whole: bool,
}

impl<'a> FloatReader<'a> {
    /// Stands at the chunk's first sample.
    fn new(chunk: &Chunk<'a>) -> Result<FloatReader<'a>, Damaged> {
        let mut bits = BitReader::new(chunk.bits);
        let value = bits.take(64);
        bits.check()?;
        let is_whole = chunk.kind == Kind::Whole;
        Ok(FloatReader { bits, at: chunk.first, value, delta: 0, leading: 0, window: 0, is_whole })
    }

    /// Reads over samples that repeat value and interval, `max` at most; returns how many there were.
    #[inline]
    fn same(&mut self, max: u32) -> u32 {
        let mut count = 0;
        while count < max {
            let zeros = self.bits.ahead().leading_zeros().min(AHEAD).min(max - count);
            self.bits.skip(zeros);
            count += zeros;
            if zeros < AHEAD {
                break;
            }
        }
        count
    }

    /// Goes on to a sample that does not repeat both.
    #[inline]
    fn next(&mut self) -> Result<(), Damaged> {
        let word = self.bits.ahead();
        let ones = (word << 1).leading_ones().min(4);
        let (change, rest) = if ones == 4 {
            self.bits.skip(5);
            (self.bits.take(64) as i64, self.bits.ahead())
        } else {
            let len = [0, 7, 13, 21][ones as usize];
            let change = ((word << (2 + ones)) as i64).checked_shr(64 - len).unwrap_or(0);
            self.bits.skip(2 + ones + len);
            (change, word << (2 + ones + len))
        };
        self.delta = self.delta.wrapping_add(change);
        self.at = self.at.wrapping_add(self.delta);
        match rest.leading_ones() {
            0 => self.bits.skip(1),
            1 => {
                self.bits.skip(2);
                self.value_on()?;
            }
            _ if self.is_whole => {
                self.window = (rest << 2 >> 58) as u32 + 1;
                self.bits.skip(8);
                self.step();
            }
            _ => {
                let header = (rest << 2 >> 53) as u32;
                (self.leading, self.window) = (header >> 6, (header & 63) + 1);
                self.bits.skip(13);
                self.flip()?;
            }
        }
        self.bits.check()
    }

    #[inline]
    fn value_on(&mut self) -> Result<(), Damaged> {
        if !self.is_whole {
            return self.flip();
        }
        if self.window == 0 {
            return Err(Damaged("a chunk names no bits"));
        }
        self.step();
        Ok(())
    }

    #[inline]
    fn step(&mut self) {
        let step = unzigzag(self.bits.take(self.window).wrapping_add(1));
        self.value = ((f64::from_bits(self.value) as i64).wrapping_add(step) as f64).to_bits();
    }

    #[inline]
    fn flip(&mut self) -> Result<(), Damaged> {
        match 64u32.checked_sub(self.leading + self.window) {
            Some(trailing) if self.window > 0 => self.value ^= self.bits.take(self.window) << trailing,
            _ => return Err(Damaged("a chunk names no bits")),
        }
        Ok(())
    }
}

/// The chunks of a run, in order; ends behind the first damaged one.
pub(super) struct Chunks<'a>(Reader<'a>);

impl<'a> Chunks<'a> {
    pub fn of(run: &'a [u8]) -> Chunks<'a> {
        Chunks(Reader(run))
    }

    /// Returns what follows the chunks that were taken.
    pub fn rest(&self) -> &'a [u8] {
        self.0.0
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, Damaged>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let chunk = Chunk::take(&mut self.0);
        if chunk.is_err() {
            self.0 = Reader(&[]);
        }
        Some(chunk)
    }
}

/// Appends samples in any number, in order of time, to a run as sealed chunks.
pub(super) fn seal_samples<'v>(run: &mut Vec<u8>, samples: impl Iterator<Item = (i64, &'v Value)>) {
    let mut open = Open::default();
    for (at, value) in samples {
        push(&mut open, run, at, value);
    }
    open.seal(run);
}

/// Appends one sample to the open chunk; seals it first when it is full.
pub(super) fn push(open: &mut Open, run: &mut Vec<u8>, at: i64, value: &Value) {
    let kind = open.kind_for(value);
    if open.is_full_for(at, kind) {
        open.seal(run);
    }
    open.push(at, value, kind);
}

#[cfg(test)]
mod tests;
