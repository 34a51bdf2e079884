//! What other servers write: unpacked, read, and put into the store row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::model::{Cell, Exemplar, LabelSet, METRIC_NAME, Row, SeriesRef, Value};
use tocsin_core::remote::Protocol;
use tocsin_core::remote::read::{Faults, ReadError, Request, read};
use tocsin_core::store::{AppendError, Lateness, LeftOut, Refused};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ingest::Ingest;
use super::scrapes::{MetadataBook, note_metadata};
use crate::client::answer::with_causes;
use crate::clock;
use crate::telemetry::limits::Refusals;

/// The body of a request as it comes, and unpacked.
pub const BODY_BYTES_MAX: usize = 16 << 20;
pub const UNPACKED_BYTES_MAX: usize = 32 << 20;
/// Requests at a time, those whose body is still coming included.
const REQUESTS_MAX: usize = 64;
/// Bodies of all requests at a time, in KiB.
const BODIES_KIB_MAX: usize = 64 << 10;
/// Requests that are worked on at a time: reading and appending takes the processor from scrapes and rules.
const WORKERS_MAX: usize = 2;
/// A sample may be so far ahead of our clock.
const AHEAD_MAX: Span = Span::from_mins(10);
/// How often a request is begun anew because a series left the store meanwhile.
const TRIES_MAX: usize = 3;

/// Takes requests; clones share the limits.
#[derive(Clone)]
pub struct Receiver {
    ingest: Arc<Ingest>,
    book: MetadataBook,
    window: Span,
    pub enabled: bool,
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

/// Room for a request; it is given back when this is dropped.
pub struct Room {
    _request: OwnedSemaphorePermit,
    _body: OwnedSemaphorePermit,
}

/// What of a request is in the store, and what is not.
#[derive(Debug, Default)]
pub struct Taken {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
    pub faults: Faults,
}

/// Why nothing of a request is said to be in the store.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("cannot unpack the body, which must be Snappy's block format")]
    Packed(#[source] snap::Error),
    #[error("the body unpacks to {bytes} bytes; at most {UNPACKED_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Busy(&'static str),
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, ReceiveError> {
    let bytes = snap::raw::decompress_len(body).map_err(ReceiveError::Packed)?;
    if bytes > UNPACKED_BYTES_MAX {
        return Err(ReceiveError::TooLong { bytes });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(ReceiveError::Packed)
}

/// Series have left the store since they were resolved.
struct Gone;

/// One try at appending a request.
struct Work<'a> {
    ingest: &'a Ingest,
    request: &'a Request,
    lateness: Lateness,
    now: Timestamp,
    taken: Taken,
    refused: BTreeMap<&'static str, usize>,
    unlogged: bool,
}

impl Receiver {
    pub fn new(ingest: Arc<Ingest>, book: MetadataBook, window: Span, enabled: bool) -> Receiver {
        let places = |count: usize| Arc::new(Semaphore::new(count));
        let (requests, bodies, workers) = (places(REQUESTS_MAX), places(BODIES_KIB_MAX), places(WORKERS_MAX));
        Receiver { ingest, book, window, enabled, requests, bodies, workers }
    }

    /// Returns room for a request whose body has so many bytes at most; None while too many others are at it.
    pub fn room(&self, bytes: usize) -> Option<Room> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).ok()?;
        let request = self.requests.clone().try_acquire_owned().ok()?;
        let body = self.bodies.clone().try_acquire_many_owned(kib).ok()?;
        Some(Room { _request: request, _body: body })
    }

    /// Counts an answer.
    pub fn answered(&self, protocol: Option<Protocol>, code: u16) {
        self.ingest.metrics.write_answered(protocol.map_or("unknown", Protocol::word), code);
    }

    /// Takes a request into the store; returns once the operating system has it.
    ///
    /// Errors: `Busy` when the same request may be taken later; the others will not mend.
    pub async fn receive(&self, body: impl AsRef<[u8]> + Send + 'static, protocol: Protocol) -> Result<Taken, ReceiveError> {
        if self.ingest.disk.is_suspended() {
            return Err(ReceiveError::Busy("samples cannot be written to the disk; send them again later"));
        }
        let fault = |_| ReceiveError::Busy("the service stops; send the request again");
        let worker = self.workers.clone().acquire_owned().await.map_err(fault)?;
        let own = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _worker = worker;
            own.take(body.as_ref(), protocol)
        });
        work.await.unwrap_or(Err(ReceiveError::Busy("a fault of Tocsin; its log has more")))
    }

    fn take(&self, body: &[u8], protocol: Protocol) -> Result<Taken, ReceiveError> {
        let mut request = read(&unpack(body)?, protocol)?;
        note_metadata(&self.book, std::mem::take(&mut request.metadata));
        let faulty = request.faults.samples + request.faults.exemplars;
        self.ingest.metrics.write_refused("invalid", faulty);
        for _ in 0..TRIES_MAX {
            let mut work = Work {
                ingest: &self.ingest,
                request: &request,
                lateness: Lateness::Within(self.window.0),
                now: clock::now(),
                taken: Taken { faults: request.faults.clone(), ..Taken::default() },
                refused: BTreeMap::new(),
                unlogged: false,
            };
            if work.append().is_err() {
                continue;
            }
            for (reason, count) in &work.refused {
                self.ingest.metrics.write_refused(reason, *count);
            }
            if work.unlogged {
                return Err(ReceiveError::Busy("samples could not be written to the disk; send them again later"));
            }
            return Ok(work.taken);
        }
        Err(ReceiveError::Busy("series leave the store; send the request again"))
    }
}

