//! One body becomes one row: what a target exposes, given its labels, checked, and compared with what it exposed before.

mod collate;
mod exposed;
mod held;
mod keys;
mod protobuf;
mod report;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::exposition::protobuf::{Metric, Part};
use crate::model::exposition::{Label, MetricType, decode_series};
use crate::model::{Cell, Claim, Exemplar, Histogram, LabelSet, Resolved, Row, STALE, SeriesRef, Value};
use crate::time::{Span, Timestamp};

use super::job::{Encoding, Job};
use super::media::encoding_of;
use super::target::Target;
use exposed::series_labels;
use held::Held;
use keys::KeyBook;
use report::{ReportSeries, Settings};

pub use report::{Metadata, Report};

/// Gives the number of a series in the store, which makes it where it is new and may be; an error refuses the series.
pub type Resolve<'a> = dyn FnMut(&LabelSet, Claim) -> Result<Resolved, String> + 'a;

/// What one scrape brings.
#[derive(Debug)]
pub struct Outcome {
    pub row: Row,
    /// Those of one series stand together, in order.
    pub exemplars: Vec<(SeriesRef, Exemplar)>,
    pub report: Report,
    /// What the body says about its metrics, where it is not what the last body said.
    pub metadata: Option<BTreeMap<String, Metadata>>,
}

/// A sample may lie this far ahead of its scrape.
const AHEAD_MAX: Span = Span::from_mins(10);
/// After this long without samples the store may have given a series' number away, so it is asked anew.
const REF_LIFE: Span = Span::from_mins(10);

/// What became of a series text.
#[derive(Clone, Copy)]
enum Fate {
    /// The rules drop it.
    Dropped,
    /// The store did not accept it and is asked again next time.
    Refused,
    Kept(SeriesRef),
}

#[derive(Clone, Copy)]
struct Known {
    fate: Fate,
    /// The attempt that saw it last.
    seen: u32,
    /// The attempt that last wrote a sample whose end must be told.
    tracked: u32,
}

/// What one target exposed so far: enough to read its next body cheaply and to tell which series ended.
pub struct TargetState {
    labels: LabelSet,
    job: Arc<Job>,
    settings: Settings,
    keys: KeyBook,
    /// One for each key.
    known: Vec<Known>,
    /// Counts scrapes that brought a body; 0 before the first.
    attempt: u32,
    /// The attempt that last succeeded; 0 for none.
    succeeded: u32,
    succeeded_at: Timestamp,
    /// The attempt whose tracked series are alive in the store; 0 for none.
    alive: u32,
    /// Series, in order, that the target's work before this one left alive; the next scrape goes on with them or ends them.
    inherited: Vec<SeriesRef>,
    reported_at: Timestamp,
    report_series: ReportSeries,
    metadata_hash: u64,
    /// Two texts are known to mean one series, so every row needs a look for duplicates.
    has_aliases: bool,
    order: Order,
    row_len: usize,
    /// How many series the target has, where that is limited.
    held: Held,
}

/// When the keys are put into the order of a body.
///
/// A target that writes its lines in a new order each time would cause that work each time, so pauses double while it does not help.
#[derive(Default)]
struct Order {
    /// The next body's order is recorded.
    wanted: bool,
    /// Bodies to let pass before.
    pause: u32,
    next_pause: u32,
}

const ORDER_PAUSE_MAX: u32 = 256;
/// After this many series out of order without one in order, only the very next key is expected.
const MISSES_MAX: usize = 16;

/// One reading of a body.
struct Reading<'a> {
    row: Row,
    report: Report,
    /// Series whose texts the previous scrape did not bring.
    fresh: Vec<SeriesRef>,
    /// Series that the store made for this body.
    created: usize,
    /// Known series texts that came out of order.
    jumps: usize,
    /// Positions of the keys as the body has them, where that is wanted.
    order: Option<Vec<u32>>,
    /// Samples that count against the limit.
    appended: u64,
    over_limit: bool,
    /// A native histogram has more buckets than it may.
    over_buckets: bool,
    refs_expired: bool,
    labels: Vec<Label<'a>>,
    exemplars: Vec<(SeriesRef, Exemplar)>,
    metadata_hash: u64,
    encoding: Option<Encoding>,
}

