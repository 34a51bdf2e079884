//! One GET of one target.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use libdeflater::{DecompressionError, Decompressor};
use memchr::memmem;
use reqwest::header;
use tocsin_core::scrape::job::Job;
use tocsin_core::scrape::media::TIMEOUT_HEADER;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::plain::{Answer, Plain};
use crate::client::{self, ClientError};

/// No body may be larger than this when unpacked, whatever the configuration says; it bounds memory, not honest exporters.
const BODY_BYTES_MAX: usize = 1 << 30;
/// The limit of a job that sets no `body_size_limit`.
const BODY_BYTES_DEFAULT: usize = 64 << 20;
/// What all bodies that are being read may take together; further ones wait. The first MiB of each is not counted.
const BODIES_BYTES_MAX: usize = 1 << 30;
/// Bodies longer than this are unpacked away from the threads that drive the network.
const BIG_BODY_BYTES: usize = 64 << 10;
/// A first guess at how much smaller packing makes exposition text.
const PACKED_RATIO: usize = 12;
/// The largest window of zstd that the content coding allows, as a power of two; unpacking takes that much memory.
///
/// Source: RFC 9659.
const ZSTD_WINDOW_LOG: u32 = 23;
/// What targets are asked for. Both unpack at the same speed here, and zstd costs the target less.
const ACCEPT_ENCODING: &str = "zstd, gzip;q=0.9";

/// What a target answered.
#[derive(Debug)]
pub struct Fetched {
    /// Unpacked, at most as long as the job allows.
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    /// Given back with the body.
    _room: Room,
}

/// The part that one body has of what all bodies may take.
#[derive(Debug, Default)]
pub(super) struct Room {
    permit: Option<SemaphorePermit<'static>>,
}

impl Room {
    const UNIT_BYTES: usize = 1 << 20;

