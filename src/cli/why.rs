//! `tocsin why`: why somebody was told of an alert, or nobody.

use anyhow::{Context, bail};
use serde_json::Value;
use tocsin_core::template::escape_query;
use tocsin_core::time::{Span, Timestamp};

use super::{Asked, each, text};
use crate::clock;

const DAY: Span = Span::from_mins(24 * 60);
/// The columns before the text of a line of the timeline.
const MARGIN: &str = "                      ";

#[derive(Clone, Debug, clap::Args)]
pub struct Why {
    /// The alert: its name, its fingerprint, or matchers, such as 'CheckoutErrors{service="checkout"}'.
    alert: String,
    /// The instant that is asked about: RFC 3339, seconds since the epoch, a time of day in UTC such as 03:12, or a span back such as
    /// 2h. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Where the timeline begins, as `--at`. Default: a day before the instant, and with the alert where it is older.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Where the timeline ends, as `--at`. Default: an hour after the instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Asks and prints.
pub async fn run(why: Why) -> anyhow::Result<()> {
    let now = clock::now();
    let mut path = format!("/why?alert={}", escape_query(&why.alert));
    for (name, given) in [("at", &why.at), ("from", &why.from), ("to", &why.to)] {
        if let Some(text) = given {
            let at = instant(text, now).with_context(|| format!("--{name} {text:?} cannot be read"))?;
            path.push_str(&format!("&{name}={}", escape_query(&at.rfc3339())));
        }
    }
    why.asked.print(&path, words).await
}

/// Reads an instant as people write it.
fn instant(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        return Ok(at);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Timestamp((seconds * 1000.0) as i64));
    }
    if text.contains(':') {
        let seconds = if text.matches(':').count() == 1 { ":00" } else { "" };
        let day = now.rfc3339().split('T').next().unwrap_or_default().to_owned();
        let Some(today) = Timestamp::parse_rfc3339(&format!("{day}T{text}{seconds}Z")) else {
            bail!("write a time of day as 03:12 or 03:12:30, in UTC");
        };
        // Who asks at one in the morning of 23:50 means the evening before.
        return Ok(if today > now { Timestamp(today.0 - DAY.0) } else { today });
    }
    match Span::parse(text.trim_start_matches('-')) {
        Ok(back) => Ok(Timestamp(now.0 - back.0)),
        Err(_) => bail!("write RFC 3339, seconds since the epoch, a time of day such as 03:12, or a span back such as 2h"),
    }
}

/// Splits RFC 3339 into the day and the time of day.
fn day_and_time(at: &Value) -> (String, String) {
    let at = text(at);
    let (day, time) = at.split_once('T').unwrap_or((&at, ""));
    (day.to_owned(), time.split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned())
}

fn labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten().filter(|(name, _)| *name != "alertname");
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", labels["alertname"].as_str().unwrap_or_default(), pairs.join(", "))
}

fn words(answer: &Value) -> String {
    let (day, time) = day_and_time(&answer["at"]);
    let mut out = String::new();
    for alert in each(&answer["alerts"]) {
        out.push_str(&format!(
            "{}  {}\nAt {day} {time} (all times are UTC):\n",
            labels(&alert["labels"]),
            text(&alert["fingerprint"])
        ));
        for verdict in each(&alert["verdicts"]) {
            out.push_str(&verdict_words(verdict));
        }
        out.push_str(&timeline(alert));
        out.push('\n');
    }
    if answer["more"].as_u64().unwrap_or(0) > 0 {
        out.push_str(&format!("{} more alerts are meant; add labels to tell them apart.\n\n", answer["more"]));
    }
    if each(&answer["alerts"]).next().is_none() {
        out.push_str(&format!("No such alert was pending or fired around {day} {time} (UTC).\n"));
        if each(&answer["way"]).next().is_some() {
            out.push_str("An alert with these labels would have gone this way:\n");
            each(&answer["way"]).for_each(|step| out.push_str(&format!("  {}\n", text(step))));
        }
        out.push('\n');
    }
    for rule in each(&answer["rules"]) {
        out.push_str(&rule_words(rule, &time));
    }
    if each(&answer["alerts"]).next().is_none() && each(&answer["rules"]).next().is_none() {
        out.push_str("There is no alerting rule of this name.\n");
    }
    out
}

fn verdict_words(verdict: &Value) -> String {
    let who = verdict["receiver"].as_str().unwrap_or("nobody");
    let told = if verdict["told"] == true { "was told" } else { "was not told" };
    let told = if verdict["receiver"].is_null() { "was told" } else { told };
    let mut out = format!("  {who} {told} ({}): {}\n", text(&verdict["stage"]), text(&verdict["why"]));
    if let Some(otherwise) = verdict["otherwise"].as_str() {
        out.push_str(&format!("    otherwise: {otherwise}\n"));
    }
    out
}

fn timeline(alert: &Value) -> String {
    let mut out = String::from("Timeline:\n");
    let mut last_day = String::new();
    for line in each(&alert["timeline"]) {
        let (day, time) = day_and_time(&line["at"]);
        if day != last_day {
            out.push_str(&format!("  {day}\n"));
            last_day = day.clone();
        }
        let times = line["times"].as_u64().unwrap_or(1);
        let again = if times > 1 {
            let (until_day, until) = day_and_time(&line["until"]);
            let until = if until_day == day { until } else { format!("{until_day} {until}") };
            format!(" ({times} times until {until})")
        } else {
            String::new()
        };
        out.push_str(&format!("  {time}  {:<10}{}{again}\n", text(&line["stage"]), text(&line["text"])));
        each(&line["more"]).for_each(|more| out.push_str(&format!("{MARGIN}{}\n", text(more))));
    }
    out
}

fn rule_words(rule: &Value, time: &str) -> String {
    let mut out = format!(
        "The rule {} of {}/{} as it is now: {}\n",
        text(&rule["name"]),
        text(&rule["file"]),
        text(&rule["group"]),
        text(&rule["expr"])
    );
    if let Some(error) = rule["error"].as_str() {
        out.push_str(&format!("  its last evaluation failed: {error}\n"));
    }
    if let Some(fault) = rule["fault"].as_str() {
        out.push_str(&format!("  its condition cannot be looked at: {fault}\n"));
    }
    for margin in each(&rule["margins"]) {
        let (series, holds) = (&margin["series"], &margin["holds"]);
        out.push_str(&format!("  {}: at {time} it held for {holds} of {series} series\n", text(&margin["comparison"])));
        for reading in each(&margin["left"]) {
            out.push_str(&format!("    {} was {}\n", labels(&reading["labels"]), text(&reading["value"])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let now = at("2026-11-22T01:00:00Z");
        let read = |text: &str| instant(text, now).unwrap();
        assert_eq!(read("2026-11-20T10:00:00+01:00"), at("2026-11-20T09:00:00Z"));
        assert_eq!(read("00:30"), at("2026-11-22T00:30:00Z"));
        assert_eq!(read("23:50:10"), at("2026-11-21T23:50:10Z"));
        assert_eq!(read("2h"), at("2026-11-21T23:00:00Z"));
        assert_eq!(read("-90m"), at("2026-11-21T23:30:00Z"));
        assert_eq!(read("1000.5"), Timestamp(1_000_500));
        for bad in ["", "soon", "25:00", "3:99"] {
            assert!(instant(bad, now).is_err(), "{bad:?}");
        }
    }
}
