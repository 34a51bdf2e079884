//! What a request says: its bytes become series with samples, and faults with their names.
//!
//! A message that is damaged is refused whole. One that can be read is taken apart series by series and sample by sample: what is
//! wrong with one is no reason to lose the others.

use std::collections::BTreeMap;

use crate::model::exposition::MetricType;
use crate::model::labels::METRIC_NAME;
use crate::model::wire::{BadMessage, Message};
use crate::model::{Exemplar, LabelSet, Value};
use crate::scrape::body::Metadata;
use crate::time::Timestamp;

use super::{Protocol, histogram};

/// Samples, series, symbols, and exemplars of one request, each.
pub const ENTRIES_MAX: usize = 1_000_000;
/// The labels of all series of a request, written out.
pub const LABELS_BYTES_MAX: usize = 128 << 20;
/// The labels of one series: bytes, as the store takes them, and number.
const SERIES_BYTES_MAX: usize = 64 << 10;
const SERIES_LABELS_MAX: usize = 10_000;
/// Faults that are told with their names.
const TOLD_MAX: usize = 10;
/// The longest text of a fault's labels, and of one name or value in it.
const TOLD_BYTES_MAX: usize = 512;
const TOLD_TEXT_MAX: usize = 128;

/// What a request brings.
#[derive(Debug, Default)]
pub struct Request {
    pub series: Vec<LabelSet>,
    /// Which series, when, and what.
    pub samples: Vec<(u32, Timestamp, Value)>,
    pub exemplars: Vec<(u32, Exemplar)>,
    /// What is said of metrics, by name.
    pub metadata: BTreeMap<String, Metadata>,
    pub faults: Faults,
}

/// What is wrong with parts of a request, which are not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub samples: usize,
    pub exemplars: usize,
    /// The first ones, with their series.
    pub told: Vec<String>,
    /// All that there are.
    pub count: usize,
}

impl Faults {
    pub fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(text());
        }
    }
}

/// Why a request is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the body is not a {message}: {cause}")]
    Damaged {
        message: &'static str,
        #[source]
        cause: BadMessage,
    },
    #[error("the request has more than {max} {what}; send less at a time")]
    TooMuch { what: &'static str, max: usize },
}

enum Fault {
    Damaged(BadMessage),
    TooMuch { what: &'static str, max: usize },
}

impl From<BadMessage> for Fault {
    fn from(cause: BadMessage) -> Fault {
        Fault::Damaged(cause)
    }
}

/// Reads the message of a request, without compression.
///
/// Errors: `Damaged`, or more of something than a request may hold.
pub fn read(body: &[u8], protocol: Protocol) -> Result<Request, ReadError> {
    let mut reader = Reader::default();
    let done = match protocol {
        Protocol::V1 => reader.v1(Message::new(body)),
        Protocol::V2 => reader.v2(Message::new(body)),
    };
    match done {
        Ok(()) => Ok(reader.request),
        Err(Fault::Damaged(cause)) => Err(ReadError::Damaged { message: protocol.message(), cause }),
        Err(Fault::TooMuch { what, max }) => Err(ReadError::TooMuch { what, max }),
    }
}

/// Names and values as they are written.
type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// What a series holds beside its labels, still to be read where the labels are needed first.
#[derive(Default)]
struct Series<'a> {
    pairs: Pairs<'a>,
    samples: Vec<(i64, f64)>,
    histograms: Vec<Message<'a>>,
    exemplars: Vec<Message<'a>>,
}

impl Series<'_> {
    fn clear(&mut self) {
        self.pairs.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }
}

#[derive(Default)]
struct Reader {
    request: Request,
    series: usize,
    samples: usize,
    exemplars: usize,
    labels_bytes: usize,
}

fn count(counter: &mut usize, what: &'static str) -> Result<(), Fault> {
    *counter += 1;
    if *counter > ENTRIES_MAX { Err(Fault::TooMuch { what, max: ENTRIES_MAX }) } else { Ok(()) }
}

fn check_labels(count: usize) -> Result<(), Fault> {
    let (what, max) = ("labels in one series", SERIES_LABELS_MAX);
    if count > max { Err(Fault::TooMuch { what, max }) } else { Ok(()) }
}

