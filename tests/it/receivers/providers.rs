//! The providers, each by its documentation: what it demands, how long texts may be, and what it answers.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tocsin::id::hex;

use super::desk::{Provider, Reply, Seen};

const fn reply(status: u16, headers: &'static [(&'static str, &'static str)], body: &'static str) -> Reply {
    Reply { status, headers, body }
}

const WAIT: &[(&str, &str)] = &[("retry-after", "2")];

pub static PROVIDERS: &[Provider] = &[
    Provider {
        kind: "slack",
        keys: |url| format!("api_url: {url}/services/T0/B0/hunter2\nchannel: '#shop'"),
        title_key: "title",
        keeps_incidents: false,
        faults: slack_faults,
        title: |seen| text(&seen.json()["attachments"][0]["title"]),
        status: |seen| word(&text(&seen.json()["attachments"][0]["color"]), "danger", "good"),
        taken: reply(200, &[], "ok"),
        limited: reply(429, WAIT, "rate_limited"),
        refused: reply(400, &[], "invalid_payload"),
    },
    Provider {
        kind: "msteamsv2",
        keys: |url| format!("webhook_url: {url}/workflows/hunter2"),
        title_key: "title",
        keeps_incidents: false,
        faults: teams_faults,
        title: |seen| text(&teams_body(seen)[0]["text"]),
        status: |seen| word(&text(&teams_body(seen)[0]["color"]), "Attention", "Good"),
        taken: reply(202, &[], ""),
        limited: reply(429, WAIT, "{\"error\":{\"code\":\"WorkflowTriggerIsThrottled\"}}"),
        refused: reply(400, &[], "{\"error\":{\"message\":\"The input body is not valid\"}}"),
    },
    Provider {
        kind: "discord",
        keys: |url| format!("webhook_url: {url}/api/webhooks/1/hunter2"),
        title_key: "title",
        keeps_incidents: false,
        faults: discord_faults,
        title: |seen| text(&seen.json()["embeds"][0]["title"]),
        status: |seen| word(&seen.json()["embeds"][0]["color"].to_string(), "10038562", "3066993"),
        taken: reply(204, &[], ""),
        limited: reply(429, &[], "{\"message\":\"You are being rate limited.\",\"retry_after\":2.0,\"global\":false}"),
        refused: reply(400, &[], "{\"message\":\"Invalid Form Body\",\"code\":50035}"),
    },
    Provider {
        kind: "opsgenie",
        keys: |url| format!("api_url: {url}\napi_key: hunter2"),
        title_key: "message",
        keeps_incidents: true,
        faults: opsgenie_faults,
        title: |seen| text(&seen.json()["message"]),
        status: |seen| match seen.path.rsplit_once('/').map(|(_, deed)| deed) {
            Some("close?identifierType=alias") => "resolved".to_owned(),
            Some("acknowledge?identifierType=alias") => "acknowledged".to_owned(),
            _ => "firing".to_owned(),
        },
        taken: reply(202, &[], "{\"result\":\"Request will be processed\",\"took\":0.1,\"requestId\":\"1\"}"),
        limited: reply(429, WAIT, "{\"message\":\"You are making too many requests!\"}"),
        refused: reply(422, &[], "{\"message\":\"Request body is not processable\"}"),
    },
    Provider {
        kind: "pushover",
        keys: |url| format!("api_url: {url}/1/messages.json\ntoken: {PUSHOVER_KEY}\nuser_key: {PUSHOVER_KEY}"),
        title_key: "title",
        keeps_incidents: false,
        faults: pushover_faults,
        title: |seen| seen.form().remove("title").unwrap_or_default(),
        status: |seen| word(&seen.form()["priority"], "2", "0"),
        taken: reply(200, &[], "{\"status\":1,\"request\":\"1\"}"),
        limited: reply(429, WAIT, "{\"status\":0,\"errors\":[\"too many requests\"]}"),
        refused: reply(400, &[], "{\"message\":\"cannot be blank\",\"status\":0}"),
    },
    Provider {
        kind: "telegram",
        keys: |url| format!("api_url: {url}\nbot_token: 1:hunter2\nchat_id: -100\nmessage: '{{{{ template \"__subject\" . }}}}'"),
        title_key: "message",
        keeps_incidents: false,
        faults: telegram_faults,
        title: |seen| text(&seen.json()["text"]),
        status: |seen| if text(&seen.json()["text"]).contains("FIRING") { "firing".to_owned() } else { "resolved".to_owned() },
        taken: reply(200, &[], "{\"ok\":true,\"result\":{\"message_id\":1}}"),
        limited: reply(429, &[], "{\"ok\":false,\"error_code\":429,\"parameters\":{\"retry_after\":2}}"),
        refused: reply(400, &[], "{\"ok\":false,\"description\":\"Bad Request: message text is empty\"}"),
    },
    Provider {
        kind: "ntfy",
        keys: |url| format!("server_url: {url}\ntopic: shop-hunter2\ntoken: tk_hunter2"),
        title_key: "title",
        keeps_incidents: false,
        faults: ntfy_faults,
        title: |seen| text(&seen.json()["title"]),
        status: |seen| word(&seen.json()["priority"].to_string(), "5", "3"),
        taken: reply(200, &[], "{\"id\":\"x\",\"event\":\"message\",\"topic\":\"shop-hunter2\"}"),
        limited: reply(429, WAIT, "{\"code\":42901,\"http\":429,\"error\":\"limit reached: too many requests\"}"),
        refused: reply(400, &[], "{\"code\":40024,\"http\":400,\"error\":\"invalid request: request body must be valid JSON\"}"),
    },
    Provider {
        kind: "sns",
        keys: |url| {
            format!(
                "api_url: {url}\ntopic_arn: arn:aws:sns:eu-west-1:1:shop\nsigv4: {{access_key: AKIDEXAMPLE, secret_key: {SNS_KEY}}}"
            )
        },
        title_key: "message",
        keeps_incidents: false,
        faults: sns_faults,
        title: |seen| seen.form().remove("Subject").unwrap_or_default(),
        status: |seen| if seen.form()["Subject"].contains("FIRING") { "firing".to_owned() } else { "resolved".to_owned() },
        taken: reply(200, &[], "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"),
        limited: reply(
            429,
            WAIT,
            "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
        ),
        refused: reply(
            400,
            &[],
            "<ErrorResponse><Error><Code>InvalidParameter</Code><Message>Invalid parameter: TopicArn</Message></Error></ErrorResponse>",
        ),
    },
    Provider {
        kind: "twilio",
        keys: |url| format!("api_url: {url}\naccount_sid: AC1\nauth_token: hunter2\nto: '+491701234567'\nfrom: '+15005550006'"),
        title_key: "body",
        keeps_incidents: false,
        faults: twilio_faults,
        title: |seen| seen.form().remove("Body").unwrap_or_default(),
        status: |seen| if seen.form()["Body"].contains("FIRING") { "firing".to_owned() } else { "resolved".to_owned() },
        taken: reply(201, &[], "{\"sid\":\"SM1\",\"status\":\"queued\",\"error_code\":null}"),
        limited: reply(429, WAIT, "{\"code\":20429,\"message\":\"Too Many Requests\",\"status\":429}"),
        refused: reply(400, &[], "{\"code\":21211,\"message\":\"Invalid 'To' Phone Number\",\"status\":400}"),
    },
];

