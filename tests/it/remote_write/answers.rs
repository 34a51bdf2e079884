//! What we make of the answers of other servers: sent again with patience, given up, or said in another protocol.

use std::collections::BTreeSet;
use std::time::Duration;

use tocsin_core::remote::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::exporter::Exporter;
use crate::harness::service::{Service, Setup};
use crate::harness::write_target::{Reply, WriteTarget};
use crate::harness::{free_port, within};

/// Cases of the suite for senders that are about answers.
pub const CASES: &[&str] = &[
    "exponential_backoff_on_retries",
    "backoff_required",
    "backoff_max_delay",
    "handle_connection_refused",
    "handle_partial_write",
    "handle_malformed_response",
    "sender_continues_after_errors",
    "handle_invalid_status_code",
    "handle_empty_response",
    "dns_resolution_failure",
    "invalid_url_scheme",
    "fallback_on_415_unsupported_media_type",
    "retry_with_different_version",
    "fallback_header_changes",
    "accept_success_after_fallback",
    "persistent_fallback_choice",
    "ignore_response_body_on_success",
    "process_written_count_headers",
    "handle_missing_written_headers",
    "log_error_messages_verbatim",
    "handle_large_error_body",
    "handle_200_ok",
    "no_retry_on_400",
    "no_retry_on_401",
    "may_retry_on_429",
    "retry_on_500",
    "retry_on_503",
    "retry_on_504",
];

