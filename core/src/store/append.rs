//! Appending: judge a row, log it, write it into the chunks, publish it. One row at a time, so that the log, the chunks and the
//! readers all know the rows in the same order.

use std::collections::BTreeMap;
use std::io;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::{Cell, Row, STALE, SeriesRef, Value};

use super::Store;
use super::codec::{Damaged, same_value};
use super::head::{Head, Lateness, LeftOut};
use super::pages::{page_of, slot_of};
use super::record::{Item, Items, RECORD_BYTES_MAX, RowWriter, put_series};
use super::rows::Brought;

/// A record's buffer up to this size is kept for the next row.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

/// How to write a record to the log; it returns once the operating system has the bytes.
pub type Log<'a> = &'a dyn Fn(&[u8]) -> io::Result<()>;

/// What became of a row's cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Samples that are new in the store.
    pub samples: usize,
    /// Refused: older than the series' newest sample, and late samples are not taken.
    pub out_of_order: usize,
    /// Refused: older than the window for late samples, or than the retention.
    pub too_old: usize,
    /// Refused: the series has another value at that instant. The same value again is counted nowhere.
    pub duplicate: usize,
    /// The cells that are not new, by their places in the row. A sum over several rows has none.
    pub left_out: Vec<(u32, LeftOut)>,
}

impl AddAssign for Appended {
    fn add_assign(&mut self, other: Appended) {
        self.samples += other.samples;
        self.out_of_order += other.out_of_order;
        self.too_old += other.too_old;
        self.duplicate += other.duplicate;
        self.left_out.clear();
    }
}

/// Why a row was not appended. Nothing of it is in the store then.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// These series are no longer in the store; resolve their labels again.
    #[error("{} series of the row have left the store", series.len())]
    Dead { series: Vec<SeriesRef> },
    #[error("the row takes {bytes} bytes in the log; at most {RECORD_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
    #[error("cannot write to the log")]
    Log(#[source] io::Error),
}

/// What a record brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub rows: usize,
    pub samples: usize,
    pub series: usize,
    /// Samples without a home: the record that named their series is lost.
    pub orphans: usize,
}

impl AddAssign for Replayed {
    fn add_assign(&mut self, other: Replayed) {
        self.rows += other.rows;
        self.samples += other.samples;
        self.series += other.series;
        self.orphans += other.orphans;
    }
}

/// A histogram may say by its sum that the series ended; the store knows one marker.
fn plain(value: &Value) -> &Value {
    static MARKER: Value = Value::Float(STALE);
    if value.is_stale() { &MARKER } else { value }
}

/// A row with its verdicts.
#[derive(Default)]
struct Judged {
    appended: Appended,
    brought: Vec<Brought>,
    unlogged: Vec<u32>,
    dead: Vec<SeriesRef>,
    /// Accepted samples by series and time; kept only once the row has named a series twice.
    named: Option<BTreeMap<(u32, i64), u32>>,
}

impl Judged {
    fn verdict(
        &mut self,
        row: &Row,
        cell: &Cell,
        head: &Head,
        stamp: u32,
        lateness: Lateness,
        horizon: i64,
    ) -> Result<(), LeftOut> {
        let (at, value, series) = (cell.at.unwrap_or(row.at).0, plain(&cell.value), cell.series.0);
        if head.stamp.load(Relaxed) != stamp {
            head.stamp.store(stamp, Relaxed);
            return head.judge(at, value, head.newest(), lateness, horizon);
        }
        let brought = &self.brought;
        let named = self.named.get_or_insert_with(|| brought.iter().map(|own| ((own.series, own.at), own.cell)).collect());
        if let Some(own) = named.get(&(series, at)) {
            let same = same_value(plain(&row.cells[*own as usize].value), value);
            return Err(if same { LeftOut::Same } else { LeftOut::Duplicate });
        }
        let last = named.range((series, i64::MIN)..=(series, i64::MAX)).next_back();
        let newest = last.map_or(head.newest(), |((_, at), _)| head.newest().max(*at));
        head.judge(at, value, newest, lateness, horizon)
    }

