//! Reading a body of text, line by line.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::model::exposition::{self, Entry, Format, MetricType, ParseError, Parser, decode_series};
use crate::model::{Exemplar, LabelSet, SeriesRef};
use crate::time::Timestamp;

use super::collate::{Collation, Whole};
use super::keys::Place;
use super::{MISSES_MAX, Reading, Resolve, Said, TargetState, Written};

impl TargetState {
    pub(super) fn read_text<'a>(
        &mut self,
        body: &'a [u8],
        format: Format,
        reading: &mut Reading<'a>,
        resolve: &mut Resolve<'_>,
    ) -> Result<(), String> {
        let mut parser = Parser::new(body, format);
        let mut metadata_hasher = FixedState::with_seed(0).build_hasher();
        let mut place = Place { next: 0, before: b"" };
        // Where the order went on before it was left; a new line among old ones must not lose the place.
        let mut left: Option<Place<'a>> = None;
        // A body in no known order is not worth a look ahead at each line.
        let mut misses = 0;
        let mut collation = self.job.histograms.convert.then(Collation::default);
        loop {
            let mut known = None;
            // What is put together to one histogram must be read, label by label.
            let is_collated = collation.is_some() && parser.kind() == MetricType::Histogram;
            let expected = parser.next_expected(|rest| {
                if is_collated || rest.first() == Some(&b'#') {
                    return None;
                }
                known = self.keys.expect(&place, rest);
                if known.is_none() && misses < MISSES_MAX {
                    known = self.keys.look_ahead(&place, rest);
                    if known.is_none() {
                        known = self.keys.look_ahead(left.as_ref()?, rest);
                        left = left.filter(|_| known.is_none());
                    }
                }
                known.map(|(_, len)| len)
            });
            let (position, series, value, time, exemplar) = match expected {
                Some((series, value, time)) => {
                    misses = 0;
                    (known.map_or(0, |(position, _)| position), series, value, time, None)
                }
                None => match parser.next() {
                    None => break,
                    Some(Err(error)) => return Err(place_error(&error)),
                    Some(Ok(Entry::Sample(line))) => {
                        if let Some(collation) = &mut collation {
                            let (is_part, done) = collation.take(&line, parser.kind())?;
                            if let Some(whole) = done {
                                self.take_collated(whole, reading, resolve)?;
                            }
                            if is_part && !self.job.histograms.always_classic {
                                continue;
                            }
                        }
                        let position = match known {
                            // The key was as expected, only what follows it was not plain.
                            Some((position, len)) if len == line.series.len() => position,
                            _ => {
                                misses += 1;
                                let position = self.position(line.series, reading)?;
                                left = (place.next < position).then_some(place).or(left);
                                position
                            }
                        };
                        (position, line.series, line.value, line.at, line.exemplar)
                    }
                    Some(Ok(entry)) => {
                        if let Some(whole) = collation.as_mut().and_then(|collation| collation.meet(&entry)) {
                            self.take_collated(whole, reading, resolve)?;
                        }
                        hash_metadata(&entry, &mut metadata_hasher);
                        continue;
                    }
                },
            };
            place = Place { next: position + 1, before: series };
            let time = time.filter(|_| self.job.honor_timestamps);
            let written = Written::Text(series, parser.kind());
            let kept = self.take(position, written, Said::Float(value), time, reading, resolve)?;
            if let (Some(series), Some(raw)) = (kept, exemplar) {
                let at = time.unwrap_or(reading.row.at);
                reading.exemplars.extend(read_exemplar(&raw, Some(at)).map(|exemplar| (series, exemplar)));
            }
        }
        if let Some(whole) = collation.and_then(Collation::finish) {
            self.take_collated(whole, reading, resolve)?;
        }
        reading.metadata_hash = metadata_hasher.finish();
        Ok(())
    }

    /// Takes a histogram that was put together from its series.
    fn take_collated(&mut self, whole: Whole, reading: &mut Reading<'_>, resolve: &mut Resolve<'_>) -> Result<(), String> {
        // No text of a series begins with this byte.
        let key = [b"\xff", whole.labels.packed()].concat();
        let position = self.position(&key, reading)?;
        let time = whole.at.filter(|_| self.job.honor_timestamps);
        let (wanted, mut histogram) = (self.job.histograms, Some(whole.histogram));
        let mut make = || Ok(histogram.take().and_then(|histogram| wanted.fit(histogram)));
        let written = Written::Labels(&whole.labels);
        let kept = self.take(position, written, Said::Histogram(&mut make), time, reading, resolve)?;
        if let Some(series) = kept {
            push_sorted(&mut reading.exemplars, series, whole.exemplars);
        }
        Ok(())
    }
}

/// Appends the exemplars of one series in order.
pub(super) fn push_sorted(out: &mut Vec<(SeriesRef, Exemplar)>, series: SeriesRef, mut exemplars: Vec<Exemplar>) {
    exemplars.sort_by(Exemplar::order);
    out.extend(exemplars.into_iter().map(|exemplar| (series, exemplar)));
}

/// Reads an exemplar; None when its labels are no text, or it has no time and `otherwise` gives none.
pub(super) fn read_exemplar(raw: &exposition::Exemplar<'_>, otherwise: Option<Timestamp>) -> Option<Exemplar> {
    let mut labels = Vec::new();
    decode_series(raw.labels, MetricType::Unknown, &mut labels).ok()?;
    Some(Exemplar {
        labels: LabelSet::from_pairs(labels),
        value: raw.value,
        at: raw.at.or(otherwise)?,
        has_own_time: raw.at.is_some(),
    })
}

fn hash_metadata(entry: &Entry<'_>, hasher: &mut impl Hasher) {
    let (tag, metric, text) = match entry {
        Entry::Help { metric, text } => (0, metric, *text),
        Entry::Type { metric, kind } => (1 + *kind as u8, metric, &[][..]),
        Entry::Unit { metric, unit } => (100, metric, *unit),
        Entry::Sample(_) | Entry::Comment(_) => return,
    };
    hasher.write_u8(tag);
    hasher.write(metric);
    hasher.write(text);
}

fn place_error(error: &ParseError) -> String {
    format!("{} (line {})", error.message, error.line)
}
