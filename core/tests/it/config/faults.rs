//! What people read when their configuration is refused: all faults at once, each with its place and a remedy.

use std::fmt::Write;

use tocsin_core::config::{self, Config, File};

fn file(name: &str, text: &str) -> File {
    File { name: name.to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> (Option<Config>, String) {
    let (config, problems) = config::read(&file("etc/tocsin.yml", text), None, &|_| None);
    let mut printed = String::new();
    for problem in problems {
        writeln!(printed, "{problem}").unwrap();
    }
    (config, printed)
}

/// Checks that a text is refused with exactly these lines.
fn check(text: &str, expected: &str) {
    let (config, printed) = read(text);
    assert_eq!(printed, expected);
    assert!(config.is_none());
}

#[test]
fn all_faults_of_scraping_are_listed() {
    check(
        r#"
global:
  scrape_intervall: 15s
  external_labels:
    "": x
rule_files:
  - rules/*/all.yml
scrape_configs:
  - job_name: node
    scrape_interval: 10s
    scrape_timeout: 20s
    static_configs:
      - targets: ["http://node:9100/metrics"]
    relabel_configs: []
    tls_config: {cert_file: cert.pem}
  - job_name: node
    scheme: gopher
    metric_relabel_configs:
      - action: hashmod
        target_label: x
      - regex: "a(b"
        target_label: y
      -
    bearer_token: one
    bearer_token_file: two
    basic_auth: {username: me, password: hunter2}
  - honor_labels: "yes"
    http_sd_configs:
      - url: targets.json
"#,
        r#"etc/tocsin.yml:3:3: error: global.scrape_intervall: unknown key scrape_intervall; did you mean scrape_interval?
etc/tocsin.yml:5:9: error: global.external_labels.: "" is not a valid label name; use letters, digits and underscores
etc/tocsin.yml:7:5: error: rule_files[0]: invalid rule file path "rules/*/all.yml"; * may stand in the file's name only
etc/tocsin.yml:11:21: error: scrape_configs[0].scrape_timeout: scrape timeout greater than scrape interval (20s > 10s) for scrape config with job name "node"; lower it
etc/tocsin.yml:13:19: error: scrape_configs[0].static_configs[0].targets[0]: "http://node:9100/metrics" is not a valid hostname; write host:port; the path has a key of its own
etc/tocsin.yml:15:17: error: scrape_configs[0].tls_config: exactly one of key or key_file must be configured when a client certificate is configured
etc/tocsin.yml:16:5: error: scrape_configs[1]: at most one of bearer_token & bearer_token_file must be configured; remove one
etc/tocsin.yml:16:5: error: scrape_configs[1]: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured; remove the others
etc/tocsin.yml:16:5: error: scrape_configs[1]: found multiple scrape configs with job name "node", first found in etc/tocsin.yml:9; give each its own name
etc/tocsin.yml:17:13: error: scrape_configs[1].scheme: unsupported scheme "gopher"; write http or https
etc/tocsin.yml:19:9: error: scrape_configs[1].metric_relabel_configs[0]: relabel configuration for hashmod requires non-zero modulus
etc/tocsin.yml:21:16: error: scrape_configs[1].metric_relabel_configs[1].regex: error parsing regexp: unclosed group: "a(b"
etc/tocsin.yml:23:8: error: scrape_configs[1].metric_relabel_configs[2]: empty or null metric relabeling rule in scrape config; remove the lone dash
etc/tocsin.yml:27:5: error: scrape_configs[2]: job_name is empty; name the job
etc/tocsin.yml:27:19: error: scrape_configs[2].honor_labels: expected true or false, without quotes
etc/tocsin.yml:29:14: error: scrape_configs[2].http_sd_configs[0].url: URL scheme must be 'http' or 'https'
"#,
    );
}

#[test]
fn all_faults_of_routing_are_listed() {
    check(
        r#"
global:
  smtp_smarthost: mail
route:
  receiver: operatoins
  matchers: [severity="page"]
  routes:
    - receiver: operations
      group_by: [alertname, alertname, "..."]
      matchers: ["severity="]
      mute_time_intervals: [night]
    - match_re: {team: }
      repeat_interval: 0s
receivers:
  - name: operations
    pagerduty_configs:
      - routing_key: hunter2
        routing_key_file: key
    webhook_configs:
      - url: hunter2
      -
    email_configs:
      - to: a@example.org
        headers: {subject: a, Subject: b}
  - name: operations
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: "22:00", end_time: "22:00"}, {start_time: "24:00", end_time: "06:00"}]
        weekdays: ["friday:monday", someday]
        location: Nowhere/At_All
inhibit_rules:
  - source_matchers: [a!b]
    equall: [x]
"#,
        r#"etc/tocsin.yml:3:19: error: global.smtp_smarthost: address "mail": missing port in address; write host:port, such as mail:587
etc/tocsin.yml:5:3: error: route: root route must not have any matchers; move them to a route under routes
etc/tocsin.yml:5:13: error: route.receiver: undefined receiver "operatoins" used in route; did you mean "operations"?
etc/tocsin.yml:9:17: error: route.routes[0].group_by: cannot have wildcard group_by (`...`) and other labels at the same time
etc/tocsin.yml:9:29: error: route.routes[0].group_by[1]: duplicated label "alertname" in group_by; remove one
etc/tocsin.yml:11:29: error: route.routes[0].mute_time_intervals[0]: undefined time interval "night" used in route; did you mean "nights"?
etc/tocsin.yml:12:18: error: route.routes[1].match_re.team: invalid regexp value for "team"; write an expression
etc/tocsin.yml:13:24: error: route.routes[1].repeat_interval: repeat_interval cannot be zero
etc/tocsin.yml:17:9: error: receivers[0].pagerduty_configs[0]: at most one of routing_key & routing_key_file must be configured; remove one
etc/tocsin.yml:20:14: error: receivers[0].webhook_configs[0].url: unsupported scheme or missing host for URL: URL scheme must be 'http' or 'https'
etc/tocsin.yml:21:8: error: receivers[0].webhook_configs[1]: missing webhook config; remove the lone dash, or write {} for an empty one
etc/tocsin.yml:23:9: error: receivers[0].email_configs[0]: no global SMTP from set; write from here or smtp_from in global
etc/tocsin.yml:24:40: error: receivers[0].email_configs[0].headers.Subject: duplicate header "Subject" in email config; remove one
etc/tocsin.yml:25:5: error: receivers[1]: notification config name "operations" is not unique; give each receiver its own name
etc/tocsin.yml:29:17: error: time_intervals[0].time_intervals[0].times[0]: start time cannot be equal to end time; write 00:00 and 24:00 for a whole day
etc/tocsin.yml:29:59: error: time_intervals[0].time_intervals[0].times[1]: start time cannot be the end of a day; write 00:00 for the next one
etc/tocsin.yml:30:20: error: time_intervals[0].time_intervals[0].weekdays[0]: start day cannot be before end day; the week begins on sunday, so split the range
etc/tocsin.yml:30:37: error: time_intervals[0].time_intervals[0].weekdays[1]: someday is not a valid weekday; write sunday to saturday
etc/tocsin.yml:31:19: error: time_intervals[0].time_intervals[0].location: unknown time zone Nowhere/At_All; write a name such as Europe/Berlin or UTC
etc/tocsin.yml:33:23: error: inhibit_rules[0].source_matchers[0]: bad matcher format: a!b; write matchers such as severity="page" or team=~"a|b"
etc/tocsin.yml:34:5: error: inhibit_rules[0].equall: unknown key equall; did you mean equal?
"#,
    );
}

