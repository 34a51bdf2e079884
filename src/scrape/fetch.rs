//! One GET of one target.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use libdeflater::{DecompressionError, Decompressor};
use memchr::memmem;
use reqwest::header;
use tocsin_core::scrape::job::Job;

use crate::client::{self, ClientError};

/// No body may be larger than this when unpacked, whatever the configuration says; it bounds memory, not honest exporters.
const BODY_BYTES_MAX: usize = 1 << 30;
/// A first guess at how much smaller gzip makes exposition text.
const GZIP_RATIO: usize = 12;

/// What a target answered.
#[derive(Debug)]
pub struct Fetched {
    /// Unpacked, at most as long as the job allows.
    pub body: Vec<u8>,
    pub content_type: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
    #[error("context deadline exceeded: no whole answer within {0:?}")]
    Timeout(Duration),
    #[error("server returned HTTP status {0}")]
    Status(reqwest::StatusCode),
    #[error("body size limit exceeded: more than {0} bytes")]
    TooLarge(usize),
    #[error("the body is not the gzip that its header promises")]
    Gzip,
}

/// Writes an error with its causes, since the outermost one of a transport says little.
fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Fetches a target's text.
///
/// `accept` is the value of the Accept header, `timeout` bounds the whole exchange.
pub async fn fetch(http: &reqwest::Client, url: &str, job: &Job, accept: &str, timeout: Duration) -> Result<Fetched, FetchError> {
    match tokio::time::timeout(timeout, exchange(http, url, job, accept, timeout)).await {
        Ok(result) => result,
        Err(_) => Err(FetchError::Timeout(timeout)),
    }
}

async fn exchange(http: &reqwest::Client, url: &str, job: &Job, accept: &str, timeout: Duration) -> Result<Fetched, FetchError> {
    let mut request = http
        .get(url)
        .header(header::ACCEPT, accept)
        .header("x-prometheus-scrape-timeout-seconds", timeout.as_secs_f64().to_string());
    if job.enable_compression {
        request = request.header(header::ACCEPT_ENCODING, "gzip");
    }
    let response = client::authorise(request, &job.client).await?.send().await?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (content_type, encoding) = (text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
    let limit = match usize::try_from(job.limits.body_bytes) {
        Ok(0) | Err(_) => BODY_BYTES_MAX,
        Ok(limit) => limit.min(BODY_BYTES_MAX),
    };
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 20) as usize);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if body.len() + piece.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        body.extend_from_slice(&piece);
    }
    if encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")) {
        body = unzip(&body, limit)?;
    }
    Ok(Fetched { body, content_type })
}

/// What each member of a gzip file begins with.
const GZIP_MARK: [u8; 3] = [0x1f, 0x8b, 8];

/// Unpacks gzip into at most `limit` bytes.
fn unzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
    let mut size = (packed.len() * GZIP_RATIO).clamp(4096, limit.max(4096));
    let mut whole = Vec::new();
    let written = loop {
        whole.resize(size, 0);
        match Decompressor::new().gzip_decompress(packed, &mut whole) {
            Ok(written) => break written,
            Err(DecompressionError::InsufficientSpace) if size < limit => size = (size * 2).min(limit),
            Err(DecompressionError::InsufficientSpace) => return Err(FetchError::TooLarge(limit)),
            Err(DecompressionError::BadData) => return Err(FetchError::Gzip),
        }
    };
    whole.truncate(written);
    // A second head says that there may be several members, of which only the first was unpacked.
    if packed.get(1..).is_some_and(|rest| memmem::find(rest, &GZIP_MARK).is_some()) {
        whole.clear();
        MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut whole).map_err(|_| FetchError::Gzip)?;
    }
    if whole.len() > limit { Err(FetchError::TooLarge(limit)) } else { Ok(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(text: &[u8]) -> Vec<u8> {
        let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut packed = vec![0; packer.gzip_compress_bound(text.len())];
        let len = packer.gzip_compress(text, &mut packed).unwrap();
        packed.truncate(len);
        packed
    }

    #[test]
    fn gzip_unpacks_within_its_limit() {
        let text = "up 1\n".repeat(10_000);
        let packed = zip(text.as_bytes());
        assert_eq!(unzip(&packed, 1 << 20).unwrap(), text.as_bytes());
        assert_eq!(unzip(&packed, text.len()).unwrap().len(), text.len());
        assert!(matches!(unzip(&packed, text.len() - 1), Err(FetchError::TooLarge(_))));
        assert!(matches!(unzip(b"up 1\n", 1 << 20), Err(FetchError::Gzip)));
        assert!(unzip(&packed[..packed.len() / 2], 1 << 20).is_err());
        let two = [zip(b"a 1\n"), zip(b"b 2\n")].concat();
        assert_eq!(unzip(&two, 1 << 20).unwrap(), b"a 1\nb 2\n");
    }
}
