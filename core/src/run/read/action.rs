//! What a step does, as it is written: one reader for each kind.

use std::collections::BTreeMap;

use crate::model::labels::is_classic_label_name;
use crate::model::matcher::anchored;
use crate::run::action::{
    Action, Approvals, Arg, Compare, Condition, Exec, Expect, Header, Http, KINDS, Method, NoData, OnExpire, RestoreQuery,
    Signal, Slot, Tree, Urgency,
};
use crate::run::value::Type;
use crate::time::Span;
use crate::yaml::{Kind, Table, Value, nearest};

use super::refer::Refer;
use super::trigger::known;
use super::{name, refuse_absent, required_name, roles, span, word};

/// Kinds that experiments have.
const FAULTS: [&str; 10] = [
    "proc.stop",
    "proc.kill",
    "proc.pause",
    "net.proxy",
    "net.qdisc",
    "disk.fill",
    "cpu.burn",
    "mem.hog",
    "fd.exhaust",
    "clock.skew",
];

/// Kinds that this version does not have.
const ABSENT: [&str; 31] = [
    "k8s.get",
    "k8s.patch",
    "k8s.scale",
    "k8s.restart",
    "k8s.apply",
    "rollout.abort",
    "rollout.promote",
    "aws.call",
    "dns.failover",
    "asg.desired",
    "rds.promote",
    "rds.failover",
    "pg.status",
    "pg.rewind",
    "patroni.switchover",
    "mongo.stepdown",
    "redis.failover",
    "backup.freshness",
    "velero.restore_check",
    "engine.fis",
    "engine.chaosmesh",
    "engine.litmus",
    "engine.ssm",
    "import.chaostoolkit",
    "branch",
    "foreach",
    "parallel",
    "synthetic.run",
    "alert.state",
    "readiness.check",
    "annotate",
];

/// Returns whether a kind breaks something.
pub(super) fn is_fault(kind: &str) -> bool {
    FAULTS.contains(&kind)
}

const MAPS: usize = 16;
const POLL_MAX: Span = Span::from_secs(30);

