//! Real Prometheus as the receiver: both sides die and come back, and it has what we have, once.

use std::time::Duration;

use tempfile::TempDir;

use super::senders::samples;
use crate::harness::exporter::Exporter;
use crate::harness::service::{Service, Setup};
use crate::harness::{free_port, peers, within};

const FLAGS: [&str; 2] = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms,exemplar-storage"];

async fn story(message: &str) {
    let (exporter, folder) = (Exporter::start().await, TempDir::with_prefix("tocsin-it-").expect("a temporary folder"));
    for n in 0..60 {
        exporter.set(&format!("thing_{{n=\"{n}\"}}"), f64::from(n));
    }
    let port = free_port();
    let mut prometheus = peers::prometheus_at(folder.path(), "global: {scrape_interval: 1h}\n", &FLAGS, port).await;
    let config = format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, scrape_native_histograms: true}}\n\
         scrape_configs:\n\
         \x20 - {{job_name: things, static_configs: [{{targets: ['{}']}}]}}\n\
         \x20 - {{job_name: far, scrape_interval: 500ms, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
         remote_write:\n\
         \x20 - {{url: 'http://127.0.0.1:{port}/api/v1/write', protobuf_message: {message}, send_native_histograms: true, send_exemplars: true,\n\
         \x20    queue_config: {{batch_send_deadline: 200ms, min_shards: 3, max_samples_per_send: 100}}}}\n",
        exporter.address
    );
    let mut service = Service::start(Setup::new(config)).await;
    for round in 0..3 {
        for n in 0..60 {
            exporter.set(&format!("thing_{{n=\"{n}\"}}"), f64::from(n * 100 + round));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        if round % 2 == 0 {
            prometheus.kill().await;
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            prometheus = peers::prometheus_at(folder.path(), "global: {scrape_interval: 1h}\n", &FLAGS, port).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        service.kill().await;
        service.restart().await;
    }
    exporter.remove("thing_{n=\"7\"}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let until = tocsin::clock::now().0 as f64 / 1000.0;
    for question in ["thing_", "up", "prometheus_http_request_duration_seconds", "{__name__=~\"go_.*\"}"] {
        let question = format!("{question}[1h] @ {until}");
        let here = samples(&service.address, &question).await;
        assert!(here.len() > 10, "{question}: we have {}", here.len());
        let mut there = Vec::new();
        let patience = Duration::from_secs(60);
        within(patience, "all samples have arrived", async || {
            there = samples(&prometheus.address, &question).await;
            (there.len() >= here.len()).then_some(())
        })
        .await;
        let first = here.iter().zip(&there).find(|(here, there)| here != there);
        assert!(here == there, "{question}: {} here, {} there; the first difference: {first:?}", here.len(), there.len());
    }
    let histograms = samples(&prometheus.address, &format!("prometheus_http_request_duration_seconds[1h] @ {until}")).await;
    assert!(histograms.iter().any(|(_, value)| value.contains("buckets")), "native histograms are among them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_prometheus_takes_1_0_and_has_all_of_it_once() {
    story("prometheus.WriteRequest").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_prometheus_takes_2_0_and_has_all_of_it_once() {
    story("io.prometheus.write.v2.Request").await;
}