#[test]
fn what_is_known_and_not_served_warns_and_loads() {
    let (config, printed) = read(
        r#"
global: {scrape_native_histograms: true}
scrape_configs:
  - job_name: cluster
    kubernetes_sd_configs: [{role: pod}]
    scrape_protocols: [PrometheusText0.0.4]
remote_write:
  - {url: https://elsewhere/write, sigv4: {region: eu-west-1}}
alerting: {alertmanagers: [{static_configs: [{targets: [am:9093]}]}]}
route: {receiver: chat}
receivers:
  - name: chat
    wechat_configs: [{api_secret: x, corp_id: y}]
"#,
    );
    assert!(config.is_some());
    assert_eq!(
        printed,
        r#"etc/tocsin.yml:5:28: warning: scrape_configs[0].kubernetes_sd_configs: kubernetes_sd_configs is not served yet; list targets with static_configs, file_sd_configs or http_sd_configs
etc/tocsin.yml:6:23: warning: scrape_configs[0].scrape_protocols: native histograms come as PrometheusProto only, which scrape_protocols does not list; add it or remove the list
etc/tocsin.yml:8:5: warning: remote_write[0]: sigv4 is not served yet, so nothing is sent to this server; use authorization or basic_auth
etc/tocsin.yml:9:27: warning: alerting.alertmanagers: alerts are routed here and sent to these Alertmanagers too, so that people may be told twice; remove the one that no longer tells them
etc/tocsin.yml:13:21: warning: receivers[0].wechat_configs: wechat_configs is not served yet: notifications to it are rejected, visibly; use webhook_configs or a kind that is served
"#
    );
}

#[test]
fn faults_of_other_alertmanagers_are_told() {
    let (config, printed) = read(
        r#"
alerting:
  alertmanagers:
    - {api_version: v1, scheme: gopher}
    - {static_configs: [{targets: ['http://am:9093']}], nonsense: 1}
    - {basic_auth: {username: u}, sigv4: {region: eu-west-1, access_key: a}}
    - {sigv4: {profile: p}, alert_relabel_configs: [{action: nope}]}
    -
"#,
    );
    assert!(config.is_none());
    assert_eq!(
        printed,
        r#"etc/tocsin.yml:4:21: error: alerting.alertmanagers[0].api_version: expected Alertmanager api version to be one of [v2] but got v1
etc/tocsin.yml:4:33: error: alerting.alertmanagers[0].scheme: unsupported scheme "gopher"; write http or https
etc/tocsin.yml:5:36: error: alerting.alertmanagers[1].static_configs[0].targets[0]: "http://am:9093" is not a valid hostname; write host:port; the path has a key of its own
etc/tocsin.yml:5:57: error: alerting.alertmanagers[1].nonsense: unknown key nonsense; remove it or check its indentation
etc/tocsin.yml:6:7: error: alerting.alertmanagers[2]: at most one of basic_auth, authorization, oauth2, & sigv4 must be configured
etc/tocsin.yml:6:42: error: alerting.alertmanagers[2].sigv4: must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config
etc/tocsin.yml:7:7: warning: alerting.alertmanagers[3]: no region is known, so nothing is sent to these Alertmanagers; write region under sigv4
etc/tocsin.yml:7:62: error: alerting.alertmanagers[3].alert_relabel_configs[0].action: unknown relabel action "nope"; write one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase
etc/tocsin.yml:8:6: error: alerting.alertmanagers[4]: empty or null section in alertmanagers; remove the lone dash
"#
    );
}

#[test]
fn faults_of_two_files_are_listed_under_their_names() {
    let main = file("etc/tocsin.yml", "alertmanager_config: routes/am.yml\nscrape_configs: [{}]\n");
    let needed = config::referenced_files(&main);
    assert_eq!(needed.alertmanager.as_deref(), Some("etc/routes/am.yml"));
    let other = file("etc/routes/am.yml", "route: {receiver: a}\nscrape_configs: []\n");
    let (_, problems) = config::read(&main, Some(&other), &|_| None);
    let printed: Vec<String> = problems.iter().map(|problem| problem.to_string()).collect();
    assert_eq!(
        printed,
        [
            "etc/tocsin.yml:2:18: error: scrape_configs[0]: job_name is empty; name the job",
            "etc/routes/am.yml:1:19: error: route.receiver: undefined receiver \"a\" used in route; define it or use another name",
            "etc/routes/am.yml:2:1: error: scrape_configs: unknown key scrape_configs; remove it or check its indentation",
        ]
    );
    let (_, problems) = config::read(&main, None, &|_| None);
    assert!(problems.iter().any(|problem| problem.key == "alertmanager_config"), "{problems:?}");
}

#[test]
fn secrets_are_in_no_message_and_in_no_debug_text() {
    let text = r#"
global: {smtp_auth_password: hunter2, smtp_auth_password_file: x, slack_api_url: hunter2, pagerduty_url: hunter2}
scrape_configs:
  - job_name: a
    basic_auth: {username: hunter2, password: hunter2, passwrd: hunter2}
    authorization: {credentials: hunter2, type: basic}
    http_headers: {Host: {secrets: [hunter2]}, X: {secrets: hunter2}}
    http_sd_configs: [{url: "ftp://me:hunter2@h"}]
    static_configs: [{targets: ["http://me:hunter2@h/x"]}]
receivers:
  - name: a
    webhook_configs: [{url: "hunter2"}, {url: "http://hunter2", url_file: x}]
    pagerduty_configs: [{routing_key: [hunter2]}]
    telegram_configs: [{bot_token: hunter2, bot_token_file: x}]
database: {url: hunter2, url_file: x}
"#;
    let (_, printed) = read(text);
    assert!(printed.lines().count() > 10 && !printed.contains("hunter2"), "{printed}");
    let good = "database: {url: 'postgres://a:hunter2@b/c'}\nroute: {receiver: a}\nreceivers:\n- name: a\n  \
                webhook_configs: [{url: 'http://hunter2'}]\n  pagerduty_configs: [{routing_key: hunter2}]\n";
    let (config, printed) = read(good);
    assert!(!format!("{:?}", config.unwrap_or_else(|| panic!("{printed}"))).contains("hunter2"));
}

/// A small generator of numbers, so that every run breaks the text in the same ways.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn broken_texts_are_refused_and_never_panic() {
    const TEXT: &str = r#"
global: &g {scrape_interval: 5s, external_labels: {a: "${B}"}, smtp_smarthost: h:1}
scrape_configs:
  - job_name: a
    <<: {scrape_timeout: 1s}
    body_size_limit: 1MB
    basic_auth: {username: u, password: p}
    static_configs: [{targets: [a:1], labels: {x: y}}]
    kubernetes_sd_configs: [{role: pod, selectors: [{role: pod}]}]
    relabel_configs: [{regex: (.*), target_label: z, action: replace}]
route:
  receiver: r
  routes: [{matchers: ['a="b",c=~"d|e"'], group_by: ['...'], mute_time_intervals: [t]}]
receivers: [{name: r, pagerduty_configs: [{routing_key: k, details: {d: [1]}}], slack_configs: [{api_url: http://s}]}]
time_intervals: [{name: t, time_intervals: [{times: [{start_time: "09:00", end_time: "10:00"}], days_of_month: ['-3:-1']}]}]
"#;
    const PIECES: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "&a ",
        "*g",
        "!!binary ",
        "|\n",
        "'",
        "\"",
        "\\",
        "#",
        "---\n",
        "<<: ",
        "ü",
    ];
    let mut numbers = Numbers(7);
    for _ in 0..3000 {
        let mut text: Vec<char> = TEXT.chars().collect();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(text.len());
            if numbers.below(2) == 0 {
                text.splice(at..at, PIECES[numbers.below(PIECES.len())].chars());
            } else {
                let end = (at + 1 + numbers.below(8)).min(text.len());
                text.drain(at..end);
            }
        }
        let text: String = text.into_iter().collect();
        let (config, problems) = config::read(&file("f", &text), None, &|_| None);
        assert_eq!(config.is_none(), tocsin_core::problem::has_errors(&problems), "{text}");
        if config.is_some() {
            let (again, problems) = config::read(&file("f", &config::masked(&text)), None, &|_| None);
            assert!(again.is_some(), "{text}\n{problems:?}");
            let (again, problems) = config::read(&file("f", &config::masked_routing(&text)), None, &|_| None);
            assert!(again.is_some(), "{text}\n{problems:?}");
        }
    }
}

#[test]
fn a_database_of_another_kind_is_refused_with_the_remedy() {
    for (url, remedy) in [
        ("sqlite:///var/lib/tocsin.db", "remove the section"),
        ("mysql://a:hunter2@h/d", "PostgreSQL or SQLite"),
        ("/var/lib/tocsin.db", "postgres://user:password@host/database"),
    ] {
        let (config, printed) = read(&format!("database: {{url: '{url}'}}\n"));
        assert!(config.is_none() && printed.contains("database") && printed.contains(remedy), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    for url in ["postgres://h/d", "postgresql://h/d", "${DATABASE}"] {
        assert!(read(&format!("database: {{url: '{url}'}}\n")).0.is_some(), "{url}");
    }
}

#[test]
fn all_faults_of_acting_are_listed() {
    check(
        r#"
act:
  environment: prod
  programs: [{path: reload}, {path: /usr/bin/true, sha256: abc}]
  hosts: ['https://api.example.org']
  secrets: [{name: ci}]
  databases:
    - {name: shop, url: 'postgres://tocsin:hunter2@db/shop'}
    - {name: shop, url: 'mysql://db/shop'}
  processes: [{name: 'a b', pid_file: run/a.pid}]
  proxies:
    - {name: one, listen: '127.0.0.1:7001', upstream: '127.0.0.1'}
    - {name: two, listen: '127.0.0.1:7001', upstream: '127.0.0.1:7001'}
  items:
    - {kind: process, name: x}
    - {kind: service, name: api, labels: {environment: live}, port: 1}
"#,
        r#"etc/tocsin.yml:3:3: error: act: two proxies listen on 127.0.0.1:7001; give each an address of its own
etc/tocsin.yml:3:16: error: act.environment: "prod" is no environment; write staging or production
etc/tocsin.yml:4:14: error: act.programs[0]: "reload" is no absolute path; write where the program is, without ..
etc/tocsin.yml:4:30: error: act.programs[1]: sha256 is no SHA-256; write its 64 hexadecimal digits in small letters
etc/tocsin.yml:5:11: error: act.hosts[0]: "https://api.example.org" is no host; write a name or an address, with its port where that is not the usual one
etc/tocsin.yml:6:13: error: act.secrets[0]: write file, the path of a file with the secret, or value
etc/tocsin.yml:8:7: error: act.databases[0]: url holds a password; write it into a file that password_file names
etc/tocsin.yml:9:7: error: act.databases[1]: url is no address of PostgreSQL; write postgres://user@host:5432/database
etc/tocsin.yml:9:7: error: act.databases[1]: the name "shop" stands here twice; choose another one
etc/tocsin.yml:10:15: error: act.processes[0]: command is missing; write a text that the command line of the process holds
etc/tocsin.yml:10:22: error: act.processes[0].name: "a b" is no name; write letters, digits, . _ - and :, beginning with a letter or digit
etc/tocsin.yml:12:7: error: act.proxies[0]: upstream "127.0.0.1" is no address; write host:port
etc/tocsin.yml:13:7: error: act.proxies[1]: the proxy would connect to itself; upstream is where the dependency listens
etc/tocsin.yml:15:7: error: act.items[0]: things of the kind process stand in processes
etc/tocsin.yml:16:56: error: act.items[1].labels.environment: "live" is no environment; write staging or production
etc/tocsin.yml:16:63: error: act.items[1].port: unknown key port; remove it or check its indentation
"#,
    );
}

#[test]
fn what_may_be_acted_upon_becomes_the_inventory() {
    let (config, printed) = read(
        r#"
act:
  environment: staging
  databases: [{name: shop, url: 'postgres://tocsin@db/shop', password_file: secrets/db}]
  proxies: [{name: db, listen: '127.0.0.1:7001', upstream: '127.0.0.1:5432', labels: {environment: production}}]
  items: [{kind: service, name: tocsin, control_plane: true}]
"#,
    );
    assert_eq!(printed, "");
    let items = config.unwrap().act.inventory().items;
    let shown: Vec<String> = items
        .iter()
        .map(|item| format!("{} {} {} {}", item.kind, item.name, item.labels["environment"], item.control_plane))
        .collect();
    assert_eq!(shown, ["database shop staging false", "proxy db production false", "service tocsin staging true"]);
}

#[test]
fn a_receiver_has_no_other_name_among_its_labels() {
    check(
        "route: {receiver: a}\nreceivers:\n- name: a\n  labels: {team: web, name: b}\n",
        "etc/tocsin.yml:4:11: error: receivers[0].labels: receiver label \"name\" must match receiver name \"a\", got \"b\"; remove it\n",
    );
}

#[test]
fn receivers_name_every_fault_at_once() {
    check(
        r#"
global: {slack_app_token: t, slack_api_url: https://hooks/x, telegram_api_url: ftp://x}
route: {receiver: a}
receivers:
  - name: a
    slack_configs:
      - {api_url: https://x, app_token: t, titel: x, fields: [{title: x}], actions: [{type: button, text: x}]}
      - {update_message: true, api_url: https://x, http_config: {authorization: {credentials: x}}}
    msteamsv2_configs: [{}]
    discord_configs: [{webhook_url: x, webhook_url_file: y}]
    opsgenie_configs: [{responders: [{type: crowd, name: x}]}]
    pushover_configs: [{user_key: u, html: true, monospace: true}]
    telegram_configs: [{parse_mode: Word, chat_id: "1"}]
    ntfy_configs: [{topic: a b, token: t, username: u, actions: [{action: jump}]}]
    sns_configs: [{topic_arn: a, phone_number: b, sigv4: {access_key: a}}]
    twilio_configs: [{account_sid: x, from: '+1', messaging_service_sid: MG}]
"#,
        r#"etc/tocsin.yml:2:9: error: global: at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured
etc/tocsin.yml:2:80: error: global.telegram_api_url: unsupported scheme or missing host for URL: URL scheme must be 'http' or 'https'
etc/tocsin.yml:7:9: error: receivers[0].slack_configs[0]: at most one of api_url/api_url_file & app_token/app_token_file must be configured; remove one
etc/tocsin.yml:7:44: error: receivers[0].slack_configs[0].titel: unknown key titel; did you mean title?
etc/tocsin.yml:7:63: error: receivers[0].slack_configs[0].fields[0]: missing value in Slack field configuration; write value
etc/tocsin.yml:7:86: error: receivers[0].slack_configs[0].actions[0]: missing name or url in Slack action configuration; write one of them
etc/tocsin.yml:8:9: error: receivers[0].slack_configs[1]: update_message can only be used with bot tokens. api_url must be set to https://slack.com/api/chat.postMessage
etc/tocsin.yml:9:25: error: receivers[0].msteamsv2_configs[0]: one of webhook_url or webhook_url_file must be configured
etc/tocsin.yml:10:23: error: receivers[0].discord_configs[0]: at most one of webhook_url & webhook_url_file must be configured; remove one
etc/tocsin.yml:10:37: error: receivers[0].discord_configs[0].webhook_url: unsupported scheme or missing host for URL: URL scheme must be 'http' or 'https'
etc/tocsin.yml:11:24: error: receivers[0].opsgenie_configs[0]: no global OpsGenie API Key set either inline or in a file; write api_key_file or api_key
etc/tocsin.yml:11:38: error: receivers[0].opsgenie_configs[0].responders[0]: opsGenieConfig responder type does not match valid options ^(team|teams|user|escalation|schedule)$
etc/tocsin.yml:12:24: error: receivers[0].pushover_configs[0]: at most one of monospace & html must be configured; remove one
etc/tocsin.yml:12:24: error: receivers[0].pushover_configs[0]: one of token or token_file must be configured
etc/tocsin.yml:13:24: error: receivers[0].telegram_configs[0]: missing bot_token or bot_token_file on telegram_config; write bot_token_file
etc/tocsin.yml:13:37: error: receivers[0].telegram_configs[0].parse_mode: unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string
etc/tocsin.yml:13:52: error: receivers[0].telegram_configs[0].chat_id: expected a whole number, without quotes
etc/tocsin.yml:14:20: error: receivers[0].ntfy_configs[0]: topic has letters, digits, - and _ only, 64 at most; write another one
etc/tocsin.yml:14:20: error: receivers[0].ntfy_configs[0]: at most one of token and username must be configured; remove one
etc/tocsin.yml:14:66: error: receivers[0].ntfy_configs[0].actions[0]: missing label in ntfy action configuration; write label
etc/tocsin.yml:14:66: error: receivers[0].ntfy_configs[0].actions[0]: missing url in ntfy action configuration; write url
etc/tocsin.yml:14:66: error: receivers[0].ntfy_configs[0].actions[0]: action must be view or http
etc/tocsin.yml:15:19: error: receivers[0].sns_configs[0]: must provide either a Target ARN, Topic ARN, or Phone Number for SNS config; write exactly one of target_arn, topic_arn and phone_number
etc/tocsin.yml:15:58: error: receivers[0].sns_configs[0].sigv4: must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config
etc/tocsin.yml:16:22: error: receivers[0].twilio_configs[0]: missing account_sid on twilio_config; write the account's SID, which begins with AC
etc/tocsin.yml:16:22: error: receivers[0].twilio_configs[0]: missing auth_token or auth_token_file on twilio_config; write auth_token_file
etc/tocsin.yml:16:22: error: receivers[0].twilio_configs[0]: missing to on twilio_config; write one number such as +491701234567, and an entry of its own for each further one
etc/tocsin.yml:16:22: error: receivers[0].twilio_configs[0]: exactly one of from & messaging_service_sid must be configured on twilio_config
"#,
    );
}
