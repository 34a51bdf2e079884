//! What a configuration becomes: defaults, inheritance, paths, and the two products in one file.

use tocsin_core::alertmanagers;
use tocsin_core::client::{Auth, Secret};
use tocsin_core::config::{self, Config, File, Language};
use tocsin_core::model::LabelSet;
use tocsin_core::promql::parse::Syntax;
use tocsin_core::remote::{self, send::Queue};
use tocsin_core::route::receiver::{Channel, Receiver};
use tocsin_core::route::tree::{Flapping, GroupBy};
use tocsin_core::scrape::job::{Histograms, Protocol};
use tocsin_core::time::Span;

fn file(name: &str, text: &str) -> File {
    File { name: name.to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> Config {
    let environment = |name: &str| (name == "REGION").then(|| "eu-1".to_owned());
    let (config, problems) = config::read(&file("etc/tocsin.yml", text), None, &environment);
    config.unwrap_or_else(|| panic!("{problems:#?}"))
}

#[test]
fn an_empty_file_scrapes_nothing_and_routes_to_the_inbox() {
    let config = read("");
    assert_eq!((config.jobs.len(), config.rule_files.len()), (0, 0));
    assert_eq!(config.global.scrape_interval, Span::from_mins(1));
    let root = &config.routing.root;
    assert_eq!((root.receiver.as_str(), &root.group_by), ("inbox", &GroupBy::Labels(vec!["alertname".to_owned()])));
    assert_eq!(config.routing.receivers["inbox"].integrations[0].channel, Channel::Inbox);
    assert_eq!((root.group_wait, root.repeat_interval), (Span::from_secs(30), Span::from_mins(240)));
}

#[test]
fn a_job_takes_its_defaults_from_global_and_its_paths_from_the_folder() {
    let config = read(
        r#"
global:
  scrape_interval: 5s
  sample_limit: 100
  body_size_limit: 1MB
  external_labels: {region: "${REGION}", price: $$5, zone: a}
rule_files: [rules/*.yml, /srv/all.yml]
templates: ["t/*.tmpl"]
scrape_configs:
  - job_name: a
    authorization: {credentials_file: token}
    file_sd_configs: [{files: ["targets/*.json"]}]
    params: {module: [http, 2]}
    sample_limit: 7
  - job_name: b
    scrape_interval: 1m
    scrape_protocols: [PrometheusText0.0.4]
    honor_timestamps: no
    static_configs:
      - targets: [a:1, b:2]
        labels: {env: prod, port: 0080}
storage: {retention: 30d, tsdb: {out_of_order_time_window: 1h, retention: {time: 1d, size: 10GB}}}
web: {listen: ["0.0.0.0:9090"], external_url: "https://tocsin.example.org/"}
database: {url: "${DATABASE_URL}"}
"#,
    );
    let [a, b] = config.jobs.as_slice() else { panic!("{:?}", config.jobs) };
    assert_eq!(
        (a.interval, a.timeout, a.limits.samples, a.limits.body_bytes),
        (Span::from_secs(5), Span::from_secs(5), 7, 1 << 20)
    );
    assert_eq!(
        a.client.auth,
        Auth::Authorization { scheme: "Bearer".to_owned(), credentials: Secret::File("etc/token".to_owned()) }
    );
    assert_eq!((a.file_sd[0].files[0].as_str(), a.file_sd[0].refresh), ("etc/targets/*.json", Span::from_mins(5)));
    assert_eq!(a.params["module"], ["http", "2"]);
    assert_eq!((a.metrics_path.as_str(), a.scheme.as_str(), a.honor_timestamps), ("/metrics", "http", true));
    assert_eq!(a.protocols, Protocol::DEFAULTS);
    assert_eq!((b.interval, b.timeout, b.honor_timestamps), (Span::from_mins(1), Span::from_secs(5), false));
    assert_eq!(b.protocols, [Protocol::Text0]);
    assert_eq!((b.static_groups[0].addresses.len(), b.static_groups[0].labels.get("port")), (2, "0080"));
    assert_eq!(config.rule_files, ["etc/rules/*.yml", "/srv/all.yml"]);
    assert_eq!(config.templates, ["etc/t/*.tmpl"]);
    let labels = &config.global.external_labels;
    assert_eq!((labels.get("region"), labels.get("price"), labels.get("zone")), ("eu-1", "$5", "a"));
    assert_eq!(
        (config.storage.retention, config.storage.out_of_order_window, config.storage.retention_bytes),
        (Some(Span::from_mins(30 * 24 * 60)), Span::from_mins(60), Some(10 << 30))
    );
    assert_eq!(config.tocsin.web.external_url.as_deref(), Some("https://tocsin.example.org"));
    assert_eq!(config.tocsin.database, Some(Secret::Env("DATABASE_URL".to_owned())));
}

fn faults(text: &str) -> Vec<String> {
    let main = File { name: "tocsin.yml".to_owned(), text: text.to_owned() };
    let (_, problems) = tocsin_core::config::read(&main, None, &|_| None);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn series_stay_for_the_time_of_their_class() {
    let config = read(
        r#"
storage:
  sync_every: 5s
  retention_of_rules: 90d
  retention_classes:
    - {match: ['{job="debug"}'], keep: 2d}
    - {match: [up, 'slo:budget{service!=""}'], keep: 400d}
"#,
    );
    let days = |span: Span| span.0 / (24 * 3_600_000);
    let retention = config.retention;
    let classes: Vec<(usize, i64)> = retention.classes.iter().map(|class| (class.selectors.len(), days(class.keep))).collect();
    assert_eq!((classes, retention.of_rules.map(days)), (vec![(1, 2), (2, 400)], Some(90)));
    assert_eq!(config.storage.sync_every, Span::from_secs(5));
    assert_eq!(read("storage: {sync_every: 0s}").storage.sync_every, Span::ZERO);
    let said = faults(
        "storage:\n  sync_every: 1ms\n  retention_classes:\n    - {match: ['{job='], keep: 1m}\n    - {keep: 1d}\n    - {match: [up]}\n",
    );
    let wanted = ["every 100ms to 1m", "is no selector", "2h at least", "match is missing", "keep is missing"];
    assert!(wanted.iter().all(|words| said.iter().any(|fault| fault.contains(words))), "{said:#?}");
}

#[test]
fn servers_that_samples_are_sent_to_have_prometheus_defaults_and_names_that_last() {
    let config = read(
        r#"
global: {external_labels: {region: eu}}
remote_write:
  - url: https://one.example/write
  - url: https://one.example/write
    protobuf_message: io.prometheus.write.v2.Request
    headers: {X-Scope-OrgID: team}
    send_exemplars: true
    write_relabel_configs: [{source_labels: [__name__], regex: "go_.*", action: drop}]
    queue_config: {capacity: 5, max_shards: 3, min_shards: 2, max_samples_per_send: 7, min_backoff: 1s, max_backoff: 9s, sample_age_limit: 2h, retry_on_http_429: false}
    metadata_config: {send: false}
    authorization: {credentials_file: token}
  - {url: "https://two.example/write", name: two, remote_timeout: 7s}
storage: {remote_write_queue_size: 1GB}
web: {remote_write_receiver: false}
"#,
    );
    let [one, again, two] = config.remote_write.as_slice() else { panic!("{:?}", config.remote_write) };
    assert_eq!((one.queue.clone(), one.protocol, one.timeout), (Queue::default(), remote::Protocol::V1, Span::from_secs(30)));
    assert_eq!((again.name.clone(), two.name.as_str()), (format!("{}-2", one.name), "two"));
    assert_eq!((again.protocol, again.headers["X-Scope-OrgID"].as_str()), (remote::Protocol::V2, "team"));
    let queue = &again.queue;
    assert_eq!((queue.capacity, queue.max_shards, queue.min_shards, queue.max_samples_per_send), (5, 3, 2, 7));
    assert_eq!((queue.sample_age_limit, queue.retry_on_http_429, two.timeout), (Span::from_mins(120), false, Span::from_secs(7)));
    assert!(again.send_exemplars && !again.metadata.send && one.metadata.send);
    let labels = |pairs: &[(&str, &str)]| LabelSet::from_pairs(pairs.iter().copied());
    assert_eq!(again.labels(&labels(&[("__name__", "go_info")])), None);
    let both = labels(&[("__name__", "up"), ("region", "us")]);
    assert_eq!(again.labels(&both), Some(both.clone()), "the series' own label stands");
    assert_eq!(again.labels(&labels(&[("__name__", "up")])).unwrap().get("region"), "eu");
    assert_eq!(config.storage.remote_write_queue_bytes, 1 << 30);
    assert!(!config.tocsin.web.remote_write_receiver);
}

#[test]
fn limits_on_series_and_memory_are_read() {
    use tocsin_core::config::{Limits, MemoryBudget};
    assert_eq!(read("").limits, Limits { memory: MemoryBudget::Share(70), ..Limits::default() });
    let config = read(
        r#"
global: {series_limit: 5000}
scrape_configs:
  - {job_name: one, static_configs: [{targets: ["a:1"]}]}
  - {job_name: two, series_limit: 100, static_configs: [{targets: ["a:1"]}]}
storage:
  series_limit: 2000000
  metric_series_limit: 100000
  metric_series_limits: {http_requests_total: 500000, build_info: 0}
  memory_budget: 4GB
"#,
    );
    assert_eq!(config.jobs.iter().map(|job| job.limits.series).collect::<Vec<_>>(), [5000, 100]);
    let of_metric = [("build_info".to_owned(), 0), ("http_requests_total".to_owned(), 500_000)];
    let limits = Limits {
        series: Some(2_000_000),
        metric_series: 100_000,
        series_of_metric: of_metric.into(),
        memory: MemoryBudget::Bytes(4 << 30),
    };
    assert_eq!(config.limits, limits);
    let memory = |text: &str| read(&format!("storage: {{memory_budget: {text}}}")).limits.memory;
    assert_eq!(
        (memory("0"), memory("55%"), memory("\"1GB\"")),
        (MemoryBudget::Unlimited, MemoryBudget::Share(55), MemoryBudget::Bytes(1 << 30))
    );
    let start = read("storage: {series_limit: 5}");
    assert_eq!(read("storage: {series_limit: 6, memory_budget: 1GB}").held_since(&start), [""; 0], "limits are reloaded");
}

#[test]
fn flapping_is_read_and_its_faults_are_told() {
    let flapping =
        |begins, within, quiet| Some(Flapping { begins, within: Span::from_mins(within), quiet: Span::from_mins(quiet) });
    assert_eq!(read("").routing.flapping, None);
    assert_eq!(read("flapping: {}").routing.flapping, flapping(4, 30, 15));
    assert_eq!(read("flapping: {begins: 6, within: 1h, quiet: 20m}").routing.flapping, flapping(6, 60, 20));
    let said = faults("flapping: {begins: 1, within: 0s, quiet: 2d, end: 4}");
    assert_eq!(said.len(), 4, "{said:#?}");
    assert_eq!(said[0], "tocsin.yml:1:20: error: flapping.begins: an alert flaps once it has begun 2 to 20 times, not 1");
    assert!(said[1].contains("flapping.within: 0s is not a time in which an alert can flap"), "{said:#?}");
    assert!(said[2].contains("flapping.quiet: 2d is not a time in which an alert can flap"), "{said:#?}");
    assert!(said[3].contains("end"), "{said:#?}");
    // Routing in a file of its own leaves the key where it stands.
    let main = file("tocsin.yml", "alertmanager_config: am.yml\nflapping: {begins: 5}\n");
    let routes = |more: &str| file("am.yml", &format!("route: {{receiver: a}}\nreceivers: [{{name: a}}]\n{more}"));
    let (config, _) = config::read(&main, Some(&routes("")), &|_| None);
    assert_eq!(config.unwrap().routing.flapping, flapping(5, 30, 15));
    assert!(config::read(&main, Some(&routes("flapping: {}")), &|_| None).0.is_none(), "Alertmanager does not know it");
}

#[test]
fn how_far_silences_reach_is_read_and_its_faults_are_told() {
    let none = read("").routing.silencing;
    assert_eq!((none.longest, none.needs.len(), none.most, none.never.len(), none.remind), (None, 0, None, 0, None));
    let text = "silences:\n  longest: 7d\n  longest_recurring: 90d\n  needs: [service, alertname]\n  most: 200\n  remind: 15m\n  \
                never: ['alertname=\"Watchdog\"', 'team=~\"sec.*\", severity=\"page\"']\n";
    let all = read(text).routing.silencing;
    let days = |days: i64| Some(Span::from_mins(days * 24 * 60));
    assert_eq!((all.longest, all.longest_recurring, all.remind), (days(7), days(90), Some(Span::from_mins(15))));
    assert_eq!((all.needs, all.most), (vec!["service".to_owned(), "alertname".to_owned()], Some(200)));
    assert_eq!(all.never.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    let said = faults("silences: {longest: 0s, needs: [''], most: 0, never: ['', 'a=~\"(\"'], remind: 8d, longer: 1d}");
    assert_eq!(said.len(), 7, "{said:#?}");
    for key in ["longest", "needs[0]", "most", "never[0]", "never[1]", "remind"] {
        assert!(said.iter().any(|fault| fault.contains(&format!("silences.{key}: "))), "{key}: {said:#?}");
    }
    assert!(said.iter().any(|fault| fault.contains("longer")), "{said:#?}");
    // Routing in a file of its own leaves the key where it stands.
    let main = file("tocsin.yml", "alertmanager_config: am.yml\nsilences: {most: 5}\n");
    let routes = file("am.yml", "route: {receiver: a}\nreceivers: [{name: a}]\n");
    assert_eq!(config::read(&main, Some(&routes), &|_| None).0.unwrap().routing.silencing.most, Some(5));
}

#[test]
fn limits_that_say_nothing_are_told() {
    let said =
        faults("storage:\n  memory_budget: 120%\n  series_limit: 0\n  metric_series_limit: -1\n  metric_series_limits: [a]\n");
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(said[0].starts_with("tocsin.yml:2:18: error: storage.memory_budget: a share of the memory is"), "{said:#?}");
    assert!(said[1].contains("storage.series_limit"), "{said:#?}");
    assert_eq!(faults("storage: {memory_budget: 1MB}").len(), 1);
}

#[test]
fn what_a_reload_cannot_change_is_known() {
    let start = read(
        "web: {listen: ['127.0.0.1:1']}\nstorage: {retention: 1d}\ndatabase: {url: 'postgres://a'}\nroute: {receiver: a}\nreceivers: [{name: a}]\n",
    );
    let same = read(
        "route: {receiver: b}\nreceivers: [{name: b}]\nstorage: {retention: 24h}\nweb: {listen: ['127.0.0.1:1']}\ndatabase: {url: 'postgres://a'}\n",
    );
    let other = read(
        "route: {receiver: a}\nreceivers: [{name: a}]\nstorage: {tsdb: {retention: {size: 1GB}}}\ndatabase: {url: 'postgres://b'}\n",
    );
    assert_eq!(same.held_since(&start), [""; 0]);
    assert_eq!(other.held_since(&start), ["web", "database", "storage"]);
}

#[test]
fn what_a_route_does_not_say_it_takes_from_its_parent() {
    let config = read(
        r#"
route:
  receiver: a
  group_by: [alertname]
  group_wait: 1s
  routes:
    - receiver: b
      match: {team: x}
      match_re: {env: "p.*"}
      matchers: ['{severity=~"page|warn", größe="5"}', foo!=bar]
      group_by: ["..."]
      mute_time_intervals: [night]
      continue: true
      routes:
        - group_interval: 7m
          group_by: []
receivers: [{name: a}, {name: b, users: [me], inbox_configs: [{send_resolved: false}]}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]}]
"#,
    );
    let root = &config.routing.root;
    let child = &root.routes[0];
    let matchers: Vec<String> = child.matchers.iter().map(|matcher| matcher.to_string()).collect();
    assert_eq!(matchers, ["team=\"x\"", "env=~\"p.*\"", "severity=~\"page|warn\"", "\"größe\"=\"5\"", "foo!=\"bar\""]);
    assert_eq!((child.receiver.as_str(), child.group_wait, child.continues), ("b", Span::from_secs(1), true));
    let grandchild = &child.routes[0];
    assert_eq!((grandchild.receiver.as_str(), &grandchild.group_by, grandchild.continues), ("b", &GroupBy::All, false));
    assert_eq!((grandchild.group_wait, grandchild.group_interval), (Span::from_secs(1), Span::from_mins(7)));
    assert!(child.mute_time_intervals == ["night"] && grandchild.mute_time_intervals.is_empty());
    let b = &config.routing.receivers["b"];
    assert_eq!((b.users.as_slice(), b.integrations[0].send_resolved), (&["me".to_owned()][..], false));
}

#[test]
fn receivers_take_their_defaults_from_global_and_alertmanager() {
    let config = read(
        r#"
global:
  smtp_smarthost: mail:587
  smtp_from: tocsin@example.org
  smtp_auth_username: me
  smtp_auth_password_file: smtp
  pagerduty_url: https://events.example.org/v2/enqueue
  http_config: {follow_redirects: false}
route: {receiver: a}
receivers:
  - name: a
    pagerduty_configs:
      - routing_key_file: key
        details: {firing: mine, team: {a: [1]}}
      - routing_key: k
        http_config: {proxy_url: http://proxy}
    email_configs: [{to: you@example.org, headers: {reply-to: me}}]
    webhook_configs: [{url: "http://hook", max_alerts: 3, timeout: 2s}]
"#,
    );
    let integrations = &config.routing.receivers["a"].integrations;
    let Channel::PagerDuty(first) = &integrations[0].channel else { panic!() };
    assert_eq!(first.url, "https://events.example.org/v2/enqueue");
    assert_eq!(first.routing_key, Some(Secret::File("etc/key".to_owned())));
    assert_eq!(first.client_name, "{{ template \"pagerduty.default.client\" . }}");
    assert_eq!(first.source, first.client_name);
    assert_eq!((first.details["firing"].as_str(), first.details["num_firing"].as_str()), ("mine", "{{ .Alerts.Firing | len }}"));
    assert_eq!(first.details["team"], "{\"a\":[\"1\"]}");
    assert!(!first.client.follow_redirects && integrations[0].send_resolved);
    let Channel::PagerDuty(second) = &integrations[1].channel else { panic!() };
    assert!(second.client.follow_redirects && second.client.proxy_url.is_some());
    let Channel::Email(email) = &integrations[2].channel else { panic!() };
    assert_eq!((email.smarthost.as_str(), email.hello.as_str(), email.require_tls), ("mail:587", "localhost", true));
    assert_eq!(email.auth_password, Some(Secret::File("etc/smtp".to_owned())));
    assert_eq!((email.headers["Reply-To"].as_str(), email.headers["To"].as_str()), ("me", "you@example.org"));
    assert!(email.html.is_none() && !integrations[2].send_resolved);
    let Channel::Webhook(webhook) = &integrations[3].channel else { panic!() };
    assert_eq!((webhook.max_alerts, webhook.timeout), (3, Span::from_secs(2)));
    assert_eq!(webhook.url, Secret::Inline("http://hook".to_owned()));
}

#[test]
fn routing_may_stand_in_a_file_of_its_own() {
    let main = file("etc/tocsin.yml", "global: {scrape_interval: 5s}\nalertmanager_config: am/am.yml\n");
    let other = file(
        "etc/am/am.yml",
        "global: {resolve_timeout: 1m}\nroute: {receiver: a}\nreceivers: [{name: a}]\ntemplates: [x.tmpl]\n",
    );
    let (config, problems) = config::read(&main, Some(&other), &|_| None);
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!((config.routing.root.receiver.as_str(), config.routing.resolve_timeout), ("a", Span::from_mins(1)));
    assert_eq!((config.templates[0].as_str(), config.global.scrape_interval), ("etc/am/x.tmpl", Span::from_secs(5)));
}

#[test]
fn jobs_of_other_files_join_with_the_same_defaults() {
    let mut config =
        read("global: {scrape_interval: 5s}\nscrape_config_files: ['jobs/*.yml']\nscrape_configs: [{job_name: a}]\n");
    assert_eq!(config.scrape_config_files, ["etc/jobs/*.yml"]);
    let more = file("etc/jobs/b.yml", "scrape_configs: [{job_name: b, authorization: {credentials_file: t}}]\n");
    assert_eq!(config.add_scrape_file(&more), []);
    assert_eq!((config.jobs[1].interval, config.jobs.len()), (Span::from_secs(5), 2));
    let again = config.add_scrape_file(&more);
    assert_eq!(again.len(), 1);
    assert_eq!(
        again[0].to_string(),
        "etc/jobs/b.yml:1:18: error: scrape_configs[0]: found multiple scrape configs with job name \"b\", \
         first found in etc/jobs/b.yml:1; give each its own name"
    );
    assert_eq!(config.jobs.len(), 2);
}

#[test]
fn histograms_are_taken_as_global_and_the_job_say() {
    let config = read(
        r#"
global: {scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true}
scrape_configs:
  - job_name: a
  - job_name: b
    scrape_native_histograms: false
    convert_classic_histograms_to_nhcb: false
    always_scrape_classic_histograms: true
  - job_name: c
    native_histogram_bucket_limit: 160
    native_histogram_min_bucket_factor: 1.1
    scrape_protocols: [PrometheusProto]
    fallback_scrape_protocol: PrometheusProto
storage: {exemplars: {max_exemplars: -1}}
"#,
    );
    let [a, b, c] = config.jobs.as_slice() else { panic!("{:?}", config.jobs) };
    let of_global = Histograms { native: true, convert: true, ..Histograms::default() };
    assert_eq!(a.histograms, of_global);
    assert_eq!((a.protocols[0], a.protocols.len()), (Protocol::Protobuf, 5), "who wants them asks for what brings them");
    assert_eq!(b.histograms, Histograms { always_classic: true, ..Histograms::default() });
    assert_eq!(b.protocols, Protocol::DEFAULTS);
    assert_eq!(c.histograms, Histograms { buckets_max: 160, bucket_factor_min: 1.1, ..of_global });
    assert_eq!((c.protocols.as_slice(), c.fallback_protocol), (&[Protocol::Protobuf][..], Some(Protocol::Protobuf)));
    let finest = |factor| Histograms { bucket_factor_min: factor, ..Histograms::default() }.schema_max();
    assert_eq!([0.0, 1.0, 1.1, 1.5, 2.0, 16.0, 1e6].map(finest), [8, 8, 2, 0, 0, -2, -4]);
    assert_eq!(config.storage.exemplars_max, Some(0));
    assert_eq!(read("storage: {exemplars: {max_exemplars: 5}}").storage.exemplars_max, Some(5));
    assert_eq!(read("").storage.exemplars_max, None);
}

#[test]
fn parts_of_the_language_are_opened_one_by_one() {
    assert_eq!(read("").language, Language::default());
    let language =
        read("promql: {experimental_functions: true, fill_modifiers: true}\nglobal: {evaluation_interval: 7s}").language;
    assert_eq!(language.syntax, Syntax { experimental_functions: true, fill_modifiers: true, ..Syntax::default() });
    assert!(!language.delayed_name_removal);
    let config = read("promql: {delayed_name_removal: true, duration_expressions: true}\nglobal: {evaluation_interval: 7s}");
    let options = config.language.options(&config.global);
    assert_eq!((options.delayed_name_removal, options.default_step), (true, Span(7_000)));
}

#[test]
fn receivers_keep_their_order_and_their_labels() {
    let text =
        "route: {receiver: z}\nreceivers: [{name: z}, {name: a, labels: {team: web, tier: 1, name: a}}, {name: m, labels: null}]";
    let config = read(text);
    let mut receivers: Vec<&Receiver> = config.routing.receivers.values().collect();
    receivers.sort_by_key(|receiver| receiver.position);
    let shown: Vec<String> = receivers.iter().map(|receiver| format!("{} {:?}", receiver.name, receiver.labels)).collect();
    assert_eq!(shown, ["z {}", r#"a {"name": "a", "team": "web", "tier": "1"}"#, "m {}"]);
}

#[test]
fn matchers_are_read_with_the_grammar_that_is_asked_for() {
    let routing = "route: {receiver: a, routes: [{matchers: ['a=\"\\x41\"']}]}\nreceivers: [{name: a}]\n";
    let value = |text: &str| read(text).routing.root.routes[0].matchers[0].value.clone();
    assert_eq!(value(routing), "\\x41");
    assert_eq!(value(&format!("matchers: classic\n{routing}")), "\\x41");
    let second = file("etc/alertmanager.yml", "route: {receiver: a, group_by: [größe]}\nreceivers: [{name: a}]\n");
    for (mode, is_good) in [("fallback", true), ("utf8", true), ("classic", false), ("strict", false)] {
        let main = file("etc/tocsin.yml", &format!("alertmanager_config: alertmanager.yml\nmatchers: {mode}\n"));
        let (config, problems) = config::read(&main, Some(&second), &|_| None);
        assert_eq!(config.is_some(), is_good, "{mode}: {problems:?}");
    }
    // Without quotes a value with a space is the classic grammar's alone.
    let loose = "route: {receiver: a, routes: [{matchers: ['a=b c']}]}\nreceivers: [{name: a}]\n";
    for (mode, is_good) in [("fallback", true), ("classic", true), ("utf8", false)] {
        let (config, problems) = config::read(&file("x.yml", &format!("matchers: {mode}\n{loose}")), None, &|_| None);
        assert_eq!(config.is_some(), is_good, "{mode}: {problems:?}");
    }
}

#[test]
fn a_range_over_midnight_is_read() {
    let text = "time_intervals: [{name: n, time_intervals: [{times: [{start_time: '22:00', end_time: '06:00'}]}]}]\n";
    let times = &read(text).routing.time_intervals["n"][0].times;
    assert_eq!(times.iter().map(|range| (range.start_minute, range.end_minute)).collect::<Vec<_>>(), [(1320, 360)]);
}

#[test]
fn other_alertmanagers_have_the_defaults_of_prometheus() {
    let config = read("alerting: {alertmanagers: [{static_configs: [{targets: [am:9093]}]}]}");
    let entry = &config.alertmanagers[0];
    assert_eq!((entry.scheme.as_str(), entry.path_prefix.as_str(), entry.timeout), ("http", "", Span::from_secs(10)));
    assert_eq!((entry.relabel.len(), entry.alert_relabel.len(), &entry.signing), (0, 0, &None));
    assert_eq!(alertmanagers::targets(entry, &entry.static_groups).urls, ["http://am:9093/api/v2/alerts"]);

    let config = read(
        r#"
alerting:
  alert_relabel_configs: [{regex: replica, action: labeldrop}]
  alertmanagers:
    - scheme: https
      path_prefix: /am
      timeout: 3s
      authorization: {credentials_file: token}
      file_sd_configs: [{files: ["am/*.json"]}]
      http_sd_configs: [{url: "http://sd/am"}]
      relabel_configs: [{source_labels: [zone], regex: far, action: drop}]
      alert_relabel_configs: [{regex: host, action: labeldrop}]
    - static_configs: [{targets: [aps:443]}]
      sigv4: {region: eu-west-1, role_arn: "arn:aws:iam::1:role/x"}
    - {sigv4: {service_name: aps}, static_configs: [{targets: [nowhere:1]}]}
"#,
    );
    assert_eq!((config.alert_relabel.len(), config.alertmanagers.len()), (1, 2), "without a region nothing can be signed");
    let (own, managed) = (&config.alertmanagers[0], &config.alertmanagers[1]);
    assert_eq!((own.scheme.as_str(), own.path_prefix.as_str(), own.timeout), ("https", "/am", Span::from_secs(3)));
    assert_eq!(own.file_sd[0].files, ["etc/am/*.json"]);
    assert_eq!((own.http_sd[0].url.as_str(), own.relabel.len(), own.alert_relabel.len()), ("http://sd/am", 1, 1));
    assert_eq!(own.client.auth.secret(), Some(&Secret::File("etc/token".to_owned())));
    let signing = managed.signing.as_ref().expect("it is signed");
    assert_eq!((signing.region.as_str(), signing.service.as_str()), ("eu-west-1", "aps"));
    assert_eq!(signing.identity.role.as_ref().map(|role| role.arn.as_str()), Some("arn:aws:iam::1:role/x"));
}