const SNS_KEY: &str = "hunter2";
/// A key has thirty letters and digits.
const PUSHOVER_KEY: &str = "hunter2hunter2hunter2hunter2ab";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns which of two words a mark says.
fn word(mark: &str, fires: &str, ends: &str) -> String {
    match mark {
        _ if mark == fires => "firing".to_owned(),
        _ if mark == ends => "resolved".to_owned(),
        _ => format!("unknown {mark}"),
    }
}

/// Says which demands are not met.
fn unmet<const N: usize>(demands: [(&str, bool); N]) -> Vec<String> {
    demands.into_iter().filter(|(_, is_met)| !is_met).map(|(demand, _)| demand.to_owned()).collect()
}

fn is_post(seen: &Seen, path: &str, kind: &str) -> bool {
    seen.method == "POST" && seen.path == path && seen.header("content-type") == kind
}

const JSON: &str = "application/json";

/// Returns whether a text is there and has at most so many characters.
fn is_within(value: &Value, most: usize) -> bool {
    value.as_str().is_some_and(|text| (1..=most).contains(&text.chars().count()))
}

fn slack_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let attachment = &body["attachments"][0];
    unmet([
        ("a post of JSON to the hook", is_post(seen, "/services/T0/B0/hunter2", JSON)),
        ("a channel", body["channel"] == "#shop"),
        ("a fallback for clients that show no attachments", is_within(&attachment["fallback"], 40_000)),
        ("a title", is_within(&attachment["title"], 1024)),
        ("a text", attachment["text"].is_string()),
    ])
}

