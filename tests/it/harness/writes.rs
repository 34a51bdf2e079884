//! Requests of remote write as another server sends them. This knows nothing of the reader under test.

use std::collections::BTreeMap;

use super::protobuf::Message;
use super::service::Service;

/// What the header `Content-Type` says of 2.0.
pub const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
pub const V1: &str = "application/x-protobuf";

/// Labels, value and instant.
pub type Exemplar = (Vec<(String, String)>, f64, i64);

/// One series of a request.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(i64, f64)>,
    pub histograms: Vec<Message>,
    pub exemplars: Vec<Exemplar>,
    /// Type, help and unit.
    pub metadata: Option<(u64, String, String)>,
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Series {
    pub fn new(labels: &[(&str, &str)]) -> Series {
        Series { labels: owned(labels), ..Series::default() }
    }

    pub fn sample(mut self, at: i64, value: f64) -> Series {
        self.samples.push((at, value));
        self
    }

    pub fn histogram(mut self, histogram: Message) -> Series {
        self.histograms.push(histogram);
        self
    }

    pub fn exemplar(mut self, labels: &[(&str, &str)], value: f64, at: i64) -> Series {
        self.exemplars.push((owned(labels), value, at));
        self
    }

    pub fn metadata(mut self, kind: u64, help: &str, unit: &str) -> Series {
        self.metadata = Some((kind, help.to_owned(), unit.to_owned()));
        self
    }
}

/// Appends references to symbols.
pub fn refs(message: Message, refs: &[u64]) -> Message {
    let mut packed = Vec::new();
    for mut number in refs.iter().copied() {
        while number > 0x7f {
            packed.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        packed.push(number as u8);
    }
    message.bytes(1, &packed)
}

fn sample((at, value): &(i64, f64)) -> Message {
    Message::new().double(1, *value).integer(2, *at as u64)
}

fn labels_v1(mut message: Message, labels: &[(String, String)]) -> Message {
    for (name, value) in labels {
        message = message.inner(1, &Message::new().text(1, name).text(2, value));
    }
    message
}

/// Returns a request of 1.0, without compression.
pub fn v1(all: &[Series]) -> Vec<u8> {
    let mut request = Message::new();
    for series in all {
        let mut message = labels_v1(Message::new(), &series.labels);
        for own in &series.samples {
            message = message.inner(2, &sample(own));
        }
        for (labels, value, at) in &series.exemplars {
            message = message.inner(3, &labels_v1(Message::new(), labels).double(2, *value).integer(3, *at as u64));
        }
        for histogram in &series.histograms {
            message = message.inner(4, histogram);
        }
        request = request.inner(1, &message);
    }
    for series in all {
        if let Some((kind, help, unit)) = &series.metadata {
            let name = series.labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value);
            request = request.inner(3, &Message::new().integer(1, *kind).text(2, name).text(4, help).text(5, unit));
        }
    }
    request.0
}

/// The texts of a request of 2.0, each once; the first one is empty.
struct Symbols {
    all: Vec<String>,
    known: BTreeMap<String, u64>,
}

impl Symbols {
    fn place(&mut self, text: &str) -> u64 {
        let next = self.all.len() as u64;
        let place = *self.known.entry(text.to_owned()).or_insert(next);
        if place == next {
            self.all.push(text.to_owned());
        }
        place
    }

    fn labels(&mut self, message: Message, labels: &[(String, String)]) -> Message {
        let places: Vec<u64> = labels.iter().flat_map(|(name, value)| [self.place(name), self.place(value)]).collect();
        refs(message, &places)
    }
}

/// Returns a request of 2.0, without compression.
pub fn v2(all: &[Series]) -> Vec<u8> {
    let mut symbols = Symbols { all: Vec::new(), known: BTreeMap::new() };
    symbols.place("");
    let mut messages = Vec::new();
    for series in all {
        let mut message = symbols.labels(Message::new(), &series.labels);
        for own in &series.samples {
            message = message.inner(2, &sample(own));
        }
        for histogram in &series.histograms {
            message = message.inner(3, histogram);
        }
        for (labels, value, at) in &series.exemplars {
            message = message.inner(4, &symbols.labels(Message::new(), labels).double(2, *value).integer(3, *at as u64));
        }
        if let Some((kind, help, unit)) = &series.metadata {
            let (help, unit) = (symbols.place(help), symbols.place(unit));
            message = message.inner(5, &Message::new().integer(1, *kind).integer(3, help).integer(4, unit));
        }
        messages.push(message);
    }
    let mut request = Message::new();
    for text in &symbols.all {
        request = request.text(4, text);
    }
    for message in &messages {
        request = request.inner(5, message);
    }
    request.0
}

pub fn pack(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("a short body")
}

/// What is answered to a request.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub text: String,
    /// Samples, histograms and exemplars that are written.
    pub written: Option<[u64; 3]>,
    pub retry_after: Option<String>,
}

/// Sends a body as it is.
pub async fn send_raw(service: &Service, headers: &[(&str, &str)], body: Vec<u8>) -> Said {
    let mut request = service.client.post(service.url("/api/v1/write")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(token) = &service.token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("an answer");
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("a text").to_owned());
    let count =
        |kind: &str| header(&format!("X-Prometheus-Remote-Write-{kind}-Written")).map(|text| text.parse().expect("a number"));
    let written = match (count("Samples"), count("Histograms"), count("Exemplars")) {
        (Some(samples), Some(histograms), Some(exemplars)) => Some([samples, histograms, exemplars]),
        _ => None,
    };
    let (status, retry_after) = (answer.status().as_u16(), header("Retry-After"));
    Said { status, written, retry_after, text: answer.text().await.expect("a text") }
}

/// Sends series as 2.0 has it, or 1.0.
pub async fn send(service: &Service, is_v2: bool, series: &[Series]) -> Said {
    let (kind, version, body) = if is_v2 { (V2, "2.0.0", v2(series)) } else { (V1, "0.1.0", v1(series)) };
    let headers = [("Content-Type", kind), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", version)];
    send_raw(service, &headers, pack(&body)).await
}