fn sample(mut message: Message<'_>) -> Result<(i64, f64), BadMessage> {
    let (mut at, mut value) = (0, 0.0);
    while let Some(field) = message.field()? {
        match field.number {
            1 => value = message.double(field)?,
            2 => at = message.integer(field)? as i64,
            _ => message.skip(field)?,
        }
    }
    Ok((at, value))
}

fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// Returns the name of the family that a series belongs to.
fn family(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        MetricType::Unknown | MetricType::Counter | MetricType::Gauge | MetricType::Info | MetricType::StateSet => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn told(pairs: &Pairs<'_>) -> String {
    let mut text = String::from("{");
    for (name, value) in pairs {
        let comma = if text.len() > 1 { ", " } else { "" };
        let [name, value] = [name, value].map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(TOLD_TEXT_MAX)]));
        text.push_str(&format!("{comma}{name}={value:?}"));
        if text.len() > TOLD_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TOLD_BYTES_MAX));
            return text + "…";
        }
    }
    text + "}"
}

/// Makes a label set; says what is wrong with it. The pairs are in order of their names then.
fn label_set(pairs: &mut Pairs<'_>, of_series: bool) -> Result<LabelSet, String> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if bytes > SERIES_BYTES_MAX {
        return Err(format!("the labels take {bytes} bytes; at most {SERIES_BYTES_MAX} are allowed"));
    }
    pairs.sort_unstable();
    if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("invalid labels, duplicate label name {:?}", String::from_utf8_lossy(pair[0].0)));
    }
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs.iter() {
        match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Ok(""), _) => return Err("invalid labels, a label name is empty".to_owned()),
            (Ok(name), Ok(value)) => texts.push((name, value)),
            _ => return Err("invalid metric name or labels, not UTF-8".to_owned()),
        }
    }
    texts.retain(|(_, value)| !value.is_empty());
    if of_series && !texts.iter().any(|(name, _)| *name == METRIC_NAME) {
        return Err("invalid metric name or labels, there is no metric name".to_owned());
    }
    Ok(LabelSet::from_sorted(texts))
}

impl Reader {
    fn v1(&mut self, mut message: Message<'_>) -> Result<(), Fault> {
        let mut series = Series::default();
        while let Some(field) = message.field()? {
            match field.number {
                1 => self.series_v1(message.inner(field)?, &mut series)?,
                3 => self.metadata_v1(message.inner(field)?)?,
                _ => message.skip(field)?,
            }
        }
        Ok(())
    }