/// A series as the body writes it.
enum Written<'a, 'm> {
    Text(&'a [u8], MetricType),
    /// A metric of a family, and which of its series.
    Metric(&'m Metric<'a>, &'a str, Part),
    /// Labels that were put together from several series.
    Labels(&'m LabelSet),
}

impl<'a> Written<'a, '_> {
    /// Appends the labels to `out`.
    fn labels(self, out: &mut Vec<Label<'a>>) -> Result<(), String> {
        match self {
            Written::Text(series, kind) => decode_series(series, kind, out).map_err(|error| error.to_string()),
            Written::Metric(metric, family, part) => metric.series(family, part, out).map_err(|error| error.to_string()),
            Written::Labels(labels) => {
                out.extend(labels.iter().map(|(name, value)| (name.to_owned().into(), value.to_owned().into())));
                Ok(())
            }
        }
    }
}

/// What a sample says. A histogram is made only once it is known to be kept; None has more buckets than it may.
enum Said<'m> {
    Float(f64),
    Histogram(&'m mut dyn FnMut() -> Result<Option<Histogram>, String>),
}

impl TargetState {
    pub fn new(target: &Target, job: Arc<Job>) -> TargetState {
        TargetState {
            labels: target.labels.clone(),
            settings: Settings {
                timeout: target.timeout,
                sample_limit: job.limits.samples,
                series_limit: job.limits.series,
                extra: false,
            },
            job,
            keys: KeyBook::default(),
            known: Vec::new(),
            attempt: 0,
            succeeded: 0,
            succeeded_at: Timestamp::MIN,
            alive: 0,
            inherited: Vec::new(),
            reported_at: Timestamp::MIN,
            report_series: ReportSeries::default(),
            metadata_hash: 0,
            has_aliases: false,
            order: Order::default(),
            row_len: 0,
            held: Held::default(),
        }
    }

    /// Makes reports hold the timeout, the limit and the body's size too (`extra_scrape_metrics`).
    pub fn with_extra_metrics(mut self) -> TargetState {
        self.settings.extra = true;
        self
    }

    /// Counts series against the target's limit that the store had samples of lately, as after a start.
    pub fn holding(mut self, series: usize, at: Timestamp) -> TargetState {
        self.held = Held::found(series.saturating_sub(report::COUNT_LIMITED), at);
        self
    }

    /// Returns the state for a target of the same labels that takes this one's place: series that are alive go on, and the first
    /// scrape ends those that it does not bring.
    pub fn passed_on(&self, target: &Target, job: Arc<Job>) -> TargetState {
        let mut inherited: Vec<SeriesRef> = self.alive_series().chain(self.inherited.iter().copied()).collect();
        inherited.sort_unstable();
        inherited.dedup();
        let held = self.held.passed_on(inherited.len());
        TargetState { inherited, held, ..TargetState::new(target, job) }
    }

    /// Returns the row of a scrape that brought a body: its samples, the ends of series that vanished, and the report.
    ///
    /// A body that cannot be read or breaks a limit fails as a whole: the row then holds the ends of all series, and the report.
    /// `seconds` is how long the scrape took.
    pub fn scraped(
        &mut self,
        body: &[u8],
        content_type: Option<&str>,
        at: Timestamp,
        seconds: f64,
        resolve: &mut Resolve<'_>,
    ) -> Outcome {
        self.attempt += 1;
        let keys_before = self.keys.len();
        let mut reading = Reading {
            row: Row { at, cells: Vec::with_capacity(self.row_len) },
            report: Report { body_bytes: body.len() as i64, ..Report::default() },
            fresh: Vec::new(),
            created: 0,
            jumps: 0,
            order: self.order.wanted.then(|| Vec::with_capacity(keys_before)),
            appended: 0,
            over_limit: false,
            over_buckets: false,
            refs_expired: at.since(self.succeeded_at) > REF_LIFE,
            labels: Vec::new(),
            exemplars: Vec::new(),
            metadata_hash: 0,
            encoding: None,
        };
        let mut metadata = None;
        match self.read(body, content_type, &mut reading, resolve) {
            Ok(()) => {
                if let Some(encoding) = reading.encoding.filter(|_| reading.metadata_hash != self.metadata_hash) {
                    self.metadata_hash = reading.metadata_hash;
                    metadata = Some(report::metadata(body, encoding));
                }
                if self.job.limits.series > 0 && !body.is_empty() {
                    let brought = |known: &&Known| known.seen == self.attempt && matches!(known.fate, Fate::Kept(_));
                    let alive = self.known.iter().filter(brought).count();
                    self.held.scraped(alive, reading.fresh.len(), reading.created, at);
                }
                self.end_vanished(&mut reading);
                self.end_inherited(&mut reading);
                self.row_len = reading.row.cells.len() + 8;
                if body.is_empty() {
                    // Prometheus forgets nothing over an empty body, which some targets send by mistake.
                    self.alive = 0;
                } else {
                    self.succeeded = self.attempt;
                    self.succeeded_at = at;
                    self.alive = self.attempt;
                    self.tidy(&mut reading, self.keys.len() - keys_before);
                }
            }
            Err(error) => {
                reading.row.cells.clear();
                reading.exemplars.clear();
                reading.report.error = Some(error);
                self.held.made_in_vain(reading.created, at);
                self.keys.truncate(keys_before);
                self.known.truncate(keys_before);
                self.end_all(&mut reading.row, &mut reading.report);
            }
        }
        self.append_report(&mut reading.row, &mut reading.report, seconds, resolve);
        Outcome { row: reading.row, exemplars: reading.exemplars, report: reading.report, metadata }
    }

    /// Returns the row of a scrape that brought no body: the ends of all series, and the report.
    pub fn failed(&mut self, error: &str, at: Timestamp, seconds: f64, resolve: &mut Resolve<'_>) -> Outcome {
        let mut row = Row { at, cells: Vec::new() };
        let mut report = Report { error: Some(error.to_owned()), ..Report::default() };
        self.end_all(&mut row, &mut report);
        self.append_report(&mut row, &mut report, seconds, resolve);
        Outcome { row, exemplars: Vec::new(), report, metadata: None }
    }

    /// Returns the last row of a target that is scraped no more: the ends of all its series.
    pub fn ended(&mut self, at: Timestamp, resolve: &mut Resolve<'_>) -> Row {
        let mut row = Row { at, cells: Vec::new() };
        let mut report = Report::default();
        self.end_all(&mut row, &mut report);
        self.refresh_report_series(at);
        self.report_series.append_ends(&mut row, &mut report, &self.labels, &self.settings, resolve);
        row
    }

    fn append_report(&mut self, row: &mut Row, report: &mut Report, seconds: f64, resolve: &mut Resolve<'_>) {
        self.refresh_report_series(row.at);
        report.held = self.held.count();
        self.report_series.append(row, report, &self.labels, &self.settings, seconds, resolve);
    }

    fn refresh_report_series(&mut self, at: Timestamp) {
        if at.since(self.reported_at) > REF_LIFE {
            self.report_series.forget();
        }
        self.reported_at = at;
    }

    fn read<'a>(
        &mut self,
        body: &'a [u8],
        content_type: Option<&str>,
        reading: &mut Reading<'a>,
        resolve: &mut Resolve<'_>,
    ) -> Result<(), String> {
        let limit = self.job.limits.body_bytes;
        if limit > 0 && body.len() as u64 > limit {
            reading.report.body_bytes = -1;
            return Err("body size limit exceeded".to_owned());
        }
        if body.is_empty() {
            return Ok(());
        }
        let encoding = encoding_of(content_type, self.job.fallback_protocol)?;
        reading.encoding = Some(encoding);
        match encoding {
            Encoding::Text(format) => self.read_text(body, format, reading, resolve)?,
            Encoding::Protobuf => self.read_protobuf(body, reading, resolve)?,
        }
        if reading.over_limit {
            return Err("sample limit exceeded".to_owned());
        }
        if reading.over_buckets {
            return Err("histogram bucket limit exceeded".to_owned());
        }
        Ok(())
    }

    /// Returns the position of a series text that came out of order, which is the last one for a new text.
    fn position(&mut self, series: &[u8], reading: &mut Reading<'_>) -> Result<usize, String> {
        if let Some(position) = self.keys.find(series) {
            reading.jumps += 1;
            return Ok(position);
        }
        self.keys.push(series).ok_or_else(|| "the names and labels of the body's series are too long".to_owned())
    }

    /// Takes one sample into the row; returns its series when it is kept.
    #[inline]
    fn take<'a>(
        &mut self,
        position: usize,
        written: Written<'a, '_>,
        said: Said<'_>,
        time: Option<Timestamp>,
        reading: &mut Reading<'a>,
        resolve: &mut Resolve<'_>,
    ) -> Result<Option<SeriesRef>, String> {
        reading.report.samples += 1;
        let attempt = self.attempt;
        let mut is_new = false;
        let mut repeats = false;
        let is_refused = |known: &Known| matches!(known.fate, Fate::Refused);
        match self.known.get_mut(position) {
            Some(known) if known.seen == attempt => repeats = true,
            Some(known) if known.seen >= self.succeeded && !reading.refs_expired && !is_refused(known) => known.seen = attempt,
            known => {
                is_new = known.is_none_or(|known| known.seen < self.succeeded || is_refused(known));
                self.learn(position, written, reading, resolve)?;
            }
        }
        if let Some(order) = reading.order.as_mut().filter(|_| !repeats) {
            order.push(position as u32);
        }
        let known = &mut self.known[position];
        let series = match known.fate {
            Fate::Dropped => return Ok(None),
            Fate::Refused => {
                reading.report.kept += 1;
                reading.report.refused += 1;
                return Ok(None);
            }
            Fate::Kept(series) => series,
        };
        reading.report.kept += 1;
        if repeats && time.is_none() {
            reading.report.duplicates += 1;
            return Ok(Some(series));
        }
        let value = match said {
            Said::Float(value) => Value::Float(value),
            Said::Histogram(make) => match make()? {
                Some(histogram) => Value::Histogram(Arc::new(histogram)),
                None => {
                    reading.over_buckets = true;
                    return Ok(Some(series));
                }
            },
        };
        reading.appended += 1;
        if self.settings.sample_limit > 0 && reading.appended > self.settings.sample_limit {
            reading.over_limit = true;
            return Ok(Some(series));
        }
        if time.is_some_and(|time| time.since(reading.row.at) > AHEAD_MAX) {
            reading.report.out_of_bounds += 1;
            return Ok(Some(series));
        }
        if is_new {
            reading.fresh.push(series);
            if self.inherited.binary_search(&series).is_err() {
                reading.report.series_added += 1;
            }
        }
        if time.is_none() || self.job.track_timestamps_staleness {
            known.tracked = attempt;
        }
        reading.row.cells.push(Cell { series, at: time, value });
        Ok(Some(series))
    }

