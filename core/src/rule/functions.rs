//! The functions that Prometheus gives to the templates of rules.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{LabelSet, Value as SampleValue};
use crate::template::humanize::{self, number};
use crate::template::time::GoDuration;
use crate::template::{Functions, Include, Object, Param, Record, Safe, Signature, Value, escape_query};
use crate::time::{Span, Timestamp};

/// Evaluates the text of a query at the instant of the rule.
pub type Query<'a> = dyn Fn(&str) -> Result<Vec<(LabelSet, SampleValue)>, String> + 'a;

/// The functions with what they know of the world.
pub struct RuleFunctions<'a> {
    pub query: &'a Query<'a>,
    /// The address of our own pages.
    pub external_url: &'a str,
    pub now: Timestamp,
    /// Whether `tmpl` is there, which only pages have.
    pub html: bool,
}

impl RuleFunctions<'_> {
    /// Returns functions that answer every query with nothing; to read templates with.
    pub fn without_data() -> RuleFunctions<'static> {
        RuleFunctions { query: &|_| Ok(Vec::new()), external_url: "", now: Timestamp(0), html: false }
    }
}

const SAMPLE: &str = "*template.sample";
const RESULT: &str = "template.queryResult";

/// One element of a query's answer.
#[derive(Clone, Debug)]
struct QuerySample {
    labels: LabelSet,
    value: Value,
}

/// Returns an element of a vector as templates see it: fields `Labels` and `Value`.
pub fn sample(labels: LabelSet, value: &SampleValue) -> Value {
    Value::Object(Arc::new(QuerySample { labels, value: sample_value(value) }))
}

/// Returns a sample's value as templates see it: a float, or a histogram as text.
pub fn sample_value(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(value) => Value::Float(*value),
        SampleValue::Histogram(histogram) => histogram.to_string().into(),
    }
}

impl Object for QuerySample {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        SAMPLE
    }

    fn text(&self) -> String {
        format!("&{{{} {}}}", Value::text_map(self.labels.iter()), self.value)
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::text_map(self.labels.iter())),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }
}

/// The answer to a query.
struct QueryResult(Arc<[Value]>);

fn query_result(samples: Vec<Value>) -> Value {
    Value::Object(Arc::new(QueryResult(samples.into())))
}

impl Object for QueryResult {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        RESULT
    }

    fn text(&self) -> String {
        self.underlying().to_string()
    }

    fn underlying(&self) -> Value {
        Value::List(self.0.clone())
    }
}

/// Returns the label and the value of an element; anything with fields `Labels` and `Value` is one.
fn element(value: &Value) -> Option<(Value, Value)> {
    match value {
        Value::Object(object) => Some((object.field("Labels")?, object.field("Value")?)),
        Value::Map(map) => {
            let get = |name| map.entries.get(name).cloned();
            Some((get("Labels").unwrap_or(Value::Nil), get("Value")?))
        }
        _ => None,
    }
}

fn label(value: &Value, name: &str) -> Result<Value, String> {
    let (labels, _) = element(value).ok_or_else(|| format!("expected a sample, got {}", value.type_name()))?;
    match labels {
        Value::Map(map) => Ok(map.entries.get(name).cloned().unwrap_or_else(|| "".into())),
        _ => Ok("".into()),
    }
}