fn teams_body(seen: &Seen) -> Value {
    seen.json()["attachments"][0]["content"]["body"].clone()
}

fn teams_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let attachment = &body["attachments"][0];
    let blocks = teams_body(seen);
    unmet([
        ("a post of JSON to the workflow", is_post(seen, "/workflows/hunter2", JSON)),
        ("a message", body["type"] == "message"),
        ("an adaptive card", attachment["contentType"] == "application/vnd.microsoft.card.adaptive"),
        ("the card says so", attachment["content"]["type"] == "AdaptiveCard" && attachment["content"]["version"].is_string()),
        ("28 KB", seen.body.len() <= 28 << 10),
        ("blocks of text", blocks.as_array().is_some_and(|all| all.iter().all(|block| is_within(&block["text"], 28 << 10)))),
    ])
}

fn discord_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let embed = &body["embeds"][0];
    unmet([
        ("a post of JSON to the hook", is_post(seen, "/api/webhooks/1/hunter2", JSON)),
        ("a title", is_within(&embed["title"], 256)),
        ("a description", is_within(&embed["description"], 4096)),
        ("a colour", embed["color"].as_u64().is_some_and(|color| color <= 0x00ff_ffff)),
        ("a content of 2000 characters at most", body["content"].as_str().is_none_or(|text| text.chars().count() <= 2000)),
    ])
}

fn opsgenie_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let creates = seen.path == "/v2/alerts";
    let is_known = creates || seen.path.starts_with("/v2/alerts/") && seen.path.ends_with("?identifierType=alias");
    unmet([
        ("a post of JSON", seen.method == "POST" && seen.header("content-type") == JSON),
        ("a known path", is_known),
        ("the key", seen.header("authorization") == "GenieKey hunter2"),
        ("a message", !creates || is_within(&body["message"], 130)),
        ("an alias", !creates || is_within(&body["alias"], 512)),
        ("details of texts", !creates || body["details"].as_object().is_some_and(|all| all.values().all(Value::is_string))),
        ("a source", is_within(&body["source"], 100)),
    ])
}

fn pushover_faults(seen: &Seen) -> Vec<String> {
    let form = seen.form();
    let field = |name: &str| Value::from(form.get(name).cloned().unwrap_or_default());
    let number = |name: &str| form.get(name).and_then(|text| text.parse::<i64>().ok());
    let is_emergency = form.get("priority").is_some_and(|priority| priority == "2");
    unmet([
        ("a post of a form", is_post(seen, "/1/messages.json", "application/x-www-form-urlencoded")),
        ("the token", field("token") == PUSHOVER_KEY && field("user") == PUSHOVER_KEY),
        ("a message", is_within(&field("message"), 1024)),
        ("a title of 250 characters at most", is_within(&field("title"), 250)),
        ("a link of 512 characters at most", is_within(&field("url"), 512)),
        ("a priority", number("priority").is_some_and(|priority| (-2..=2).contains(&priority))),
        ("retry and expire of an emergency", !is_emergency || number("retry") >= Some(30) && number("expire") <= Some(10_800)),
    ])
}