    fn leave_out(&mut self, place: u32, why: LeftOut) {
        match why {
            LeftOut::Same => {}
            LeftOut::OutOfOrder => self.appended.out_of_order += 1,
            LeftOut::TooOld => self.appended.too_old += 1,
            LeftOut::Duplicate => self.appended.duplicate += 1,
        }
        self.appended.left_out.push((place, why));
    }

    fn accept(&mut self, own: Brought, logged: bool) {
        if let Some(named) = &mut self.named {
            named.insert((own.series, own.at), own.cell);
        }
        if !logged {
            self.unlogged.push(own.series);
        }
        self.brought.push(own);
        self.appended.samples += 1;
    }
}

impl Store {
    /// Appends a row: logs it, then makes it visible, whole.
    ///
    /// Errors: `Dead` when series have left the store, `Log` when `log` fails; either way nothing has changed. After `Log` the caller
    /// may go on with `append_unlogged`.
    pub fn append(&self, row: &Row, log: Log<'_>) -> Result<Appended, AppendError> {
        self.bring(row, self.window(), Some(log))
    }

    /// Appends a row to memory only, for the time that the log cannot be written. It lasts once a checkpoint has been written.
    pub fn append_unlogged(&self, row: &Row) -> Result<Appended, AppendError> {
        self.bring(row, self.window(), None)
    }

    /// Appends rows whose samples may lie anywhere within the retention, such as a remote write or a backfill. Each row becomes visible
    /// whole.
    ///
    /// Errors: as `append`; rows before the one that failed are in the store, and appending all of them again is harmless.
    pub fn append_bulk(&self, rows: &[Row], log: Log<'_>) -> Result<Appended, AppendError> {
        self.bring_all(rows, Some(log))
    }

    /// Appends as `append_bulk` does, to memory only.
    pub fn append_bulk_unlogged(&self, rows: &[Row]) -> Result<Appended, AppendError> {
        self.bring_all(rows, None)
    }

    /// Appends a row as `append` does, with another limit on how late its samples may be.
    pub fn append_late(&self, row: &Row, lateness: Lateness, log: Log<'_>) -> Result<Appended, AppendError> {
        self.bring(row, lateness, Some(log))
    }

    /// Appends as `append_late` does, to memory only.
    pub fn append_late_unlogged(&self, row: &Row, lateness: Lateness) -> Result<Appended, AppendError> {
        self.bring(row, lateness, None)
    }

    fn bring_all(&self, rows: &[Row], log: Option<Log<'_>>) -> Result<Appended, AppendError> {
        let mut sum = Appended::default();
        for row in rows {
            sum += self.bring(row, Lateness::Any, log)?;
        }
        Ok(sum)
    }

    fn window(&self) -> Lateness {
        Lateness::Within(self.options.out_of_order_window.0.max(0))
    }

