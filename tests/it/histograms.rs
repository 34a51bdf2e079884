//! Histograms and exemplars, from an exporter to the answer of a query: the same exporter is scraped by Prometheus and by us, and both
//! are asked the same.

mod bodies;

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;
use tocsin::clock;

use crate::harness::page::{OPENMETRICS, PROTOBUF, Page, TEXT};
use crate::harness::peers::{self, Peer};
use crate::harness::protobuf::{HISTOGRAM, Message, exemplar, family, metric, side};
use crate::harness::service::{Service, Setup};
use crate::harness::{http, soon};
use bodies::{Bodies, STEP};

const AGENTS: [&str; 2] = ["Prometheus/", "tocsin/"];
/// Bodies that are served one after another.
const STEPS: i64 = 40;

/// Both servers, with the same jobs.
struct Pair {
    prometheus: Peer,
    service: Service,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Pair {
    async fn start(interval: &str, jobs: &str) -> Pair {
        let global = format!("scrape_interval: {interval}, scrape_timeout: {interval}");
        let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
        let config = format!("global: {{{global}}}\nscrape_configs:\n{jobs}");
        let flags = ["--enable-feature=native-histograms,exemplar-storage"];
        let prometheus = peers::prometheus_with(folder.path(), &config, &flags).await;
        let own = format!("global: {{{global}, scrape_native_histograms: true}}\nscrape_configs:\n{jobs}");
        let service = Service::start(Setup::new(own)).await;
        Pair { prometheus, service, client: http(), _folder: folder }
    }

    /// Returns what both answer, theirs first.
    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> [Value; 2] {
        let mut answers = [Value::Null, Value::Null];
        for (answer, address) in answers.iter_mut().zip([&self.prometheus.address, &self.service.address]) {
            let request = self.client.get(format!("http://{address}{path}")).query(form);
            *answer = request.send().await.expect("an answer").json().await.expect("JSON");
        }
        answers
    }

    /// Returns the last error of a job's only target at both.
    async fn errors(&self, job: &str) -> [String; 2] {
        self.ask("/api/v1/targets", &[]).await.map(|answer| {
            let targets = answer["data"]["activeTargets"].as_array().expect("a list of targets");
            let target = targets.iter().find(|target| target["labels"]["job"] == job).expect("the job's target");
            target["lastError"].as_str().expect("a text").to_owned()
        })
    }
}

fn job(name: &str, address: &str, more: &str) -> String {
    format!("  - {{job_name: {name}, metrics_path: /{name}, static_configs: [{{targets: ['{address}']}}]{more}}}\n")
}

/// Sorts series by their labels and floats of text into numbers, so that answers can be compared.
fn normal(mut answer: Value) -> Value {
    if let Some(list) = answer.pointer_mut("/data/result").and_then(Value::as_array_mut) {
        list.sort_by_key(|series| series["metric"].to_string());
    }
    if let Some(list) = answer["data"].as_array_mut() {
        list.sort_by_key(|series| series["seriesLabels"].to_string());
    }
    answer
}

/// Returns the first place where two answers differ, and what stands there. Numbers may differ by a share of `tolerance`.
fn difference(one: &Value, other: &Value, tolerance: f64) -> Option<String> {
    let told = || Some(format!(": {one} in place of {other}").chars().take(600).collect::<String>());
    let close = |one: f64, other: f64| one == other || (one - other).abs() <= tolerance * one.abs().max(other.abs());
    match (one, other) {
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| Some(format!("/{index}{}", difference(one, other, tolerance)?)))
        }
        (Value::Array(one), Value::Array(other)) => {
            let index = one.iter().zip(other).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
            let shown = |list: &[Value]| {
                let text = list.get(index).map_or("the end".to_owned(), Value::to_string);
                text.chars().take(600).collect::<String>()
            };
            Some(format!("/{index}: {} in place of {}", shown(one), shown(other)))
        }
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().find_map(|(key, one)| Some(format!("/{key}{}", difference(one, &other[key], tolerance)?)))
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        (Value::String(a), Value::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) if close(a, b) => None,
            _ => told(),
        },
        (one, other) if one == other => None,
        _ => told(),
    }
}

/// What is asked of each metric that holds histograms, `#` being its selector.
const QUERIES: [&str; 22] = [
    "#",
    "histogram_count(#)",
    "histogram_sum(#)",
    "histogram_avg(#)",
    "histogram_stddev(#)",
    "histogram_stdvar(#)",
    "histogram_quantile(0.5, #)",
    "histogram_quantile(0.99, rate(#[1m]))",
    "histogram_quantile(0, #) or histogram_quantile(1, #)",
    "histogram_fraction(0, 0.3, #)",
    "histogram_fraction(-1, +Inf, rate(#[90s]))",
    "rate(#[1m])",
    "increase(#[2m])",
    "irate(#[1m])",
    "delta(#[1m])",
    "resets(#[3m])",
    "changes(#[3m])",
    "sum by (job) (rate(#[1m]))",
    "avg by (job) (#)",
    "# - # offset 15s",
    "sum_over_time(#[1m]) / 3",
    "count_over_time(#[1m]) + 0 * histogram_count(last_over_time(#[1m]))",
];

