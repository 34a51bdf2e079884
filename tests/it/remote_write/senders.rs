//! Real Prometheus as the sender: both messages, floats and native histograms, while we die and come back.

use std::time::Duration;

use tempfile::TempDir;

use super::receiver::start;
use crate::harness::exporter::Exporter;
use crate::harness::peers;
use crate::harness::service::Service;
use crate::harness::{http, within};

/// Returns what a range of a series holds at a server: instants and values, as text.
pub async fn samples(address: &str, question: &str) -> Vec<(String, String)> {
    let url = format!("http://{address}/api/v1/query");
    let answer = http().get(url).query(&[("query", question)]).send().await.expect("an answer");
    let answer: serde_json::Value = answer.json().await.expect("JSON");
    let mut all = Vec::new();
    for series in answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{question}: {answer}")) {
        for kind in ["values", "histograms"] {
            for pair in series[kind].as_array().into_iter().flatten() {
                all.push((format!("{} {}", series["metric"], pair[0]), pair[1].to_string()));
            }
        }
    }
    all.sort();
    all
}

async fn story(message: &str) {
    let mut service: Service = start().await;
    let exporter = Exporter::start().await;
    for n in 0..50 {
        exporter.set(&format!("thing_{{n=\"{n}\"}}"), f64::from(n));
    }
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let own = crate::harness::free_port();
    let config = format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
         scrape_configs:\n\
         \x20 - {{job_name: things, static_configs: [{{targets: ['{}']}}]}}\n\
         \x20 - {{job_name: itself, static_configs: [{{targets: ['127.0.0.1:{own}']}}]}}\n\
         remote_write:\n\
         \x20 - url: {}\n\
         \x20   protobuf_message: {message}\n\
         \x20   send_native_histograms: true\n\
         \x20   send_exemplars: true\n\
         \x20   queue_config: {{batch_send_deadline: 200ms, min_backoff: 30ms, max_backoff: 500ms, min_shards: 4}}\n\
         \x20   metadata_config: {{send: true, send_interval: 1s}}\n",
        exporter.address,
        service.url("/api/v1/write"),
    );
    let flags = ["--enable-feature=native-histograms,exemplar-storage,metadata-wal-records"];
    let prometheus = peers::prometheus_at(folder.path(), &config, &flags, own).await;
    // Some life, in which we die three times, twice by the power switch.
    for round in 0..3 {
        for n in 0..50 {
            exporter.set(&format!("thing_{{n=\"{n}\"}}"), f64::from(n * 100 + round));
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        if round == 1 {
            service.terminate().await;
        } else {
            service.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        service.restart().await;
    }
    exporter.remove("thing_{n=\"7\"}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What was scraped before now must arrive, all of it and nothing else.
    let until = tocsin::clock::now().0 as f64 / 1000.0;
    for question in
        ["thing_", "up", "scrape_duration_seconds", "prometheus_http_request_duration_seconds", "{__name__=~\"go_.*\"}"]
    {
        let question = format!("{question}[1h] @ {until}");
        let sent = samples(&prometheus.address, &question).await;
        assert!(sent.len() > 20, "{question}: Prometheus has {}", sent.len());
        let mut got = Vec::new();
        within(Duration::from_secs(60), "all samples have arrived", async || {
            got = samples(&service.address, &question).await;
            (got.len() >= sent.len()).then_some(())
        })
        .await;
        let first = sent.iter().zip(&got).find(|(sent, got)| sent != got);
        assert!(got == sent, "{question}: {} sent, {} there; the first difference: {first:?}", sent.len(), got.len());
    }
    let histograms = samples(&service.address, &format!("prometheus_http_request_duration_seconds[1h] @ {until}")).await;
    assert!(histograms.iter().any(|(_, value)| value.contains("buckets")), "native histograms are among them");
    let metadata = service.get("/api/v1/metadata?metric=go_goroutines").await;
    assert_eq!(metadata["data"]["go_goroutines"][0]["type"], "gauge", "{metadata}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_prometheus_writes_1_0_and_nothing_is_missing() {
    story("prometheus.WriteRequest").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_prometheus_writes_2_0_and_nothing_is_missing() {
    story("io.prometheus.write.v2.Request").await;
}
