//! What each kind of receiver sends and what answers mean, from the text of a configuration to the text of a request.

use std::collections::BTreeMap;

use tocsin_core::client::{Auth, Secret};
use tocsin_core::config::{self, File};
use tocsin_core::model::LabelSet;
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::dispatch::decision::Reason;
use tocsin_core::route::dispatch::group::GroupId;
use tocsin_core::route::message::{Action, Answer, Body, Message, Method, Piece, Posted, Request, Words};
use tocsin_core::route::notification::NotificationData;
use tocsin_core::route::receiver::{Channel, Receiver, Way};
use tocsin_core::route::retry::Class;
use tocsin_core::route::templates::Templates;
use tocsin_core::time::{Span, Timestamp};

const NOW: Timestamp = Timestamp(1_704_101_730_000);

/// Returns the receiver of a configuration that has these lines below it.
fn receiver(lines: &str) -> Receiver {
    let text = format!("route: {{receiver: a}}\nreceivers:\n- name: a\n{lines}");
    let (config, problems) = config::read(&File { name: "tocsin.yml".to_owned(), text }, None, &|_| None);
    config.unwrap_or_else(|| panic!("{problems:#?}")).routing.receivers["a"].clone()
}

fn channel(lines: &str) -> Channel {
    receiver(lines).integrations[0].channel.clone()
}

/// Returns a notification of one alert; `word` is a label and a part of its annotation.
fn data(fires: bool, word: &str) -> NotificationData {
    let alert = IncomingAlert {
        labels: LabelSet::from_pairs([("alertname", "Full"), ("disk", word)]),
        annotations: BTreeMap::from([("summary".to_owned(), format!("disk {word} is full"))]),
        starts_at: Some(Timestamp(NOW.0 - 60_000)),
        ends_at: (!fires).then_some(Timestamp(NOW.0 - 1_000)),
        generator_url: "http://rules/1".to_owned(),
        ..IncomingAlert::default()
    };
    let alert = alert.receive(NOW, Span::from_mins(5)).expect("a sound alert");
    let id = GroupId { key: "{}:{alertname=\"Full\"}".to_owned(), receiver: "a".to_owned() };
    let labels = LabelSet::from_pairs([("alertname", "Full")]);
    NotificationData::new(&id, &labels, vec![&alert], Reason::First, "http://tocsin", NOW)
}

fn message<'a>(data: &'a NotificationData, action: Action) -> Message<'a> {
    Message { key: "key-1", dedup_key: "dedup", action, title: "[FIRING:1] Full <&_>", data }
}

fn posted(channel: &Channel) -> &dyn Posted {
    match channel.way() {
        Way::Posted(posted) => posted,
        Way::Mailed(_) | Way::Kept | Way::Unserved(_) => panic!("{} is not posted", channel.kind()),
    }
}

fn open(secret: &Secret) -> String {
    match secret {
        Secret::Inline(text) => text.clone(),
        Secret::File(path) | Secret::Env(path) => format!("<{path}>"),
    }
}

fn written(request: &Request<'_>) -> String {
    let method = match request.method {
        Method::Post => "POST",
        Method::Put => "PUT",
    };
    let url = request.url.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(secret) => open(secret),
    });
    let mut lines = vec![format!("{method} {}", url.collect::<String>())];
    match &request.client.auth {
        Auth::None => {}
        Auth::Basic { username, password } => {
            lines.push(format!("authorization: {}:{}", open(username), password.as_ref().map(open).unwrap_or_default()));
        }
        Auth::Authorization { scheme, credentials } => lines.push(format!("authorization: {scheme} {}", open(credentials))),
    }
    lines.extend(request.signing.iter().map(|signing| format!("signed: {} {}", signing.service, signing.region)));
    lines.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let secrets = request.secrets.iter().map(|(name, secret)| (*name, open(secret)));
    match &request.body {
        Body::Written(text) => lines.push(serde_json::from_str::<serde_json::Value>(text).expect("JSON").to_string()),
        Body::Json(value) => {
            let mut value = value.clone();
            secrets.for_each(|(name, secret)| value[name] = secret.into());
            lines.push(value.to_string());
        }
        Body::Form(fields) => {
            lines.extend(fields.iter().map(|(name, value)| format!("{name}={value:?}")));
            lines.extend(secrets.map(|(name, secret)| format!("{name}={secret:?}")));
        }
    }
    lines.join("\n")
}