/// Returns when the bodies begin: a while ago, and so that all of them lie in the same two hours. Prometheus begins another chunk with
/// every two hours, and to it two equal histograms differ whose buckets lie in chunks with other buckets beside them.
fn begin(now: i64) -> i64 {
    let (two_hours, lasts) = (7_200_000, STEPS * STEP + 60_000);
    let start = (now / 1000 - 900) * 1000;
    let boundary = now / two_hours * two_hours;
    if (start..start + lasts).contains(&boundary) { boundary - lasts } else { start }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_exporter_says_is_answered_as_prometheus_answers_it() {
    let page = Page::start().await;
    let settings = [
        ("native", ""),
        ("both", ", always_scrape_classic_histograms: true"),
        ("coarse", ", native_histogram_bucket_limit: 7, native_histogram_min_bucket_factor: 1.5"),
        ("converted", ", convert_classic_histograms_to_nhcb: true"),
        ("converted_beside", ", convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true"),
        ("text", ""),
        ("text_converted", ", convert_classic_histograms_to_nhcb: true"),
        ("text_converted_beside", ", convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true"),
        ("asked", ", scrape_protocols: [PrometheusText0.0.4, PrometheusProto]"),
    ];
    let jobs: String = settings.iter().map(|(name, more)| job(name, &page.address, more)).collect();
    let pair = Pair::start("100ms", &jobs).await;
    let start = begin(clock::now().0);
    let mut bodies = Bodies::new(start);
    for _ in 0..STEPS {
        bodies.step();
        for (name, _) in settings {
            match name {
                "text" | "text_converted" | "text_converted_beside" => {
                    page.set(&format!("/{name}"), OPENMETRICS, bodies.openmetrics())
                }
                "asked" => page.set("/asked", TEXT, b"plain 1\n".to_vec()),
                "converted" | "converted_beside" => page.set(&format!("/{name}"), PROTOBUF, bodies.classic()),
                _ => page.set(&format!("/{name}"), PROTOBUF, bodies.protobuf()),
            }
        }
        for (name, _) in settings {
            page.wait(&format!("/{name}"), &AGENTS).await;
        }
    }
    for (name, _) in settings {
        assert_eq!(pair.errors(name).await, ["", ""], "{name}");
        let [theirs, ours] = AGENTS.map(|agent| page.accepted(&format!("/{name}"), agent).expect("an Accept header"));
        assert_eq!(theirs, ours, "{name}: what is asked for");
    }

    let (from, until) = (start / 1000, (start + STEPS * STEP) / 1000 + 30);
    let window = [("start", from.to_string()), ("end", until.to_string()), ("step", "15".to_owned())];
    let mut faults = Vec::new();
    let mut compared = BTreeMap::<&str, usize>::new();
    let mut check = |what: &str, exact: bool, [theirs, ours]: [Value; 2], kind: &'static str| {
        let (theirs, ours) = (normal(theirs), normal(ours));
        *compared.entry(kind).or_default() += theirs.pointer("/data/result").and_then(Value::as_array).map_or(1, Vec::len);
        let tolerance = if exact { 0.0 } else { 1e-12 };
        faults.extend(difference(&ours, &theirs, tolerance).map(|difference| format!("{what}\n  {difference}")));
    };
    let ranged = |query: &str| {
        let mut form = vec![("query", query.to_owned())];
        form.extend(window.clone());
        form
    };
    fn borrowed<'a>(form: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
        form.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
    for (name, _) in settings {
        let query = format!("{{job='{name}',__name__!~'up|scrape_.*|plain'}}");
        check(&query, true, pair.ask("/api/v1/query_range", &borrowed(&ranged(&query))).await, "raw series");
        let samples = format!("{query}[1h]");
        let at = until.to_string();
        let answers = pair.ask("/api/v1/query", &[("query", samples.as_str()), ("time", at.as_str())]).await;
        assert!(
            name == "asked" || answers[0]["data"]["result"].as_array().is_some_and(|list| list.len() > 5),
            "{name}: {}",
            answers[0]
        );
        check(&samples, true, answers, "raw series");
        let scraped = format!("scrape_samples_scraped{{job='{name}'}} or scrape_samples_post_metric_relabeling{{job='{name}'}}");
        let values = pair
            .ask("/api/v1/query", &[("query", scraped.as_str())])
            .await
            .map(|answer| answer["data"]["result"][0]["value"][1].clone());
        assert_eq!(values[0], values[1], "{name}: samples of a scrape");
    }
    for (job, metrics) in [
        ("native", &["latency_seconds", "wide", "gauged", "float_native", "small"][..]),
        ("both", &["latency_seconds", "small"]),
        ("coarse", &["latency_seconds", "wide", "gauged"]),
        ("converted", &["request_seconds", "classic_seconds"]),
        ("converted_beside", &["request_seconds"]),
        ("text_converted", &["request_seconds"]),
    ] {
        for selector in metrics.iter().map(|metric| format!("{metric}{{job='{job}'}}")) {
            // How a rate that begins at zero is drawn out differs between versions of Prometheus, and a gauge is often near zero.
            let is_drawn_out = |query: &str| query.contains("rate(") || query.contains("increase(");
            for query in QUERIES.map(|query| query.replace('#', &selector)) {
                if selector.starts_with("gauged") && is_drawn_out(&query) {
                    continue;
                }
                check(&query, false, pair.ask("/api/v1/query_range", &borrowed(&ranged(&query))).await, "answers to functions");
            }
        }
    }
    // Where Prometheus converts, an exemplar without a time gets that of another one, so those jobs are left out.
    for query in [
        "{job=~'.+',job!~'.*converted.*'}",
        "latency_seconds",
        "rate(requests_total{job='native'}[1m]) / on () request_seconds_bucket{job=~'native|text'}",
        "none",
    ] {
        let answers = pair.ask("/api/v1/query_exemplars", &borrowed(&ranged(query))).await;
        let few = query != "none" && answers[0]["data"].as_array().is_none_or(|list| list.is_empty());
        assert!(!few, "no exemplars for {query}: {}", answers[0]);
        check(query, true, answers, "answers of exemplars");
    }
    check("metadata", true, pair.ask("/api/v1/metadata", &[]).await, "metadata");
    println!("compared with Prometheus: {compared:?}");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Returns native histograms that contradict themselves, or nearly so, each with its name.
fn doubtful() -> Vec<(&'static str, Message)> {
    let span = |offset: i64, length: u64| Message::new().signed(1, offset).integer(2, length);
    let three = || Message::new().integer(1, 3).double(2, 1.5);
    let good = || three().inner(12, &span(0, 2));
    let counted = || good().packed_signed(13, &[1, 1]);
    let float = || Message::new().double(4, 3.0).double(2, 1.5).inner(12, &span(0, 2));
    vec![
        ("good", counted()),
        ("too few in buckets", good().packed_signed(13, &[1, 0])),
        ("too many in buckets", good().packed_signed(13, &[2, 0])),
        ("too few, but the sum is no number", good().packed_signed(13, &[1, 0]).double(2, f64::NAN)),
        ("too many, and the sum is no number", good().packed_signed(13, &[3, 0]).double(2, f64::NAN)),
        ("negative count", good().packed_signed(13, &[4, -5])),
        ("negative offset", good().inner(12, &span(-1, 1)).packed_signed(13, &[1, 0, 0])),
        ("schema 9", counted().signed(5, 9)),
        ("schema 52", counted().signed(5, 52)),
        ("schema -4", counted().signed(5, -4)),
        ("schema -5", counted().signed(5, -5)),
        ("custom buckets without bounds", counted().signed(5, -53)),
        ("negative threshold", counted().double(6, -1.0)),
        ("threshold that is no number", counted().double(6, f64::NAN)),
        ("floats that do not add up", float().packed_doubles(14, &[1.0, 0.5])),
        ("float below zero", float().packed_doubles(14, &[4.0, -1.0])),
        ("float that is no number", float().packed_doubles(14, &[1.0, f64::NAN])),
        ("zero count below zero", float().packed_doubles(14, &[1.0, 2.0]).double(8, -1.0)),
        ("stale sum", counted().double(2, f64::from_bits(0x7ff0_0000_0000_0002))),
        ("infinite sum", counted().double(2, f64::INFINITY)),
        ("empty span", three().inner(12, &span(0, 0))),
        ("zero bucket alone", Message::new().integer(1, 2).integer(7, 2)),
        ("float zero bucket alone", Message::new().double(4, 2.0).double(8, 2.0)),
    ]
}

/// Returns bodies with bytes changed, taken out and put in.
fn damaged(body: &[u8], count: u64) -> Vec<Vec<u8>> {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut dice = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as usize % below
    };
    (0..count)
        .map(|_| {
            let mut bad = body.to_vec();
            let at = dice(bad.len());
            match dice(5) {
                0 => bad[at] = dice(256) as u8,
                1 | 2 => bad[at] ^= 1 << dice(8),
                3 => drop(bad.remove(at)),
                _ => bad.truncate(at),
            }
            bad
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubtful_and_damaged_bodies_end_as_in_prometheus() {
    let page = Page::start().await;
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, message) in doubtful() {
        cases.push((name.to_owned(), family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &message)])));
    }
    let mut bodies = Bodies::new((clock::now().0 / 1000 - 60) * 1000);
    bodies.step();
    for (number, body) in damaged(&bodies.classic(), 200).into_iter().enumerate() {
        cases.push((format!("damaged {number}"), body));
    }
    let mut targets = String::new();
    for (number, (_, body)) in cases.iter().enumerate() {
        page.set(&format!("/{number}"), PROTOBUF, body.clone());
        targets += &format!("{{targets: ['{}'], labels: {{__metrics_path__: /{number}, case: '{number}'}}}}, ", page.address);
    }
    let pair = Pair::start("2s", &format!("  - {{job_name: damaged, static_configs: [{targets}]}}\n")).await;
    for number in 0..cases.len() {
        page.wait(&format!("/{number}"), &AGENTS).await;
    }
    let mut counts = Vec::new();
    for what in ["up", "up * scrape_samples_scraped", "up * scrape_samples_post_metric_relabeling"] {
        counts.push(pair.ask("/api/v1/query", &[("query", what)]).await.map(|answer| {
            let list = answer["data"]["result"].as_array().expect("a vector").clone();
            let value = |series: Value| {
                (series["metric"]["case"].as_str().unwrap_or_default().to_owned(), series["value"][1].to_string())
            };
            list.into_iter().map(value).collect::<BTreeMap<_, _>>()
        }));
    }
    let mut faults = Vec::new();
    for (number, (name, _)) in cases.iter().enumerate() {
        let [theirs, ours] = [0, 1].map(|side| counts.iter().map(|both| both[side].get(&number.to_string())).collect::<Vec<_>>());
        if theirs != ours {
            faults.push(format!("{name}: {ours:?} in place of {theirs:?}"));
        }
    }
    let up = counts[0][0].values().filter(|up| *up == "\"1\"").count();
    println!("{} bodies, of which Prometheus takes {up}", cases.len());
    assert!(up > 20 && up < cases.len() - 20, "{up}");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_and_their_ends_survive_a_kill() {
    let page = Page::start().await;
    let histogram = |count: i64| {
        let message = side(Message::new().integer(1, count as u64).double(2, 1.5), 12, &[(0, count)]);
        let traced = exemplar(&[("trace_id", "abc")], 0.75, Some(clock::now().0));
        family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &message.inner(16, &traced))])
    };
    page.set("/metrics", PROTOBUF, histogram(3));
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, scrape_native_histograms: true}}\nscrape_configs:\n  - job_name: shop\n    static_configs: [{{targets: ['{}']}}]\n",
        page.address
    );
    let mut service = Service::start(Setup::new(config)).await;
    let count = async |service: &Service| service.value("histogram_count(h)").await;
    soon("a histogram", async || count(&service).await.filter(|count| *count == 3.0)).await;
    page.set("/metrics", PROTOBUF, histogram(5));
    soon("more observations", async || count(&service).await.filter(|count| *count == 5.0)).await;
    let exemplars = service.get("/api/v1/query_exemplars?query=h").await["data"].clone();
    assert_eq!(exemplars[0]["exemplars"].as_array().map(Vec::len), Some(2), "{exemplars}");
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], "abc", "{exemplars}");

    let at = clock::now().0 as f64 / 1000.0;
    let path = format!("/api/v1/query_range?query=h&start={}&end={at}&step=0.2", at - 5.0);
    let before = service.get(&path).await["data"]["result"][0]["histograms"].clone();
    assert!(before.as_array().is_some_and(|list| list.len() > 1), "{before}");
    service.kill().await;
    service.restart().await;
    assert_eq!(service.get(&path).await["data"]["result"][0]["histograms"], before, "what was answered is answered after a kill");
    page.set("/metrics", PROTOBUF, histogram(5));
    page.wait("/metrics", &AGENTS[1..]).await;
    // What a target brought and brings no more ends, and the end is known after another kill.
    page.set("/metrics", PROTOBUF, family("other", "", HISTOGRAM, "", &[metric(&[], None)]));
    soon("the histogram ends", async || service.query("h").await.is_empty().then_some(())).await;
    service.kill().await;
    service.restart().await;
    soon("the target is up", async || service.value("up").await.filter(|up| *up == 1.0)).await;
    assert!(service.query("h").await.is_empty(), "an end is an end");
}
