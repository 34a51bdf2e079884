//! A small shop on bare sockets, whose answers go wrong in every way that a journey must notice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Up,
    Status(u16),
    Slow(Duration),
    /// A good status over a body that is not the one.
    Wrong,
    Redirect(String),
    /// A body without an end.
    Huge,
    /// The connection is cut within the body.
    Cut,
    /// Nothing is ever answered.
    Hung,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

#[derive(Clone)]
pub struct Shop {
    mode: Arc<Mutex<Mode>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    /// `host:port`.
    pub address: String,
}

impl Shop {
    /// Starts a shop. `POST /login` answers with a token; everything else wants it and answers `order taken`.
    pub async fn start() -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shop = Shop { mode: Arc::new(Mutex::new(Mode::Up)), seen: Arc::default(), connections: Arc::default(), address };
        let own = shop.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *own.connections.lock().expect("a lock") += 1;
                let own = own.clone();
                tokio::spawn(async move { own.serve(stream).await });
            }
        });
        shop
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().expect("a lock") = mode;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a lock").clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().expect("a lock")
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let (head, body) = read_request(&mut stream).await?;
            self.seen.lock().expect("a lock").push(Seen { head: head.clone(), body });
            let mode = self.mode.lock().expect("a lock").clone();
            let (status, more, text) = match mode {
                Mode::Hung => std::future::pending().await,
                Mode::Slow(wait) => {
                    tokio::time::sleep(wait).await;
                    (200, String::new(), answer(&head))
                }
                Mode::Up => (200, String::new(), answer(&head)),
                Mode::Status(status) => (status, String::new(), answer(&head)),
                Mode::Wrong => (200, String::new(), "<html>We will be back soon</html>".to_owned()),
                Mode::Redirect(to) if !head.contains("/moved") => (302, format!("location: {to}\r\n"), String::new()),
                Mode::Redirect(_) => (200, String::new(), answer(&head)),
                Mode::Huge => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.ok()?;
                    while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
                    return None;
                }
                Mode::Cut => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\norder").await.ok()?;
                    return None;
                }
            };
            let head = format!("HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(head.as_bytes()).await.ok()?;
        }
    }
}

fn answer(head: &str) -> String {
    if head.starts_with("POST /login") {
        r#"{"token": "t-42", "state": "in"}"#.to_owned()
    } else if head.contains("Bearer t-42") || head.contains("/moved") {
        r#"{"state": "order taken"}"#.to_owned()
    } else {
        r#"{"state": "who are you?"}"#.to_owned()
    }
}

/// Reads one request; None when the other side has hung up.
async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}