    /// Decides what becomes of a series text that is new, or was away.
    fn learn<'a>(
        &mut self,
        position: usize,
        written: Written<'a, '_>,
        reading: &mut Reading<'a>,
        resolve: &mut Resolve<'_>,
    ) -> Result<(), String> {
        reading.labels.clear();
        written.labels(&mut reading.labels)?;
        let fate = match series_labels(&mut reading.labels, &self.labels, &self.job)? {
            None => Fate::Dropped,
            Some(labels) => self.ask(&labels, reading, resolve),
        };
        match self.known.get_mut(position) {
            Some(known) => *known = Known { fate, seen: self.attempt, tracked: known.tracked },
            None => self.known.push(Known { fate, seen: self.attempt, tracked: 0 }),
        }
        Ok(())
    }

    /// Asks the store for a series, within what the target may hold.
    fn ask(&self, labels: &LabelSet, reading: &mut Reading<'_>, resolve: &mut Resolve<'_>) -> Fate {
        let limit = self.job.limits.series;
        let is_full = limit > 0 && (self.held.count() + reading.created) as u64 >= limit;
        match resolve(labels, if is_full { Claim::Known } else { Claim::Common }) {
            Ok(found) => {
                reading.created += usize::from(found.is_new);
                Fate::Kept(found.series)
            }
            Err(reason) => {
                let reason = || if is_full { format!("the target has {limit} series, its limit") } else { reason };
                reading.report.refusal.get_or_insert_with(reason);
                Fate::Refused
            }
        }
    }

    /// Appends the ends of series that the last row had and this one has not; takes out what the body brought twice.
    fn end_vanished(&mut self, reading: &mut Reading<'_>) {
        reading.fresh.sort_unstable();
        let must_look = self.has_aliases || reading.refs_expired || is_repeated(&reading.fresh, &reading.row);
        let present = if must_look { self.drop_duplicates(reading) } else { std::mem::take(&mut reading.fresh) };
        let alive = self.alive;
        if alive == 0 {
            return;
        }
        for known in self.known.iter().filter(|known| known.tracked == alive) {
            let Fate::Kept(series) = known.fate else { continue };
            // Another text may have brought the series.
            if present.binary_search(&series).is_ok() {
                continue;
            }
            reading.row.cells.push(end(series));
            reading.report.ended += 1;
        }
    }

    /// Takes out samples of a series that another text had brought already; returns the series of the row in order.
    fn drop_duplicates(&mut self, reading: &mut Reading<'_>) -> Vec<SeriesRef> {
        let mut present: Vec<SeriesRef> =
            reading.row.cells.iter().filter(|cell| cell.at.is_none()).map(|cell| cell.series).collect();
        present.sort_unstable();
        let mut twice: Vec<(SeriesRef, bool)> =
            present.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| (pair[0], false)).collect();
        twice.dedup();
        self.has_aliases = !twice.is_empty();
        if self.has_aliases {
            let before = reading.row.cells.len();
            reading.row.cells.retain(|cell| match twice.binary_search_by_key(&cell.series, |(series, _)| *series) {
                Ok(index) if cell.at.is_none() => !std::mem::replace(&mut twice[index].1, true),
                _ => true,
            });
            reading.report.duplicates += before - reading.row.cells.len();
        }
        if self.job.track_timestamps_staleness {
            present.extend(reading.row.cells.iter().filter(|cell| cell.at.is_some()).map(|cell| cell.series));
            present.sort_unstable();
        }
        present
    }

    /// Appends the ends of inherited series that the first body does not bring.
    fn end_inherited(&mut self, reading: &mut Reading<'_>) {
        let inherited = std::mem::take(&mut self.inherited);
        if inherited.is_empty() {
            return;
        }
        let mut present: Vec<SeriesRef> = reading.row.cells.iter().map(|cell| cell.series).collect();
        present.sort_unstable();
        let vanished = inherited.into_iter().filter(|series| present.binary_search(series).is_err());
        let before = reading.row.cells.len();
        reading.row.cells.extend(vanished.map(end));
        reading.report.ended += reading.row.cells.len() - before;
    }

    /// Appends the ends of all series that are alive.
    fn end_all(&mut self, row: &mut Row, report: &mut Report) {
        row.cells.extend(self.alive_series().map(end));
        row.cells.extend(std::mem::take(&mut self.inherited).into_iter().map(end));
        report.ended = row.cells.len();
        self.alive = 0;
    }

    fn alive_series(&self) -> impl Iterator<Item = SeriesRef> {
        // An attempt that failed midway may have touched some of them.
        let is_alive = |known: &&Known| self.alive > 0 && (known.tracked == self.alive || known.tracked > self.succeeded);
        self.known.iter().filter(is_alive).filter_map(|known| match known.fate {
            Fate::Kept(series) => Some(series),
            Fate::Dropped | Fate::Refused => None,
        })
    }

    /// Puts the keys into the order of the last body and drops those that it had not, when that will save work.
    fn tidy(&mut self, reading: &mut Reading<'_>, added: usize) {
        if let Some(order) = reading.order.take() {
            self.keys = self.keys.rearranged(&order);
            self.known = order.iter().map(|position| self.known[*position as usize]).collect();
            self.order.wanted = false;
            self.order.pause = self.order.next_pause;
            self.order.next_pause = (self.order.next_pause * 2).clamp(1, ORDER_PAUSE_MAX);
            return;
        }
        if reading.jumps == 0 && added == 0 {
            self.keys.drop_table();
            self.keys.shrink();
            self.known.shrink_to(self.keys.len() + self.keys.len() / 16);
        }
        let gone = self.known.iter().filter(|known| known.seen != self.attempt).count();
        let is_disordered = reading.jumps > self.known.len() / 8 + 16 || gone > self.known.len() / 4 + 64;
        if !is_disordered {
            self.order.next_pause = 0;
        }
        self.order.wanted = is_disordered && self.order.pause == 0;
        self.order.pause = self.order.pause.saturating_sub(1);
    }
}

fn end(series: SeriesRef) -> Cell {
    Cell { series, at: None, value: Value::Float(STALE) }
}

/// Returns whether a series of new texts, in order, is in the row more than once.
fn is_repeated(fresh: &[SeriesRef], row: &Row) -> bool {
    let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else { return false };
    // Stores number new series upwards, so that the range alone tells most others apart.
    let times =
        row.cells.iter().filter(|cell| (first..=last).contains(&&cell.series) && fresh.binary_search(&cell.series).is_ok());
    times.count() != fresh.len() || fresh.windows(2).any(|pair| pair[0] == pair[1])
}