    fn series_v1<'a>(&mut self, mut message: Message<'a>, series: &mut Series<'a>) -> Result<(), Fault> {
        count(&mut self.series, "series")?;
        series.clear();
        while let Some(field) = message.field()? {
            match field.number {
                1 => {
                    series.pairs.push(message.inner(field)?.pair()?);
                    check_labels(series.pairs.len())?;
                }
                2 => self.hold_sample(message.inner(field)?, series)?,
                3 => self.hold_exemplar(message.inner(field)?, series)?,
                4 => self.hold_histogram(message.inner(field)?, series)?,
                _ => message.skip(field)?,
            }
        }
        self.take(series, None).map(drop)
    }

    fn hold_sample(&mut self, message: Message<'_>, series: &mut Series<'_>) -> Result<(), Fault> {
        count(&mut self.samples, "samples")?;
        series.samples.push(sample(message)?);
        Ok(())
    }

    fn hold_histogram<'a>(&mut self, message: Message<'a>, series: &mut Series<'a>) -> Result<(), Fault> {
        count(&mut self.samples, "samples")?;
        series.histograms.push(message);
        Ok(())
    }

    fn hold_exemplar<'a>(&mut self, message: Message<'a>, series: &mut Series<'a>) -> Result<(), Fault> {
        count(&mut self.exemplars, "exemplars")?;
        series.exemplars.push(message);
        Ok(())
    }

    /// Takes metadata of a family; one without a name, or with text that is none, says nothing.
    fn metadata_v1(&mut self, mut message: Message<'_>) -> Result<(), BadMessage> {
        let (mut kind, mut name, mut help, mut unit): (u64, &[u8], &[u8], &[u8]) = (0, b"", b"", b"");
        while let Some(field) = message.field()? {
            match field.number {
                1 => kind = message.integer(field)?,
                2 => name = message.inner(field)?.bytes(),
                4 => help = message.inner(field)?.bytes(),
                5 => unit = message.inner(field)?.bytes(),
                _ => message.skip(field)?,
            }
        }
        let kind = metric_type(kind);
        if let (Ok(name), Ok(help), Ok(unit)) = (std::str::from_utf8(name), std::str::from_utf8(help), std::str::from_utf8(unit))
            && !name.is_empty()
        {
            self.request.metadata.insert(name.to_owned(), Metadata { kind, help: help.to_owned(), unit: unit.to_owned() });
        }
        Ok(())
    }

    fn v2(&mut self, message: Message<'_>) -> Result<(), Fault> {
        // Symbols may stand behind the series that use them.
        let (mut symbols, mut rest) = (Vec::new(), message);
        let mut counted = 0;
        while let Some(field) = rest.field()? {
            match field.number {
                4 => {
                    count(&mut counted, "symbols")?;
                    symbols.push(rest.inner(field)?.bytes());
                }
                _ => rest.skip(field)?,
            }
        }
        let (mut rest, mut series, mut refs) = (message, Series::default(), Vec::new());
        while let Some(field) = rest.field()? {
            match field.number {
                5 => self.series_v2(rest.inner(field)?, &symbols, &mut series, &mut refs)?,
                _ => rest.skip(field)?,
            }
        }
        Ok(())
    }

    fn series_v2<'a>(
        &mut self,
        mut message: Message<'a>,
        symbols: &[&'a [u8]],
        series: &mut Series<'a>,
        refs: &mut Vec<u32>,
    ) -> Result<(), Fault> {
        count(&mut self.series, "series")?;
        series.clear();
        refs.clear();
        let mut metadata = None;
        while let Some(field) = message.field()? {
            match field.number {
                1 => message.small_unsigned(field, refs)?,
                2 => self.hold_sample(message.inner(field)?, series)?,
                3 => self.hold_histogram(message.inner(field)?, series)?,
                4 => self.hold_exemplar(message.inner(field)?, series)?,
                5 => metadata = Some(message.inner(field)?),
                _ => message.skip(field)?,
            }
        }
        check_labels(refs.len() / 2)?;
        if let Err(fault) = look_up(refs, symbols, &mut series.pairs) {
            self.refuse_series(series, &fault);
            return Ok(());
        }
        let Some(labels) = self.take(series, Some(symbols))? else { return Ok(()) };
        if let Some(message) = metadata {
            self.metadata_v2(message, symbols, labels)?;
        }
        Ok(())
    }

    fn metadata_v2(&mut self, mut message: Message<'_>, symbols: &[&[u8]], series: usize) -> Result<(), BadMessage> {
        let (mut kind, mut help, mut unit) = (0, 0, 0);
        while let Some(field) = message.field()? {
            match field.number {
                1 => kind = message.integer(field)?,
                3 => help = message.integer(field)?,
                4 => unit = message.integer(field)?,
                _ => message.skip(field)?,
            }
        }
        let text = |symbol: u64| usize::try_from(symbol).ok().and_then(|symbol| symbols.get(symbol)).copied();
        let text = |symbol: u64| text(symbol).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let kind = metric_type(kind);
        match (text(help).or(Some("").filter(|_| help == 0)), text(unit).or(Some("").filter(|_| unit == 0))) {
            (Some(help), Some(unit)) => {
                // Series that nothing is known of carry this too.
                if kind == MetricType::Unknown && help.is_empty() && unit.is_empty() {
                    return Ok(());
                }
                let said = Metadata { kind, help: help.to_owned(), unit: unit.to_owned() };
                let name = family(self.request.series[series].name(), kind);
                if self.request.metadata.get(name) != Some(&said) {
                    self.request.metadata.insert(name.to_owned(), said);
                }
            }
            _ => {
                let labels = &self.request.series[series];
                self.request.faults.add(|| format!("metadata refers to a symbol that is no text, for series {labels}"));
            }
        }
        Ok(())
    }

    /// Counts all that a series holds as faulty.
    fn refuse_series(&mut self, series: &Series<'_>, fault: &str) {
        self.request.faults.samples += series.samples.len() + series.histograms.len();
        self.request.faults.exemplars += series.exemplars.len();
        self.request.faults.add(|| format!("{fault}, got {}", told(&series.pairs)));
    }

    /// Takes a series; returns its number in the request, None when it is faulty. `symbols`: those that exemplars refer to, in 2.0.
    fn take(&mut self, series: &mut Series<'_>, symbols: Option<&[&[u8]]>) -> Result<Option<usize>, Fault> {
        let labels = match label_set(&mut series.pairs, true) {
            Ok(labels) => labels,
            Err(fault) => {
                self.refuse_series(series, &fault);
                return Ok(None);
            }
        };
        self.count_bytes(labels.packed().len())?;
        if symbols.is_some() && series.samples.is_empty() && series.histograms.is_empty() {
            self.refuse_series(series, "a series must have at least one sample or histogram");
            return Ok(None);
        }
        let number = self.request.series.len();
        let short = u32::try_from(number).expect("fewer than a million");
        for (at, value) in &series.samples {
            self.request.samples.push((short, Timestamp(*at), Value::Float(*value)));
        }
        for message in &series.histograms {
            match histogram::read(*message)? {
                (at, Ok(value)) => self.request.samples.push((short, Timestamp(at), value)),
                (_, Err(fault)) => {
                    self.request.faults.samples += 1;
                    self.request.faults.add(|| format!("{fault}, for series {}", told(&series.pairs)));
                }
            }
        }
        for message in &series.exemplars {
            match self.exemplar(*message, symbols)? {
                Ok(exemplar) => self.request.exemplars.push((short, exemplar)),
                Err(fault) => {
                    self.request.faults.exemplars += 1;
                    self.request.faults.add(|| format!("{fault}, in an exemplar of series {}", told(&series.pairs)));
                }
            }
        }
        self.request.series.push(labels);
        Ok(Some(number))
    }

    fn exemplar<'a>(
        &mut self,
        mut message: Message<'a>,
        symbols: Option<&[&'a [u8]]>,
    ) -> Result<Result<Exemplar, String>, Fault> {
        let (mut pairs, mut refs, mut value, mut at) = (Pairs::new(), Vec::new(), 0.0, 0);
        while let Some(field) = message.field()? {
            match field.number {
                1 if symbols.is_some() => message.small_unsigned(field, &mut refs)?,
                1 => {
                    pairs.push(message.inner(field)?.pair()?);
                    check_labels(pairs.len())?;
                }
                2 => value = message.double(field)?,
                3 => at = message.integer(field)? as i64,
                _ => message.skip(field)?,
            }
        }
        check_labels(refs.len() / 2)?;
        if let Some(symbols) = symbols
            && let Err(fault) = look_up(&refs, symbols, &mut pairs)
        {
            return Ok(Err(fault));
        }
        let labels = match label_set(&mut pairs, false) {
            Ok(labels) => labels,
            Err(fault) => return Ok(Err(fault)),
        };
        self.count_bytes(labels.packed().len())?;
        Ok(Ok(Exemplar { labels, value, at: Timestamp(at), has_own_time: true }))
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.labels_bytes += bytes;
        if self.labels_bytes > LABELS_BYTES_MAX {
            return Err(Fault::TooMuch { what: "bytes of labels", max: LABELS_BYTES_MAX });
        }
        Ok(())
    }
}

/// Turns references, two a label, into labels; says what is wrong with them.
fn look_up<'a>(refs: &[u32], symbols: &[&'a [u8]], pairs: &mut Pairs<'a>) -> Result<(), String> {
    if !refs.len().is_multiple_of(2) {
        return Err(format!("the number of references to labels, {}, is odd", refs.len()));
    }
    let symbol = |place: u32| {
        let beyond = || format!("a label refers to symbol {place}, and there are {}", symbols.len());
        symbols.get(place as usize).copied().ok_or_else(beyond)
    };
    for place in refs.chunks_exact(2) {
        pairs.push((symbol(place[0])?, symbol(place[1])?));
    }
    Ok(())
}
