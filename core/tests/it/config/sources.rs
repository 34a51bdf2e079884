//! The sections `cloudwatch` and `atlas`: what they come to, and what people read when they are refused.

use std::fmt::Write;

use tocsin_core::atlas::{self, Granularity, Level};
use tocsin_core::aws::Access;
use tocsin_core::client::Secret;
use tocsin_core::config::{self, Config, File};
use tocsin_core::time::Span;

fn read(text: &str) -> (Option<Config>, String) {
    let file = File { name: "etc/tocsin.yml".to_owned(), text: text.to_owned() };
    let (config, problems) = config::read(&file, None, &|_| None);
    let mut printed = String::new();
    for problem in problems {
        writeln!(printed, "{problem}").unwrap();
    }
    (config, printed)
}

fn sound(text: &str) -> Config {
    let (config, printed) = read(text);
    assert_eq!(printed, "");
    config.expect("a configuration without faults")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let (config, printed) = read(text);
    assert_eq!(printed, expected);
    assert!(config.is_none());
}

#[test]
fn a_source_of_cloudwatch_is_read_with_its_defaults() {
    let config = sound(
        r#"
cloudwatch:
  - regions: [eu-west-1, us-gov-west-1]
    statistics: [Sum]
    discovery:
      - namespace: AWS/SQS
        names: [ApproximateNumberOfMessagesVisible]
      - namespace: AWS/ApplicationELB
        names: [Request.*, Target.*]
        statistics: [Average, p99.9]
        period: 10s
        delay: 30s
        dimensions: {LoadBalancer: app/shop-.*}
        dimension_names: [LoadBalancer]
        label_names: {LoadBalancer: balancer}
  - job_name: other
    interval: 2m
    role_arn: arn:aws:iam::111122223333:role/read
    external_id: tocsin
    access_key: AKIA
    secret_key: ${AWS_SECRET}
    regions: [us-east-1]
    labels: {env: prod}
    metrics:
      - {namespace: Shop, name: Orders, statistics: [SampleCount], dimensions: {Shop: main, Aisle: "3"}, delay: 1m}
"#,
    );
    let [first, other] = config.cloudwatch.as_slice() else { panic!("two sources") };
    assert_eq!((first.job.as_str(), first.interval, first.timeout), ("cloudwatch", Span::from_mins(1), Span::from_mins(1)));
    assert_eq!((first.reach.window, first.reach.catch_up), (Span::from_mins(15), Span::from_mins(180)));
    assert_eq!((&first.identity.access, first.recently_active, first.queries_max), (&Access::Chain, true, 5_000));
    let [queues, balancers] = first.discovery.as_slice() else { panic!("two discoveries") };
    assert_eq!(queues.one_name.as_deref(), Some("ApproximateNumberOfMessagesVisible"));
    assert_eq!((queues.reading.period, queues.reading.delay), (Span::from_mins(1), Span::from_mins(2)));
    assert_eq!(
        (&queues.reading.statistics, &balancers.reading.statistics),
        (&vec!["Sum".to_owned()], &vec!["Average".to_owned(), "p99.9".to_owned()])
    );
    assert_eq!((balancers.one_name.as_deref(), balancers.reading.period), (None, Span::from_secs(10)));
    assert_eq!(
        other.identity.role.as_ref().map(|role| (role.session_name.as_str(), role.external_id.as_deref())),
        Some(("tocsin", Some("tocsin")))
    );
    let Access::Keys { secret_key, .. } = &other.identity.access else { panic!("keys") };
    assert_eq!(secret_key, &Secret::Env("AWS_SECRET".to_owned()));
    assert_eq!(
        other.metrics[0].metric.dimensions,
        [("Aisle".to_owned(), "3".to_owned()), ("Shop".to_owned(), "main".to_owned())]
    );
    assert!(!other.identity.client.follow_redirects, "signed requests go to nobody else");
}

#[test]
fn a_source_of_atlas_is_read_with_its_defaults() {
    let config = sound(
        r#"
atlas:
  - project_ids: ["0123456789abcdef01234567"]
    client_id: mdb_sa_id_1
    client_secret_file: secret
  - job_name: other
    project_ids: ["0123456789abcdef01234568"]
    public_key: abc
    private_key: hunter2
    granularity: PT10S
    measurements: {databases: [DATABASE_STORAGE_SIZE], disks: }
    base_url: http://127.0.0.1:1/
"#,
    );
    let [first, other] = config.atlas.as_slice() else { panic!("two sources") };
    assert_eq!(
        (first.job.as_str(), first.base_url.as_str(), first.granularity),
        ("atlas", "https://cloud.mongodb.com", Granularity::Minute)
    );
    assert_eq!((first.resource_version.as_str(), first.requests_per_minute), ("2023-01-01", 90));
    assert_eq!(first.levels.keys().copied().collect::<Vec<_>>(), [Level::Process, Level::Disk]);
    let atlas::Access::ServiceAccount { client_secret, .. } = &first.access else { panic!("a service account") };
    assert_eq!(client_secret, &Secret::File("etc/secret".to_owned()));
    assert_eq!((other.base_url.as_str(), other.granularity), ("http://127.0.0.1:1", Granularity::TenSeconds));
    assert_eq!(other.levels[&Level::Database], ["DATABASE_STORAGE_SIZE"]);
    assert!(other.levels[&Level::Disk].is_empty() && !other.levels.contains_key(&Level::Process));
    assert!(!format!("{config:?}").contains("hunter2"), "no secret is printed");
}