/// Returns the requests of a receiver's first integration, and the note of what failed.
fn requests(lines: &str, action: Action, data: &NotificationData) -> (Vec<String>, Option<String>) {
    let (channel, templates) = (channel(lines), Templates::new());
    let mut words = Words::new(message(data, action), &templates, NOW);
    let all = posted(&channel).requests(&mut words).expect("settings that can be sent with");
    (all.iter().map(written).collect(), words.note())
}

#[track_caller]
fn check(lines: &str, action: Action, fires: bool, expected: &str) {
    let (requests, note) = requests(lines, action, &data(fires, "sda"));
    assert_eq!((requests.join("\n\n").as_str(), note), (expected, None), "{lines}");
}

/// Returns the first request's body as JSON.
fn json(lines: &str, data: &NotificationData) -> serde_json::Value {
    let (requests, _) = requests(lines, Action::Notify, data);
    serde_json::from_str(requests[0].lines().last().expect("a body")).expect("a body of JSON")
}

const LIST: &str = r"Alerts Firing:\nLabels:\n - alertname = Full\n - disk = sda\nAnnotations:\n - summary = disk sda is full\nSource: http://rules/1\n";

#[test]
fn slack_is_sent_one_attachment() {
    check(
        "  slack_configs: [{api_url: http://slack/hook}]",
        Action::Notify,
        true,
        "POST http://slack/hook\n\
         {\"attachments\":[{\"callback_id\":\"\",\"color\":\"danger\",\"fallback\":\"[FIRING:1] Full (sda) | http://tocsin/#/alerts?receiver=a\",\
         \"footer\":\"\",\"mrkdwn_in\":[\"fallback\",\"pretext\",\"text\"],\"text\":\"\",\"title\":\"[FIRING:1] Full (sda)\",\
         \"title_link\":\"http://tocsin/#/alerts?receiver=a\"}],\"username\":\"Alertmanager\"}",
    );
    check(
        "  slack_configs:\n  - app_token: xoxb\n    app_url: http://slack/api\n    channel: '#{{ .CommonLabels.disk }}'\n    \
         message_text: hi\n    title_link: ''\n    fallback: f\n    username: ''\n    short_fields: true\n    link_names: true\n    \
         mrkdwn_in: [text]\n    fields: [{title: t, value: '{{ .Status }}'}, {title: l, value: v, short: false}]\n    \
         actions: [{type: button, text: x, url: 'http://{{ .Status }}', name: gone}, \
         {type: button, text: y, name: n, value: v, confirm: {text: sure}}]",
        Action::Notify,
        false,
        "POST http://slack/api\nauthorization: Bearer xoxb\n\
         {\"attachments\":[{\"actions\":[{\"text\":\"x\",\"type\":\"button\",\"url\":\"http://resolved\"},\
         {\"confirm\":{\"text\":\"sure\"},\"name\":\"n\",\"text\":\"y\",\"type\":\"button\",\"value\":\"v\"}],\"callback_id\":\"\",\
         \"color\":\"good\",\"fallback\":\"f\",\"fields\":[{\"short\":true,\"title\":\"t\",\"value\":\"resolved\"},\
         {\"short\":false,\"title\":\"l\",\"value\":\"v\"}],\"footer\":\"\",\"mrkdwn_in\":[\"text\"],\"text\":\"\",\
         \"title\":\"[RESOLVED] Full (sda)\"}],\"channel\":\"#sda\",\"link_names\":true,\"text\":\"hi\"}",
    );
}

