//! Bodies of Protocol Buffers as an exporter writes them. This knows nothing of the reader under test.

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Message {
        Message::default()
    }

    fn raw(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn tag(&mut self, field: u64, form: u64) {
        self.raw(field * 8 + form);
    }

    pub fn integer(mut self, field: u64, number: u64) -> Message {
        self.tag(field, 0);
        self.raw(number);
        self
    }

    pub fn signed(self, field: u64, number: i64) -> Message {
        self.integer(field, zigzag(number))
    }

    pub fn double(mut self, field: u64, number: f64) -> Message {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.tag(field, 2);
        self.raw(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    pub fn inner(self, field: u64, message: &Message) -> Message {
        self.bytes(field, &message.0)
    }

    pub fn packed_signed(self, field: u64, numbers: &[i64]) -> Message {
        let mut packed = Message::new();
        numbers.iter().for_each(|number| packed.raw(zigzag(*number)));
        self.inner(field, &packed)
    }

    pub fn packed_doubles(self, field: u64, numbers: &[f64]) -> Message {
        let packed: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// Types of metrics by the number that stands for them.
pub const COUNTER: u64 = 0;
pub const GAUGE: u64 = 1;
pub const SUMMARY: u64 = 2;
pub const UNTYPED: u64 = 3;
pub const HISTOGRAM: u64 = 4;
pub const GAUGE_HISTOGRAM: u64 = 5;

/// Returns a family of metrics behind its length.
pub fn family(name: &str, help: &str, kind: u64, unit: &str, metrics: &[Message]) -> Vec<u8> {
    let mut family = Message::new().text(1, name).text(2, help).integer(3, kind);
    for metric in metrics {
        family = family.inner(4, metric);
    }
    if !unit.is_empty() {
        family = family.text(5, unit);
    }
    let mut delimited = Message::new();
    delimited.raw(family.0.len() as u64);
    delimited.0.extend_from_slice(&family.0);
    delimited.0
}

/// Returns a metric with labels; what it holds is still to be put in.
pub fn metric(labels: &[(&str, &str)], at: Option<i64>) -> Message {
    let metric = labels.iter().fold(Message::new(), |metric, label| metric.inner(1, &pair(*label)));
    match at {
        Some(at) => metric.integer(6, at as u64),
        None => metric,
    }
}

fn pair((name, value): (&str, &str)) -> Message {
    Message::new().text(1, name).text(2, value)
}

/// Returns an instant, of which the format keeps nanoseconds.
pub fn instant(at: i64) -> Message {
    Message::new().integer(1, at.div_euclid(1000) as u64).integer(2, at.rem_euclid(1000) as u64 * 1_000_000 + 999)
}

pub fn exemplar(labels: &[(&str, &str)], value: f64, at: Option<i64>) -> Message {
    let exemplar = labels.iter().fold(Message::new(), |exemplar, label| exemplar.inner(1, &pair(*label))).double(2, value);
    match at {
        Some(at) => exemplar.inner(3, &instant(at)),
        None => exemplar,
    }
}

pub fn counter(value: f64, exemplar: Option<&Message>, created: i64) -> Message {
    let counter = Message::new().double(1, value).inner(3, &instant(created));
    match exemplar {
        Some(exemplar) => counter.inner(2, exemplar),
        None => counter,
    }
}

/// Returns a bucket of a classic histogram.
pub fn bucket(upper: f64, count: u64, exemplar: Option<&Message>) -> Message {
    let bucket = Message::new().integer(1, count).double(2, upper);
    match exemplar {
        Some(exemplar) => bucket.inner(3, exemplar),
        None => bucket,
    }
}

/// Appends one side of a native histogram: index and count of its buckets in order, as spans and differences. `first` is the number
/// of the field of the spans.
pub fn side(mut histogram: Message, first: u64, buckets: &[(i32, i64)]) -> Message {
    let (mut deltas, mut before) = (Vec::new(), 0);
    for (offset, counts) in runs(buckets) {
        let span = Message::new().signed(1, i64::from(offset)).integer(2, counts.len() as u64);
        histogram = histogram.inner(first, &span);
        for count in counts {
            deltas.push(count - before);
            before = count;
        }
    }
    histogram.packed_signed(first + 1, &deltas)
}

/// As `side`, with counts that are floats.
pub fn float_side(mut histogram: Message, first: u64, buckets: &[(i32, i64)], scale: f64) -> Message {
    let mut all = Vec::new();
    for (offset, counts) in runs(buckets) {
        let span = Message::new().signed(1, i64::from(offset)).integer(2, counts.len() as u64);
        histogram = histogram.inner(first, &span);
        all.extend(counts.iter().map(|count| *count as f64 * scale));
    }
    histogram.packed_doubles(first + 2, &all)
}

/// Returns runs of neighbouring buckets: the distance from the run before, and the counts.
fn runs(buckets: &[(i32, i64)]) -> Vec<(i32, Vec<i64>)> {
    let (mut runs, mut next): (Vec<(i32, Vec<i64>)>, i32) = (Vec::new(), 0);
    for (index, count) in buckets {
        match runs.last_mut() {
            Some((_, counts)) if *index == next => counts.push(*count),
            _ => runs.push((index - next, vec![*count])),
        }
        next = index + 1;
    }
    runs
}
