//! GET over plain HTTP/1.1, on a connection that is kept from one scrape to the next.
//!
//! A scrape is one request of some hundred bytes, always the same, every few seconds, for thousands of targets. What a general client
//! does for each of them costs more than reading what they answer. So targets that need nothing of it, which are most, are asked here:
//! no TLS, no proxy, no credentials. A redirect is left to the general client.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use httparse::Status;
use memchr::memmem;
use tocsin_core::client::{Auth, HttpClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fetch::{FetchError, Head, Room, head_of};
use crate::client::USER_AGENT;

/// The head of an answer may be this long and have so many lines.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEAD_LINES_MAX: usize = 96;
/// The line that begins a chunk may be this long.
const CHUNK_LINE_MAX: usize = 256;
/// One of several places of an address has so long to answer.
const PLACE_MAX: Duration = Duration::from_secs(2);
/// Read at once where the length of the answer is not known yet.
const READ_BYTES: usize = 16 << 10;
/// A first guess at the length of an answer is at most this.
const GUESS_BYTES_MAX: usize = 1 << 20;

/// A target that is asked over plain HTTP.
pub struct Plain {
    address: String,
    request: Vec<u8>,
    follows_redirects: bool,
    kept: Option<TcpStream>,
    /// How long the last answer was.
    guess: usize,
}

/// What a target answered.
pub enum Answer {
    Body {
        head: Head,
        /// Still packed, where the head says so.
        body: Vec<u8>,
        room: Room,
    },
    /// Somewhere else is to be asked.
    Redirect,
}

impl Plain {
    /// Returns None for a target that only the general client can ask.
    pub fn new(url: &str, settings: &HttpClient, headers: &[(&str, &str)]) -> Option<Plain> {
        let url = reqwest::Url::parse(url).ok()?;
        let bare = settings.auth == Auth::None && settings.headers.is_empty();
        let direct = settings.proxy_url.is_none() && !settings.proxy_from_environment;
        if url.scheme() != "http" || !bare || !direct || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let authority = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let path = url.path();
        let mut request = format!("GET {path}{query} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let address = format!("{host}:{}", url.port_or_known_default()?);
        let follows_redirects = settings.follow_redirects;
        Some(Plain { address, request: request.into_bytes(), follows_redirects, kept: None, guess: 0 })
    }

    /// Asks the target; its answer may have so many bytes. A kept connection that the target has closed meanwhile is replaced.
    pub async fn get(&mut self, limit: usize) -> Result<Answer, FetchError> {
        // A target that spoke unasked, to say that it closes, is asked on a new connection.
        let is_quiet =
            |stream: &TcpStream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if let Some(stream) = self.kept.take().filter(is_quiet) {
            match self.exchange(stream, limit).await {
                Err(Failed::Unanswered(_)) => {}
                Err(Failed::Midway(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        let connect = |cause| FetchError::Connect { address: self.address.clone(), cause };
        let stream = open(&self.address).await.map_err(connect)?;
        self.exchange(stream, limit).await.map_err(|failed| match failed {
            Failed::Unanswered(error) | Failed::Midway(error) => error,
        })
    }

    async fn exchange(&mut self, mut stream: TcpStream, limit: usize) -> Result<Answer, Failed> {
        let unanswered = |cause| Failed::Unanswered(FetchError::Exchange(cause));
        stream.write_all(&self.request).await.map_err(unanswered)?;
        let mut reader = Reader { stream, bytes: Vec::with_capacity(self.guess + READ_BYTES), room: Room::default() };
        if reader.more().await.map_err(unanswered)? == 0 {
            return Err(unanswered(io::ErrorKind::UnexpectedEof.into()));
        }
        let (head, frame) = reader.head().await.map_err(Failed::Midway)?;
        if head.status != 200 {
            // What stands behind such a head is not read, so the connection cannot be kept.
            return match head.status {
                301 | 302 | 303 | 307 | 308 if self.follows_redirects => Ok(Answer::Redirect),
                status => Err(Failed::Midway(FetchError::Status(status))),
            };
        }
        let closed = reader.body(&frame, limit).await.map_err(Failed::Midway)?;
        self.guess = reader.bytes.len().min(GUESS_BYTES_MAX);
        if frame.keep && !closed {
            self.kept = Some(reader.stream);
        }
        Ok(Answer::Body { head, body: reader.bytes, room: reader.room })
    }
}

/// Connects to the first of an address's places that answers. Each but the last has its time, so that a dead one does not cost the scrape.
async fn open(address: &str) -> io::Result<TcpStream> {
    let places: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, place) in places.iter().enumerate() {
        let connecting = TcpStream::connect(place);
        let connected = match index + 1 < places.len() {
            true => tokio::time::timeout(PLACE_MAX, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            false => connecting.await,
        };
        match connected {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Returns where a head ends, from a place on: behind an empty line. Some small targets end lines without a carriage return.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|place| from + place + 1).find_map(|next| match bytes[next..] {
        [b'\n', ..] => Some(next + 1),
        [b'\r', b'\n', ..] => Some(next + 2),
        _ => None,
    })
}

/// Why an exchange failed.
enum Failed {
    /// Before the target said anything: another connection may do.
    Unanswered(FetchError),
    Midway(FetchError),
}

/// How the end of a body is known.
enum Length {
    Known(u64),
    Chunked,
    /// The target closes the connection.
    ToTheEnd,
}

struct Frame {
    length: Length,
    /// The connection may be used again.
    keep: bool,
}

struct Reader {
    stream: TcpStream,
    /// What was read and not yet taken.
    bytes: Vec<u8>,
    room: Room,
}

impl Reader {
    async fn more(&mut self) -> io::Result<usize> {
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 4 {
            self.bytes.reserve(READ_BYTES);
        }
        self.stream.read_buf(&mut self.bytes).await
    }

    /// Reads on; the target must not have closed the connection.
    async fn must_more(&mut self) -> Result<(), FetchError> {
        match self.more().await {
            Ok(0) => Err(FetchError::Exchange(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(cause) => Err(FetchError::Exchange(cause)),
        }
    }

    /// Reads the head, and takes it away from what was read.
    async fn head(&mut self) -> Result<(Head, Frame), FetchError> {
        let mut looked = 0;
        loop {
            if let Some(end) = head_end(&self.bytes, looked) {
                let parsed = parse_head(&self.bytes[..end])?;
                self.bytes.drain(..end);
                match parsed {
                    // A word in between, such as 103: the answer follows.
                    (head, _) if head.status < 200 => looked = 0,
                    parsed => return Ok(parsed),
                }
                continue;
            }
            if self.bytes.len() > HEAD_BYTES_MAX {
                return Err(FetchError::Malformed("its head is too long"));
            }
            looked = self.bytes.len().saturating_sub(3);
            self.must_more().await?;
        }
    }

    /// Reads the body, so that `bytes` holds nothing else; returns whether the connection is at its end.
    async fn body(&mut self, frame: &Frame, limit: usize) -> Result<bool, FetchError> {
        match frame.length {
            Length::Known(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(FetchError::TooLarge(limit))?;
                self.room.grow(length).await;
                if let Some(missing) = length.checked_sub(self.bytes.len()) {
                    // One byte more than will come, so that the last read does not find the buffer full and make it grow.
                    self.bytes.reserve_exact(missing + 1);
                }
                while self.bytes.len() < length {
                    match self.stream.read_buf(&mut self.bytes).await {
                        Ok(0) => return Err(FetchError::Exchange(io::ErrorKind::UnexpectedEof.into())),
                        Ok(_) => {}
                        Err(cause) => return Err(FetchError::Exchange(cause)),
                    }
                }
                // Nothing was asked for that could follow.
                let excess = self.bytes.len() > length;
                self.bytes.truncate(length);
                Ok(excess)
            }
            Length::Chunked => self.chunks(limit).await,
            Length::ToTheEnd => loop {
                if self.bytes.len() > limit {
                    return Err(FetchError::TooLarge(limit));
                }
                self.room.grow(self.bytes.len()).await;
                match self.more().await {
                    Ok(0) => return Ok(true),
                    Ok(_) => {}
                    Err(cause) => return Err(FetchError::Exchange(cause)),
                }
            },
        }
    }

    /// Reads a body in chunks and puts them together.
    async fn chunks(&mut self, limit: usize) -> Result<bool, FetchError> {
        let mut whole = Vec::with_capacity(self.bytes.capacity());
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.bytes) {
                    Ok(Status::Complete(found)) => break found,
                    Ok(Status::Partial) if self.bytes.len() <= CHUNK_LINE_MAX => self.must_more().await?,
                    Ok(Status::Partial) | Err(_) => return Err(FetchError::Malformed("a chunk has no length")),
                }
            };
            let size =
                usize::try_from(size).ok().filter(|size| *size <= limit - whole.len()).ok_or(FetchError::TooLarge(limit))?;
            if size == 0 {
                self.bytes.drain(..line);
                break;
            }
            self.room.grow(whole.len() + size).await;
            while self.bytes.len() < line + size + 2 {
                self.must_more().await?;
            }
            if self.bytes[line + size..line + size + 2] != *b"\r\n" {
                return Err(FetchError::Malformed("a chunk is longer than it says"));
            }
            whole.extend_from_slice(&self.bytes[line..line + size]);
            self.bytes.drain(..line + size + 2);
        }
        // Lines behind the last chunk, up to an empty one.
        loop {
            match memmem::find(&self.bytes, b"\r\n") {
                Some(0) => break,
                Some(end) => drop(self.bytes.drain(..end + 2)),
                None if self.bytes.len() > HEAD_BYTES_MAX => return Err(FetchError::Malformed("its trailer is too long")),
                None => self.must_more().await?,
            }
        }
        let excess = self.bytes.len() > 2;
        self.bytes = mem::take(&mut whole);
        Ok(excess)
    }
}

fn parse_head(bytes: &[u8]) -> Result<(Head, Frame), FetchError> {
    let mut lines = [httparse::EMPTY_HEADER; HEAD_LINES_MAX];
    let mut response = httparse::Response::new(&mut lines);
    match response.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) | Err(_) => return Err(FetchError::Malformed("its head is not that of an HTTP/1.1 answer")),
    }
    let has = |value: &[u8], word: &str| {
        std::str::from_utf8(value).is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let mut frame = Frame { length: Length::ToTheEnd, keep: response.version == Some(1) };
    for line in response.headers.iter() {
        if line.name.eq_ignore_ascii_case("connection") {
            frame.keep = (frame.keep || has(line.value, "keep-alive")) && !has(line.value, "close");
        } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
            if !has(line.value, "chunked") {
                return Err(FetchError::Malformed("it is transferred in a way that was not asked for"));
            }
            frame.length = Length::Chunked;
        } else if line.name.eq_ignore_ascii_case("content-length") && !matches!(frame.length, Length::Chunked) {
            let length = std::str::from_utf8(line.value).ok().and_then(|value| value.trim().parse().ok());
            let length = length.ok_or(FetchError::Malformed("its length is no number"))?;
            if matches!(frame.length, Length::Known(other) if other != length) {
                return Err(FetchError::Malformed("it has two lengths"));
            }
            frame.length = Length::Known(length);
        }
    }
    let status = response.code.unwrap_or_default();
    let value = |name: &str| {
        let line = response.headers.iter().find(|line| line.name.eq_ignore_ascii_case(name));
        line.and_then(|line| std::str::from_utf8(line.value).ok())
    };
    Ok((head_of(status, value), frame))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    /// A target that says the same on every request, in pieces of so many bytes.
    struct Target {
        url: String,
        connections: Arc<AtomicUsize>,
    }

    async fn target(said: &'static str, piece: usize, closes: bool) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics?all=1", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut asked = Vec::new();
                    while stream.read_buf(&mut asked).await.is_ok_and(|count| count > 0) {
                        if !asked.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        assert!(asked.starts_with(b"GET /metrics?all=1 HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked:?}");
                        asked.clear();
                        for piece in said.as_bytes().chunks(piece) {
                            if stream.write_all(piece).await.is_err() {
                                return;
                            }
                            tokio::task::yield_now().await;
                        }
                        if closes {
                            return;
                        }
                    }
                });
            }
        });
        Target { url, connections }
    }

    /// Asks twice; returns what came, and how many connections that took.
    async fn ask(said: &'static str, piece: usize, closes: bool) -> (Vec<Result<String, String>>, usize) {
        let target = target(said, piece, closes).await;
        let mut plain = Plain::new(&target.url, &HttpClient::default(), &[("Accept", "*/*")]).unwrap();
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(match plain.get(20).await {
                Ok(Answer::Body { body, .. }) => Ok(String::from_utf8(body).unwrap()),
                Ok(Answer::Redirect) => Ok("elsewhere".to_owned()),
                Err(error) => Err(error.to_string()),
            });
            // A target that closes has done so before it is asked again.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        (answers, target.connections.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn every_way_to_end_a_body_is_understood() {
        let known = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nup 1\n";
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nup\r\n3\r\n 1\n\r\n0\r\nTrailer: 1\r\n\r\n";
        let hinted = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n";
        let longer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\nup 2\n";
        for piece in [1, 7, 10_000] {
            for said in [known, chunked, hinted] {
                assert_eq!(ask(said, piece, false).await, (vec![Ok("up 1\n".to_owned()); 2], 1), "{said} by {piece}");
                assert_eq!(ask(said, piece, true).await, (vec![Ok("up 1\n".to_owned()); 2], 2), "{said} by {piece}, closed");
            }
            for said in [
                "HTTP/1.1 200 OK\r\n\r\nup 1\n",
                "HTTP/1.1 200 OK\nServer: x\n\nup 1\n",
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n",
            ] {
                assert_eq!(ask(said, piece, true).await, (vec![Ok("up 1\n".to_owned()); 2], 2), "{said} by {piece}");
            }
        }
        let (answers, connections) = ask(longer, 10_000, false).await;
        assert_eq!(
            (answers, connections),
            (vec![Ok("up 1\n".to_owned()); 2], 2),
            "a connection with more than was asked for is not kept"
        );
        let named = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nup 1\n";
        assert_eq!(ask(named, 10_000, false).await, (vec![Ok("up 1\n".to_owned()); 2], 2));
    }

    #[tokio::test]
    async fn what_cannot_be_taken_is_said() {
        let all = [
            ("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", Ok("elsewhere")),
            (
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                Err("server returned HTTP status 503 Service Unavailable"),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n",
                Err("body size limit exceeded: more than 20 bytes (body_size_limit)"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n",
                Err("body size limit exceeded: more than 20 bytes (body_size_limit)"),
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\n123456789012345678901",
                Err("body size limit exceeded: more than 20 bytes (body_size_limit)"),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nup 1\n", Err("the connection broke: unexpected end of file")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nup 1\r\n",
                Err("the answer cannot be read: a chunk is longer than it says"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
                Err("the answer cannot be read: a chunk has no length"),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Err("the answer cannot be read: its length is no number")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nup",
                Err("the answer cannot be read: it has two lengths"),
            ),
            ("SSH-2.0-OpenSSH_9.9\r\n\r\n", Err("the answer cannot be read: its head is not that of an HTTP/1.1 answer")),
            ("", Err("the connection broke: unexpected end of file")),
        ];
        for (said, expected) in all {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(ask(said, 10_000, true).await.0[0], expected, "{said}");
        }
        let mut nobody = Plain::new("http://127.0.0.1:1/metrics", &HttpClient::default(), &[]).unwrap();
        let Err(error) = nobody.get(20).await else { panic!("nobody listens there") };
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: Connection refused"), "{error}");
    }

    #[test]
    fn who_needs_more_is_left_to_the_general_client() {
        let settings = HttpClient::default();
        let proxied = HttpClient { proxy_url: Some("http://127.0.0.1:3128".to_owned()), ..HttpClient::default() };
        assert!(Plain::new("http://target/metrics", &proxied, &[]).is_none());
        assert!(Plain::new("https://target/metrics", &settings, &[]).is_none());
        assert!(Plain::new("http://user:word@target/metrics", &settings, &[]).is_none());
        let plain = Plain::new("http://[::1]/metrics", &settings, &[]).unwrap();
        assert_eq!(plain.address, "[::1]:80");
    }
}
