//! What is said over the sockets of proxies and guards: one question and one answer a connection, each a line of JSON.
//!
//! A proxy may be older than the Tocsin that asks it, since it lives on while Tocsin is exchanged: fields are added, never changed.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tocsin_core::run::lever::Toxic;
use tocsin_core::time::Span;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Proof, StandingFault};

/// A line longer than this is not read.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Who asks must have said it within this.
const QUESTION_MAX: Duration = Duration::from_secs(2);
/// An answer is waited for this long.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Status,
    /// To a proxy: put toxics.
    Apply {
        tag: String,
        toxics: Vec<Toxic>,
        ttl: Span,
    },
    /// To a proxy: end the toxics of a tag.
    Heal {
        tag: String,
    },
    /// To a proxy: what have the toxics of a tag done?
    Proof {
        tag: String,
    },
    /// To a guard: stop the process from now on, for `ttl`.
    Stop {
        ttl: Span,
    },
    /// End, and with it every fault in your hands.
    End,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Status(Status),
    Proof { proof: Proof, down: bool },
    Refused(String),
}

/// What a proxy or a guard says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its own process.
    pub pid: u32,
    /// A proxy's name and addresses as the configuration writes them; empty for a guard.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub listen: String,
    #[serde(default)]
    pub upstream: String,
    /// Connections that are open now, and that there have been.
    #[serde(default)]
    pub open: u64,
    #[serde(default)]
    pub opened: u64,
    pub faults: Vec<StandingFault>,
}

async fn read_line<T: for<'t> Deserialize<'t>>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end broke off, or its line is too long"));
    }
    serde_json::from_slice(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing was said in time")
}

/// Asks over a connection, and returns the answer.
pub async fn ask(mut stream: UnixStream, ask: &Ask) -> io::Result<Answer> {
    let work = async {
        write_line(&mut stream, ask).await?;
        read_line(&mut stream).await
    };
    tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or_else(|_| Err(too_late()))
}

/// Waits for the next question and answers it; returns whether to go on, as `answer` says.
pub async fn answer_one(listener: &UnixListener, answer: impl FnOnce(Ask) -> (Answer, bool)) -> bool {
    let Ok((mut stream, _)) = listener.accept().await else {
        // No file is free; one will be.
        tokio::time::sleep(Duration::from_millis(100)).await;
        return true;
    };
    let asked = tokio::time::timeout(QUESTION_MAX, read_line(&mut stream)).await.unwrap_or_else(|_| Err(too_late()));
    let (said, goes_on) = match asked {
        Ok(asked) => answer(asked),
        Err(error) => (Answer::Refused(format!("the question cannot be read: {error}")), true),
    };
    // Who has gone away has no use for the answer.
    let _ = tokio::time::timeout(QUESTION_MAX, write_line(&mut stream, &said)).await;
    goes_on
}
