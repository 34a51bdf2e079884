//! The receiver: what it takes, what it refuses, and how it says so.

use reqwest::Method;
use serde_json::json;
use tocsin::clock;

use crate::access::{Browser, tokens_of};
use crate::harness::protobuf::{Message, side};
use crate::harness::service::{Service, Setup};
use crate::harness::soon;
use crate::harness::writes::{Series, V1, V2, pack, refs, send, send_raw, v1, v2};

const ROUTING: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

pub async fn start() -> Service {
    Service::start(Setup::new(ROUTING)).await
}

fn up(at: i64, value: f64) -> Series {
    Series::new(&[("__name__", "up"), ("job", "far")]).sample(at, value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_headers_choose_the_message_and_everything_else_is_told() {
    let service = start().await;
    let now = clock::now().0;
    let (old, new) = (pack(&v1(&[up(now, 1.0)])), pack(&v2(&[up(now, 1.0)])));
    for (headers, body, status) in [
        (vec![("Content-Type", V1), ("Content-Encoding", "snappy")], &old, 204),
        // Clients of the first days send neither.
        (vec![], &old, 204),
        (vec![("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest")], &old, 204),
        (vec![("Content-Type", V2), ("Content-Encoding", "snappy")], &new, 204),
        (vec![("Content-Type", "application/json")], &old, 415),
        (vec![("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")], &new, 415),
        (vec![("Content-Type", V2), ("Content-Encoding", "gzip")], &new, 415),
        // The one message is none of the other: it has no series with labels in it.
        (vec![("Content-Type", V1)], &new, 204),
        (vec![("Content-Type", V2)], &old, 204),
    ] {
        let said = send_raw(&service, &headers, body.clone()).await;
        assert_eq!(said.status, status, "{headers:?}: {said:?}");
        let is_v2 = headers.iter().any(|header| header.1 == V2);
        assert_eq!(said.written.is_some(), is_v2, "{headers:?}: {said:?}");
        assert_eq!(said.text.is_empty(), status == 204, "{said:?}");
    }
    let headers = [("Content-Type", V2), ("Content-Encoding", "snappy")];
    let huge = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 10]].concat();
    for (body, status, text) in [
        (v2(&[up(now, 1.0)]), 400, "cannot unpack the body"),
        (pack(b"\xff\xff\xff"), 400, "the body is not a io.prometheus.write.v2.Request"),
        // It says that it unpacks to 4 GiB, and nothing is made for it.
        (huge, 413, "unpacks to 4294967295 bytes"),
        (pack(&vec![0x2a; 40 << 20]), 413, "unpacks to 41943040 bytes"),
        (vec![0; 17 << 20], 413, "longer than"),
    ] {
        let said = send_raw(&service, &headers, body).await;
        assert!(said.status == status && said.text.contains(text), "{text}: {said:?}");
        assert_eq!(said.written, Some([0; 3]), "{said:?}");
    }
    assert_eq!(service.send(Method::GET, "/api/v1/write", None).await.0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_and_the_rest_is_written() {
    let service = start().await;
    let now = clock::now().0;
    let metric = |name: &str| Series::new(&[("__name__", name)]);
    let second = |series: Series| series.sample(now - 10_000, 2.0);
    assert_eq!(send(&service, true, &[second(metric("there"))]).await.status, 204);
    for (is_v2, name) in [(false, "one"), (true, "two")] {
        let all = [
            metric(name).sample(now - 60_000, 1.0).sample(now - 30_000, 2.0),
            // Within the five minutes, whoever came first.
            metric(name).sample(now - 90_000, 0.5),
            metric("there").sample(now - 10_000, 3.0),
            metric("there").sample(now - 600_000, 3.0),
            metric("there").sample(now + 3_600_000, 3.0),
            Series::new(&[("job", "nameless")]).sample(now, 1.0),
            Series::new(&[("__name__", "twice"), ("a", "1"), ("a", "2")]).sample(now, 1.0),
            Series::new(&[("__name__", "unnamed"), ("", "1")]).sample(now, 1.0),
            metric("bad_histogram").histogram(Message::new().integer(1, 7).signed(4, 0).integer(15, now as u64)),
            metric("bad_schema").histogram(Message::new().integer(1, 0).signed(4, 33).integer(15, now as u64)),
        ];
        let said = send(&service, is_v2, &all).await;
        assert_eq!(said.status, 400, "{said:?}");
        for fault in [
            "duplicate sample for timestamp, for series {__name__=\"there\"}",
            "too old sample, for series {__name__=\"there\"}",
            "the sample is too far in the future, for series {__name__=\"there\"}",
            "there is no metric name, got {job=\"nameless\"}",
            "duplicate label name \"a\"",
            "a label name is empty",
            "0 observations found in buckets, but the Count field is 7",
            "schema 33",
            "8 samples and 0 exemplars were refused",
        ] {
            assert!(said.text.contains(fault), "{fault}: {said:?}");
        }
        assert_eq!(said.written, is_v2.then_some([3, 0, 0]), "{said:?}");
        let counted = service.value(&format!("count_over_time({name}[5m])")).await;
        assert_eq!(counted, Some(3.0));
        // Sent again, what is there is there: only what was wrong is wrong still.
        let again = send(&service, is_v2, &all[..2]).await;
        assert_eq!((again.status, again.written), (204, is_v2.then_some([3, 0, 0])), "{again:?}");
    }
    let text = service.client.get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for figure in [
        "tocsin_remote_write_received_samples_refused_total{reason=\"duplicate\"} 2",
        "tocsin_remote_write_received_samples_refused_total{reason=\"too_old\"} 2",
        "tocsin_remote_write_received_samples_refused_total{reason=\"too_far_ahead\"} 2",
        "tocsin_remote_write_received_samples_refused_total{reason=\"invalid\"} 10",
        "tocsin_remote_write_received_requests_total{protocol=\"2.0\",code=\"400\"} 1",
    ] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_of_2_0_that_lead_nowhere_are_told() {
    let service = start().await;
    let now = clock::now().0;
    let sample = Message::new().double(1, 1.0).integer(2, now as u64);
    let request = |places: &[u64]| {
        let series = refs(Message::new(), places).inner(2, &sample);
        let good = refs(Message::new(), &[1, 3]).inner(2, &sample);
        // Symbols may stand behind the series that use them.
        let message = Message::new().inner(5, &series).inner(5, &good);
        ["", "__name__", "odd", "good"].iter().fold(message, |message, text| message.text(4, text)).0
    };
    let headers = [("Content-Type", V2)];
    for (places, fault) in [
        (vec![1u64, 2, 1], "odd"),
        (vec![1, 9], "a label refers to symbol 9, and there are 4"),
        (vec![], "there is no metric name"),
        (vec![1, 0], "there is no metric name"),
    ] {
        let said = send_raw(&service, &headers, pack(&request(&places))).await;
        assert!(said.status == 400 && said.text.contains(fault), "{fault}: {said:?}");
        assert_eq!(said.written, Some([1, 0, 0]), "{said:?}");
    }
    assert_eq!(service.value("good").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_for_late_samples_is_configurable_and_staleness_ends_a_series() {
    let config = format!("storage: {{tsdb: {{out_of_order_time_window: 1h}}}}\n{ROUTING}");
    let service = Service::start(Setup::new(config)).await;
    let now = clock::now().0;
    for (ago, status) in [(0, 204), (3_000_000, 204), (3_700_000, 400)] {
        assert_eq!(send(&service, true, &[up(now - ago, 1.0)]).await.status, status, "{ago}");
    }
    assert_eq!(service.value("up").await, Some(1.0));
    let marker = f64::from_bits(0x7ff0_0000_0000_0002);
    assert_eq!(send(&service, false, &[up(now + 1, marker)]).await.status, 204);
    soon("the series has ended", async || service.value("up").await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_arrive_as_they_were_sent() {
    let service = start().await;
    let now = clock::now().0;
    let whole = Message::new().integer(1, 11).double(3, 18.4).signed(4, 1).double(5, 0.001).integer(6, 2);
    let whole = side(side(whole, 8, &[(0, 1), (1, 1)]), 11, &[(0, 1), (1, 2), (3, 3), (4, 1)]).integer(15, now as u64);
    let float = Message::new().double(2, 2.5).double(3, 5.0).signed(4, 0).double(7, 0.5);
    let float = float.inner(11, &Message::new().signed(1, 0).integer(2, 1)).packed_doubles(13, &[2.0]).integer(15, now as u64);
    let custom = Message::new().integer(1, 6).double(3, 9.0).signed(4, -53);
    let custom = custom.inner(11, &Message::new().signed(1, 0).integer(2, 3)).packed_signed(12, &[1, 1, 1]);
    let custom = custom.integer(15, now as u64).packed_doubles(16, &[0.5, 5.0]);
    for (is_v2, suffix) in [(false, "one"), (true, "two")] {
        let metric = |name: &str| Series::new(&[("__name__", &format!("{name}_{suffix}"))]);
        let all = [
            metric("whole").histogram(whole.clone()),
            metric("float").histogram(float.clone()),
            metric("custom").histogram(custom.clone()),
        ];
        let said = send(&service, is_v2, &all).await;
        assert_eq!((said.status, said.written), (204, is_v2.then_some([0, 3, 0])), "{said:?}");
        for (question, answer) in [
            (format!("histogram_count(whole_{suffix})"), 11.0),
            (format!("histogram_sum(whole_{suffix})"), 18.4),
            (format!("histogram_fraction(-0.001, 0.001, whole_{suffix})"), 2.0 / 11.0),
            (format!("histogram_count(float_{suffix})"), 2.5),
            (format!("histogram_count(custom_{suffix})"), 6.0),
            (format!("histogram_fraction(-Inf, 0.5, custom_{suffix})"), 1.0 / 6.0),
        ] {
            let got = service.value(&question).await.unwrap_or(f64::NAN);
            assert!((got - answer).abs() < 1e-9, "{question}: {got}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_writes_and_the_receiver_can_be_switched_off() {
    let mut service = Service::start(Setup::new(ROUTING).with_auth()).await;
    let browser = Browser::log_in(&service, "admin", &service.first_password()).await;
    let tokens = tokens_of(&browser).await;
    let now = clock::now().0;
    assert_eq!(send(&service, true, &[up(now, 1.0)]).await.status, 401);
    for (role, status) in [("viewer", 403), ("auditor", 403), ("author", 403), ("responder", 204), ("writer", 204)] {
        service.token = Some(tokens[role].clone());
        assert_eq!(send(&service, true, &[up(now, 1.0)]).await.status, status, "{role}");
    }
    // It may do that, send alerts, and nothing else.
    service.token = Some(tokens["writer"].clone());
    assert_eq!(service.send(Method::GET, "/api/v1/query?query=up", None).await.0, 403);
    assert_eq!(service.send(Method::POST, "/api/v2/alerts", Some(&json!([]))).await.0, 200);

    let off = Setup::new(format!("web: {{remote_write_receiver: false}}\n{ROUTING}"));
    let mut service = Service::start(off).await;
    let said = send(&service, true, &[up(now, 1.0)]).await;
    assert!(said.status == 404 && said.text.contains("web.remote_write_receiver"), "{said:?}");
    service.terminate().await;
    service.launch(&["--web.enable-remote-write-receiver".to_owned()]);
    service.wait_until_ready().await;
    assert_eq!(send(&service, true, &[up(now, 1.0)]).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn too_much_at_once_is_told_to_come_back_and_what_was_acknowledged_survives() {
    let mut service = start().await;
    let now = clock::now().0;
    // Incompressible bodies of nearly the longest length fill the room that there is.
    let noise: Vec<u8> = (0..15u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let (mut refused, mut acknowledged) = (0, 0);
    let headers = [("Content-Type", V2)];
    let flood = (0..12).map(|_| send_raw(&service, &headers, noise.clone()));
    for said in futures_util::future::join_all(flood).await {
        match said.status {
            400 | 413 => {}
            503 => {
                assert_eq!(said.retry_after.as_deref(), Some("5"), "{said:?}");
                refused += 1;
            }
            _ => panic!("{said:?}"),
        }
    }
    assert!(refused > 0, "four such bodies fit at a time, and twelve came");
    for round in 0..50 {
        let series: Vec<Series> = (0..40)
            .map(|n| Series::new(&[("__name__", "kept"), ("n", &n.to_string())]).sample(now + round, round as f64))
            .collect();
        let said = send(&service, true, &series).await;
        assert_eq!(said.written, Some([40, 0, 0]), "{said:?}");
        acknowledged += 40;
    }
    service.kill().await;
    service.restart().await;
    assert_eq!(service.value("sum(count_over_time(kept[5m]))").await, Some(f64::from(acknowledged)));
}
