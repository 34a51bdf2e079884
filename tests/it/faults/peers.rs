//! What the stories are told with: a service that echoes, clients with a clock, and a folder with proxies.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tocsin::act::fault::{Faults, ProxySetting};
use tocsin::clock::Stopwatch;
use tocsin_core::run::lever::{Toxic, ToxicKind};
use tocsin_core::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::standing::proxies_on;
use crate::harness::free_port;

/// Longer than any fault of these stories, unless its end is the story.
pub const LONG: Span = Span::from_mins(5);
/// Nothing that a healthy or a healed proxy does takes this long, on a loaded machine neither.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin");

/// A service that sends back what it is sent.
pub struct Echo {
    pub address: String,
    accepted: Arc<AtomicUsize>,
}

impl Echo {
    pub async fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        Echo { address, accepted }
    }

    /// Connections that have reached it.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// A folder with one proxy before one echo.
pub struct Stage {
    pub faults: Faults,
    pub folder: TempDir,
    pub echo: Echo,
    pub setting: ProxySetting,
}

pub const NAME: &str = "shop-db";

impl Stage {
    pub async fn set() -> Stage {
        let (folder, echo) = (TempDir::with_prefix("tocsin-faults-").expect("a folder"), Echo::start().await);
        let setting =
            ProxySetting { name: NAME.to_owned(), listen: format!("127.0.0.1:{}", free_port()), upstream: echo.address.clone() };
        let faults = Faults::with_program(folder.path().join("faults"), PROGRAM).expect("a folder");
        let failures = faults.proxies.replace(std::slice::from_ref(&setting)).await;
        assert!(failures.is_empty(), "{failures:?}");
        Stage { faults, folder, echo, setting }
    }

    pub async fn client(&self) -> Client {
        self.try_client().await.expect("the proxy accepts")
    }

    pub async fn try_client(&self) -> io::Result<Client> {
        Ok(Client { stream: within(TcpStream::connect(&self.setting.listen)).await? })
    }

    pub async fn apply(&self, tag: &str, toxic: Toxic) {
        self.faults.apply(NAME, tag, &[toxic], LONG).await.expect("the fault is put");
    }

    pub async fn harm(&self, kind: ToxicKind) {
        self.apply("t", Toxic::new(kind)).await;
    }

    pub async fn heal(&self) {
        self.faults.heal(NAME, "t").await.expect("the fault is healed");
    }

    /// Returns how many connections the fault has been felt by.
    pub async fn felt(&self) -> u64 {
        self.faults.proof(NAME, "t").await.expect("a proof").connections
    }

    /// Ends the proxy, which a test must not leave behind.
    pub async fn strike(self) {
        self.faults.stop().await;
        assert!(self.try_client().await.is_err(), "the proxy has gone");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A proxy outlives whoever started it, a story that failed as well.
        for pid in proxies_on(&self.setting.listen) {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// Awaits what must come to pass.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    /// Sends bytes and returns how long they took to come back.
    pub async fn echo(&mut self, bytes: &[u8]) -> io::Result<Duration> {
        let (watch, mut back) = (Stopwatch::start(), vec![0; bytes.len()]);
        let (mut from, mut to) = self.stream.split();
        within(async { tokio::try_join!(to.write_all(bytes), from.read_exact(&mut back)) }).await?;
        assert!(back == bytes, "other bytes came back");
        Ok(watch.elapsed())
    }

    /// Returns how the connection ends: bytes that come before are an error.
    pub async fn end(&mut self) -> Result<(), io::ErrorKind> {
        match within(self.stream.read(&mut [0; 16])).await {
            Ok(0) => Ok(()),
            Ok(_) => panic!("bytes came"),
            Err(error) => Err(error.kind()),
        }
    }

    /// Asserts that nothing comes for a while.
    pub async fn assert_silent(&mut self, most: Duration) {
        let read = tokio::time::timeout(most, self.stream.read(&mut [0; 16])).await;
        assert!(read.is_err(), "something came: {read:?}");
    }
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
