//! The head: what memory holds of one series.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::histogram::Histogram;
use crate::model::sample::Value;

use super::chunk::{Chunk, Chunks, Decoded, Kind, Open, seal_samples};
use super::codec::{Damaged, same_value};

/// How far behind its series' newest sample a sample may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// In milliseconds; zero: no late samples.
    Within(i64),
    Any,
}

/// Why a sample is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// The series has this value at that instant already.
    Same,
    /// Older than the series' newest sample, and late samples are not taken.
    OutOfOrder,
    /// Older than the window for late samples, or than the retention.
    TooOld,
    /// The series has another value at that instant.
    Duplicate,
}

/// The stamp of a series that no row has named since the last truncation.
const NOT_NAMED: u32 = 0;
/// Late samples wait in plain form, sorted by time, until so many are there.
const LATE_MAX: usize = 120;

#[derive(Debug)]
pub(super) struct Head {
    /// The last row that named the series, cut to 32 bits: finds a series that one row names twice.
    pub stamp: AtomicU32,
    /// Whether the slot holds a series at all.
    pub alive: bool,
    /// Whether the log holds the series' labels.
    pub logged: bool,
    /// Whether the series had no samples at the last truncation.
    pub idle: bool,
    newest_is_float: bool,
    /// No sample of the series, on disk or in memory, is older; `i64::MAX` for no samples.
    pub oldest: i64,
    /// Its `last` is the time of the newest sample ever accepted.
    open: Open,
    /// The sealed chunks; mostly in order of time, but late samples make chunks that reach back.
    run: Option<Arc<[u8]>>,
    /// The latest end of a chunk in `run`.
    run_last: i64,
    late: Option<Box<Late>>,
}

#[derive(Debug, Default)]
struct Late {
    samples: Vec<(i64, Value)>,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            stamp: AtomicU32::new(0),
            alive: false,
            logged: false,
            idle: false,
            newest_is_float: false,
            oldest: i64::MAX,
            open: Open::default(),
            run: None,
            run_last: i64::MIN,
            late: None,
        }
    }
}

/// What a checkpoint says of a series beside its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub oldest: i64,
    pub newest: i64,
    /// The bits of the newest sample when it is a float.
    pub value: Option<u64>,
}

/// A copy of what one series holds for a span: cheap to take under the lock, decoded after it is given back.
pub(super) struct View {
    run: Option<Arc<[u8]>>,
    open: Option<OpenView>,
    late: Vec<(i64, Value)>,
}

struct OpenView {
    /// Where the bits lie in the arena.
    from: usize,
    to: usize,
    kind: Kind,
    count: u8,
    first: i64,
    last: i64,
}

impl Head {
    pub fn born(logged: bool) -> Head {
        Head { alive: true, logged, ..Head::default() }
    }

    /// Returns the time of the newest sample ever accepted; `i64::MIN` for none.
    pub fn newest(&self) -> i64 {
        self.open.last
    }