#[test]
fn teams_and_discord_are_sent_one_card() {
    let markdown = LIST
        .replace(r"Alerts Firing:\n", r"# Alerts Firing:\n\n")
        .replace(" - ", "  - ")
        .replace("Annotations", r"\nAnnotations")
        .replace("Source", r"\nSource");
    check(
        "  msteamsv2_configs: [{webhook_url: http://teams/hook}]",
        Action::Notify,
        true,
        &format!(
            "POST http://teams/hook\n\
             {{\"attachments\":[{{\"content\":{{\"$schema\":\"http://adaptivecards.io/schemas/adaptive-card.json\",\"body\":[\
             {{\"color\":\"Attention\",\"size\":\"Medium\",\"style\":\"heading\",\"text\":\"[FIRING:1] Full (sda)\",\"type\":\"TextBlock\",\
             \"weight\":\"Bolder\",\"wrap\":true}},{{\"text\":\"\\n\\n{markdown}\\n\\n\\n\\n\",\"type\":\"TextBlock\",\"wrap\":true}}],\
             \"msteams\":{{\"width\":\"full\"}},\"type\":\"AdaptiveCard\",\"version\":\"1.4\"}},\
             \"contentType\":\"application/vnd.microsoft.card.adaptive\",\"contentUrl\":null}}],\"type\":\"message\"}}"
        ),
    );
    check(
        "  discord_configs: [{webhook_url_file: d, username: bot, content: '@here'}]",
        Action::Notify,
        true,
        &format!(
            "POST <d>\n{{\"content\":\"@here\",\"embeds\":[{{\"color\":10038562,\"description\":\"\\n\\n{LIST}\\n\\n\\n\",\
             \"title\":\"[FIRING:1] Full (sda)\"}}],\"username\":\"bot\"}}"
        ),
    );
    let ended = json("  discord_configs: [{webhook_url: http://d}]", &data(false, "sda"));
    assert_eq!((&ended["embeds"][0]["color"], ended.get("username")), (&3_066_993.into(), None));
}

#[test]
fn opsgenie_opens_follows_acknowledges_and_closes_by_alias() {
    let description = format!("disk sda is full\\n{LIST}\\n");
    check(
        "  opsgenie_configs:\n  - api_url: http://ops/x\n    api_key: k\n    details: {a: '{{ .Status }}'}\n    tags: 'x, y,'\n    \
         priority: P1\n    update_alerts: true\n    responders: [{type: teams, name: 'a, b'}, \
         {type: USER, username: '{{ .CommonLabels.owner }}'}, {type: schedule, id: '1'}]",
        Action::Trigger,
        true,
        &format!(
            "POST http://ops/x/v2/alerts\nauthorization: GenieKey k\n{{\"alias\":\"dedup\",\"description\":\"{description}\",\
             \"details\":{{\"a\":\"firing\",\"alertname\":\"Full\",\"disk\":\"sda\"}},\"message\":\"[FIRING:1] Full (sda)\",\
             \"priority\":\"P1\",\"responders\":[{{\"name\":\"a\",\"type\":\"team\"}},{{\"name\":\"b\",\"type\":\"team\"}},\
             {{\"id\":\"1\",\"type\":\"schedule\"}}],\"source\":\"http://tocsin/#/alerts?receiver=a\",\"tags\":[\"x\",\"y\"]}}\n\n\
             PUT http://ops/x/v2/alerts/dedup/message?identifierType=alias\nauthorization: GenieKey k\n\
             {{\"message\":\"[FIRING:1] Full (sda)\"}}\n\n\
             PUT http://ops/x/v2/alerts/dedup/description?identifierType=alias\nauthorization: GenieKey k\n\
             {{\"description\":\"{description}\"}}"
        ),
    );
    for (action, deed, note) in
        [(Action::Acknowledge, "acknowledge", "\"note\":\"[FIRING:1] Full <&_>\","), (Action::Resolve, "close", "")]
    {
        check(
            "  opsgenie_configs: [{api_url: http://ops/, api_key_file: k}]",
            action,
            action != Action::Resolve,
            &format!(
                "POST http://ops/v2/alerts/dedup/{deed}?identifierType=alias\nauthorization: GenieKey <k>\n\
                 {{{note}\"source\":\"http://tocsin/#/alerts?receiver=a\"}}"
            ),
        );
    }
}

