//! What must hold of every stream: bytes arrive unchanged and in order, and each side's end is an end of its own.

use std::time::Duration;

use tocsin::clock::Stopwatch;
use tocsin_core::run::lever::{Toxic, ToxicKind};
use tocsin_core::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::peers::{LONG, NAME, Stage, ms, within};

/// Bytes and lengths that look like nothing, the same for a seed each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
    }
}

const STREAM_BYTES: usize = 64 * 1024 * 1024;

/// Sends noise in pieces of random length, and compares what comes back in pieces of other lengths.
async fn assert_whole(address: &str, seed: u64, bytes: usize) {
    let stream = TcpStream::connect(address).await.expect("the proxy accepts");
    let (mut from, mut to) = stream.into_split();
    let sender = tokio::spawn(async move {
        let (mut noise, mut lengths, mut left) = (Noise(seed), Noise(seed + 1), bytes);
        let mut piece = vec![0; 200_000];
        while left > 0 {
            // Multiples of eight, so that the other side makes the same noise whatever the pieces are.
            let len = ((lengths.next() as usize % 25_000 + 1) * 8).min(left);
            noise.fill(&mut piece[..len]);
            to.write_all(&piece[..len]).await.expect("it is taken");
            left -= len;
        }
        to.shutdown().await.expect("the end is taken");
    });
    let (mut noise, mut left) = (Noise(seed), bytes);
    let (mut piece, mut wanted) = (vec![0; 96_000], vec![0; 96_000]);
    while left > 0 {
        let len = piece.len().min(left);
        from.read_exact(&mut piece[..len]).await.expect("the stream goes on");
        noise.fill(&mut wanted[..len]);
        assert!(piece[..len] == wanted[..len], "seed {seed}: other bytes, {left} before the end");
        left -= len;
    }
    assert_eq!(from.read(&mut piece).await.expect("an end"), 0, "seed {seed}: more came than was sent");
    sender.await.expect("all was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_unchanged_and_in_order() {
    let stage = Stage::set().await;
    let seed = tocsin::id::seed() | 1;
    let most = Duration::from_secs(120);
    let whole = |seed, bytes| tokio::time::timeout(most, assert_whole(&stage.setting.listen, seed, bytes));
    whole(seed, STREAM_BYTES).await.expect("in time");
    stage.harm(ToxicKind::Latency { delay: Span(15), jitter: Span(30) }).await;
    let (one, other) = tokio::join!(whole(seed, STREAM_BYTES), whole(seed ^ 2, STREAM_BYTES / 4));
    one.and(other).expect("in time");
    assert_eq!(stage.felt().await, 2);
    stage.faults.apply(NAME, "u", &[Toxic::new(ToxicKind::Bandwidth { bytes_per_second: 4_000_000 })], LONG).await.expect("put");
    whole(seed ^ 4, 1_000_000 / 8 * 8).await.expect("in time");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_come_and_go_lose_nothing() {
    let stage = Stage::set().await;
    let seed = tocsin::id::seed() | 1;
    let churn = async {
        for round in 0.. {
            let kind = if round % 2 == 0 {
                ToxicKind::Latency { delay: Span(round % 7), jitter: Span(5) }
            } else {
                ToxicKind::Bandwidth { bytes_per_second: 60_000_000 }
            };
            stage.faults.apply(NAME, "t", &[Toxic::new(kind)], Span(30)).await.expect("the fault is put");
            tokio::time::sleep(ms(20 + round as u64 % 5 * 10)).await;
        }
    };
    tokio::select! {
        () = churn => {}
        whole = tokio::time::timeout(Duration::from_secs(120), assert_whole(&stage.setting.listen, seed, STREAM_BYTES)) => {
            whole.expect("in time");
        }
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sides_end_is_handed_on_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut stage = Stage::set().await;
    stage.setting.upstream = listener.local_addr().expect("an address").to_string();
    assert!(stage.faults.proxies.replace(std::slice::from_ref(&stage.setting)).await.is_empty());
    for delay in [0, 200] {
        if delay > 0 {
            stage.harm(ToxicKind::Latency { delay: Span(delay), jitter: Span::ZERO }).await;
        }
        let mut client = stage.client().await.stream;
        let watch = Stopwatch::start();
        client.write_all(b"all I have").await.expect("it is taken");
        client.shutdown().await.expect("the end is taken");
        let (mut service, _) = listener.accept().await.expect("a connection");
        let mut heard = String::new();
        within(service.read_to_string(&mut heard)).await.expect("an end");
        assert_eq!(heard, "all I have");
        assert!(watch.elapsed() >= ms(delay as u64), "the end is held up as well");
        for _ in 0..3 {
            service.write_all(b"answer ").await.expect("the other way is open");
            tokio::time::sleep(ms(20)).await;
        }
        drop(service);
        let mut heard = String::new();
        within(client.read_to_string(&mut heard)).await.expect("an end");
        assert_eq!(heard, "answer answer answer ");
    }
    stage.strike().await;
}
