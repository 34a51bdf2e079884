//! Tests of the whole room.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{AnswerError, Points, listed};
use super::plan::{BATCH_MAX, Batch, Query, batches, data_request, list_request, queries};
use super::*;
use crate::aws::Access;
use crate::client::HttpClient;
use crate::model::MatchOp;
use crate::time::Timestamp;

fn reading(statistics: &[&str]) -> Reading {
    Reading {
        statistics: statistics.iter().map(|word| (*word).to_owned()).collect(),
        period: Span::from_mins(1),
        delay: Span::from_mins(2),
        label_names: BTreeMap::new(),
    }
}

fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Metric {
    let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Metric { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
}

fn regex(name: &str, pattern: &str) -> Matcher {
    Matcher::new(name, MatchOp::Regex, pattern).unwrap()
}

fn discovery(namespace: &str, names: &[&str]) -> Discovery {
    Discovery {
        namespace: namespace.to_owned(),
        names: names.iter().map(|name| regex("name", name)).collect(),
        one_name: None,
        dimensions: Vec::new(),
        dimension_names: None,
        reading: reading(&["Maximum"]),
    }
}

fn source() -> Source {
    Source {
        job: "aws".to_owned(),
        regions: vec!["eu-west-1".to_owned()],
        identity: Identity {
            name: String::new(),
            access: Access::Chain,
            role: None,
            sts_endpoint: None,
            imds_endpoint: None,
            client: HttpClient::default(),
        },
        account_id: None,
        interval: Span::from_mins(1),
        timeout: Span::from_mins(1),
        reach: Reach { window: Span::from_mins(15), catch_up: Span::from_mins(180) },
        discovery_interval: Span::from_mins(10),
        recently_active: true,
        queries_max: 100,
        labels: LabelSet::empty(),
        snake_case: false,
        discovery: Vec::new(),
        metrics: Vec::new(),
        endpoint: None,
    }
}

fn common() -> LabelSet {
    LabelSet::from_pairs([("job", "aws"), ("region", "eu-west-1"), ("account_id", "111122223333")])
}

#[test]
fn names_are_those_of_the_field() {
    for (namespace, name, statistic, expected) in [
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", "aws_sqs_approximate_number_of_messages_visible_maximum"),
        ("AWS/EC2", "CPUUtilization", "Average", "aws_ec2_cpuutilization_average"),
        ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", "aws_applicationelb_httpcode_target_5_xx_count_sum"),
        ("AWS/ApplicationELB", "TargetResponseTime", "p99.9", "aws_applicationelb_target_response_time_p99_9"),
        ("AWS/RDS", "DatabaseConnections", "SampleCount", "aws_rds_database_connections_sample_count"),
        ("Glue", "glue.driver.aggregate.bytesRead", "Sum", "aws_glue_driver_aggregate_bytes_read_sum"),
        ("/aws/sagemaker/TrainingJobs", "CPUUtilization", "Average", "aws_sagemaker_trainingjobs_cpuutilization_average"),
        ("CWAgent", "disk_used%", "IQM", "aws_cwagent_disk_used_percent_iqm"),
        ("Shop (new)", "Täglich", "tm90", "aws_shop__new__t_glich_tm90"),
    ] {
        assert_eq!(name::metric_name(namespace, name, statistic), expected);
    }
}

#[test]
fn dimensions_become_labels() {
    let metric =
        metric("AWS/ApplicationELB", "RequestCount", &[("AvailabilityZone", "a"), ("LoadBalancer", "app/x"), ("Per-AZ", "y")]);
    let mut reading = reading(&["Sum"]);
    let shown = |reading: &Reading, snake: bool| name::series(&metric, "Sum", reading, snake, &common()).to_string();
    assert_eq!(
        shown(&reading, false),
        "{__name__=\"aws_applicationelb_request_count_sum\", account_id=\"111122223333\", dimension_AvailabilityZone=\"a\", \
         dimension_LoadBalancer=\"app/x\", dimension_Per_AZ=\"y\", job=\"aws\", region=\"eu-west-1\"}"
    );
    reading.label_names = BTreeMap::from([("LoadBalancer".to_owned(), "balancer".to_owned())]);
    assert_eq!(
        shown(&reading, true),
        "{__name__=\"aws_applicationelb_request_count_sum\", account_id=\"111122223333\", balancer=\"app/x\", \
         dimension_availability_zone=\"a\", dimension_per_az=\"y\", job=\"aws\", region=\"eu-west-1\"}"
    );
}

#[test]
fn discovery_keeps_what_fits() {
    let mut wanted = discovery("AWS/SQS", &["Approximate.*", "NumberOfMessagesSent"]);
    wanted.dimensions = vec![regex("QueueName", "orders-.*")];
    wanted.dimension_names = Some(vec!["QueueName".to_owned()]);
    for (namespace, name, dimensions, fits) in [
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", "orders-eu")][..], true),
        ("AWS/SQS", "NumberOfMessagesSent", &[("QueueName", "orders-")], true),
        ("AWS/SQS", "NumberOfMessagesSentTwice", &[("QueueName", "orders-eu")], false),
        ("AWS/SNS", "ApproximateAgeOfOldestMessage", &[("QueueName", "orders-eu")], false),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", "my-orders-eu")], false),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", &[], false),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", "orders-eu"), ("Zone", "a")], false),
    ] {
        assert_eq!(wanted.wants(&metric(namespace, name, dimensions)), fits, "{namespace} {name} {dimensions:?}");
    }
}