    /// Waits until there is room for so many bytes in all. A body alone has room however big it is.
    pub async fn grow(&mut self, bytes: usize) {
        const UNITS: usize = BODIES_BYTES_MAX / Room::UNIT_BYTES;
        static ROOM: Semaphore = Semaphore::const_new(UNITS);
        let has = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let wanted = (bytes / Room::UNIT_BYTES).min(UNITS);
        // The room is never closed, and a u32 holds all of it.
        if wanted > has
            && let Ok(more) = ROOM.acquire_many((wanted - has) as u32).await
        {
            match &mut self.permit {
                Some(permit) => permit.merge(more),
                None => self.permit = Some(more),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
    #[error("context deadline exceeded: no whole answer within {0:?}")]
    Timeout(Duration),
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        address: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the connection broke: {0}")]
    Exchange(#[source] std::io::Error),
    #[error("the answer cannot be read: {0}")]
    Malformed(&'static str),
    #[error("server returned HTTP status {}", status_text(*.0))]
    Status(u16),
    #[error("body size limit exceeded: more than {0} bytes (body_size_limit)")]
    TooLarge(usize),
    #[error("the body is not the {} that its header promises", .0.name())]
    Packed(Packing),
    #[error("the body is encoded as {0}, which was not asked for; leave Content-Encoding out, or answer in gzip or zstd")]
    Encoding(String),
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

/// Returns a status with its words, where it has some.
fn status_text(status: u16) -> String {
    reqwest::StatusCode::from_u16(status).map_or(status.to_string(), |status| status.to_string())
}

/// What the head of an answer says about the body.
#[derive(Debug)]
pub(super) struct Head {
    pub status: u16,
    content_type: Option<String>,
    encoding: Option<String>,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

impl Head {
    /// Errors: `Encoding` for one that was not asked for.
    fn packing(&self) -> Result<Option<Packing>, FetchError> {
        let Some(encoding) = &self.encoding else { return Ok(None) };
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Packing::Gzip)),
            "zstd" => Ok(Some(Packing::Zstd)),
            _ => Err(FetchError::Encoding(encoding.clone())),
        }
    }
}

/// Returns what matters of a head; `value` finds a line by its name.
pub(super) fn head_of<'a>(status: u16, value: impl Fn(&str) -> Option<&'a str>) -> Head {
    let text = |name: header::HeaderName| value(name.as_str()).map(str::to_owned);
    Head { status, content_type: text(header::CONTENT_TYPE), encoding: text(header::CONTENT_ENCODING) }
}

/// Returns how long a job's bodies may be, in bytes, packed or not.
pub(super) fn body_limit(job: &Job) -> usize {
    match usize::try_from(job.limits.body_bytes) {
        Ok(0) => BODY_BYTES_DEFAULT,
        Err(_) => BODY_BYTES_MAX,
        Ok(limit) => limit.min(BODY_BYTES_MAX),
    }
}

/// How one target is asked, again and again.
pub struct Fetcher {
    url: String,
    /// Bounds a whole exchange.
    timeout: Duration,
    /// What is asked for, and for how long.
    headers: Vec<(&'static str, String)>,
    plain: Option<Plain>,
}

impl Fetcher {
    /// `accept` is the value of the Accept header.
    pub fn new(url: &str, job: &Job, accept: &str, timeout: Duration) -> Fetcher {
        let mut headers = vec![("Accept", accept.to_owned()), (TIMEOUT_HEADER, timeout.as_secs_f64().to_string())];
        if job.enable_compression {
            headers.push(("Accept-Encoding", ACCEPT_ENCODING.to_owned()));
        }
        let borrowed: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Fetcher { url: url.to_owned(), timeout, plain: Plain::new(url, &job.client, &borrowed), headers }
    }

    /// Fetches the target's text.
    pub async fn fetch(&mut self, http: &client::Kept, job: &Job) -> Result<Fetched, FetchError> {
        match tokio::time::timeout(self.timeout, self.exchange(http, job)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(self.timeout)),
        }
    }

    async fn exchange(&mut self, http: &client::Kept, job: &Job) -> Result<Fetched, FetchError> {
        if let Some(plain) = &mut self.plain {
            match plain.get(body_limit(job)).await? {
                Answer::Body { head, body, room } => return unpacked(head, body, room, job).await,
                Answer::Redirect => self.plain = None,
            }
        }
        let mut request = http.get().await?.get(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = client::authorise(request, &job.client).await?.send().await?;
        let value = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let head = head_of(response.status().as_u16(), value);
        if head.status != 200 {
            return Err(FetchError::Status(head.status));
        }
        let limit = body_limit(job);
        let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 20) as usize);
        let (mut pieces, mut room) = (response.bytes_stream(), Room::default());
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            if body.len() + piece.len() > limit {
                return Err(FetchError::TooLarge(limit));
            }
            room.grow(body.len() + piece.len()).await;
            body.extend_from_slice(&piece);
        }
        unpacked(head, body, room, job).await
    }
}

async fn unpacked(head: Head, mut body: Vec<u8>, mut room: Room, job: &Job) -> Result<Fetched, FetchError> {
    if let Some(packing) = head.packing()? {
        body = unpack(packing, &body, body_limit(job), &mut room).await?;
    }
    Ok(Fetched { body, content_type: head.content_type, _room: room })
}

/// What each member of a gzip file begins with.
const GZIP_MARK: [u8; 3] = [0x1f, 0x8b, 8];

/// Unpacks a body into at most `limit` bytes, once there is room for it.
async fn unpack(packing: Packing, packed: &[u8], limit: usize, room: &mut Room) -> Result<Vec<u8>, FetchError> {
    let mut size = first_size(packed, limit);
    loop {
        room.grow(packed.len() + size).await;
        let unpacked = if size > BIG_BODY_BYTES {
            tokio::task::block_in_place(|| unpack_within(packing, packed, size, limit))?
        } else {
            unpack_within(packing, packed, size, limit)?
        };
        match unpacked {
            Some(whole) => return Ok(whole),
            None => size = (size * 2).min(limit),
        }
    }
}

fn first_size(packed: &[u8], limit: usize) -> usize {
    (packed.len() * PACKED_RATIO).clamp(4096, limit.max(4096))
}

/// Unpacks a body into at most `size` bytes; None when it takes more, and more is allowed.
fn unpack_within(packing: Packing, packed: &[u8], size: usize, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
    match packing {
        Packing::Gzip => unzip(packed, size, limit),
        Packing::Zstd => {
            let mut whole = Vec::with_capacity(size);
            let bad = |_| FetchError::Packed(packing);
            let mut unpacker = zstd::stream::read::Decoder::with_buffer(packed).map_err(bad)?;
            unpacker.window_log_max(ZSTD_WINDOW_LOG).map_err(bad)?;
            unpacker.take(size as u64 + 1).read_to_end(&mut whole).map_err(bad)?;
            within(whole, size, limit)
        }
    }
}

/// Returns a body that was unpacked as far as one byte more than `size`.
fn within(whole: Vec<u8>, size: usize, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
    match whole.len() > size {
        true if size < limit => Ok(None),
        true => Err(FetchError::TooLarge(limit)),
        false => Ok(Some(whole)),
    }
}

fn unzip(packed: &[u8], size: usize, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
    let mut whole = vec![0; size];
    match Decompressor::new().gzip_decompress(packed, &mut whole) {
        Ok(written) => whole.truncate(written),
        Err(DecompressionError::InsufficientSpace) if size < limit => return Ok(None),
        Err(DecompressionError::InsufficientSpace) => return Err(FetchError::TooLarge(limit)),
        Err(DecompressionError::BadData) => return Err(FetchError::Packed(Packing::Gzip)),
    }
    // A second head says that there may be several members, of which only the first was unpacked.
    if packed.get(1..).is_some_and(|rest| memmem::find(rest, &GZIP_MARK).is_some()) {
        whole.clear();
        let unpacked = MultiGzDecoder::new(packed).take(size as u64 + 1).read_to_end(&mut whole);
        unpacked.map_err(|_| FetchError::Packed(Packing::Gzip))?;
    }
    within(whole, size, limit)
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

    fn unzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
        unpack(Packing::Gzip, packed, limit)
    }