/// Reads `kind` and `with` of a step, an undo or a check.
pub(super) fn read(table: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<Action> {
    let Some(value) = table.value("kind") else {
        table.error(format!("kind is missing; write one of {}", KINDS.join(", ")));
        table.know(&["with"]);
        return None;
    };
    let kind = value.text()?;
    let with = table.entry("with");
    if FAULTS.contains(&kind.as_str()) {
        value.error(format!("{kind} is a fault, and faults belong into an Experiment"));
        return None;
    }
    if ABSENT.contains(&kind.as_str()) {
        value.error(format!("steps of the kind {kind} are not there in this version, so the document is refused"));
        return None;
    }
    if !KINDS.contains(&kind.as_str()) {
        let near = nearest(&kind, &KINDS).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        value.error(format!("unknown kind {kind}{near}"));
        return None;
    }
    let Some(with) = with else {
        table.error(format!("with is missing; {kind} needs settings"));
        return None;
    };
    let mut with = with.table();
    let action = read_with(&kind, &mut with, refer);
    with.finish();
    action
}

fn read_with(kind: &str, with: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<Action> {
    match kind {
        "exec.argv" => read_exec(with, refer).map(Action::Exec),
        "http.request" => read_http(with, refer, true).map(Action::HttpRequest),
        "http.check" => read_http(with, refer, false).map(Action::HttpCheck),
        "metric.wait" => {
            let condition = read_condition(with, refer);
            let hold = with.span("hold").unwrap_or(Span::ZERO);
            let poll = span(with, "poll").unwrap_or(Span::from_secs(5));
            if !(Span::from_secs(1)..=POLL_MAX).contains(&poll) {
                with.error(format!("poll lies between 1s and {POLL_MAX}"));
            }
            Some(Action::MetricWait { condition: condition?, hold, poll })
        }
        "metric.check" => read_condition(with, refer).map(|condition| Action::MetricCheck { condition }),
        "wait" => match with.value("for") {
            Some(value) => refer.duration(&value).map(|length| Action::Wait { length }),
            None => {
                with.error("for is missing; write a duration such as 30s");
                None
            }
        },
        "page.send" => {
            let policy =
                with.value("policy").and_then(|value| known(&value, "policy", |one| refer.allowed.policies.contains(one)));
            let summary = with.value("summary").and_then(|value| refer.message(&value));
            if !with.has("policy") || summary.is_none() {
                with.error("policy and summary are needed");
            }
            let urgency = with.value("urgency").and_then(|value| {
                word(&value, &[Urgency::Critical, Urgency::Warning, Urgency::Info], |one| match one {
                    Urgency::Critical => "critical",
                    Urgency::Warning => "warning",
                    Urgency::Info => "info",
                })
            });
            Some(Action::Page { policy: policy?, summary: summary?, urgency: urgency.unwrap_or(Urgency::Critical) })
        }
        "human.task" => {
            let title = with.value("title").and_then(|value| refer.message(&value));
            if title.is_none() {
                with.error("title is missing");
            }
            let instructions = with.value("instructions").and_then(|value| refer.message(&value)).unwrap_or_default();
            let evidence = with.boolean("evidence").unwrap_or(false);
            let roles = roles(with, "roles");
            Some(Action::Human { title: title?, instructions, evidence, roles })
        }
        "approval" => Some(Action::Approval(read_approvals(with))),
        "sql.query" => read_sql(with, refer),
        "pg.promote" => {
            let source = database(with, refer);
            let wait = span(with, "wait").unwrap_or(Span::from_secs(30));
            Some(Action::PgPromote { source: source?, wait })
        }
        "pg.restore_check" => {
            let source = database(with, refer);
            let spell = |one| match one {
                RestoreQuery::RowCounts => "row_counts",
                RestoreQuery::ConstraintCheck => "constraint_check",
                RestoreQuery::CanaryMax => "canary_max",
            };
            let all = [RestoreQuery::RowCounts, RestoreQuery::ConstraintCheck, RestoreQuery::CanaryMax];
            let queries: Vec<RestoreQuery> = with.list("queries").iter().filter_map(|value| word(value, &all, spell)).collect();
            if queries.is_empty() {
                with.error("queries is missing; list what the restored copy is asked");
            }
            Some(Action::PgRestoreCheck { source: source?, queries })
        }
        "proc.signal" => {
            let process = with.value("process").and_then(|value| read_process(&value, refer));
            let signal = with.value("signal").and_then(|value| word(&value, &Signal::ALL, Signal::word));
            if !with.has("process") || !with.has("signal") {
                with.error("process and signal are needed");
            }
            Some(Action::ProcSignal { process: process?, signal: signal?, ttl: None })
        }
        _ => {
            let runbook = required_name(with, "runbook");
            let mut params = BTreeMap::new();
            for (key, value) in with.value("params").map(|value| value.entries()).unwrap_or_default() {
                if let Some(slot) = refer.slot(&value) {
                    params.insert(key.name.clone(), slot);
                }
            }
            Some(Action::Call { runbook, params })
        }
    }
}

fn read_process(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Slot> {
    if let Kind::Scalar { .. } = value.node.kind {
        return name(value).map(Slot::Text);
    }
    let slot = refer.slot(value)?;
    if !matches!(refer.type_of(&slot), Some(Type::Name { of: Some(of) }) if of == "process") {
        value.error("a process is named by a parameter of {type: name, of: process}");
        return None;
    }
    Some(slot)
}

fn database(with: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<String> {
    match with.value("source") {
        Some(value) => known(&value, "database", |one| refer.allowed.databases.contains(one)),
        None => {
            with.error("source is missing; name a database of the configuration");
            None
        }
    }
}

fn read_exec(with: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<Exec> {
    let program = with.value("program");
    let sha256 = with.text("sha256");
    let path = match &program {
        Some(value) if matches!(value.node.kind, Kind::Mapping(_)) => {
            value.error("a program is written out, never taken from a parameter");
            None
        }
        Some(value) => value.text(),
        None => {
            with.error("program is missing; write its absolute path");
            None
        }
    };
    if let (Some(value), Some(path)) = (&program, &path) {
        const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "csh", "fish", "busybox", "env"];
        let base = path.rsplit('/').next().unwrap_or_default();
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            value.error("write the absolute path of the program");
        } else if SHELLS.contains(&base) {
            value.error(format!("{base} runs texts as programs; name the program itself"));
        } else {
            match refer.allowed.programs.get(path) {
                None => value.error(format!("the configuration allows no program {path}")),
                Some(Some(pinned)) if sha256.as_ref().is_some_and(|own| own != pinned) => {
                    value.error("the configuration pins another content of this program");
                }
                Some(_) => {}
            }
        }
    }
    let args: Vec<Arg> = with.list("args").iter().filter_map(|value| read_arg(value, refer)).collect();
    let positional: Vec<Arg> = with.list("positional").iter().filter_map(|value| read_arg(value, refer)).collect();
    let double_dash = with.boolean("double_dash").unwrap_or(true);
    let mut env = BTreeMap::new();
    for (key, value) in with.value("env").map(|value| value.entries()).unwrap_or_default() {
        let free = is_classic_label_name(&key.name) && !key.name.starts_with("LD_") && key.name != "PATH";
        if !free {
            value.error(format!("{} cannot be set", key.name));
        }
        env.insert(key.name.clone(), value.text().unwrap_or_default());
    }
    let path = path?;
    let pinned = refer.allowed.programs.get(&path).cloned().flatten();
    Some(Exec { program: path, sha256: sha256.or(pinned), args, positional, double_dash, env })
}

fn read_arg(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Arg> {
    if value.node.get("value").is_none() {
        return refer.slot(value).map(|value| Arg { value, pattern: None, dash: false });
    }
    let mut table = value.table();
    let slot = table.value("value").and_then(|value| refer.slot(&value));
    let pattern = table.value("match").and_then(|value| {
        let text = value.text()?;
        anchored(&text).map_err(|bad| value.error(bad.to_string())).ok()?;
        Some(text)
    });
    let dash = table.boolean("dash").unwrap_or(false);
    table.finish();
    Some(Arg { value: slot?, pattern, dash })
}

fn read_http(with: &mut Table<'_, '_>, refer: &Refer<'_>, acts: bool) -> Option<Http> {
    let method = match acts {
        true => with.value("method").and_then(|value| word(&value, &Method::ALL, Method::word)).unwrap_or(Method::Post),
        false => Method::Get,
    };
    let url = match with.value("url") {
        Some(value) if matches!(value.node.kind, Kind::Mapping(_)) => {
            value.error("an address is written out, never taken from a parameter; values enter it under query");
            None
        }
        Some(value) => value.text().filter(|url| check_url(url, refer).map_err(|why| value.error(why)).is_ok()),
        None => {
            with.error("url is missing");
            None
        }
    };
    let mut query = BTreeMap::new();
    for (key, value) in with.value("query").map(|value| value.entries()).unwrap_or_default() {
        if let Some(slot) = refer.slot(&value) {
            query.insert(key.name.clone(), slot);
        }
    }
    let mut headers = BTreeMap::new();
    for (key, value) in with.value("headers").map(|value| value.entries()).unwrap_or_default() {
        if !is_header(&key.name) {
            value.error(format!("{:?} is no header that can be set", key.name));
        } else if let Some(header) = read_header(&value, refer) {
            headers.insert(key.name.to_ascii_lowercase(), header);
        }
    }
    let mut http =
        Http { method, url: String::new(), query, headers, body: None, key_header: None, status: Vec::new(), expect: Vec::new() };
    if acts {
        http.body = with.value("body").and_then(|value| read_tree(&value, refer, 0));
        http.key_header = with.value("key_header").and_then(|value| {
            let text = value.text()?;
            if !is_header(&text) {
                value.error(format!("{text:?} is no header that can be set"));
            }
            Some(text.to_ascii_lowercase())
        });
    }
    for value in with.list("status") {
        match value.integer().and_then(|status| u16::try_from(status).ok()).filter(|status| (100..600).contains(status)) {
            Some(status) => http.status.push(status),
            None => value.error("write a status such as 204"),
        }
    }
    http.expect = read_expects(with, refer);
    http.url = url?;
    Some(http)
}

fn is_header(name: &str) -> bool {
    let token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    token && !["host", "content-length", "transfer-encoding", "connection"].contains(&name.to_ascii_lowercase().as_str())
}

fn read_header(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Header> {
    let Kind::Mapping(_) = value.node.kind else {
        let text = value.text()?;
        if text.chars().any(char::is_control) {
            value.error("a header holds no control characters");
        }
        return Some(Header::Literal(text));
    };
    let mut table = value.table();
    let secret = table.value("secret");
    if secret.is_none() {
        table.error("a header is written out, or {secret: name}");
    }
    table.finish();
    let secret = secret?;
    let text = secret.text()?;
    if !refer.allowed.secrets.contains(&text) {
        secret.error(format!("there is no secret {text:?}"));
    }
    Some(Header::Secret(text))
}

/// Returns why a request may not go to an address.
fn check_url(url: &str, refer: &Refer<'_>) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or("write an address that begins with https:// or http://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if url.chars().any(|c| c.is_control() || c == ' ' || c == '\\') {
        return Err("an address holds no spaces, backslashes or control characters".to_owned());
    }
    if authority.contains('@') {
        return Err("an address holds no user; send a secret in a header".to_owned());
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let local = host.starts_with("169.254.") || host.starts_with("fe80:") || host.starts_with("fd00:ec2:");
    if local || host.starts_with("metadata.") || host == "metadata" || host.starts_with("::ffff:") {
        return Err(format!("{host} is a link-local or metadata address, which requests never go to"));
    }
    let allowed = |one: &String| one.eq_ignore_ascii_case(&authority) || one.eq_ignore_ascii_case(host);
    if host.is_empty() || !refer.allowed.hosts.iter().any(allowed) {
        return Err(format!("the configuration allows no requests to {authority:?}"));
    }
    Ok(())
}

fn read_tree(value: &Value<'_, '_>, refer: &Refer<'_>, depth: usize) -> Option<Tree> {
    if depth > MAPS {
        value.error(format!("the body is more than {MAPS} deep"));
        return None;
    }
    let is_reference = |entries: &[(crate::yaml::Key, crate::yaml::Node)]| matches!(entries, [(key, _)] if ["param", "saved", "label"].contains(&key.name.as_str()));
    Some(match &value.node.kind {
        Kind::Null => Tree::Null,
        Kind::Mapping(entries) if !is_reference(entries) => {
            let read =
                |(key, value): (&crate::yaml::Key, Value<'_, '_>)| Some((key.name.clone(), read_tree(&value, refer, depth + 1)?));
            Tree::Map(value.entries().into_iter().filter_map(read).collect())
        }
        Kind::Sequence(_) => Tree::List(value.list().iter().filter_map(|item| read_tree(item, refer, depth + 1)).collect()),
        Kind::Mapping(_) | Kind::Scalar { .. } => Tree::Leaf(refer.slot(value)?),
    })
}

fn read_expects(with: &mut Table<'_, '_>, refer: &Refer<'_>) -> Vec<Expect> {
    with.list("expect").iter().filter_map(|value| read_expect(value, refer)).collect()
}

pub(super) fn read_expect(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Expect> {
    let mut table = value.table();
    let path = table.value("path").and_then(|value| pointer(&value));
    let op = table.value("op").map_or(Some(Compare::Equal), |value| word(&value, &Compare::ALL, Compare::sign));
    let slot = table.value("value").and_then(|value| refer.slot(&value));
    if !table.has("path") || !table.has("value") {
        table.error("path and value are needed");
    }
    table.finish();
    Some(Expect { path: path?, op: op?, value: slot? })
}

/// Reads a JSON pointer.
pub(super) fn pointer(value: &Value<'_, '_>) -> Option<String> {
    let text = value.text()?;
    if !text.is_empty() && !text.starts_with('/') {
        value.error("write a JSON pointer, such as /spec/replicas");
        return None;
    }
    Some(text)
}

pub(super) fn read_condition(table: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<Condition> {
    let expr = match table.value("expr") {
        Some(value) => refer.expression(&value),
        None => {
            table.error("expr is missing");
            None
        }
    };
    let mut matching = BTreeMap::new();
    for (key, value) in table.value("match").map(|value| value.entries()).unwrap_or_default() {
        if !is_classic_label_name(&key.name) {
            value.error(format!("{:?} is no name of a label", key.name));
        } else if let Some(slot) = refer.slot(&value) {
            matching.insert(key.name.clone(), slot);
        }
    }
    let op = table.value("op").and_then(|value| word(&value, &Compare::ALL, Compare::sign));
    let bound = table.value("value").and_then(|value| refer.number(&value));
    if !table.has("op") || !table.has("value") {
        table.error("op and value are needed, such as op: '<' and value: 0.05");
    }
    let no_data = read_no_data(table);
    Some(Condition { expr: expr?, matching, op: op?, value: bound?, no_data })
}

/// Returns the condition that users get through on a journey.
pub(super) fn journey_succeeds(journey: &str) -> Condition {
    let expr = format!("min(tocsin_journey_success{{journey=\"{journey}\"}})");
    Condition { expr, matching: BTreeMap::new(), op: Compare::Equal, value: Slot::Int(1), no_data: NoData::Fail }
}

pub(super) fn read_no_data(table: &mut Table<'_, '_>) -> NoData {
    let read = |value: Value<'_, '_>| {
        word(&value, &[NoData::Fail, NoData::Allow], |one| match one {
            NoData::Fail => "fail",
            NoData::Allow => "allow",
        })
    };
    table.value("no_data").and_then(read).unwrap_or_default()
}

fn read_sql(with: &mut Table<'_, '_>, refer: &Refer<'_>) -> Option<Action> {
    let source = database(with, refer);
    let query = match with.value("query") {
        Some(value) if matches!(value.node.kind, Kind::Mapping(_)) => {
            value.error("a statement is written out; values enter it under bind, as $1, $2 and so on");
            None
        }
        Some(value) => value.text().filter(|text| {
            let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            let reads = ["select", "with", "show", "values"].contains(&first.as_str());
            if !reads || text.contains(';') {
                value
                    .error("write one statement that reads: it begins with select, with, show or values, and holds no semicolon");
            }
            reads
        }),
        None => {
            with.error("query is missing");
            None
        }
    };
    let bind: Vec<Slot> = with.list("bind").iter().filter_map(|value| refer.slot(value)).collect();
    let expect = read_expects(with, refer);
    Some(Action::Sql { source: source?, query: query?, bind, expect })
}

pub(super) fn read_approvals(table: &mut Table<'_, '_>) -> Approvals {
    refuse_absent(table);
    let count = match table.value("count") {
        Some(value) => match value.unsigned().filter(|count| (1..=10).contains(count)) {
            Some(count) => count as usize,
            None => {
                value.error("write how many people must approve, 1 to 10");
                1
            }
        },
        None => 1,
    };
    let roles = roles(table, "roles");
    let not_starter = match table.value("not_starter") {
        Some(value) => {
            if value.boolean() == Some(false) {
                value.error("whoever starts a run never approves it; remove this line");
            }
            true
        }
        None => true,
    };
    let expires = span(table, "expires").unwrap_or(Span::from_mins(10));
    let on_expire = table.value("on_expire").and_then(|value| {
        word(&value, &[OnExpire::Refuse, OnExpire::Escalate], |one| match one {
            OnExpire::Refuse => "refuse",
            OnExpire::Escalate => "escalate",
        })
    });
    Approvals { count, roles, not_starter, expires, on_expire: on_expire.unwrap_or(OnExpire::Escalate) }
}
