//! Reading a body of Protocol Buffers, metric by metric.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::model::exposition::MetricType;
use crate::model::exposition::protobuf::{Families, Family, Metric, Part, RawExemplar};
use crate::model::{Exemplar, Histogram, LabelSet};
use crate::time::Timestamp;

use super::keys::Place;
use super::text::push_sorted;
use super::{MISSES_MAX, Reading, Resolve, Said, TargetState, Written};

/// Where the reader stands among the series of the bodies before.
#[derive(Default)]
struct Walk {
    next: usize,
    misses: usize,
    /// Where the order went on before it was left.
    left: Option<(usize, Vec<u8>)>,
    /// The key of the series before.
    before: Vec<u8>,
    /// The key of this series, and a blank.
    key: Vec<u8>,
    /// How much of `key` all series of the metric share.
    shared: usize,
}

impl Walk {
    /// Writes what the series of a metric share. A byte that no name has stands between the name and the labels.
    fn begin(&mut self, family: &str, metric: &Metric<'_>) {
        self.key.clear();
        self.key.extend_from_slice(family.as_bytes());
        self.key.push(0xff);
        metric.write_key(&mut self.key);
        self.shared = self.key.len();
    }

    /// Writes the rest of the key of one series.
    fn part(&mut self, part: Part) {
        self.key.truncate(self.shared);
        let (tag, number) = match part {
            Part::Value => (b'v', None),
            Part::Count => (b'c', None),
            Part::Sum => (b's', None),
            Part::Bucket(bound) => (b'b', Some(bound)),
            Part::Quantile(quantile) => (b'q', Some(quantile)),
            Part::Histogram => (b'h', None),
        };
        if let Some(number) = number {
            self.key.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        self.key.extend_from_slice(&[tag, b' ']);
    }
}

impl TargetState {
    pub(super) fn read_protobuf<'a>(
        &mut self,
        body: &'a [u8],
        reading: &mut Reading<'a>,
        resolve: &mut Resolve<'_>,
    ) -> Result<(), String> {
        let mut metadata_hasher = FixedState::with_seed(1).build_hasher();
        let (mut metric, mut walk) = (Metric::default(), Walk::default());
        for family in Families::new(body) {
            let family = family.map_err(|error| error.to_string())?;
            hash_metadata(&family, &mut metadata_hasher);
            let mut metrics = family.metrics();
            while metrics.read(&mut metric).map_err(|error| error.to_string())? {
                walk.begin(family.name, &metric);
                let mut series = Series { state: self, family: &family, metric: &metric, walk: &mut walk, reading, resolve };
                match family.kind {
                    MetricType::Summary => series.summary()?,
                    MetricType::Histogram | MetricType::GaugeHistogram => series.histogram()?,
                    _ => series.float(Part::Value, metric.value, metric.exemplar.as_ref())?,
                }
            }
        }
        reading.metadata_hash = metadata_hasher.finish();
        Ok(())
    }

    /// Returns the position of the series that the walk's key names.
    fn walked(&mut self, walk: &mut Walk, reading: &mut Reading<'_>) -> Result<usize, String> {
        let len = walk.key.len() - 1;
        let is_whole = |found: &(usize, usize)| found.1 == len;
        let place = Place { next: walk.next, before: &walk.before };
        let mut known = self.keys.expect(&place, &walk.key).filter(is_whole);
        if known.is_none() && walk.misses < MISSES_MAX {
            known = self.keys.look_ahead(&place, &walk.key).filter(is_whole);
            if known.is_none()
                && let Some((next, before)) = &walk.left
            {
                known = self.keys.look_ahead(&Place { next: *next, before }, &walk.key).filter(is_whole);
                if known.is_some() {
                    walk.left = None;
                }
            }
        }
        let position = match known {
            Some((position, _)) => {
                walk.misses = 0;
                position
            }
            None => {
                walk.misses += 1;
                let position = self.position(&walk.key[..len], reading)?;
                if walk.next < position {
                    walk.left = Some((walk.next, walk.before.clone()));
                }
                position
            }
        };
        walk.next = position + 1;
        walk.before.clear();
        walk.before.extend_from_slice(&walk.key[..len]);
        Ok(position)
    }
}