fn telegram_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    unmet([
        ("a post of JSON with the token", is_post(seen, "/bot1:hunter2/sendMessage", JSON)),
        ("a chat", body["chat_id"] == -100),
        ("a text", is_within(&body["text"], 4096)),
        ("a known mode", matches!(body["parse_mode"].as_str(), None | Some("HTML" | "Markdown" | "MarkdownV2"))),
    ])
}

fn ntfy_faults(seen: &Seen) -> Vec<String> {
    let body = seen.json();
    let bytes = |name: &str| body[name].as_str().map_or(0, str::len);
    unmet([
        ("a post of JSON to the server", is_post(seen, "/", JSON)),
        ("the token", seen.header("authorization") == "Bearer tk_hunter2"),
        ("a topic", body["topic"] == "shop-hunter2"),
        ("a message that does not become a file", (1..=4096).contains(&bytes("message"))),
        ("a priority as a number", body["priority"].as_u64().is_some_and(|priority| (1..=5).contains(&priority))),
        ("tags in a list", body["tags"].is_array()),
    ])
}

fn twilio_faults(seen: &Seen) -> Vec<String> {
    let form = seen.form();
    let is_number = |name: &str| form.get(name).is_some_and(|number| number.starts_with('+') && number.len() <= 16);
    unmet([
        ("a post of a form", is_post(seen, "/2010-04-01/Accounts/AC1/Messages.json", "application/x-www-form-urlencoded")),
        // AC1:hunter2
        ("the account and its token", seen.header("authorization") == "Basic QUMxOmh1bnRlcjI="),
        ("numbers", is_number("To") && is_number("From")),
        ("a body of 1600 characters at most", form.get("Body").is_some_and(|body| (1..=1600).contains(&body.chars().count()))),
    ])
}

fn sns_faults(seen: &Seen) -> Vec<String> {
    let form = seen.form();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    unmet([
        ("a post of a form", is_post(seen, "/", "application/x-www-form-urlencoded")),
        ("a call of Publish", field("Action") == "Publish" && field("Version") == "2010-03-31"),
        ("a topic", field("TopicArn") == "arn:aws:sns:eu-west-1:1:shop"),
        ("a message", (1..=256 << 10).contains(&field("Message").len())),
        ("a subject of ASCII", field("Subject").is_ascii() && field("Subject").len() < 100),
        (
            "a signature",
            signature(seen).is_some_and(|right| seen.header("authorization").ends_with(&format!("Signature={right}"))),
        ),
    ])
}

/// Returns the signature that a request must have.
///
/// Source: AWS, "Create a signed AWS API request".
fn signature(seen: &Seen) -> Option<String> {
    let claim = seen.header("authorization").strip_prefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")?;
    let (scope, rest) = claim.split_once(", SignedHeaders=")?;
    let (names, _) = rest.split_once(", Signature=")?;
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", seen.header(name).trim())).collect();
    let digest = |text: &str| hex(&Sha256::digest(text.as_bytes()));
    let canonical = format!("POST\n/\n\n{headers}\n{names}\n{}", digest(&seen.body));
    let told = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", seen.header("x-amz-date"), digest(&canonical));
    let key = format!("AWS4{SNS_KEY}").into_bytes();
    let key = scope.split('/').fold(key, |key, part| mac(&key, part.as_bytes()));
    (scope.ends_with("/eu-west-1/sns/aws4_request")).then(|| hex(&mac(&key, told.as_bytes())))
}

/// Returns the HMAC-SHA-256 of a text under a key of at most 64 bytes.
fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::digest([pad(0x36).as_slice(), text].concat());
    Sha256::digest([pad(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}