/// Answers the first connections with raw bytes, or none, and then goes away.
async fn raw(answers: &'static [&'static [u8]]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_are_heard_and_nothing_holds_up_the_others() {
    let (exporter, target) = (Exporter::start().await, WriteTarget::start().await);
    exporter.set("thing", 1.0);
    let big = Reply { body: "z".repeat(1 << 20), ..Reply::status(500) };
    let written = |count: usize| Reply {
        headers: vec![("X-Prometheus-Remote-Write-Samples-Written", count.to_string())],
        body: "never mind".to_owned(),
        ..Reply::status(200)
    };
    target.reply("/down", vec![Reply::status(503); 7]);
    for status in [429, 500, 502, 503, 504] {
        target.reply(&format!("/again-{status}"), vec![Reply::status(status); 2]);
    }
    for status in [400, 401, 403, 404, 422, 301, 999] {
        let said = Reply { body: format!("refused for \"good\" <{status}>"), ..Reply::status(status) };
        target.reply_always(&format!("/never-{status}"), said);
    }
    target.reply("/patience", vec![Reply { headers: vec![("Retry-After", "2".to_owned())], ..Reply::status(429) }]);
    target.reply("/big", vec![big]);
    target.reply_always("/well", written(6));
    target.know_only_v1("/old");
    let broken =
        raw(&[b"HTTP/1.1 200", b"no protocol at all\r\n\r\n", b"", b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nshort"]).await;
    let closed = free_port();
    let mut endpoints = String::new();
    let mut add = |name: &str, url: String| {
        endpoints.push_str(&format!(
            "  - {{name: {name}, url: '{url}', protobuf_message: io.prometheus.write.v2.Request, metadata_config: {{send: false}}, \
             queue_config: {{batch_send_deadline: 100ms, min_backoff: 50ms, max_backoff: 800ms}}}}\n"
        ));
    };
    let paths = [
        "down",
        "again-429",
        "again-500",
        "again-502",
        "again-503",
        "again-504",
        "never-400",
        "never-401",
        "never-403",
        "never-404",
        "never-422",
        "never-301",
        "never-999",
        "patience",
        "big",
        "well",
        "old",
        "plain",
    ];
    for path in paths {
        add(path, format!("http://{}/{path}", target.address));
    }
    add("broken", format!("http://{broken}/"));
    add("closed", format!("http://127.0.0.1:{closed}/"));
    add("nowhere", "http://no-such-host.invalid/write".to_owned());
    add("scheme", "ftp://127.0.0.1/write".to_owned());
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n\
         \x20 - {{job_name: things, static_configs: [{{targets: ['{}']}}]}}\nremote_write:\n{endpoints}",
        exporter.address
    );
    let service = Service::start(Setup::new(config)).await;
    within(Duration::from_secs(60), "the one that was down has everything", async || {
        let got = target.got("/down");
        (got.len() >= 10).then_some(())
    })
    .await;
    // The waits double, and end at the longest.
    let down = target.got("/down");
    let waits: Vec<i64> = down[..8].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (wait, least) in waits.iter().zip([45, 90, 180, 360, 700, 700, 700]) {
        assert!(*wait >= least && *wait < 3_000, "{waits:?}");
    }
    assert!(down[..8].iter().all(|got| got.body == down[0].body), "the same request is sent again");
    for path in ["/again-429", "/again-500", "/again-502", "/again-503", "/again-504", "/patience", "/big", "/down"] {
        let plain = target.series("/plain");
        let series = target.series(path);
        let (name, samples) = plain.iter().find(|(name, _)| name.contains("thing")).expect("it is sent");
        let own = within(Duration::from_secs(20), "nothing is missing", async || {
            let own = target.series(path).get(name).cloned().unwrap_or_default();
            (own.len() >= samples.len()).then_some(own)
        })
        .await;
        assert_eq!(own[..samples.len()], samples[..], "{path}: {series:?}");
    }
    let patience = target.got("/patience");
    assert!(patience[1].at - patience[0].at >= 2_000, "Retry-After is heard");
    for status in [400, 401, 403, 404, 422, 301, 999] {
        let got = target.got(&format!("/never-{status}"));
        let bodies: BTreeSet<&Vec<u8>> = got.iter().map(|got| &got.body).collect();
        assert!(got.len() > 3 && bodies.len() == got.len(), "{status}: each request once, and it goes on: {}", got.len());
        assert!(service.log().contains(&format!("refused for \\\"good\\\" <{status}>")), "{status}: what it said is in the log");
    }
    // 1.0 from the first 415 on, with everything that was refused before.
    let old = target.got("/old");
    let first_v1 = old.iter().position(|got| got.protocol() == Protocol::V1).expect("it falls back");
    assert!(first_v1 > 0 && old[first_v1..].iter().all(|got| got.protocol() == Protocol::V1));
    assert_eq!(old[first_v1].header("x-prometheus-remote-write-version"), "0.1.0");
    assert_eq!(target.series("/old").keys().collect::<Vec<_>>(), target.series("/plain").keys().collect::<Vec<_>>());
    let bodies: Vec<Vec<u8>> = target.got("/well").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), bodies.len(), "what is well is sent once");
    assert_eq!(service.value("up").await, Some(1.0), "scraping goes on");
    assert!(service.log().contains("nothing is sent to this server"), "a scheme that is none is told");
    let text = service.client.get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for figure in [
        "tocsin_remote_write_samples_failed_total{endpoint=\"well\"} 0",
        "tocsin_remote_write_samples_pending{endpoint=\"closed\"}",
        "tocsin_remote_write_requests_retried_total{endpoint=\"down\"} 7",
    ] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    assert!(!text.contains("tocsin_remote_write_samples_failed_total{endpoint=\"never-400\"} 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_not_sent_waits_on_the_disk_and_what_is_too_old_is_given_up() {
    let (exporter, target) = (Exporter::start().await, WriteTarget::start().await);
    exporter.set("thing", 1.0);
    target.reply_always("/slow", Reply::status(503));
    target.reply_always("/aged", Reply::status(503));
    let more = "queue_config: {batch_send_deadline: 100ms, max_backoff: 200ms";
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {{region: eu}}}}\nscrape_configs:\n\
         \x20 - {{job_name: things, static_configs: [{{targets: ['{0}']}}]}}\nremote_write:\n\
         \x20 - {{name: slow, url: 'http://{1}/slow', write_relabel_configs: [{{source_labels: [__name__], regex: thing, action: keep}}], {more}}}}}\n\
         \x20 - {{name: aged, url: 'http://{1}/aged', {more}, sample_age_limit: 1s}}}}\n",
        exporter.address, target.address
    );
    let mut service = Service::start(Setup::new(config)).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        service.kill().await;
        service.restart().await;
    }
    let text = service.client.get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("tocsin_remote_write_samples_dropped_total{endpoint=\"slow\",reason=\"no_room\"} 0"), "{text}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let text = service.client.get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("tocsin_remote_write_samples_dropped_total{endpoint=\"aged\",reason=\"too_old\"} 0"), "{text}");
    target.reply_always("/slow", Reply::status(204));
    let until = tocsin::clock::now().0;
    let here: Vec<i64> = service.query(&format!("thing[1h] @ {}", until as f64 / 1000.0)).await[0]["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|pair| (pair[0].as_f64().expect("a number") * 1000.0).round() as i64)
        .collect();
    let there = within(Duration::from_secs(30), "all of it arrives", async || {
        let series = target.series("/slow");
        assert!(series.len() <= 1, "only that series is sent: {:?}", series.keys());
        let (name, samples) = series.into_iter().next()?;
        assert!(name.contains("region=\"eu\""), "{name}");
        let there: Vec<i64> = samples.into_iter().map(|(at, _)| at).collect();
        (there.last() >= here.last()).then_some(there)
    })
    .await;
    assert!(here.len() > 20, "{}", here.len());
    assert_eq!(there[..here.len()], here[..], "all of it, in order, and nothing twice");
    // What is read is let go, so that the queue stays small.
    let folder = service.path("data").join("metrics/remote");
    let segments = || std::fs::read_dir(&folder).expect("a folder").count();
    within(Duration::from_secs(10), "old segments are gone", async || (segments() <= 2).then_some(())).await;
}