impl Functions for RuleFunctions<'_> {
    fn signature(&self, name: &str) -> Option<Signature> {
        Some(match name {
            "query" | "title" | "toUpper" | "toLower" | "graphLink" | "tableLink" | "stripPort" | "stripDomain" | "safeHtml"
            | "parseDuration" | "urlQueryEscape" => Signature::new(&[Param::Text]),
            "first" => Signature::new(&[Param::Named(RESULT)]),
            "label" => Signature::new(&[Param::Text, Param::Any]),
            "sortByLabel" => Signature::new(&[Param::Text, Param::Named(RESULT)]),
            "value" | "strvalue" | "humanize" | "humanize1024" | "humanizeDuration" | "humanizePercentage"
            | "humanizeTimestamp" | "toTime" | "toDuration" => Signature::new(&[Param::Any]),
            "args" => Signature::repeating(&[Param::Any]),
            "reReplaceAll" => Signature::new(&[Param::Text, Param::Text, Param::Text]),
            "match" => Signature::new(&[Param::Text, Param::Text]),
            "now" | "pathPrefix" | "externalURL" => Signature::new(&[]),
            "tmpl" if self.html => Signature::new(&[Param::Text, Param::Any]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value], include: &mut Include<'_>) -> Result<Value, String> {
        let text = |index: usize| args[index].as_text().unwrap_or_default();
        let humanized = |form: fn(f64) -> String| number(&args[0]).map(|value| Value::from(form(value)));
        match name {
            "query" => {
                let samples = (self.query)(text(0))?;
                Ok(query_result(samples.into_iter().map(|(labels, value)| sample(labels, &value)).collect()))
            }
            "first" => match args[0].plain() {
                Value::List(list) if !list.is_empty() => Ok(list[0].clone()),
                _ => Err("first() called on vector with no elements".into()),
            },
            "label" => label(&args[1], text(0)),
            "value" => element(&args[0]).map(|(_, value)| value).ok_or_else(|| "value of no sample".into()),
            "strvalue" => label(&args[0], "__value__"),
            "sortByLabel" => sort_by_label(&args[1], text(0)),
            "args" => {
                let named = args.iter().enumerate().map(|(index, value)| (format!("arg{index}"), value.clone()));
                Ok(Value::map(named.collect()))
            }
            "reReplaceAll" => humanize::replace_all(text(0), text(1), text(2)).map(Value::from),
            "match" => humanize::matches(text(0), text(1)).map(Value::from),
            "safeHtml" => Ok(Value::Safe(Safe::Html, text(0).into())),
            "title" => Ok(title(text(0)).into()),
            "toUpper" => Ok(text(0).to_uppercase().into()),
            "toLower" => Ok(text(0).to_lowercase().into()),
            "graphLink" => Ok(link(text(0), 0).into()),
            "tableLink" => Ok(table_link(text(0)).into()),
            "urlQueryEscape" => Ok(escape_query(text(0)).into()),
            "stripPort" => Ok(split_host_port(text(0)).map_or(text(0), |(host, _)| host).into()),
            "stripDomain" => Ok(strip_domain(text(0)).into()),
            "humanize" => humanized(humanize::humanize),
            "humanize1024" => humanized(humanize::humanize1024),
            "humanizeDuration" => humanized(humanize::humanize_duration),
            "humanizePercentage" => humanized(humanize::humanize_percentage),
            "humanizeTimestamp" => {
                let value = number(&args[0])?;
                if !value.is_finite() {
                    return Ok(Value::Float(value).to_string().into());
                }
                humanize::to_time(value).map(|time| time.text().into())
            }
            "toTime" => humanize::to_time(number(&args[0])?).map(|time| time.value()),
            "toDuration" => to_duration(number(&args[0])?),
            "parseDuration" => parse_duration(text(0)).map(Value::from),
            "now" => Ok(Value::Float(self.now.seconds())),
            "pathPrefix" => Ok(path_of(self.external_url).into()),
            "externalURL" => Ok(self.external_url.into()),
            "tmpl" => include(text(0), &args[1]).map(|html| Value::Safe(Safe::Html, html.into())),
            _ => Err(format!("function {name:?} not defined")),
        }
    }
}

fn sort_by_label(list: &Value, name: &str) -> Result<Value, String> {
    let Value::List(list) = list.plain() else { return Err("sortByLabel of no list".into()) };
    let mut keyed = Vec::with_capacity(list.len());
    for value in list.iter() {
        keyed.push((label(value, name)?.to_string(), value.clone()));
    }
    keyed.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(query_result(keyed.into_iter().map(|(_, value)| value).collect()))
}

fn to_duration(seconds: f64) -> Result<Value, String> {
    let nanos = seconds * 1e9;
    if !nanos.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds duration since it overflows int64",
            Value::Float(seconds)
        ));
    }
    Ok(GoDuration(nanos as i64).value())
}

/// Returns the seconds of a duration such as `1h2m`, which may be negative.
fn parse_duration(text: &str) -> Result<f64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match Span::parse(rest) {
        Ok(span) => Ok(sign * span.seconds()),
        Err(_) if text.is_empty() => Err("empty duration string".into()),
        Err(_) => Err(format!("not a valid duration string: {text:?}")),
    }
}

