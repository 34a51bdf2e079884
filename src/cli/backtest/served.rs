//! The samples of a server that answers as Prometheus does, fetched as they are asked for and kept while they may be asked for again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tocsin_core::backtest::cut;
use tocsin_core::model::{LabelSet, Matcher, Select, Series, Source, SourceError};
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::remote::dump;
use tocsin_core::time::{Span, Timestamp};
use tokio::runtime::Handle;

use crate::cli::Remote;

/// Where a Tocsin dumps samples.
const DUMP: &str = "/api/tocsin/v1/tsdb/dump";
/// So much time is asked for in one request.
const PIECE: Span = Span::from_mins(6 * 60);
/// The body of one answer.
const BODY_BYTES_MAX: usize = 1 << 30;
/// Samples that are kept; above it what was asked for before is forgotten.
const HELD_MAX: usize = 60_000_000;
/// How often a server that is busy is asked, and how long is waited before the second time.
const TRIES_MAX: u32 = 10;
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// What looks at the newest sample looks so far back.
const LOOKBACK: Span = Span::from_mins(5);

pub(super) struct Served {
    remote: Remote,
    http: reqwest::Client,
    token: Option<String>,
    runtime: Handle,
    cancel: Cancel,
    way: Way,
    /// One dump at a time is all that a Tocsin gives.
    turn: Mutex<()>,
    state: Mutex<State>,
}

/// How samples are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the dump of a Tocsin, which leaves nothing out.
    Dump,
    /// By queries of ranges, which everybody answers and which do not say where a series ends.
    Query,
}

#[derive(Default)]
struct State {
    /// What is played now ends here.
    until: Option<Timestamp>,
    /// By their selectors; each has a lock of its own, so that no two threads fetch the same.
    held: BTreeMap<String, Arc<Mutex<Option<Held>>>>,
    samples: usize,
    fault: Option<String>,
    /// Whether native histograms came, as buckets that cannot be put back together, and whether that was told.
    lost_histograms: bool,
    told_of_histograms: bool,
}

/// All samples of a selector between two instants, both included.
struct Held {
    start: Timestamp,
    end: Timestamp,
    series: BTreeMap<LabelSet, Series>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    status: Cow<'a, str>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    result: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    histograms: Option<IgnoredAny>,
}

impl Served {
    /// To be made, and asked, on threads on which the runtime may be waited for.
    pub fn new(remote: &Remote, cancel: &Cancel) -> anyhow::Result<Served> {
        let (http, token) = remote.client()?;
        let (remote, runtime, cancel) = (remote.clone(), Handle::current(), cancel.clone());
        let (turn, state) = (Mutex::default(), Mutex::default());
        let mut served = Served { remote, http, token, runtime, cancel, way: Way::Dump, turn, state };
        let probe = served.request(&served.remote.address(DUMP), &[("match[]", "up"), ("start", "0"), ("end", "0")]);
        // Whoever stands before a server may answer anything to what that does not know.
        let dumps = served.runtime.block_on(served.body(probe)).is_ok_and(|body| str::from_utf8(&body).is_ok_and(is_dump));
        if !dumps {
            served.way = Way::Query;
        }
        Ok(served)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out whether the server has samples at an instant, of one of some selectors or of any target.
    ///
    /// Errors: it has none, or refuses.
    pub fn answers_at(&self, at: Timestamp, selectors: &[Vec<Matcher>]) -> anyhow::Result<()> {
        let all = selectors.iter().map(|matchers| selector(matchers)).chain(["up".to_owned()]);
        for selector in all {
            let query = format!("count(last_over_time({selector}[10m]))");
            let body = self.runtime.block_on(self.ask(&query, at))?;
            if !read(&body)?.result.is_empty() {
                return Ok(());
            }
        }
        let (url, at) = (&self.remote.url, at.rfc3339());
        bail!("--from: {url} has no sample of what the rules read, nor of up, by {at}; its samples may begin later")
    }

    /// Says up to when is played next.
    pub fn turn_to(&self, until: Timestamp) {
        let mut state = self.state();
        state.until = Some(until);
        if state.samples > HELD_MAX {
            state.held.clear();
            state.samples = 0;
        }
    }

    /// Errors: the first reason for which samples could not be had.
    pub fn fault(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        if state.lost_histograms && !std::mem::replace(&mut state.told_of_histograms, true) {
            eprintln!("{} has native histograms, which its API does not tell whole: rules see none of them", self.remote.url);
        }
        match state.fault.take() {
            Some(fault) => bail!("--url: {fault}"),
            None => Ok(()),
        }
    }

    /// Asks for the value of an expression at an instant.
    async fn ask(&self, query: &str, at: Timestamp) -> anyhow::Result<Vec<u8>> {
        let time = format!("{}.{:03}", at.0.div_euclid(1000), at.0.rem_euclid(1000));
        let form = [("query", query), ("time", &time)];
        let request = self.http.post(self.remote.address("/api/v1/query")).form(&form);
        self.body(request).await.with_context(|| format!("cannot ask for {query}"))
    }

    fn request(&self, url: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.http.get(url).query(query)
    }

    /// Sends a request, and again while the server is busy.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let mut tries = 1;
        loop {
            let own = request.try_clone().context("the request cannot be sent twice")?;
            let answer = own.send().await.with_context(|| format!("{} does not answer", self.remote.url))?;
            let busy = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            let is_busy = busy.contains(&answer.status());
            if !is_busy || tries == TRIES_MAX || self.cancel.is_cancelled() {
                return Ok(answer);
            }
            tokio::time::sleep(BUSY_WAIT * tries).await;
            tries += 1;
        }
    }