#[test]
fn all_faults_of_cloudwatch_are_listed() {
    check(
        r#"
scrape_configs: [{job_name: cloudwatch}]
cloudwatch:
  - regions: [Frankfurt, eu-west-1, eu-west-1]
    interval: 10ms
    timeout: 2m
    window: 3h
    catch_up: 1h
    role_arn: arn:aws:iam::1111:role/x
    access_key: AKIA
    profile: x
    account_id: 42
    queries_max: 0
    labels: {region: x, 1a: y}
    endpoint: monitoring.example.com
    http_config: {bearer_token: hunter2}
    discovery:
      - names: ["a(b", ""]
        statistics: [Mean, p101, p99, p99]
        period: 45s
        delay: 2d
        label_names: {A: b, C: b}
      - namespace: AWS/SQS
        dimensions: [x]
    metrics:
      - {namespace: AWS/S3, statistics: [Average], period: 1d}
  -
  - job_name: b
    external_id: x
    web_identity: {token_file: t}
"#,
        r#"etc/tocsin.yml:4:5: error: cloudwatch[0]: found multiple jobs with job name "cloudwatch", first found in etc/tocsin.yml:2; give each its own job_name
etc/tocsin.yml:4:5: error: cloudwatch[0]: at most one of access_key & secret_key, profile, web_identity & instance_metadata must be configured; remove the others
etc/tocsin.yml:4:5: error: cloudwatch[0]: access_key and secret_key belong together; write both, or neither
etc/tocsin.yml:4:15: error: cloudwatch[0].regions[0]: "Frankfurt" is no region; write its code, such as eu-central-1
etc/tocsin.yml:4:37: error: cloudwatch[0].regions[2]: the region eu-west-1 stands here twice; remove one
etc/tocsin.yml:5:15: error: cloudwatch[0].interval: 10ms is out of bounds; write 1s to 1d
etc/tocsin.yml:6:14: error: cloudwatch[0].timeout: 2m is out of bounds; write 100ms to 1m
etc/tocsin.yml:8:15: error: cloudwatch[0].catch_up: 1h is out of bounds; write 3h to 1d
etc/tocsin.yml:9:15: error: cloudwatch[0].role_arn: "arn:aws:iam::1111:role/x" names no role; write arn:aws:iam::ACCOUNT:role/NAME
etc/tocsin.yml:12:17: error: cloudwatch[0].account_id: "42" is no account; write its 12 digits, in quotes
etc/tocsin.yml:13:18: error: cloudwatch[0].queries_max: 0 is out of bounds; write 1 to 100000
etc/tocsin.yml:14:22: error: cloudwatch[0].labels.region: the label region is set by us; choose another name
etc/tocsin.yml:14:29: error: cloudwatch[0].labels.1a: "1a" is not a valid label name; write letters, digits and _, no digit first
etc/tocsin.yml:15:15: error: cloudwatch[0].endpoint: URL scheme must be 'http' or 'https'
etc/tocsin.yml:16:18: error: cloudwatch[0].http_config: requests are authorised by the keys of this section; remove the authorisation from http_config
etc/tocsin.yml:18:9: error: cloudwatch[0].discovery[0]: namespace is missing; write one, such as AWS/SQS
etc/tocsin.yml:18:17: error: cloudwatch[0].discovery[0].names[0]: cannot read the regular expression "a(b": unclosed group
etc/tocsin.yml:18:24: error: cloudwatch[0].discovery[0].names[1]: the pattern is empty; write a name, or a regular expression such as Request.*
etc/tocsin.yml:19:22: error: cloudwatch[0].discovery[0].statistics[0]: CloudWatch knows no statistic "Mean"; write Average, Sum, Minimum, Maximum, SampleCount, IQM, a percentile such as p99 or p99.9, or tm, wm, tc or ts with a percentage such as tm90
etc/tocsin.yml:19:28: error: cloudwatch[0].discovery[0].statistics[1]: CloudWatch knows no statistic "p101"; write Average, Sum, Minimum, Maximum, SampleCount, IQM, a percentile such as p99 or p99.9, or tm, wm, tc or ts with a percentage such as tm90
etc/tocsin.yml:19:39: error: cloudwatch[0].discovery[0].statistics[3]: the statistic p99 stands here twice; remove one
etc/tocsin.yml:20:17: error: cloudwatch[0].discovery[0].period: CloudWatch knows no period of 45s; write 1s, 5s, 10s, 30s, or whole minutes up to 1d
etc/tocsin.yml:21:16: error: cloudwatch[0].discovery[0].delay: 2d is out of bounds; write 0s to 1d
etc/tocsin.yml:22:32: error: cloudwatch[0].discovery[0].label_names.C: the label b stands for two dimensions; give each its own
etc/tocsin.yml:23:9: error: cloudwatch[0].discovery[1]: statistics is missing; write some here or for the whole source, such as [Sum] or [Average, p99]
etc/tocsin.yml:24:21: error: cloudwatch[0].discovery[1].dimensions: expected a mapping, found a list; write "key: value" lines
etc/tocsin.yml:26:9: error: cloudwatch[0].metrics[0]: name is missing; write the metric's name, such as NumberOfMessagesSent
etc/tocsin.yml:26:9: warning: cloudwatch[0].metrics[0]: points are up to 1d3m old when the next ones arrive (period, delay and interval together), and an instant query looks back 5m: ask with a range, such as last_over_time(…[2d4m])
etc/tocsin.yml:27:4: error: cloudwatch[1]: empty or null section in cloudwatch; remove the lone dash
etc/tocsin.yml:28:5: error: cloudwatch[2]: external_id goes with role_arn; write role_arn, or remove it
etc/tocsin.yml:28:5: error: cloudwatch[2]: nothing is asked for; write discovery with namespaces, or metrics with single ones
etc/tocsin.yml:28:5: error: cloudwatch[2]: regions is missing; write the regions to ask, such as [eu-central-1]
etc/tocsin.yml:30:19: error: cloudwatch[2].web_identity: web_identity needs token_file and role_arn; write both
"#,
    );
}