#[test]
fn a_list_is_asked_for_by_what_narrows_it() {
    let mut wanted = discovery("AWS/SQS", &[]);
    assert_eq!(list_request(&wanted, false, None), json!({ "Namespace": "AWS/SQS" }));
    wanted.one_name = Some("NumberOfMessagesSent".to_owned());
    wanted.dimensions = vec![regex("QueueName", "o.*")];
    assert_eq!(
        list_request(&wanted, true, Some("t")),
        json!({ "Namespace": "AWS/SQS", "MetricName": "NumberOfMessagesSent", "Dimensions": [{ "Name": "QueueName" }],
                "RecentlyActive": "PT3H", "NextToken": "t" })
    );
}

#[test]
fn each_series_is_asked_for_once_and_not_more_than_allowed() {
    let mut source = source();
    let sent = metric("AWS/SQS", "NumberOfMessagesSent", &[("QueueName", "a")]);
    let depth = metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "a")]);
    source.metrics =
        vec![Chosen { metric: sent.clone(), reading: Reading { period: Span::from_mins(5), ..reading(&["Sum", "p99"]) } }];
    source.discovery = vec![discovery("AWS/SQS", &[]), discovery("AWS/SQS", &["Approx.*"])];
    source.discovery[0].reading = reading(&["Sum"]);
    let found = [vec![sent.clone(), depth.clone()], vec![sent, depth]];
    let shown = |source: &Source| {
        let queries = queries(source, &common(), &found);
        let list: Vec<String> =
            queries.list.iter().map(|query| format!("{} {} {}", query.metric.name, query.statistic, query.period)).collect();
        (list, queries.left_out)
    };
    let all = [
        "NumberOfMessagesSent Sum 5m",
        "NumberOfMessagesSent p99 5m",
        "ApproximateNumberOfMessagesVisible Sum 1m",
        "ApproximateNumberOfMessagesVisible Maximum 1m",
    ];
    assert_eq!(shown(&source), (all.map(str::to_owned).to_vec(), 0));
    source.queries_max = 3;
    assert_eq!(shown(&source), (all[..3].iter().map(|text| (*text).to_owned()).collect(), 1));
}

fn query(number: usize, period: Span, delay: Span) -> Query {
    let metric = metric("N", "M", &[("D", &number.to_string())]);
    let labels = LabelSet::from_pairs([("__name__".to_owned(), "m".to_owned()), ("d".to_owned(), number.to_string())]);
    Query { metric, statistic: "Sum".to_owned(), period, delay, labels }
}

#[test]
fn batches_lie_on_the_grid_and_within_the_limits() {
    let (minute, hour) = (Span::from_mins(1), Span::from_mins(60));
    let now = Timestamp::parse_rfc3339("2026-11-21T10:07:42Z").unwrap();
    let list: Vec<Query> = (0..1203)
        .map(|n| query(n, minute, Span::from_mins(2)))
        .chain((0..2).map(|n| query(n, hour, Span::from_mins(10))))
        .collect();
    let shown = |from: Timestamp| -> Vec<(usize, usize, String, String)> {
        batches(&list, from, now)
            .iter()
            .map(|batch| {
                let clock = |at: Timestamp| at.rfc3339()[5..16].to_owned();
                (batch.members.len(), batch.members[0], clock(batch.start), clock(batch.end))
            })
            .collect()
    };
    let text = |len, first, start: &str, end: &str| (len, first, start.to_owned(), end.to_owned());
    assert_eq!(
        shown(now - Span::from_mins(15)),
        [
            text(BATCH_MAX, 0, "11-21T09:50", "11-21T10:05"),
            text(BATCH_MAX, 500, "11-21T09:50", "11-21T10:05"),
            text(203, 1000, "11-21T09:50", "11-21T10:05"),
            text(2, 1203, "11-21T08:00", "11-21T09:00"),
        ],
        "a period of an hour is asked for when it has ended, however short the window"
    );
    // A day of minutes is 1,440 points for each series, of which an answer may hold 100,800 in all.
    assert_eq!(shown(now - Span::from_mins(1440))[0].0, 70);
}