    /// Returns the body of an answer.
    async fn body(&self, mut request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut answer = self.send(request).await?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.context("the answer broke off")? {
            body.extend_from_slice(&piece);
            if body.len() > BODY_BYTES_MAX {
                bail!("an answer is longer than {BODY_BYTES_MAX} bytes; play shorter chunks");
            }
        }
        if !status.is_success() {
            let said = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
            let why = said["error"].as_str().or(said["detail"].as_str()).unwrap_or("no reason was given");
            bail!("{} refuses: {why} (HTTP {status})", self.remote.url);
        }
        Ok(body)
    }

    /// Fetches all samples of a selector between two instants, both included.
    fn fetch(&self, held: &mut Held, selector: &str, start: Timestamp, end: Timestamp) -> anyhow::Result<()> {
        let mut from = start;
        while from <= end {
            if self.cancel.is_cancelled() {
                bail!("it was broken off");
            }
            let to = (from + PIECE).min(end);
            for one in self.piece(selector, from, to)? {
                let known =
                    held.series.entry(one.labels.clone()).or_insert_with(|| Series { labels: one.labels, ..Series::default() });
                known.floats.extend(one.floats);
                known.histograms.extend(one.histograms);
                known.starts.extend(one.starts);
            }
            from = Timestamp(to.0 + 1);
        }
        held.start = held.start.min(start);
        held.end = held.end.max(end);
        Ok(())
    }

    fn piece(&self, selector: &str, from: Timestamp, to: Timestamp) -> anyhow::Result<Vec<Series>> {
        match self.way {
            Way::Dump => {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                let (start, end) = (from.rfc3339(), to.rfc3339());
                let request =
                    self.request(&self.remote.address(DUMP), &[("match[]", selector), ("start", &start), ("end", &end)]);
                let body = self.runtime.block_on(self.body(request)).with_context(|| format!("cannot ask for {selector}"))?;
                dumped(str::from_utf8(&body).context("the answer is not UTF-8")?)
            }
            Way::Query => {
                // Newer servers leave the sample at the begin of a range out, older ones do not.
                let query = format!("{selector}[{}ms]", to.since(from).0 + 1);
                let body = self.runtime.block_on(self.ask(&query, to))?;
                let found = read(&body)?.result;
                if found.iter().any(|one| one.histograms.is_some()) {
                    self.state().lost_histograms = true;
                }
                found.into_iter().map(|one| one.series(from)).collect()
            }
        }
    }

    /// Makes sure that a span is held. What is held already is fetched only where it does not go on to where is played.
    fn hold(&self, own: &mut Option<Held>, selector: &str, request: &Select<'_>) -> anyhow::Result<()> {
        let until = self.state().until.unwrap_or(request.end).max(request.end);
        if let Some(held) = own.as_mut().filter(|held| held.start <= request.start) {
            if held.end < request.end {
                let from = Timestamp(held.end.0 + 1);
                self.fetch(held, selector, from, until)?;
            }
            return Ok(());
        }
        let start = request.start - LOOKBACK;
        let mut held = Held { start, end: start, series: BTreeMap::new() };
        self.fetch(&mut held, selector, start, until)?;
        *own = Some(held);
        Ok(())
    }
}

fn read(body: &[u8]) -> anyhow::Result<Data<'_>> {
    let answer: Answer<'_> = serde_json::from_slice(body).context("the answer is not that of the API of Prometheus")?;
    match (&*answer.status, answer.data) {
        ("success", Some(data)) => Ok(data),
        _ => bail!("{}", answer.error.as_deref().unwrap_or("the answer holds no data")),
    }
}

fn is_dump(text: &str) -> bool {
    dumped(text).is_ok()
}

/// Returns the series of a dump, each once.
fn dumped(text: &str) -> anyhow::Result<Vec<Series>> {
    let mut series = Vec::new();
    for line in text.lines() {
        match dump::is_end(line) {
            Ok(true) => return Ok(series),
            Ok(false) => series.push(dump::take_json(line).map_err(anyhow::Error::msg)?),
            Err(why) => bail!("the service broke off: {why}"),
        }
    }
    bail!("the answer ended in the middle")
}

impl Found<'_> {
    /// Returns the samples from an instant on.
    fn series(self, from: Timestamp) -> anyhow::Result<Series> {
        let mut floats = Vec::with_capacity(self.values.len());
        for (seconds, value) in &self.values {
            let at = (seconds * 1000.0).round() as i64;
            if at >= from.0 {
                floats.push((at, value.parse().with_context(|| format!("{value:?} is no value of a sample"))?));
            }
        }
        Ok(Series { labels: LabelSet::from_pairs(self.metric.iter()), floats, ..Series::default() })
    }
}

/// Returns matchers as PromQL.
fn selector(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", all.join(","))
}

impl Held {
    fn len(&self) -> usize {
        self.series.values().map(|one| one.floats.len() + one.histograms.len()).sum()
    }
}

impl Source for Served {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let selector = selector(request.matchers);
        let own = self.state().held.entry(selector.clone()).or_default().clone();
        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
        let before = own.as_ref().map_or(0, Held::len);
        if let Err(error) = self.hold(&mut own, &selector, request) {
            // No rule is at fault, so all of them end here.
            self.state().fault.get_or_insert(format!("{error:#}"));
            self.cancel.cancel();
            return Err(SourceError::Unreadable(format!("{error:#}")));
        }
        let Some(held) = own.as_ref() else { return Ok(Vec::new()) };
        self.state().samples += held.len().saturating_sub(before);
        cut(held.series.values(), request)
    }
}