/// Writes the first letter of each word large; the others stay as they are.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric() || c == '_' || !c.is_ascii() && !c.is_whitespace() || c == '\'' && inside;
    }
    out
}

/// Returns the path of a page that shows an expression as a table.
pub fn table_link(expression: &str) -> String {
    link(expression, 1)
}

fn link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape_query(expression))
}

fn path_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind.find('/').map_or("", |start| &behind[start..]);
    path.split(['?', '#']).next().unwrap_or_default()
}

/// Takes `host:port` apart; an address of IP version 6 stands in brackets. `None` when there is no port or the text is malformed.
///
/// Source: Go `net.SplitHostPort`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let end = inner.find(']')?;
            if end + 2 != colon {
                return None;
            }
            (&inner[..end], &text[colon..])
        }
        None => {
            let host = &text[..colon];
            if host.contains(':') {
                return None;
            }
            (host, &text[colon..])
        }
    };
    (!host.contains(['[', ']']) && !rest.contains(['[', ']'])).then(|| (host, &text[colon + 1..]))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    match (port, name.contains(':')) {
        ("", _) => name.to_owned(),
        (port, true) => format!("[{name}]:{port}"),
        (port, false) => format!("{name}:{port}"),
    }
}

/// Returns the data of an alert's template.
pub fn alert_data(labels: &LabelSet, external_labels: &LabelSet, external_url: &str, value: &SampleValue) -> Value {
    Record::value(
        "template.AlertTemplateData",
        [
            ("Labels", "Labels", Value::text_map(labels.iter())),
            ("ExternalLabels", "ExternalLabels", Value::text_map(external_labels.iter())),
            ("ExternalURL", "ExternalURL", external_url.into()),
            ("Value", "Value", sample_value(value)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Options, TemplateSet};

    fn run(text: &str) -> Result<String, String> {
        let answer = |query: &str| match query {
            "up" => Ok(vec![
                (LabelSet::from_pairs([("instance", "b")]), SampleValue::Float(1.0)),
                (LabelSet::from_pairs([("instance", "a")]), SampleValue::Float(0.5)),
            ]),
            "none" => Ok(Vec::new()),
            _ => Err("no such query".to_owned()),
        };
        let functions =
            RuleFunctions { query: &answer, external_url: "http://host:9090/path", now: Timestamp(1_500), html: false };
        let mut set = TemplateSet::new();
        set.add("t", text, &functions).map_err(|error| error.to_string())?;
        set.execute("t", &Value::Nil, &functions, &Options::default()).map_err(|error| error.to_string())
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn queries_answer_with_samples() {
        check("{{ with query \"up\" }}{{ . | first | value }} {{ . | first | label \"instance\" }}{{ end }}", "1 b");
        check("{{ range query \"up\" | sortByLabel \"instance\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}", "a=0.5 b=1 ");
        check("{{ if query \"none\" }}some{{ else }}none{{ end }}", "none");
        assert!(run("{{ query \"none\" | first }}").unwrap_err().ends_with("first() called on vector with no elements"));
        assert_eq!(
            run("{{ (query \"none\").banana }}").unwrap_err(),
            "template: t:1:10: executing \"t\" at <\"none\">: can't evaluate field banana in type template.queryResult"
        );
        assert!(run("{{ query \"bad\" }}").unwrap_err().ends_with("error calling query: no such query"));
    }

    #[test]
    fn texts_and_addresses() {
        check("{{ \"db.example.com:80\" | stripPort }} {{ \"db.example.com:80\" | stripDomain }}", "db.example.com db:80");
        check("{{ \"[::1]:80\" | stripPort }} {{ \"10.0.0.1:80\" | stripDomain }}", "::1 10.0.0.1:80");
        check("{{ graphLink \"up > 1\" }}", "/graph?g0.expr=up+%3E+1&g0.tab=0");
        check("{{ pathPrefix }} {{ externalURL }} {{ now }}", "/path http://host:9090/path 1.5");
        check("{{ title \"it's a web-server\" }}", "It's A Web-Server");
        check("{{ parseDuration \"-1m30s\" }} {{ (toDuration \"90\").String }} {{ (toTime 0).Year }}", "-90 1m30s 1970");
        check("{{ with args 1 \"b\" }}{{ .arg0 }}{{ .arg1 }}{{ end }}", "1b");
    }
}