#[test]
fn phones_are_sent_forms_and_texts() {
    let list = LIST.replace(r"\n", "\n");
    let text = format!("disk sda is full\n\n{}", list.trim_end());
    check(
        "  pushover_configs: [{api_url: http://push/, user_key: u, token_file: t, expire: 100h, retry: 5s, ttl: 60s}]",
        Action::Notify,
        true,
        &format!(
            "POST http://push/\ntitle=\"[FIRING:1] Full (sda)\"\npriority=\"2\"\nurl=\"http://tocsin/#/alerts?receiver=a\"\n\
             retry=\"30\"\nexpire=\"10800\"\nmessage={text:?}\ntoken=\"<t>\"\nuser=\"u\""
        ),
    );
    check(
        "  pushover_configs: [{api_url: http://push/, user_key: u, token: t, html: true, ttl: 60s, message: '<b>{{ .Status }}</b>'}]",
        Action::Notify,
        false,
        "POST http://push/\ntitle=\"[RESOLVED] Full (sda)\"\npriority=\"0\"\nurl=\"http://tocsin/#/alerts?receiver=a\"\nttl=\"60\"\n\
         html=\"1\"\nmessage=\"<b>resolved</b>\"\ntoken=\"t\"\nuser=\"u\"",
    );
    check(
        "  telegram_configs: [{api_url: http://tg/, bot_token: t, chat_id: -5, message_thread_id: 7, disable_notifications: true}]",
        Action::Notify,
        true,
        &format!(
            "POST http://tg/bott/sendMessage\n{{\"chat_id\":-5,\"disable_notification\":true,\
             \"link_preview_options\":{{\"is_disabled\":true}},\"message_thread_id\":7,\"parse_mode\":\"HTML\",\
             \"text\":\"\\n\\n{LIST}\\n\\n\\n\"}}"
        ),
    );
    check(
        "  telegram_configs: [{api_url: http://tg, bot_token_file: t, chat_id_file: c, parse_mode: '', message: x}]",
        Action::Notify,
        true,
        "POST http://tg/bot<t>/sendMessage\n{\"chat_id\":\"<c>\",\"link_preview_options\":{\"is_disabled\":true},\"text\":\"x\"}",
    );
}

#[test]
fn the_kinds_that_alertmanager_lacks_are_sent_too() {
    check(
        "  ntfy_configs:\n  - server_url: http://ntfy\n    topic_file: f\n    token: k\n    message: m\n    click: ''\n    markdown: true\n    \
         actions: [{action: view, label: Open, url: 'http://{{ .Status }}', clear: true}, {action: http, label: x, url: '{{ .CommonLabels.no }}'}]",
        Action::Notify,
        true,
        "POST http://ntfy\nauthorization: Bearer k\n{\"actions\":[{\"action\":\"view\",\"clear\":true,\"label\":\"Open\",\
         \"url\":\"http://firing\"}],\"markdown\":true,\"message\":\"m\",\"priority\":5,\"tags\":[\"rotating_light\"],\
         \"title\":\"[FIRING:1] Full (sda)\",\"topic\":\"<f>\"}",
    );
    check(
        "  ntfy_configs: [{server_url: http://ntfy, topic: t, username: u, password_file: p, title: '', message: '', priority: urgent}]",
        Action::Notify,
        false,
        "POST http://ntfy\nauthorization: u:<p>\n{\"click\":\"http://tocsin/#/alerts?receiver=a\",\"message\":\"[FIRING:1] Full <&_>\",\
         \"priority\":5,\"tags\":[\"white_check_mark\"],\"title\":\"[FIRING:1] Full <&_>\",\"topic\":\"t\"}",
    );
    for (sender, field) in [("from: '+1'", "From=\"+1\""), ("messaging_service_sid: MG1", "MessagingServiceSid=\"MG1\"")] {
        check(
            &format!("  twilio_configs: [{{account_sid: AC1, auth_token: k, to: '+49', {sender}}}]"),
            Action::Notify,
            true,
            &format!(
                "POST https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json\nauthorization: AC1:k\nTo=\"+49\"\n{field}\n\
                 Body=\"[FIRING:1] Full (sda)\\ndisk sda is full\\nhttp://tocsin\""
            ),
        );
    }
}