/// Returns the reason under which a refused series is counted.
fn word(why: &Refused) -> &'static str {
    match why {
        Refused::SeriesLimit { .. } | Refused::NumbersUsedUp | Refused::Unknown { .. } => "series_limit",
        Refused::MetricLimit { .. } => "metric_series_limit",
        Refused::Memory { .. } => "memory",
        Refused::LabelsTooLong { .. } => "labels_too_long",
    }
}

impl Work<'_> {
    fn append(&mut self) -> Result<(), Gone> {
        let request = self.request;
        let series: Vec<Result<SeriesRef, Refused>> =
            request.series.iter().map(|labels| self.ingest.store.resolve(labels)).collect();
        let mut refusals: BTreeMap<&str, Refusals> = BTreeMap::new();
        let mut rows: BTreeMap<Timestamp, Vec<(SeriesRef, usize)>> = BTreeMap::new();
        for (place, (own, at, _)) in request.samples.iter().enumerate() {
            let labels = &request.series[*own as usize];
            match &series[*own as usize] {
                Err(why) => {
                    refusals.entry(labels.get("job")).or_default().add(labels.get(METRIC_NAME), why.limit());
                    self.refuse(word(why), labels, &why.to_string(), *at);
                }
                Ok(_) if at.since(self.now) > AHEAD_MAX => {
                    self.refuse("too_far_ahead", labels, "the sample is too far in the future", *at);
                }
                Ok(own) => rows.entry(*at).or_default().push((*own, place)),
            }
        }
        for (job, refusals) in refusals {
            self.ingest.metrics.limits.refused(job, refusals, self.now);
        }
        let exemplars: Vec<(SeriesRef, Exemplar)> = request
            .exemplars
            .iter()
            .filter_map(|(own, exemplar)| Some((*series[*own as usize].as_ref().ok()?, exemplar.clone())))
            .collect();
        let last = rows.keys().next_back().copied();
        for (at, mut cells) in rows {
            cells.sort_unstable_by_key(|(series, _)| *series);
            // All of them go on with one row; which one does not matter.
            self.append_row(at, &cells, if Some(at) == last { &exemplars } else { &[] })?;
        }
        self.add_exemplars(exemplars);
        Ok(())
    }

    /// `cells`: the series, and the places in the request's samples.
    fn append_row(
        &mut self,
        at: Timestamp,
        cells: &[(SeriesRef, usize)],
        exemplars: &[(SeriesRef, Exemplar)],
    ) -> Result<(), Gone> {
        let samples = &self.request.samples;
        let cell = |(series, place): &(SeriesRef, usize)| Cell { series: *series, at: None, value: samples[*place].2.clone() };
        let row = Row { at, cells: cells.iter().map(cell).collect() };
        let left_out = match self.ingest.append_late(&row, self.lateness, exemplars) {
            Ok(written) => {
                self.unlogged |= written.unlogged.is_some();
                written.appended.left_out
            }
            Err(AppendError::Dead { .. }) => return Err(Gone),
            Err(error) => {
                let why = with_causes(&error);
                for (_, place) in cells {
                    let (own, at, _) = &samples[*place];
                    self.refuse("too_large", &self.request.series[*own as usize], &why, *at);
                }
                return Ok(());
            }
        };
        for cell in &row.cells {
            *self.counter(&cell.value) += 1;
        }
        for (cell, why) in left_out {
            let (reason, why) = match why {
                LeftOut::Same => continue,
                LeftOut::OutOfOrder => ("out_of_order", "out of order sample"),
                LeftOut::TooOld => ("too_old", "too old sample"),
                LeftOut::Duplicate => ("duplicate", "duplicate sample for timestamp"),
            };
            let (own, at, value) = &samples[cells[cell as usize].1];
            *self.counter(value) -= 1;
            self.refuse(reason, &self.request.series[*own as usize], why, *at);
        }
        Ok(())
    }

    fn counter(&mut self, value: &Value) -> &mut usize {
        match value {
            Value::Float(_) => &mut self.taken.samples,
            Value::Histogram(_) => &mut self.taken.histograms,
        }
    }

    fn refuse(&mut self, reason: &'static str, labels: &LabelSet, why: &str, at: Timestamp) {
        *self.refused.entry(reason).or_default() += 1;
        self.ingest.metrics.samples_refused.inc();
        self.taken.faults.samples += 1;
        self.taken.faults.add(|| format!("{why}, for series {labels} at {}", at.rfc3339()));
    }

    fn add_exemplars(&mut self, known: Vec<(SeriesRef, Exemplar)>) {
        let all = self.request.exemplars.len();
        if all == 0 || !self.ingest.store.keeps_exemplars() {
            return;
        }
        let done = self.ingest.add_exemplars(known);
        let refused = done.out_of_order + done.too_long;
        self.taken.exemplars = all - refused;
        self.taken.faults.exemplars += refused;
        for (reason, count, why) in [
            ("exemplar_out_of_order", done.out_of_order, "exemplars are out of order"),
            ("exemplar_too_long", done.too_long, "exemplars have labels of more than 128 characters"),
        ] {
            if count > 0 {
                *self.refused.entry(reason).or_default() += count;
                self.taken.faults.add(|| format!("{count} {why}"));
            }
        }
    }
}
