//! Stories of metrics from Amazon CloudWatch, which moto plays, and a stand-in where it must be ill.

use serde_json::{Value, json};
use tocsin::clock;

use crate::harness::cloudwatch::CloudWatch;
use crate::harness::moto::{ACCOUNT, Keys, Moto};
use crate::harness::scene::ROUTING_KEY;
use crate::harness::service::{Service, Setup};
use crate::harness::soon;
use crate::harness::stand_in::StandIn;

/// A source without a delay, so that a minute that has just ended can be asked for.
fn source(endpoint: &str, keys: &Keys, more: &str) -> String {
    let Keys { access_key, secret_key } = keys;
    format!(
        r#"
cloudwatch:
  - job_name: aws
    regions: [eu-west-1]
    access_key: {access_key}
    secret_key: {secret_key}
    interval: 1s
    delay: 0s
    endpoint: {endpoint}
    sts_endpoint: {endpoint}
    statistics: [Maximum]
{more}
"#
    )
}

const QUEUES: &str = "    discovery: [{namespace: AWS/SQS, names: [ApproximateNumberOfMessagesVisible]}]";
const DEPTH: &str = "aws_sqs_approximate_number_of_messages_visible_maximum";

/// Returns the beginning of the minute that ended last, in seconds.
fn last_minute() -> i64 {
    clock::now().0 / 60_000 * 60 - 60
}

