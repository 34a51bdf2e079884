//! What the stories are told with: the real binary, real peers, and stand-ins for the world outside.

pub mod atlas;
pub mod cloudwatch;
pub mod exporter;
pub mod moto;
pub mod page;
pub mod peers;
pub mod protobuf;
pub mod recorder;
pub mod scene;
pub mod service;
pub mod shop;
pub mod smtp;

pub mod stand_in;
pub mod write_target;
pub mod writes;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use tocsin::clock::Stopwatch;

/// Long enough for a loaded machine; a story that waits this long has failed.
pub const SOON: Duration = Duration::from_secs(30);

/// Returns the repository's folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a file of the repository that `make setup` makes.
pub fn set_up(path: &str) -> PathBuf {
    let path = repository().join(path);
    assert!(path.exists(), "{} is missing; `make setup` makes it", path.display());
    path
}

/// Returns a file of the test data of other projects; says so and returns nothing where it is not there.
#[expect(clippy::disallowed_methods, reason = "where the test data of others lies is told by the environment")]
pub fn corpora(path: &str) -> Option<PathBuf> {
    let root = std::env::var("TOCSIN_CORPORA").map_or_else(|_| repository().join("../shared/corpora"), PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        println!("skipped: corpora not found ({})", path.display());
        return None;
    }
    Some(path)
}

/// Returns the value that `check` comes to give; panics when it gives none within `most`.
pub async fn within<T>(most: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(watch.elapsed() < most, "not within {most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the value that `check` comes to give within `SOON`.
pub async fn soon<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(SOON, what, check).await
}

/// Returns a port that is free at this moment, for programs that cannot choose one themselves.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Returns a client for the tests' own requests.
pub fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // A second installation is the only way to fail, and then there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client")
}
