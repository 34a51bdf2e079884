//! Lists of targets, read or asked for again and again: those of scrape jobs and those of Alertmanagers.

use std::sync::Arc;
use std::time::Duration;

use tocsin_core::scrape::job::{FileDiscovery, HttpDiscovery};
use tocsin_core::scrape::lists::News;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fault;
use super::ingest::Ingest;
use crate::client::answer::with_causes;
use crate::scrape::discovery;

/// Prometheus is told of changed files by the system; looking every few seconds is as good and simpler.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(5);
const ASK_EVERY_MIN: Duration = Duration::from_secs(1);
/// News that wait for whoever asked.
const NEWS_MAX: usize = 16;

/// Follows the lists of `whose` for as long as the set of tasks is held; returns that, and what the lists say.
pub fn follow(
    ingest: &Arc<Ingest>,
    whose: &str,
    files: &[FileDiscovery],
    http: &[HttpDiscovery],
) -> (JoinSet<()>, mpsc::Receiver<News>) {
    let (found, news) = mpsc::channel(NEWS_MAX);
    let mut askers = JoinSet::new();
    for files in files.iter().cloned() {
        askers.spawn(follow_files(ingest.clone(), whose.to_owned(), files, found.clone()));
    }
    for endpoint in http.iter().cloned() {
        askers.spawn(follow_endpoint(ingest.clone(), whose.to_owned(), endpoint, found.clone()));
    }
    (askers, news)
}

/// Reads the files of a discovery again and again.
async fn follow_files(ingest: Arc<Ingest>, whose: String, files: FileDiscovery, found: mpsc::Sender<News>) {
    loop {
        for pattern in &files.files {
            let asked = pattern.clone();
            let what = format!("reading the files of targets of {whose}");
            let read = async { tokio::task::spawn_blocking(move || discovery::read_files(&asked)).await };
            let read = fault::guarded(&ingest, &what, async { read.await.expect("reading files does not panic") }).await;
            let Some(read) = read else { continue };
            let unreadable = |error: discovery::DiscoveryError| {
                let error = with_causes(&error);
                tracing::warn!(whose, error, "a list of targets cannot be read; the last good one stays");
            };
            match read {
                Ok(files) => {
                    let files = files.into_iter().map(|(path, list)| (path, list.map_err(unreadable).ok())).collect();
                    if found.send(News::Files { pattern: pattern.clone(), files }).await.is_err() {
                        return;
                    }
                }
                Err(error) => unreadable(error),
            }
        }
        tokio::time::sleep(files.refresh.to_std().clamp(ASK_EVERY_MIN, LOOK_EVERY_MAX)).await;
    }
}

/// Asks an endpoint for its targets again and again.
async fn follow_endpoint(ingest: Arc<Ingest>, whose: String, endpoint: HttpDiscovery, found: mpsc::Sender<News>) {
    let what = format!("asking for the targets of {whose}");
    loop {
        let asked = fault::guarded(&ingest, &what, discovery::ask(&endpoint)).await;
        let sent = match asked {
            Some(Ok(groups)) => found.send(News::Http { url: endpoint.url.clone(), groups }).await,
            Some(Err(error)) => {
                tracing::warn!(
                    whose,
                    error = with_causes(&error),
                    "a list of targets cannot be fetched; the last good one stays"
                );
                Ok(())
            }
            None => Ok(()),
        };
        if sent.is_err() {
            return;
        }
        tokio::time::sleep(endpoint.refresh.to_std().max(ASK_EVERY_MIN)).await;
    }
}