/// The series of one metric, on their way into the row.
struct Series<'a, 'm, 'r> {
    state: &'m mut TargetState,
    family: &'m Family<'a>,
    metric: &'m Metric<'a>,
    walk: &'m mut Walk,
    reading: &'m mut Reading<'a>,
    resolve: &'m mut Resolve<'r>,
}

impl Series<'_, '_, '_> {
    fn time(&self) -> Option<Timestamp> {
        self.metric.at.filter(|_| self.state.job.honor_timestamps)
    }

    fn float(&mut self, part: Part, value: f64, exemplar: Option<&RawExemplar<'_>>) -> Result<(), String> {
        self.walk.part(part);
        let position = self.state.walked(self.walk, self.reading)?;
        let written = Written::Metric(self.metric, self.family.name, part);
        let time = self.time();
        let kept = self.state.take(position, written, Said::Float(value), time, self.reading, self.resolve)?;
        if let (Some(series), Some(raw)) = (kept, exemplar) {
            let at = time.unwrap_or(self.reading.row.at);
            self.reading.exemplars.extend(read_exemplar(raw, Some(at)).map(|exemplar| (series, exemplar)));
        }
        Ok(())
    }

    fn summary(&mut self) -> Result<(), String> {
        let summary = &self.metric.summary;
        self.float(Part::Count, summary.count as f64, None)?;
        self.float(Part::Sum, summary.sum, None)?;
        summary.quantiles.iter().try_for_each(|(quantile, value)| self.float(Part::Quantile(*quantile), *value, None))
    }

    fn histogram(&mut self) -> Result<(), String> {
        let (wanted, is_gauge) = (self.state.job.histograms, self.family.kind == MetricType::GaugeHistogram);
        let distribution = &self.metric.distribution;
        if wanted.native && distribution.is_native() {
            let native = || distribution.native(is_gauge).map_err(|error| error.to_string());
            self.whole(&mut || Ok(wanted.fit(native()?)))?;
            if !wanted.always_classic || distribution.buckets.is_empty() {
                return Ok(());
            }
        } else if wanted.convert && !is_gauge {
            if let Some(whole) = distribution.converted() {
                self.whole(&mut || Ok(wanted.fit(whole.clone())))?;
            }
            if !wanted.always_classic {
                return Ok(());
            }
        }
        self.float(Part::Count, distribution.observations(), None)?;
        self.float(Part::Sum, distribution.sum, None)?;
        for bucket in &distribution.buckets {
            self.float(Part::Bucket(bucket.upper), bucket.count, bucket.exemplar.as_ref())?;
        }
        if !distribution.has_last_bucket() {
            self.float(Part::Bucket(f64::INFINITY), distribution.observations(), None)?;
        }
        Ok(())
    }

    /// Takes the histogram as one sample, with its exemplars.
    fn whole(&mut self, make: &mut dyn FnMut() -> Result<Option<Histogram>, String>) -> Result<(), String> {
        self.walk.part(Part::Histogram);
        let position = self.state.walked(self.walk, self.reading)?;
        let written = Written::Metric(self.metric, self.family.name, Part::Histogram);
        let time = self.time();
        let kept = self.state.take(position, written, Said::Histogram(make), time, self.reading, self.resolve)?;
        if let Some(series) = kept {
            let exemplars = self.metric.distribution.exemplars().filter_map(|raw| read_exemplar(raw, None)).collect();
            push_sorted(&mut self.reading.exemplars, series, exemplars);
        }
        Ok(())
    }
}

/// Reads an exemplar; None when its labels are no text, or it has no time and `otherwise` gives none.
fn read_exemplar(raw: &RawExemplar<'_>, otherwise: Option<Timestamp>) -> Option<Exemplar> {
    let mut labels = Vec::new();
    raw.labels(&mut labels).ok()?;
    Some(Exemplar {
        labels: LabelSet::from_pairs(labels),
        value: raw.value,
        at: raw.at.or(otherwise)?,
        has_own_time: raw.at.is_some(),
    })
}

fn hash_metadata(family: &Family<'_>, hasher: &mut impl Hasher) {
    hasher.write_u8(family.kind as u8);
    for text in [family.name, family.help, family.unit] {
        hasher.write_usize(text.len());
        hasher.write(text.as_bytes());
    }
}