#[test]
fn sns_is_published_to() {
    check(
        "  sns_configs:\n  - topic_arn: arn:aws:sns:eu-west-1:1:shop.fifo\n    sigv4: {access_key: a, secret_key: b}\n    subject: 'é\t{{ .Status }}'\n    \
         message: m\n    attributes: {'x-{{ .Status }}': '{{ .Receiver }}', empty: ''}",
        Action::Notify,
        true,
        "POST https://sns.eu-west-1.amazonaws.com/\nsigned: sns eu-west-1\nAction=\"Publish\"\nVersion=\"2010-03-31\"\n\
         TopicArn=\"arn:aws:sns:eu-west-1:1:shop.fifo\"\nMessage=\"m\"\nSubject=\"? firing\"\n\
         MessageAttributes.entry.1.Name=\"x-firing\"\nMessageAttributes.entry.1.Value.DataType=\"String\"\n\
         MessageAttributes.entry.1.Value.StringValue=\"a\"\n\
         MessageDeduplicationId=\"be2974546978e3739e6d6da85c4be9f334ce32df2b9fd4b6ff1b55c0d57e9d44\"\nMessageGroupId=\"dedup\"",
    );
    check(
        "  sns_configs: [{phone_number: '+49', sigv4: {region: eu-west-2}, api_url: http://sns/, message: m, subject: ''}]",
        Action::Notify,
        false,
        "POST http://sns/\nsigned: sns eu-west-2\nAction=\"Publish\"\nVersion=\"2010-03-31\"\nPhoneNumber=\"+49\"\nMessage=\"m\"",
    );
}

#[test]
fn webhooks_and_pagerduty_are_sent_as_ever() {
    let hook = "  webhook_configs: [{url: http://hook, max_alerts: 1}]";
    let (sent, _) = requests(hook, Action::Notify, &data(true, "sda"));
    assert!(
        sent[0]
            .starts_with("POST http://hook\nidempotency-key: be2974546978e3739e6d6da85c4be9f334ce32df2b9fd4b6ff1b55c0d57e9d44\n"),
        "{sent:?}"
    );
    assert_eq!(json(hook, &data(true, "sda")), serde_json::to_value(data(true, "sda")).expect("JSON"));
    check(
        "  pagerduty_configs: [{url: http://pd, routing_key: k}]",
        Action::Resolve,
        false,
        "POST http://pd\n{\"dedup_key\":\"dedup\",\"event_action\":\"resolve\",\"routing_key\":\"k\"}",
    );
    let old = channel("  pagerduty_configs: [{service_key: k}]");
    let (data, templates) = (data(true, "sda"), Templates::new());
    let refused = posted(&old).requests(&mut Words::new(message(&data, Action::Trigger), &templates, NOW));
    assert!(refused.is_err_and(|reason| reason.contains("Events API v1")));
}

#[test]
fn an_event_of_pagerduty_has_words_of_ours_for_those_that_fail() {
    let broken = "'{{ (index .Alerts 99).Status }}'";
    let lines = format!(
        "  pagerduty_configs:\n  - url: http://pd\n    routing_key: k\n    client: {broken}\n    severity: {broken}\n    class: {broken}\n    \
         description: {broken}\n    details: {{firing: {broken}, sound: word}}\n    links: [{{href: {broken}}}]\n    \
         images: [{{src: 'http://{{{{ .Status }}}}'}}]"
    );
    let (sent, _) = requests(&lines, Action::Trigger, &data(true, "sda"));
    let event: serde_json::Value = serde_json::from_str(sent[0].lines().last().expect("a body")).expect("JSON");
    let payload = &event["payload"];
    assert_eq!((&payload["summary"], &payload["source"]), (&"[FIRING:1] Full <&_>".into(), &"tocsin".into()));
    assert_eq!((&payload["severity"], payload.get("class"), event.get("links")), (&"error".into(), None, None));
    assert_eq!((&event["images"][0]["src"], &payload["custom_details"]["sound"]), (&"http://firing".into(), &"word".into()));
    let faults: Vec<&String> = payload["custom_details"]["template_errors"].as_object().expect("faults").keys().collect();
    assert_eq!(faults, ["class", "client", "description", "details.firing", "links.href", "severity", "source"]);

    let mut large = data(true, "sda");
    large.common_labels = LabelSet::from_pairs([("disk", "x".repeat(600_000).as_str())]);
    let lines = "  pagerduty_configs: [{url: http://pd, routing_key: k, details: {disk: '{{ .CommonLabels.disk }}'}}]";
    let (sent, _) = requests(lines, Action::Trigger, &large);
    assert!(sent[0].len() < 512_000 && sent[0].contains("the details were left out"), "{} bytes", sent[0].len());
}