#[test]
fn all_faults_of_atlas_are_listed() {
    check(
        r#"
atlas:
  - project_ids: [42, ]
    granularity: 1m
    resource_version: latest
    measurements: {processes: [Connections], disk: []}
    requests_per_minute: -1
    processes: ["("]
    labels: {id: x}
    base_url: "https://me:hunter2@cloud.mongodb.com?x"
  - job_name: atlas
    client_id: a
    public_key: b
    measurements: {}
"#,
        r#"etc/tocsin.yml:3:5: error: atlas[0]: write client_id and client_secret of a service account, or public_key and private_key of an API key
etc/tocsin.yml:3:19: error: atlas[0].project_ids[0]: "42" is no project's id; write its 24 hexadecimal digits, in quotes
etc/tocsin.yml:4:18: error: atlas[0].granularity: Atlas keeps no points at a distance of "1m"; write PT10S, PT1M, PT5M or PT1H
etc/tocsin.yml:5:23: error: atlas[0].resource_version: "latest" is no version of the API; write its date, such as 2023-01-01
etc/tocsin.yml:6:32: error: atlas[0].measurements.processes[0]: "Connections" is no measurement; write its name as Atlas does, such as DISK_PARTITION_SPACE_USED
etc/tocsin.yml:6:46: error: atlas[0].measurements.disk: unknown key disk; did you mean disks?
etc/tocsin.yml:7:26: error: atlas[0].requests_per_minute: expected a whole number, zero or greater, without quotes
etc/tocsin.yml:8:17: error: atlas[0].processes[0]: cannot read the regular expression "(": unclosed group
etc/tocsin.yml:9:18: error: atlas[0].labels.id: the label id is set by us; choose another name
etc/tocsin.yml:10:15: error: atlas[0].base_url: the address of the server alone is wanted; write https://host or https://host:port/path
etc/tocsin.yml:11:5: error: atlas[1]: found multiple jobs with job name "atlas", first found in etc/tocsin.yml:3; give each its own job_name
etc/tocsin.yml:11:5: error: atlas[1]: project_ids is missing; write the ids of the projects to ask, 24 hexadecimal digits each
etc/tocsin.yml:11:5: error: atlas[1]: at most one of client_id & client_secret, public_key & private_key must be configured; remove the other pair
etc/tocsin.yml:11:5: error: atlas[1]: client_id and client_secret belong together; write both
etc/tocsin.yml:11:5: error: atlas[1]: public_key and private_key belong together; write both
etc/tocsin.yml:14:19: error: atlas[1].measurements: measurements names nothing to read; write processes, disks or databases, each with a list that may be empty
"#,
    );
}
