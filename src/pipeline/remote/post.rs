//! One request to another server, and what its answer says.

use std::sync::atomic::{AtomicBool, Ordering};

use tocsin_core::remote::Protocol;
use tocsin_core::remote::send::{Endpoint, Verdict, judge, wish};
use tocsin_core::time::Span;

use crate::client;
use crate::client::answer::{body, with_causes};
use crate::clock::Stopwatch;
use crate::telemetry::remote as telemetry;

/// So much of what a server says about a fault is read, and of that is logged.
const SAID_BYTES_MAX: usize = 64 << 10;
const LOGGED_BYTES_MAX: usize = 1024;

/// What a request came to.
#[derive(Debug)]
pub struct Answered {
    pub verdict: Verdict,
    /// None: there was no answer.
    pub status: Option<u16>,
    pub said: String,
    pub wish: Option<Span>,
    /// Samples and histograms that a server of 2.0 says it has written.
    pub written: usize,
}

/// The way to an endpoint; its shards share it.
pub struct Way {
    pub endpoint: Endpoint,
    pub metrics: telemetry::Endpoint,
    client: client::Kept,
    /// The server was found to know 1.0 only.
    speaks_old: AtomicBool,
    /// It was said that the server does not confirm what it takes.
    told_unconfirmed: AtomicBool,
}

impl Way {
    pub fn new(endpoint: Endpoint, metrics: telemetry::Endpoint) -> Way {
        let client = client::Kept::for_posts(endpoint.client.clone(), endpoint.timeout.to_std());
        Way { endpoint, metrics, client, speaks_old: AtomicBool::new(false), told_unconfirmed: AtomicBool::new(false) }
    }

    pub fn protocol(&self) -> Protocol {
        if self.speaks_old.load(Ordering::Relaxed) { Protocol::V1 } else { self.endpoint.protocol }
    }

    pub fn fall_back(&self) {
        if !self.speaks_old.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                endpoint = self.endpoint.name,
                "the other server does not know remote write 2.0; 1.0 is sent from now on"
            );
        }
    }

    /// Sends a packed body once. Whatever goes wrong before an answer is there may succeed later.
    pub async fn post(&self, packed: &[u8], protocol: Protocol) -> Answered {
        let watch = Stopwatch::start();
        let answered = match self.try_post(packed, protocol).await {
            Ok(answered) => answered,
            Err(said) => Answered { verdict: Verdict::Retry, status: None, said, wish: None, written: 0 },
        };
        self.metrics.tried(packed.len(), watch.seconds());
        answered
    }

    async fn try_post(&self, packed: &[u8], protocol: Protocol) -> Result<Answered, String> {
        let client = self.client.get().await.map_err(|error| with_causes(&error))?;
        let mut request = client
            .post(&self.endpoint.url)
            .timeout(self.endpoint.timeout.to_std())
            .header("Content-Type", protocol.content_type())
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", protocol.version());
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        let request = client::authorise(request, &self.endpoint.client).await.map_err(|error| with_causes(&error))?;
        let answer = request.body(packed.to_vec()).send().await.map_err(|error| with_causes(&error.without_url()))?;
        let status = answer.status().as_u16();
        let verdict = judge(status, protocol, &self.endpoint.queue);
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let wish = header("Retry-After").and_then(wish);
        let count = |name: &str| header(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let written = count("X-Prometheus-Remote-Write-Samples-Written")
            .saturating_add(count("X-Prometheus-Remote-Write-Histograms-Written"));
        if verdict == Verdict::Delivered {
            let confirms = header("X-Prometheus-Remote-Write-Samples-Written").is_some();
            if protocol == Protocol::V2 && !confirms && !self.told_unconfirmed.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    endpoint = self.endpoint.name,
                    "the other server does not say how much it has written, as 2.0 asks; if samples are missing there, set protobuf_message to prometheus.WriteRequest"
                );
            }
            return Ok(Answered { verdict, status: Some(status), said: String::new(), wish, written });
        }
        // What it says is for the log; that it breaks off or is long changes nothing.
        let said = body(answer, SAID_BYTES_MAX).await.unwrap_or_default();
        let mut said = String::from_utf8_lossy(&said).trim().to_owned();
        said.truncate(said.floor_char_boundary(LOGGED_BYTES_MAX));
        Ok(Answered { verdict, status: Some(status), said, wish, written })
    }
}