/// One entry of each kind with all of its required keys; `more` goes into each.
fn every_kind(more: &str) -> Vec<(&'static str, String)> {
    [
        ("slack", "slack_configs: [{api_url: http://s"),
        ("msteamsv2", "msteamsv2_configs: [{webhook_url: http://s"),
        ("discord", "discord_configs: [{webhook_url: http://s"),
        ("opsgenie", "opsgenie_configs: [{api_key: k"),
        ("pushover", "pushover_configs: [{user_key: u, token: t"),
        ("telegram", "telegram_configs: [{bot_token: t, chat_id: 1"),
        ("pagerduty", "pagerduty_configs: [{routing_key: k"),
        ("ntfy", "ntfy_configs: [{topic: t"),
        ("sns", "sns_configs: [{topic_arn: 'arn:aws:sns:eu-west-1:1:a'"),
        ("twilio", "twilio_configs: [{account_sid: AC1, auth_token: k, to: '+49', from: '+1'"),
    ]
    .into_iter()
    .map(|(kind, start)| (kind, format!("  {start}{}}}]", more_of(kind, more))))
    .collect()
}

/// Gives the texts of a kind that stand first, by its own keys.
fn more_of(kind: &str, text: &str) -> String {
    let keys: &[&str] = match kind {
        "slack" => &["title", "text", "fallback"],
        "msteamsv2" => &["title", "text"],
        "opsgenie" => &["message", "description"],
        "telegram" => &["message"],
        "pagerduty" => &["description"],
        "twilio" => &["body"],
        "sns" => &["message"],
        _ => &["title", "message"],
    };
    keys.iter().map(|key| format!(", {key}: {text}")).collect()
}

#[test]
fn a_template_that_fails_or_says_nothing_costs_its_words_and_no_page() {
    let broken = "'{{ (index .Alerts 99).Status }}'";
    for text in [broken, "'{{ .CommonAnnotations.nothing }}'", "' '"] {
        for (kind, lines) in every_kind(text) {
            let (sent, note) = requests(&lines, Action::Trigger, &data(true, "sda"));
            // What is our own is no markup.
            let title = match kind {
                "slack" => "[FIRING:1] Full &lt;&amp;_&gt;",
                "telegram" => "[FIRING:1] Full &lt;&amp;_&gt;",
                "msteamsv2" | "discord" => r"\\[FIRING:1\\] Full <&\\_\\>",
                _ => "[FIRING:1] Full <&_>",
            };
            assert!(sent[0].contains(title), "{kind}: {sent:?}");
            assert_eq!(note.is_some(), text == broken, "{kind}: {note:?}");
            // An SMS has no room for it.
            let is_told = text == broken && kind != "twilio";
            assert_eq!(
                sent[0].contains("template cannot be expanded") || sent[0].contains("template_errors"),
                is_told,
                "{kind}: {sent:?}"
            );
        }
    }
}

#[test]
fn texts_are_cut_to_what_the_provider_takes() {
    for word in ["x".repeat(60_000), "😀\n".repeat(30_000)] {
        for (kind, lines) in every_kind("'{{ .CommonLabels.disk }}'") {
            let mut data = data(true, "sda");
            data.common_labels = LabelSet::from_pairs([("disk", word.as_str())]);
            let (sent, _) = requests(&lines, Action::Trigger, &data);
            let body = sent[0].lines().last().expect("a body");
            let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let chars = |text: &serde_json::Value| text.as_str().map_or(0, |text| text.chars().count());
            let units = |text: &serde_json::Value| text.as_str().map_or(0, |text| text.encode_utf16().count());
            let field = |name: &str| -> String {
                let line = sent[0].lines().find_map(|line| line.strip_prefix(&format!("{name}="))).expect("a field");
                line[1..line.len() - 1].replace("\\n", "n")
            };
            let fits = match kind {
                "slack" => {
                    let attachment = &value["attachments"][0];
                    chars(&attachment["title"]) == 1024 && chars(&attachment["text"]) == 40_000
                }
                "msteamsv2" => (25 << 10..=28 << 10).contains(&body.len()),
                "discord" => {
                    let embed = &value["embeds"][0];
                    (255..=256).contains(&units(&embed["title"])) && (4095..=4096).contains(&units(&embed["description"]))
                }
                "opsgenie" => {
                    let details: usize =
                        value["details"].as_object().expect("details").iter().map(|(name, text)| name.len() + chars(text)).sum();
                    chars(&value["message"]) == 130 && chars(&value["description"]) == 15_000 && details <= 8_000
                }
                "pushover" => field("title").chars().count() == 250 && field("message").chars().count() == 1024,
                "sns" => field("Message").len() <= 256 << 10 && field("Subject").len() <= 99,
                "twilio" => (1599..=1600).contains(&field("Body").encode_utf16().count()),
                "ntfy" => {
                    let bytes = |name: &str| value[name].as_str().map_or(0, str::len);
                    (4090..=4096).contains(&bytes("message")) && (244..=250).contains(&bytes("title"))
                }
                "telegram" => (4095..=4096).contains(&units(&value["text"])) && value.get("parse_mode").is_none(),
                _ => chars(&value["payload"]["summary"]) == 1024,
            };
            // A topic has room for that.
            let is_cut = sent[0].contains('…') || kind == "sns";
            assert!(fits && is_cut, "{kind}: {} bytes", body.len());
        }
    }
}