    fn unpack(packing: Packing, packed: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut size = first_size(packed, limit);
        loop {
            match unpack_within(packing, packed, size, limit)? {
                Some(whole) => return Ok(whole),
                None => size = (size * 2).min(limit),
            }
        }
    }

    #[tokio::test]
    async fn bodies_share_the_room_for_all() {
        let (mut one, mut other) = (Room::default(), Room::default());
        one.grow(1000).await;
        assert!(one.permit.is_none(), "small bodies are not counted");
        one.grow(BODIES_BYTES_MAX - (5 << 20)).await;
        other.grow(5 << 20).await;
        let wait = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, other.grow(6 << 20)).await.is_err(), "there is no room for more");
        drop(one);
        other.grow(2 * BODIES_BYTES_MAX).await;
        assert_eq!(other.permit.as_ref().unwrap().num_permits(), BODIES_BYTES_MAX >> 20, "a body alone has all of it");
    }

    #[test]
    fn zstd_unpacks_within_its_limit() {
        let text = "up 1\n".repeat(100_000);
        let zip = |text: &str| zstd::stream::encode_all(text.as_bytes(), 3).unwrap();
        let unpack = |packed: &[u8], limit: usize| unpack(Packing::Zstd, packed, limit);
        let packed = zip(&text);
        assert_eq!(unpack(&packed, 1 << 20).unwrap(), text.as_bytes());
        assert_eq!(unpack(&packed, text.len()).unwrap().len(), text.len());
        assert!(matches!(unpack(&packed, text.len() - 1), Err(FetchError::TooLarge(_))));
        assert_eq!(unpack(&[zip("a 1\n"), zip("b 2\n")].concat(), 1 << 20).unwrap(), b"a 1\nb 2\n");
        for bad in [&b"up 1\n"[..], &packed[..packed.len() / 2]] {
            assert!(matches!(unpack(bad, 1 << 20), Err(FetchError::Packed(Packing::Zstd))));
        }
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(27).unwrap();
        std::io::Write::write_all(&mut wide, text.as_bytes()).unwrap();
        assert!(unpack(&wide.finish().unwrap(), 1 << 20).is_err(), "a wide window takes too much memory");
    }

    #[test]
    fn only_what_was_asked_for_is_unpacked() {
        let packing = |encoding: &str| head_of(200, |name| (name == "content-encoding").then_some(encoding)).packing();
        assert_eq!(packing("GZIP").unwrap(), Some(Packing::Gzip));
        assert_eq!(packing("zstd").unwrap(), Some(Packing::Zstd));
        assert_eq!(packing("identity").unwrap(), None);
        assert!(packing("br").unwrap_err().to_string().contains("encoded as br"));
    }

    #[test]
    fn gzip_unpacks_within_its_limit() {
        let text = "up 1\n".repeat(10_000);
        let packed = zip(text.as_bytes());
        assert_eq!(unzip(&packed, 1 << 20).unwrap(), text.as_bytes());
        assert_eq!(unzip(&packed, text.len()).unwrap().len(), text.len());
        assert!(matches!(unzip(&packed, text.len() - 1), Err(FetchError::TooLarge(_))));
        assert!(matches!(unzip(b"up 1\n", 1 << 20), Err(FetchError::Packed(Packing::Gzip))));
        assert!(unzip(&packed[..packed.len() / 2], 1 << 20).is_err());
        let two = [zip(b"a 1\n"), zip(b"b 2\n")].concat();
        assert_eq!(unzip(&two, 1 << 20).unwrap(), b"a 1\nb 2\n");
        let two = [packed.clone(), packed.clone()].concat();
        assert_eq!(unzip(&two, 1 << 20).unwrap().len(), 2 * text.len());
        assert!(matches!(unzip(&two, 2 * text.len() - 1), Err(FetchError::TooLarge(_))));
    }
}