async fn up(service: &Service, value: f64) {
    soon(&format!("up is {value}"), async || service.value("up{job='aws'}").await.filter(|up| *up == value)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_a_queue_pages() {
    let (moto, pagerduty, keys) = (Moto::start().await, StandIn::pagerduty().await, Keys::any());
    // The beginning of the five seconds that ended last: a period of high resolution, so that the story is short.
    let period = clock::now().0 / 5_000 * 5 - 5;
    moto.put(
        "eu-west-1",
        &keys.access_key,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        period + 2,
        &[("QueueName", "orders", 7.5)],
    )
    .await;
    moto.put(
        "us-east-1",
        &keys.access_key,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        period + 2,
        &[("QueueName", "west", 1.0)],
    )
    .await;
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nroute: {{receiver: team, group_wait: 0s}}\n\
         receivers: [{{name: team, pagerduty_configs: [{{routing_key: {ROUTING_KEY}, url: '{}/v2/enqueue'}}]}}]\n{}",
        pagerduty.url,
        source(
            &moto.url,
            &keys,
            &format!("{QUEUES}\n    labels: {{env: test}}\n    period: 5s\n    window: 5m\n    catch_up: 5m")
        )
    );
    let rules = format!(
        "groups: [{{name: aws, rules: [{{alert: QueueBacklog, expr: '{DEPTH} > 100', labels: {{severity: critical}}, \
         annotations: {{summary: '{{{{ $labels.dimension_QueueName }}}} has {{{{ $value }}}} messages'}}}}]}}]"
    );
    let service = Service::start(Setup::new(config).with_file("rules.yml", rules)).await;
    let series = soon("the depth of the queue", async || service.query(&format!("{DEPTH}[5m]")).await.into_iter().next()).await;
    assert_eq!(
        series["metric"],
        json!({ "__name__": DEPTH, "job": "aws", "region": "eu-west-1", "account_id": ACCOUNT, "dimension_QueueName": "orders", "env": "test" })
    );
    assert_eq!(series["values"], json!([[period, "7.5"]]), "the value stands under its own time");
    assert_eq!(service.query(DEPTH).await.len(), 1, "the other region is not asked");
    up(&service, 1.0).await;
    assert_eq!(service.alerts("QueueBacklog").await, [Value::Null; 0]);

    moto.put(
        "eu-west-1",
        &keys.access_key,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        clock::now().0 / 1000,
        &[("QueueName", "orders", 250.0)],
    )
    .await;
    let alert = service.alert("QueueBacklog", "firing").await;
    assert_eq!(alert["annotations"]["summary"], "orders has 250 messages");
    soon("PagerDuty is told", async || pagerduty.incidents().into_iter().find(|incident| incident.state == "triggered")).await;

    let targets = service.get("/api/v1/targets").await;
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["scrapePool"]), (&json!("up"), &json!("aws")));
    assert_eq!(target["labels"], json!({ "job": "aws", "instance": "eu-west-1", "env": "test" }));
    assert_eq!(target["scrapeUrl"], format!("{}/", moto.url));
    let own = service.get("/api/tocsin/v1/targets").await;
    assert_eq!((&own["jobs"][0]["name"], &own["jobs"][0]["up"]), (&json!("aws"), &json!(1)), "{own}");
    let calls = service.value("cloudwatch_requests_total{action='GetMetricData'}").await.expect("a count of calls");
    assert_eq!(service.value("cloudwatch_metrics_requested_total").await, Some(calls), "one metric a call");
    assert_eq!(service.value("cloudwatch_requests_total{action='GetCallerIdentity'}").await, Some(1.0));
    assert!(service.value("scrape_duration_seconds{job='aws'}").await.is_some_and(|seconds| seconds < 5.0));
    assert!(!service.log().contains("hunter2"), "no secret in the log");
    let shown = service.get("/api/v1/status/config").await.to_string();
    assert!(!shown.contains("hunter2") && !shown.contains(&keys.access_key), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_metrics_than_one_request_holds_come_in_several() {
    const QUEUES_MANY: usize = 1_203;
    let (moto, keys) = (Moto::start().await, Keys::any());
    let names: Vec<String> = (0..QUEUES_MANY).map(|number| format!("queue-{number}")).collect();
    let values: Vec<(&str, &str, f64)> =
        names.iter().enumerate().map(|(number, name)| ("QueueName", name.as_str(), number as f64)).collect();
    moto.put("eu-west-1", &keys.access_key, "AWS/SQS", "ApproximateNumberOfMessagesVisible", last_minute() + 1, &values).await;
    // Moto looks through all points for each query and each minute, so that few minutes are asked for, and rarely.
    let slow = "    account_id: '123456789012'\n    window: 3m\n    catch_up: 3m\n    timeout: 1m\n    interval: 1m";
    let config = source(&moto.url, &keys, &format!("{QUEUES}\n{slow}")).replace("    interval: 1s\n", "");
    let service = Service::start(Setup::new(config)).await;
    let wait = std::time::Duration::from_secs(60);
    crate::harness::within(wait, "a collection", async || service.value("up{job='aws'}").await.filter(|up| *up == 1.0)).await;
    assert_eq!(service.value(&format!("count(last_over_time({DEPTH}[10m]))")).await, Some(QUEUES_MANY as f64));
    for number in [0, 499, 500, 999, 1_000, 1_202] {
        let depth = service.value(&format!("last_over_time({DEPTH}{{dimension_QueueName='queue-{number}'}}[10m])")).await;
        assert_eq!(depth, Some(f64::from(number)), "each answer finds its metric");
    }
    assert_eq!(service.value("cloudwatch_requests_total{action='ListMetrics'}").await, Some(3.0), "lists come in pages of 500");
    assert_eq!(service.value("cloudwatch_requests_total{action='GetMetricData'}").await, Some(3.0), "500 metrics a request");
    assert_eq!(service.value("cloudwatch_metrics_requested_total").await, Some(QUEUES_MANY as f64));
    assert_eq!(service.value("scrape_samples_scraped{job='aws'}").await, Some(QUEUES_MANY as f64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_taken_on() {
    const OTHER: &str = "111122223333";
    let moto = Moto::start().await;
    let role = format!("arn:aws:iam::{OTHER}:role/reader");
    let form = [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", &role), ("RoleSessionName", "test")];
    let assumed = tocsin_core::aws::keys::assumed(&moto.form("sts", &form).await).expect("keys");
    let at = last_minute() + 3;
    for (key, value) in [(assumed.access_key.as_str(), 42.0), (&Keys::any().access_key, 1.0)] {
        moto.put("eu-west-1", key, "AWS/SQS", "ApproximateNumberOfMessagesVisible", at, &[("QueueName", "orders", value)]).await;
    }
    let more = format!("{QUEUES}\n    role_arn: {role}\n    external_id: tocsin");
    let service = Service::start(Setup::new(source(&moto.url, &Keys::any(), &more))).await;
    let series = soon("the other account's queue", async || service.query(DEPTH).await.into_iter().next()).await;
    assert_eq!((&series["metric"]["account_id"], &series["value"][1]), (&json!(OTHER), &json!("42")), "{series}");
    up(&service, 1.0).await;
    // The keys of the role are kept for the collections that follow.
    soon("five collections", async || {
        service.value("cloudwatch_requests_total{action='GetMetricData'}").await.filter(|count| *count >= 5.0)
    })
    .await;
    assert_eq!(service.value("cloudwatch_requests_total{action='AssumeRole'}").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_where_they_are() {
    let moto = Moto::start().await;
    let at = last_minute() + 3;
    let web = "arn:aws:iam::111122223333:role/web";
    moto.put(
        "eu-west-1",
        &Keys::any().access_key,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        at,
        &[("QueueName", "orders", 3.0)],
    )
    .await;
    let web_identity = format!("web_identity: {{token_file: token, role_arn: '{web}'}}");
    for access in ["instance_metadata: true", "profile_file: credentials\n    profile: west", &web_identity] {
        let keys = "    access_key: AKIAIOSFODNN7EXAMPLE\n    secret_key: hunter2-hunter2\n";
        let config =
            source(&moto.url, &Keys::any(), QUEUES).replace(keys, &format!("    {access}\n    imds_endpoint: {}\n", moto.url));
        let setup = Setup::new(config)
            .with_file("credentials", "[west]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = hunter2\n")
            .with_file("token", "a-token\n");
        let service = Service::start(setup).await;
        up(&service, 1.0).await;
        if access.starts_with("web_identity") {
            assert_eq!(service.value("cloudwatch_requests_total{action='AssumeRoleWithWebIdentity'}").await, Some(1.0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_are_right_and_a_bad_key_is_told() {
    let moto = Moto::that_checks_signatures_after(3).await;
    let keys = moto.user().await;
    let config = |keys: &Keys| source(&moto.url, keys, &format!("{QUEUES}\n    account_id: '123456789012'"));
    let service = Service::start(Setup::new(config(&keys))).await;
    up(&service, 1.0).await;
    let wrong = Keys { secret_key: "hunter2-hunter2-hunter2".to_owned(), ..keys };
    std::fs::write(service.path("tocsin.yml"), config(&wrong)).expect("the folder takes files");
    service.signal("HUP").await;
    up(&service, 0.0).await;
    let targets = service.get("/api/v1/targets").await;
    let error = targets["data"]["activeTargets"][0]["lastError"].as_str().expect("a text").to_owned();
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    let lines = service.log().lines().filter(|line| line.contains("a collection is not whole")).count();
    assert_eq!(lines, 1, "a fault that stays is told once: {}", service.log());
    assert!(!service.log().contains("hunter2") && !targets.to_string().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_waited_out_and_illness_is_an_alert() {
    let stand_in = CloudWatch::start().await;
    let minute = last_minute();
    stand_in.put(minute, 5.0);
    stand_in.trouble(&[
        (400, r#"{"__type":"com.amazonaws.cloudwatch#ThrottlingException","message":"Rate exceeded"}"#),
        (500, "<html>oh</html>"),
    ]);
    let more = "    account_id: '123456789012'\n    timeout: 20s\n    interval: 20s\n    discovery: [{namespace: AWS/SQS, statistics: [p99.9]}]";
    let config = |interval: &str| {
        let source = source(&stand_in.url, &Keys::any(), &more.replace("20s", interval)).replace("    interval: 1s\n", "");
        format!("global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{source}")
    };
    let rules = "groups: [{name: r, rules: [{alert: SourceDown, expr: 'up{job=\"aws\"} == 0'}]}]";
    let service = Service::start(Setup::new(config("20s")).with_file("rules.yml", rules)).await;
    up(&service, 1.0).await;
    assert_eq!(service.value("aws_sqs_depth_p99_9").await, Some(5.0));
    assert_eq!(
        service.value("cloudwatch_requests_total{action='ListMetrics'}").await,
        Some(3.0),
        "two refusals, then the answer"
    );

    std::fs::write(service.path("tocsin.yml"), config("2s")).expect("the folder takes files");
    service.signal("HUP").await;
    for (answer, reason) in [
        ((500, "<html>oh</html>"), "HTTP 500"),
        ((200, "<html>welcome</html>"), "the answer to GetMetricData cannot be read"),
        ((400, r#"{"__type":"ThrottlingException"}"#), "ThrottlingException"),
        ((403, r#"{"__type":"AccessDenied","message":"no"}"#), "AccessDenied: no"),
    ] {
        stand_in.be_ill(Some(answer));
        up(&service, 0.0).await;
        service.alert("SourceDown", "firing").await;
        soon(reason, async || {
            let targets = service.get("/api/v1/targets").await;
            let error = targets["data"]["activeTargets"][0]["lastError"].as_str()?.to_owned();
            error.contains(reason).then_some(())
        })
        .await;
        assert!(service.log().contains(reason), "{}", service.log());
        stand_in.be_ill(None);
        up(&service, 1.0).await;
        soon("the alert ends", async || {
            let alerts = service.alerts("SourceDown").await;
            alerts.iter().all(|alert| alert["state"] != "firing").then_some(())
        })
        .await;
    }
    stand_in.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_points_take_their_place_and_pages_are_put_together() {
    let stand_in = CloudWatch::start().await;
    let minute = last_minute();
    stand_in.pages_of(2);
    for (back, value) in [(5, 1.0), (4, 2.0), (2, 4.0), (1, 5.0), (0, 6.0)] {
        stand_in.put(minute - back * 60, value);
    }
    let more = "    account_id: '123456789012'\n    discovery: [{namespace: AWS/SQS, label_names: {QueueName: queue}}]";
    let mut service = Service::start(Setup::new(source(&stand_in.url, &Keys::any(), more))).await;
    let values = async |service: &Service| -> Vec<(i64, String)> {
        let series = service.query("aws_sqs_depth_maximum{queue='orders'}[10m]").await;
        let values = series.first().and_then(|one| one["values"].as_array()).cloned().unwrap_or_default();
        let value =
            |pair: &Value| ((pair[0].as_i64().unwrap_or(0) - minute) / -60, pair[1].as_str().unwrap_or_default().to_owned());
        values.iter().map(value).filter(|(back, _)| *back >= 0).collect()
    };
    let text = |list: &[(i64, &str)]| list.iter().map(|(back, value)| (*back, (*value).to_owned())).collect::<Vec<_>>();
    let before = text(&[(5, "1"), (4, "2"), (2, "4"), (1, "5"), (0, "6")]);
    soon("all pages", async || (values(&service).await == before).then_some(())).await;
    // CloudWatch gets a point late, and changes one that was told already.
    stand_in.put(minute - 180, 3.0);
    stand_in.put(minute - 60, 55.0);
    let after = text(&[(5, "1"), (4, "2"), (3, "3"), (2, "4"), (1, "5"), (0, "6")]);
    soon("the late point", async || (values(&service).await == after).then_some(())).await;
    let spans: Vec<i64> = stand_in
        .calls("GetMetricData")
        .iter()
        .map(|call| call["EndTime"].as_i64().unwrap_or(0) - call["StartTime"].as_i64().unwrap_or(0))
        .collect();
    assert_eq!(spans.first(), Some(&(180 * 60)), "the first collection makes up for three hours");
    assert!(spans.last().is_some_and(|span| (15 * 60..=16 * 60).contains(span)), "then a quarter of an hour will do: {spans:?}");
    service.kill().await;
    service.restart().await;
    assert_eq!(values(&service).await, after, "what was visible is there after kill -9");
    // A source that is taken out of the configuration ends.
    std::fs::write(service.path("tocsin.yml"), "global: {}\n").expect("the folder takes files");
    service.signal("HUP").await;
    soon("up ends", async || service.query("up{job='aws'}").await.is_empty().then_some(())).await;
    assert_eq!(service.get("/api/v1/targets").await["data"]["activeTargets"], json!([]));
    stand_in.assert_no_faults();
}