#[test]
fn a_telegram_that_cannot_be_read_is_sent_again_as_plain_text() {
    let data = data(true, "a_b");
    for (mode, text, plain) in
        [("Markdown", "a _{{ .CommonLabels.disk }}", "a _a_b"), ("HTML", "<b>x & y</i> {{ .CommonLabels.disk }}", "x & y a_b")]
    {
        let lines = format!("  telegram_configs: [{{bot_token: t, chat_id: 1, parse_mode: {mode}, message: '{text}'}}]");
        let (channel, templates) = (channel(&lines), Templates::new());
        let mut words = Words::new(message(&data, Action::Notify), &templates, NOW);
        let refusal = |body: &'static str| Answer { status: 400, retry_after: None, body };
        assert_eq!(posted(&channel).plainer(&mut words, &refusal("Bad Request: message is too long")), None);
        let again = posted(&channel).plainer(&mut words, &refusal("Bad Request: can't parse entities: at byte 3"));
        let again = written(&again.expect("a plain one"));
        assert!(!again.contains("parse_mode") && again.contains(plain) && again.contains("markup"), "{again}");
    }
}

#[test]
fn answers_are_read_as_each_provider_means_them() {
    use Class::{Delivered, Mendable, Rejected, Retry};
    let all = every_kind("x");
    for (kind, status, body, class, after) in [
        ("slack", 200, "ok", Delivered, None),
        ("slack", 200, "", Delivered, None),
        ("slack", 200, r#"{"ok":true,"ts":"1"}"#, Delivered, None),
        ("slack", 200, r#"{"ok":false,"error":"ratelimited"}"#, Retry, None),
        ("slack", 200, r#"{"ok":false,"error":"channel_not_found"}"#, Mendable, None),
        ("slack", 200, r#"{"ok":false,"error":"msg_too_long"}"#, Rejected, None),
        ("slack", 200, "<html>", Rejected, None),
        ("slack", 429, "", Retry, None),
        ("slack", 404, "no_service", Mendable, None),
        ("slack", 400, "invalid_payload", Rejected, None),
        ("msteamsv2", 202, "", Delivered, None),
        ("msteamsv2", 200, "1", Delivered, None),
        ("msteamsv2", 200, "failed: Microsoft Teams endpoint returned HTTP error 429 with ContextId", Retry, None),
        ("msteamsv2", 200, "failed: Microsoft Teams endpoint returned HTTP error 413", Rejected, None),
        ("discord", 204, "", Delivered, None),
        ("discord", 429, r#"{"retry_after": 1.25, "global": false}"#, Retry, Some(1_250)),
        ("discord", 404, r#"{"code": 10015}"#, Mendable, None),
        ("opsgenie", 202, "{}", Delivered, None),
        ("opsgenie", 422, "{}", Rejected, None),
        ("opsgenie", 429, "{}", Retry, None),
        ("pushover", 200, r#"{"status":1}"#, Delivered, None),
        ("pushover", 400, r#"{"token":"invalid","errors":["application token is invalid"],"status":0}"#, Mendable, None),
        ("pushover", 400, r#"{"message":"cannot be blank","status":0}"#, Rejected, None),
        ("telegram", 200, r#"{"ok":true}"#, Delivered, None),
        ("telegram", 429, r#"{"ok":false,"parameters":{"retry_after":7}}"#, Retry, Some(7_000)),
        ("telegram", 400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#, Mendable, None),
        ("telegram", 400, r#"{"ok":false,"description":"Bad Request: message is too long"}"#, Rejected, None),
        ("telegram", 403, r#"{"ok":false,"description":"Forbidden: bot was kicked"}"#, Mendable, None),
        ("ntfy", 200, r#"{"id":"x"}"#, Delivered, None),
        ("ntfy", 429, r#"{"code":42901,"http":429}"#, Retry, None),
        ("ntfy", 403, r#"{"code":40301,"http":403}"#, Mendable, None),
        ("ntfy", 400, r#"{"code":40009,"http":400}"#, Rejected, None),
        ("sns", 200, "<PublishResponse/>", Delivered, None),
        ("sns", 400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", Retry, None),
        ("sns", 400, "<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>", Rejected, None),
        ("sns", 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>", Mendable, None),
        ("sns", 404, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>", Mendable, None),
        ("twilio", 201, r#"{"sid":"SM1","error_code":null}"#, Delivered, None),
        ("twilio", 400, r#"{"code":21211,"message":"Invalid 'To' Phone Number"}"#, Rejected, None),
        ("twilio", 400, r#"{"code":21610,"message":"unsubscribed recipient"}"#, Rejected, None),
        ("twilio", 400, r#"{"code":21408,"message":"no permission for the region"}"#, Mendable, None),
        ("twilio", 401, r#"{"code":20003,"message":"Authenticate"}"#, Mendable, None),
        ("twilio", 400, r#"{"code":30001,"message":"Queue overflow"}"#, Retry, None),
        ("twilio", 429, r#"{"code":20429,"message":"Too Many Requests"}"#, Retry, None),
    ] {
        let (_, lines) = all.iter().find(|(known, _)| *known == kind).expect("a kind");
        let verdict = posted(&channel(lines)).verdict(&Answer { status, retry_after: None, body });
        assert_eq!((verdict.class, verdict.after), (class, after.map(Span)), "{kind} {status} {body}");
        let patient = Answer { status, retry_after: Some(Span::from_secs(3)), body };
        if class == Retry {
            let wish = posted(&channel(lines)).verdict(&patient).after;
            assert_eq!(wish, Some(after.map_or(Span::from_secs(3), Span)), "{kind} {status} {body}");
        }
    }
}

#[test]
fn a_place_keeps_its_name() {
    let names = |lines: &str| -> Vec<String> { receiver(lines).named().into_iter().map(|(name, _)| name).collect() };
    assert_eq!(
        names(
            "  pagerduty_configs: [{routing_key: k}]\n  email_configs: [{to: you@example.org, from: a@b, smarthost: 'm:25'}]\n  \
             webhook_configs: [{url: http://hook}, {url: http://hook}]"
        ),
        ["pagerduty/d6370e52", "email/1639bd1d", "webhook/8fc01e03", "webhook/8fc01e03-2"]
    );
    let one = |more: &str| names(&format!("  slack_configs: [{{api_url: http://s{more}}}]"));
    assert_eq!(one(""), one(", title: other"));
    assert_ne!(one(""), one(", channel: '#x'"));
}

#[test]
fn the_example_of_the_documentation_has_every_kind_that_is_served() {
    let documents = include_str!("../../../docs/configuration.md");
    let section = documents.split_once("### Receivers").expect("the section").1;
    let example = section.split("```").nth(1).and_then(|block| block.strip_prefix("yaml")).expect("an example");
    let text = format!("route: {{receiver: shop}}\n{example}");
    let (config, problems) = config::read(&File { name: "tocsin.yml".to_owned(), text }, None, &|_| None);
    assert!(problems.is_empty(), "{problems:#?}");
    let kinds: BTreeMap<String, usize> = config.expect("a configuration").routing.receivers["shop"]
        .integrations
        .iter()
        .map(|integration| (integration.channel.kind().to_owned(), 1))
        .collect();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}