    /// Returns whether the series is alive and may have samples in `start ..= end`, in memory or on disk.
    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.alive && self.oldest <= end && self.newest() >= start && self.newest() != i64::MIN
    }

    /// Returns the newest sample ever accepted, when it is a float that memory saw.
    pub fn newest_float(&self) -> Option<(i64, f64)> {
        self.newest_is_float.then(|| (self.newest(), f64::from_bits(self.open.value)))
    }

    /// Returns the bytes that the series' samples take in memory.
    pub fn bytes(&self) -> usize {
        let late = self.late.as_ref().map_or(0, |late| late.samples.len() * size_of::<(i64, Value)>());
        self.open.len_bytes() + self.run.as_ref().map_or(0, |run| run.len()) + late
    }

    /// Returns whether memory holds no sample of the series.
    pub fn is_empty(&self) -> bool {
        self.open.count == 0 && self.run.is_none() && self.late.is_none()
    }

    /// Returns whether to take a sample, or why not. `newest` stands in for the series' newest time while a row with several samples of the series
    /// is under way.
    pub fn judge(&self, at: i64, value: &Value, newest: i64, lateness: Lateness, horizon: i64) -> Result<(), LeftOut> {
        if at < horizon {
            return Err(LeftOut::TooOld);
        }
        if at > newest {
            return Ok(());
        }
        if at == self.newest()
            && self.newest_is_float
            && let Value::Float(value) = value
        {
            return Err(if value.to_bits() == self.open.value { LeftOut::Same } else { LeftOut::Duplicate });
        }
        if at < newest
            && let Lateness::Within(window) = lateness
            && newest.saturating_sub(at) > window
        {
            return Err(if window == 0 { LeftOut::OutOfOrder } else { LeftOut::TooOld });
        }
        match self.value_at(at) {
            Some(own) if same_value(&own, value) => Err(LeftOut::Same),
            Some(_) => Err(LeftOut::Duplicate),
            None => Ok(()),
        }
    }

    /// Returns the sample in memory at exactly this instant.
    fn value_at(&self, at: i64) -> Option<Value> {
        let mut arena = Vec::new();
        let mut found = Decoded::default();
        self.view(at, at, &mut arena).decode(&arena, at, at, &mut found).ok()?;
        let float = found.floats.first().map(|(_, value)| Value::Float(*value));
        float.or_else(|| found.histograms.first().map(|(_, histogram)| Value::Histogram(histogram.clone())))
    }

    /// Takes a sample that `judge` accepted.
    pub fn push(&mut self, at: i64, value: &Value) {
        self.oldest = self.oldest.min(at);
        if at <= self.newest() {
            return self.push_late(at, value.clone());
        }
        self.push_newest(at, value);
        self.newest_is_float = matches!(value, Value::Float(_));
    }

    /// Appends to the open chunk, or to a new one where it must not take the sample.
    fn push_newest(&mut self, at: i64, value: &Value) {
        let kind = self.open.kind_for(value);
        if self.open.is_full_for(at, kind) {
            self.seal_open();
        }
        self.open.push(at, value, kind);
    }

    fn push_late(&mut self, at: i64, value: Value) {
        let samples = &mut self.late.get_or_insert_default().samples;
        let place = samples.partition_point(|(own, _)| *own <= at);
        samples.insert(place, (at, value));
        if samples.len() >= LATE_MAX {
            self.seal_late(i64::MAX);
        }
    }

    fn extend_run(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut run = Vec::with_capacity(self.run.as_ref().map_or(0, |run| run.len()) + 256);
        if let Some(own) = &self.run {
            run.extend_from_slice(own);
        }
        write(&mut run);
        self.set_run(run);
    }

    fn set_run(&mut self, run: Vec<u8>) {
        self.run_last = Chunks::of(&run).flatten().map(|chunk| chunk.last).max().unwrap_or(i64::MIN);
        self.run = (!run.is_empty()).then(|| run.into());
    }

    fn seal_open(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        self.extend_run(|run| open.seal(run));
        self.open = open;
    }

    /// Seals the late samples before `before`.
    fn seal_late(&mut self, before: i64) {
        let Some(mut late) = self.late.take() else { return };
        let place = late.samples.partition_point(|(at, _)| *at < before);
        self.extend_run(|run| seal_samples(run, late.samples[..place].iter().map(|(at, value)| (*at, value))));
        late.samples.drain(..place);
        if !late.samples.is_empty() {
            self.late = Some(late);
        }
    }

    /// Copies what overlaps `start ..= end`; the open chunk's bits go to the end of `arena`.
    pub fn view(&self, start: i64, end: i64, arena: &mut Vec<u8>) -> View {
        let open = self.open.overlaps(start, end).then(|| {
            let from = arena.len();
            self.open.copy_bits(arena);
            let Open { kind, count, last, .. } = self.open;
            OpenView { from, to: arena.len(), kind, count, first: self.open.first(), last }
        });
        let run = if self.run_last >= start { self.run.clone() } else { None };
        let late = self.late.as_ref().map_or(&[][..], |late| {
            let from = late.samples.partition_point(|(at, _)| *at < start);
            let to = late.samples.partition_point(|(at, _)| *at <= end);
            &late.samples[from..to.max(from)]
        });
        View { run, open, late: late.to_vec() }
    }

    /// Drops the chunks that end before the horizon. Samples before it in chunks that stay are cut at reading.
    pub fn truncate(&mut self, horizon: i64) {
        if self.oldest >= horizon {
            return;
        }
        if self.run.as_deref().is_some_and(|run| Chunks::of(run).flatten().any(|chunk| chunk.last < horizon)) {
            self.keep_chunks(|chunk| chunk.last >= horizon);
        }
        if self.open.count > 0 && self.open.last < horizon {
            let mut gone = Vec::new();
            self.open.seal(&mut gone);
        }
        if let Some(late) = &mut self.late {
            late.samples.retain(|(at, _)| *at >= horizon);
            if late.samples.is_empty() {
                self.late = None;
            }
        }
        self.oldest = horizon;
    }

    /// Drops the samples in `start ..= end`; returns how many memory held. With all of them the series is as if it never had any.
    pub fn delete(&mut self, start: i64, end: i64) -> usize {
        if !self.overlaps(start, end) {
            return 0;
        }
        let is_within = |at: i64| (start..=end).contains(&at);
        let mut gone = 0;
        if self.open.overlaps(start, end) {
            self.seal_open();
        }
        if self.has_chunks_in(start, end) {
            let own = self.run.take().unwrap_or_default();
            let mut run = Vec::with_capacity(own.len());
            for chunk in Chunks::of(&own).flatten() {
                if chunk.overlaps(start, end) {
                    let samples = chunk.samples();
                    gone += samples.iter().filter(|(at, _)| is_within(*at)).count();
                    let kept = samples.iter().filter(|(at, _)| !is_within(*at));
                    seal_samples(&mut run, kept.map(|(at, value)| (*at, value)));
                } else {
                    chunk.put(&mut run);
                }
            }
            self.set_run(run);
        }
        if let Some(late) = &mut self.late {
            gone += late.samples.extract_if(.., |(at, _)| is_within(*at)).count();
            if late.samples.is_empty() {
                self.late = None;
            }
        }
        match (self.oldest >= start, self.newest() <= end) {
            (true, true) => (self.oldest, self.open.last, self.newest_is_float) = (i64::MAX, i64::MIN, false),
            (false, true) => (self.open.last, self.newest_is_float) = (start - 1, false),
            (true, false) => self.oldest = end + 1,
            (false, false) => {}
        }
        gone
    }

    /// Notes samples that a block holds.
    pub fn widen(&mut self, first: i64, last: i64) {
        self.oldest = self.oldest.min(first);
        if last > self.newest() {
            // The open chunk ends where its last sample is.
            self.seal_open();
            self.open.last = last;
            self.newest_is_float = false;
        }
    }

    /// Returns whether memory has no sample of the series, the newest one is older than `cold`, and no row has named it since the last
    /// call: whoever names a series may say the same old sample each time. One whose samples are all behind the horizon is cold at once,
    /// one that never had a sample at the second call.
    pub fn is_cold(&mut self, cold: i64, horizon: i64) -> bool {
        let (newest, was_idle) = (self.newest(), self.idle);
        self.idle = newest == i64::MIN;
        let was_named = std::mem::take(self.stamp.get_mut()) != NOT_NAMED;
        let may_go = match newest {
            i64::MIN => was_idle && !was_named,
            _ => newest < horizon || !was_named,
        };
        self.is_empty() && newest < cold && may_go
    }

    /// Returns whether it is as cold as when `is_cold` said so.
    pub fn is_still_cold(&self, cold: i64) -> bool {
        self.alive && self.is_empty() && self.newest() < cold && self.stamp.load(Relaxed) == NOT_NAMED
    }

    fn keep_chunks(&mut self, mut keep: impl FnMut(&Chunk<'_>) -> bool) {
        let Some(own) = self.run.take() else { return };
        let mut run = Vec::with_capacity(own.len());
        for chunk in Chunks::of(&own).flatten() {
            if keep(&chunk) {
                chunk.put(&mut run);
            }
        }
        self.set_run(run);
    }

    /// Appends to `out` every chunk that ends before `before`; seals for that what waits and is old enough. The chunks stay.
    pub fn aged(&mut self, before: i64, out: &mut Vec<u8>) {
        if self.oldest >= before {
            return;
        }
        if self.late.as_ref().is_some_and(|late| late.samples.first().is_some_and(|(at, _)| *at < before)) {
            self.seal_late(before);
        }
        if self.open.count > 0 && self.open.last < before {
            self.seal_open();
        }
        for chunk in self.run.iter().flat_map(|run| Chunks::of(run)).flatten() {
            if chunk.last < before {
                chunk.put(out);
            }
        }
    }

    /// Drops the chunks of `taken`, which `aged` returned; they live on in a block.
    pub fn release(&mut self, taken: &[u8]) {
        let taken: Vec<Chunk<'_>> = Chunks::of(taken).flatten().collect();
        let mut done = 0;
        self.keep_chunks(|chunk| match taken[done..].iter().position(|own| own == chunk) {
            // Truncation may have dropped some of the taken chunks meanwhile.
            Some(step) => {
                done += step + 1;
                false
            }
            None => true,
        });
    }

    /// Returns the time of the oldest sample in a chunk in memory.
    pub fn first_in_chunks(&self) -> Option<i64> {
        let open = (self.open.count > 0).then_some(self.open.first());
        self.run.iter().flat_map(|run| Chunks::of(run)).flatten().map(|chunk| chunk.first).chain(open).min()
    }

    /// Returns how many samples memory holds.
    pub fn samples(&self) -> usize {
        let sealed: usize = self.run.iter().flat_map(|run| Chunks::of(run)).flatten().map(|chunk| usize::from(chunk.count)).sum();
        sealed + usize::from(self.open.count) + self.late.as_ref().map_or(0, |late| late.samples.len())
    }

    /// Returns whether memory may hold a chunk with samples in `start ..= end`.
    pub fn has_chunks_in(&self, start: i64, end: i64) -> bool {
        self.open.overlaps(start, end)
            || self.run.iter().flat_map(|run| Chunks::of(run)).flatten().any(|chunk| chunk.overlaps(start, end))
    }

    /// Drops the chunks of which every sample stands in a block, bit for bit.
    pub fn drop_covered(&mut self, block: &Decoded) {
        if self.open.as_sealed(&mut Vec::new()).is_some_and(|open| is_covered(&open, block)) {
            self.open.seal(&mut Vec::new());
        }
        self.keep_chunks(|chunk| !is_covered(chunk, block));
    }

    /// Appends everything that memory holds to `out` as a run, the open chunk last, and returns the bounds.
    pub fn dump(&self, out: &mut Vec<u8>) -> Bounds {
        if let Some(run) = &self.run {
            out.extend_from_slice(run);
        }
        if let Some(late) = &self.late {
            seal_samples(out, late.samples.iter().map(|(at, value)| (*at, value)));
        }
        if let Some(open) = self.open.as_sealed(&mut Vec::new()) {
            open.put(out);
        }
        Bounds { oldest: self.oldest, newest: self.newest(), value: self.newest_float().map(|(_, value)| value.to_bits()) }
    }

    /// Puts back what `dump` returned; returns how many samples that are. A series that has samples already keeps them.
    pub fn restore(&mut self, run: &[u8], bounds: Bounds) -> Result<usize, Damaged> {
        let mut chunks = Chunks::of(run).collect::<Result<Vec<_>, _>>()?;
        let count = chunks.iter().map(|chunk| usize::from(chunk.count)).sum();
        if bounds.newest <= self.newest() {
            self.extend_run(|own| own.extend_from_slice(run));
            self.oldest = self.oldest.min(bounds.oldest);
            return Ok(count);
        }
        let reopened = chunks.pop_if(|chunk| chunk.last == bounds.newest);
        self.seal_open();
        self.extend_run(|own| chunks.iter().for_each(|chunk| chunk.put(own)));
        if let Some(chunk) = reopened {
            let mut samples = Decoded::default();
            chunk.decode(i64::MIN, i64::MAX, &mut samples)?;
            let instants = || samples.floats.iter().map(|(at, _)| at).chain(samples.histograms.iter().map(|(at, _)| at));
            if !instants().is_sorted_by(|left, right| left < right) || instants().next_back() != Some(&bounds.newest) {
                return Err(Damaged("a chunk's samples lie elsewhere"));
            }
            samples.floats.iter().for_each(|(at, value)| self.push_newest(*at, &Value::Float(*value)));
            for (at, histogram) in samples.histograms {
                self.push_newest(at, &Value::Histogram(histogram));
            }
        }
        self.oldest = self.oldest.min(bounds.oldest);
        self.open.last = bounds.newest;
        self.newest_is_float = bounds.value.is_some();
        self.open.value = bounds.value.unwrap_or(self.open.value);
        Ok(count)
    }
}