#[test]
fn a_request_names_its_queries_so_that_answers_find_them() {
    let list = [query(7, Span::from_mins(1), Span::ZERO), query(8, Span::from_mins(1), Span::ZERO)];
    let batch = Batch { members: vec![1, 0], start: Timestamp(60_000), end: Timestamp(180_000) };
    let query = |id: &str, value: &str| {
        json!({ "Id": id, "MetricStat": {
            "Metric": { "Namespace": "N", "MetricName": "M", "Dimensions": [{ "Name": "D", "Value": value }] },
            "Period": 60, "Stat": "Sum" } })
    };
    assert_eq!(
        data_request(&batch, &list, Some("next")),
        json!({ "StartTime": 60, "EndTime": 180, "ScanBy": "TimestampAscending", "NextToken": "next",
                "MetricDataQueries": [query("q0", "8"), query("q1", "7")] })
    );
    let mut points = Points::new(2);
    let page = |results: Value, token: &str| json!({ "MetricDataResults": results, "NextToken": token }).to_string();
    let first = page(
        json!([
            { "Id": "q0", "Timestamps": [120, 60], "Values": [2.5, 1.0], "StatusCode": "PartialData" },
            { "Id": "q9", "Timestamps": [60], "Values": [9], "StatusCode": "Complete" },
            { "Id": "other", "Timestamps": [60], "Values": [9], "StatusCode": "Complete" },
        ]),
        "more",
    );
    assert_eq!(points.accept(&batch, first.as_bytes()).unwrap().as_deref(), Some("more"));
    let second = page(
        json!([{ "Id": "q0", "Timestamps": [0, 60, 180], "Values": [8, 7, 8] }, { "Id": "q1", "Timestamps": [], "Values": [] }]),
        "",
    );
    assert_eq!(points.accept(&batch, second.as_bytes()).unwrap(), None);
    assert_eq!(points.trouble, None);
    let series = points.into_series(&list);
    assert_eq!(series.len(), 1, "a series without points is left out");
    assert_eq!((series[0].labels.get("d"), &series[0].floats), ("8", &vec![(60_000, 1.0), (120_000, 2.5)]));
}

#[test]
fn answers_that_make_no_sense_are_refused_and_complaints_are_kept() {
    let batch = Batch { members: vec![0], start: Timestamp(0), end: Timestamp(60_000) };
    let read = |body: &str| {
        let mut points = Points::new(1);
        points.accept(&batch, body.as_bytes()).map(|_| points.trouble)
    };
    assert!(matches!(read("<html>"), Err(AnswerError::Malformed { action: "GetMetricData", .. })));
    assert!(matches!(read("{\"MetricDataResults\": 5}"), Err(AnswerError::Malformed { .. })));
    let uneven = json!({ "MetricDataResults": [{ "Id": "q0", "Timestamps": [1, 2], "Values": [1] }] }).to_string();
    assert!(matches!(read(&uneven), Err(AnswerError::Uneven { times: 2, values: 1 })));
    let forbidden =
        json!({ "MetricDataResults": [{ "Id": "q0", "StatusCode": "Forbidden", "Messages": [{ "Code": "X", "Value": "no" }] }] });
    assert_eq!(read(&forbidden.to_string()).unwrap().as_deref(), Some("CloudWatch answers Forbidden for a metric: X no"));
    assert!(matches!(listed(b"[]"), Err(AnswerError::Malformed { action: "ListMetrics", .. })));
    let (metrics, next) = listed(
        json!({ "Metrics": [{ "Namespace": "N", "MetricName": "M", "Dimensions": [{ "Name": "b", "Value": "2" }, { "Name": "a", "Value": "1" }] }],
                "NextToken": "t" })
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    assert_eq!((metrics, next.as_deref()), (vec![metric("N", "M", &[("a", "1"), ("b", "2")])], Some("t")));
}