    fn bring(&self, row: &Row, lateness: Lateness, log: Option<Log<'_>>) -> Result<Appended, AppendError> {
        let mut writer = self.writer();
        let mut bytes = std::mem::take(&mut writer.record);
        bytes.clear();
        let mut cells = RowWriter::begin(&mut bytes, row.at.0);
        let mut judged = self.judge(row, lateness, &mut writer.stamp, Some(&mut cells));
        cells.end();
        if !judged.dead.is_empty() {
            judged.dead.sort_unstable();
            judged.dead.dedup();
            return Err(AppendError::Dead { series: judged.dead });
        }
        if judged.brought.is_empty() {
            return Ok(judged.appended);
        }
        judged.unlogged.sort_unstable();
        judged.unlogged.dedup();
        if let Some(log) = log {
            if !judged.unlogged.is_empty() {
                let mut whole = Vec::with_capacity(bytes.len() + judged.unlogged.len() * 200);
                for series in &judged.unlogged {
                    let labels = self.pages.labels(*series).expect("a series that was judged alive keeps its labels");
                    put_series(&mut whole, *series, &labels);
                }
                whole.extend_from_slice(&bytes);
                bytes = whole;
            }
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(AppendError::TooLarge { bytes: bytes.len() });
            }
            log(&bytes).map_err(AppendError::Log)?;
            self.mark_logged(&judged.unlogged);
        }
        self.write(row, judged.brought);
        if bytes.capacity() <= SCRATCH_BYTES_MAX {
            writer.record = bytes;
        }
        Ok(judged.appended)
    }

    /// Decides on every cell; hands the accepted ones to `cells`, in order.
    fn judge(&self, row: &Row, lateness: Lateness, stamp: &mut u32, mut cells: Option<&mut RowWriter<'_>>) -> Judged {
        *stamp = stamp.wrapping_add(1);
        let horizon = self.horizon.load(Relaxed);
        let mut judged = Judged { brought: Vec::with_capacity(row.cells.len()), ..Judged::default() };
        let mut place = 0u32;
        for run in row.cells.chunk_by(|left, right| page_of(left.series.0) == page_of(right.series.0)) {
            let heads = self.pages.get(page_of(run[0].series.0)).map(|page| page.heads());
            let heads = heads.as_deref().map_or(&[][..], Vec::as_slice);
            for cell in run {
                let Some(head) = heads.get(slot_of(cell.series.0)).filter(|head| head.alive) else {
                    judged.dead.push(cell.series);
                    place += 1;
                    continue;
                };
                match judged.verdict(row, cell, head, *stamp, lateness, horizon) {
                    Ok(()) => {
                        let own = Brought { series: cell.series.0, cell: place, at: cell.at.unwrap_or(row.at).0 };
                        if let Some(cells) = &mut cells {
                            cells.put(own.series, own.at, plain(&cell.value));
                        }
                        judged.accept(own, head.logged);
                    }
                    Err(why) => judged.leave_out(place, why),
                }
                place += 1;
            }
        }
        judged
    }

    fn mark_logged(&self, series: &[u32]) {
        for run in series.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let mut heads = self.pages.make(page_of(run[0])).heads_mut();
            for series in run {
                heads[slot_of(*series)].logged = true;
            }
        }
    }

    /// Writes accepted samples into the chunks and publishes the row.
    fn write(&self, row: &Row, brought: Vec<Brought>) {
        let brought = Arc::new(brought);
        self.rows().begin(brought.clone());
        let (mut grown, mut shrunk) = (0, 0);
        for run in brought.chunk_by(|left, right| page_of(left.series) == page_of(right.series)) {
            let mut heads = self.pages.make(page_of(run[0].series)).heads_mut();
            for own in run {
                let head = &mut heads[slot_of(own.series)];
                shrunk += head.bytes();
                head.push(own.at, plain(&row.cells[own.cell as usize].value));
                grown += head.bytes();
            }
        }
        self.rows().publish();
        self.count_bytes(grown, shrunk);
        self.samples_total.fetch_add(brought.len() as u64, Relaxed);
    }

    /// Applies a record that `append` or `checkpoint` wrote. Records come in the order in which they were written, before anything else
    /// is appended.
    ///
    /// Errors: `Damaged` when the bytes are not a record; the items before the damage are applied.
    pub fn replay(&self, record: &[u8]) -> Result<Replayed, Damaged> {
        let mut done = Replayed::default();
        for item in Items::of(record) {
            match item? {
                Item::Series { series, labels } => done.series += usize::from(self.restore_series(series, &labels)?),
                Item::Row(row) => {
                    let mut writer = self.writer();
                    let judged = self.judge(&row, Lateness::Any, &mut writer.stamp, None);
                    if let Some(last) = judged.dead.iter().max() {
                        self.skip_numbers(last.0);
                    }
                    done.rows += 1;
                    done.samples += judged.brought.len();
                    done.orphans += judged.dead.len();
                    self.write(&row, judged.brought);
                }
                Item::Dump { series, bounds, run } => {
                    let page = self.pages.get(page_of(series));
                    let mut heads = page.map(|page| page.heads_mut());
                    match heads.as_mut().and_then(|heads| heads.get_mut(slot_of(series))).filter(|head| head.alive) {
                        Some(head) => {
                            let before = head.bytes();
                            done.samples += head.restore(run, bounds)?;
                            self.count_bytes(head.bytes(), before);
                        }
                        None => done.orphans += 1,
                    }
                }
                Item::Deletion { series, start, end } => drop(self.delete_from_memory(&series, start, end)),
                Item::Next(next) => {
                    if let Some(last) = next.checked_sub(1) {
                        self.skip_numbers(last);
                    }
                }
            }
        }
        Ok(done)
    }
}