/// Returns whether every sample of a chunk is among others, which are in order of time.
fn is_covered(chunk: &Chunk<'_>, by: &Decoded) -> bool {
    let mut own = Decoded::default();
    if chunk.decode(i64::MIN, i64::MAX, &mut own).is_err() {
        return false;
    }
    let float = |(at, value): &(i64, f64)| {
        by.floats.binary_search_by_key(at, |(at, _)| *at).is_ok_and(|place| by.floats[place].1.to_bits() == value.to_bits())
    };
    let histogram = |(at, value): &(i64, Arc<Histogram>)| {
        let same = |other: &Arc<Histogram>| same_value(&Value::Histogram(value.clone()), &Value::Histogram(other.clone()));
        by.histograms.binary_search_by_key(at, |(at, _)| *at).is_ok_and(|place| same(&by.histograms[place].1))
    };
    own.floats.iter().all(float) && own.histograms.iter().all(histogram)
}

impl View {
    /// Appends the samples in `start ..= end`; `settle` puts them in order.
    pub fn decode(&self, arena: &[u8], start: i64, end: i64, out: &mut Decoded) -> Result<(), Damaged> {
        for chunk in self.run.iter().flat_map(|run| Chunks::of(run)) {
            let chunk = chunk?;
            if chunk.overlaps(start, end) {
                chunk.decode(start, end, out)?;
            }
        }
        if let Some(OpenView { from, to, kind, count, first, last }) = self.open {
            Chunk { kind, count, first, last, bits: &arena[from..to] }.decode(start, end, out)?;
        }
        for (at, value) in &self.late {
            match value {
                Value::Float(value) => out.floats.push((*at, *value)),
                Value::Histogram(histogram) => out.histograms.push((*at, histogram.clone())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> Value {
        Value::Float(value)
    }

    fn read(head: &Head, start: i64, end: i64) -> Vec<(i64, f64)> {
        let (mut arena, mut out) = (vec![7; 3], Decoded::default());
        head.view(start, end, &mut arena).decode(&arena, start, end, &mut out).unwrap();
        out.settle();
        out.floats
    }

    fn judge(head: &Head, at: i64, value: f64, window: i64) -> Result<(), LeftOut> {
        head.judge(at, &float(value), head.newest(), Lateness::Within(window), 0)
    }

    #[test]
    fn samples_are_judged_against_what_is_there() {
        let mut head = Head::born(false);
        for at in [1_000, 2_000, 3_000] {
            head.push(at, &float(at as f64));
        }
        assert_eq!(judge(&head, 3_001, 0.0, 0), Ok(()));
        assert_eq!(judge(&head, 3_000, 3_000.0, 0), Err(LeftOut::Same));
        assert_eq!(judge(&head, 3_000, -3_000.0, 0), Err(LeftOut::Duplicate));
        assert_eq!(judge(&head, 2_500, 0.0, 0), Err(LeftOut::OutOfOrder));
        assert_eq!(judge(&head, 2_500, 0.0, 600), Ok(()));
        assert_eq!(judge(&head, 2_000, 2_000.0, 1_000), Err(LeftOut::Same));
        assert_eq!(judge(&head, 2_000, 1.0, 1_000), Err(LeftOut::Duplicate));
        assert_eq!(judge(&head, 1_500, 0.0, 600), Err(LeftOut::TooOld));
        assert_eq!(head.judge(1_500, &float(0.0), 3_000, Lateness::Any, 2_000), Err(LeftOut::TooOld));
    }

    #[test]
    fn late_samples_stand_in_order_with_the_others() {
        let mut head = Head::born(false);
        for step in 0..500 {
            head.push(step * 1_000, &float(step as f64));
        }
        for step in (0..500).rev() {
            head.push(step * 1_000 + 500 - 1_000, &float(-1.0));
        }
        let all = read(&head, i64::MIN, i64::MAX);
        assert_eq!(all.len(), 1_000);
        assert!(all.is_sorted_by(|left, right| left.0 < right.0));
        assert_eq!(read(&head, 9_500, 10_500), [(9_500, -1.0), (10_000, 10.0), (10_500, -1.0)]);
    }

    #[test]
    fn a_dump_restores_the_series_and_goes_on() {
        let mut head = Head::born(false);
        for step in 0..310 {
            head.push(step * 15_000, &float((step / 7) as f64));
        }
        head.push(7, &float(0.5));
        let mut run = Vec::new();
        let bounds = head.dump(&mut run);
        let mut back = Head::born(false);
        back.restore(&run, bounds).unwrap();
        assert_eq!(read(&back, i64::MIN, i64::MAX), read(&head, i64::MIN, i64::MAX));
        assert_eq!(judge(&back, 309 * 15_000, 44.0, 0), Err(LeftOut::Same));
        back.push(310 * 15_000, &float(1.0));
        assert_eq!(read(&back, i64::MIN, i64::MAX).len(), 312);
    }

    #[test]
    fn aged_chunks_leave_once_they_are_safe() {
        let mut head = Head::born(false);
        for step in 0..400 {
            head.push(step * 15_000, &float(step as f64));
        }
        let mut taken = Vec::new();
        head.aged(300 * 15_000, &mut taken);
        head.push(400 * 15_000, &float(0.0));
        head.push(20, &float(0.25));
        head.truncate(150 * 15_000);
        head.release(&taken);
        let left = read(&head, i64::MIN, i64::MAX);
        assert_eq!(left.first().map(|(at, _)| *at), Some(240 * 15_000));
        assert_eq!(left.len(), 161);
    }
}
