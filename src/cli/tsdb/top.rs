//! `tocsin tsdb top`: who has the series, and who grows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use tocsin_core::store::{Cardinality, Store, StoreOptions};
use tocsin_core::template::escape_query;
use tocsin_core::time::Span;

use crate::cli::{Remote, each, table, text};
use crate::disk::Disk;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Metrics by their series.
    Metric,
    /// Labels by their values.
    Label,
    /// Labels with one value each, by their series.
    Value,
    Job,
    Target,
}

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// The largest.
    Size,
    /// What has most that is new within the last hour.
    New,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Top {
    #[arg(long, value_enum, default_value = "metric")]
    by: By,
    #[arg(long, value_enum, default_value = "size")]
    sort: Sort,
    /// Lines to print.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=500))]
    limit: u64,
    /// Take one metric apart: its labels, by the number of their values.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["by", "sort"])]
    metric: Option<String>,
    /// Look into a data folder that no service uses; what is new is not known there.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token_file"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    json: bool,
}

/// Returns the count of a folder in the form of the API, as far as it is known.
fn of_folder(data: &Path, top: &Top) -> anyhow::Result<Value> {
    anyhow::ensure!(data.join("metrics").is_dir(), "{} is no data folder: it holds no metrics/", data.display());
    let store = Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() });
    let opened = Disk::open(data, &store).context("cannot open the folder; ask a running service by --url")?;
    let answer = match &top.metric {
        Some(name) => {
            let anatomy = store.anatomy(name, 10);
            anyhow::ensure!(anatomy.series > 0, "there is no series of a metric {name:?}");
            let labels = anatomy.labels.iter().map(|label| {
                let values = label.top.iter().map(|(value, series)| json!({"value": value, "series": series}));
                json!({"name": label.name, "values": label.values, "top": values.collect::<Vec<_>>()})
            });
            json!({"name": name, "series": anatomy.series, "seen": anatomy.seen, "limit": null, "labels": labels.collect::<Vec<_>>()})
        }
        None => whole(&store.cardinality(top.limit as usize)),
    };
    drop(opened);
    Ok(answer)
}

fn whole(counted: &Cardinality) -> Value {
    let list = |rows: &[tocsin_core::store::CardinalityRow], name: &str| -> Vec<Value> {
        rows.iter().map(|row| json!({name: row.name, "series": row.series})).collect()
    };
    let pairs = counted.pairs.iter().map(|row| {
        let (name, value) = row.name.split_once('=').unwrap_or((&row.name, ""));
        json!({"name": name, "value": value, "series": row.series})
    });
    let labels = counted.labels.iter().map(|row| json!({"name": row.name, "values": row.values, "series": row.series}));
    let target = |row: &tocsin_core::store::TargetRow| json!({"job": row.job, "instance": row.instance, "series": row.series});
    json!({
        "series": counted.series,
        "metrics": list(&counted.metrics, "name"),
        "labels": labels.collect::<Vec<_>>(),
        "label_values": pairs.collect::<Vec<_>>(),
        "jobs": list(&counted.jobs, "job"),
        "targets": counted.targets.iter().map(target).collect::<Vec<_>>(),
    })
}

/// Asks and prints.
///
/// Errors: what the service or the disk says.
pub async fn run(top: Top) -> anyhow::Result<()> {
    let answer = match (&top.data, &top.metric) {
        (Some(data), _) => of_folder(data, &top)?,
        (None, Some(name)) => top.remote.get(&format!("/cardinality/metrics/{}", escape_query(name))).await?,
        (None, None) => top.remote.get(&format!("/cardinality?limit={}", top.limit)).await?,
    };
    let said = match &top.metric {
        _ if top.json => format!("{answer:#}\n"),
        Some(_) => metric(&answer),
        None => list(&answer, top.by, top.sort, top.limit as usize),
    };
    print!("{said}");
    Ok(())
}

/// Returns a count, or a dash where it is not known.
fn count(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), |count| count.to_string())
}

fn share(part: &Value, whole: &Value) -> String {
    match (part.as_f64(), whole.as_f64()) {
        (Some(part), Some(whole)) if whole > 0.0 => format!("{:.1} %", part / whole * 100.0),
        _ => "-".to_owned(),
    }
}

/// Returns one list of the API as a table, behind a line about the whole.
fn list(answer: &Value, by: By, sort: Sort, limit: usize) -> String {
    let (key, size, new) = match by {
        By::Metric => ("metrics", "series", "new_series"),
        By::Label => ("labels", "values", "new_values"),
        By::Value => ("label_values", "series", "new_series"),
        By::Job => ("jobs", "series", "new_series"),
        By::Target => ("targets", "series", "new_series"),
    };
    let mut rows: Vec<&Value> = each(&answer[key]).collect();
    let first = if sort == Sort::New { new } else { size };
    rows.sort_by_key(|row| std::cmp::Reverse((row[first].as_u64(), row[size].as_u64())));
    rows.truncate(limit);
    let all = &answer["series"];
    let cells = |names: [String; 2], row: &Value| {
        let [one, other] = names;
        [one, other, count(&row[size]), share(&row["series"], all), count(&row[new])]
    };
    let body = match by {
        By::Metric => {
            let row = |row: &&Value| {
                [
                    text(&row["name"]),
                    count(&row["series"]),
                    share(&row["series"], all),
                    count(&row["new_series"]),
                    count(&row["limit"]),
                ]
            };
            table(["METRIC", "SERIES", "SHARE", "NEW 1H", "LIMIT"], &rows.iter().map(row).collect::<Vec<_>>())
        }
        By::Label => {
            let row =
                |row: &&Value| [text(&row["name"]), count(&row["values"]), count(&row["new_values"]), count(&row["series"])];
            table(["LABEL", "VALUES", "NEW 1H", "SERIES"], &rows.iter().map(row).collect::<Vec<_>>())
        }
        By::Value => {
            let row = |row: &&Value| cells([text(&row["name"]), text(&row["value"])], row);
            table(["LABEL", "VALUE", "SERIES", "SHARE", "NEW 1H"], &rows.iter().map(row).collect::<Vec<_>>())
        }
        By::Job => {
            let row =
                |row: &&Value| [text(&row["job"]), count(&row["series"]), share(&row["series"], all), count(&row["new_series"])];
            table(["JOB", "SERIES", "SHARE", "NEW 1H"], &rows.iter().map(row).collect::<Vec<_>>())
        }
        By::Target => {
            let row = |row: &&Value| {
                let [job, instance, series, share, new] = cells([text(&row["job"]), text(&row["instance"])], row);
                [job, instance, series, share, new, count(&row["limit"]), count(&row["refused"])]
            };
            let head = ["JOB", "INSTANCE", "SERIES", "SHARE", "NEW 1H", "LIMIT", "REFUSED"];
            table(head, &rows.iter().map(row).collect::<Vec<_>>())
        }
    };
    format!("{}\n{body}", summary(answer))
}

/// Returns the whole in a line or two.
fn summary(answer: &Value) -> String {
    let mut said = format!("{} series", count(&answer["series"]));
    if let Some(limit) = answer["series_limit"].as_u64() {
        said += &format!(" of at most {limit}, {} new in the last hour", count(&answer["new_series"]));
    }
    let memory = &answer["memory"];
    if let Some(used) = memory["used_bytes"].as_u64() {
        let mib = |bytes: u64| bytes >> 20;
        said += &match memory["budget_bytes"].as_u64() {
            Some(budget) => format!("; memory {} of {} MiB", mib(used), mib(budget)),
            None => format!("; memory {} MiB", mib(used)),
        };
        match memory["level"].as_str() {
            Some("flush") => said += ": samples move to blocks early",
            Some("close") => said += ": NEW SERIES ARE REFUSED",
            Some("shed") => said += ": NEW SERIES AND QUERIES ARE REFUSED",
            _ => {}
        }
    }
    said.push('\n');
    for refused in each(&answer["refused"]).take(5) {
        said += &format!(
            "refused by the limit of the {}: {} samples of {} of job {}, the last at {}\n",
            text(&refused["limit"]),
            count(&refused["samples"]),
            text(&refused["metric"]),
            text(&refused["job"]),
            text(&refused["last_at"]),
        );
    }
    said
}

fn metric(answer: &Value) -> String {
    let mut said = format!("{}: {} series", text(&answer["name"]), count(&answer["series"]));
    if answer["seen"] != answer["series"] {
        said += &format!(", of which {} were looked at", count(&answer["seen"]));
    }
    let row = |label: &Value| {
        let top = each(&label["top"]).take(3).map(|top| format!("{} ({})", text(&top["value"]), count(&top["series"])));
        [text(&label["name"]), count(&label["values"]), top.collect::<Vec<_>>().join(", ")]
    };
    let rows: Vec<_> = each(&answer["labels"]).map(row).collect();
    format!("{said}\n\n{}", table(["LABEL", "VALUES", "MOST SERIES"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_as_asked() {
        let answer = json!({
            "series": 1000, "series_limit": 5000, "new_series": 600,
            "memory": {"budget_bytes": 2u64 << 30, "used_bytes": 1900u64 << 20, "level": "close"},
            "metrics": [
                {"name": "old", "series": 700, "new_series": 0, "limit": null},
                {"name": "bursts", "series": 300, "new_series": 300, "limit": 300},
            ],
            "refused": [{"limit": "metric", "samples": 7, "metric": "bursts", "job": "shop", "last_at": "now"}],
        });
        let head = "1000 series of at most 5000, 600 new in the last hour; memory 1900 of 2048 MiB: NEW SERIES ARE REFUSED\n\
                    refused by the limit of the metric: 7 samples of bursts of job shop, the last at now\n\n\
                    METRIC  SERIES  SHARE   NEW 1H  LIMIT\n";
        let (old, bursts) = ("old     700     70.0 %  0       -\n", "bursts  300     30.0 %  300     300\n");
        assert_eq!(list(&answer, By::Metric, Sort::Size, 9), format!("{head}{old}{bursts}"));
        assert_eq!(list(&answer, By::Metric, Sort::New, 1), format!("{head}{bursts}"));
        let one = json!({"name": "m", "series": 5, "seen": 5, "labels": [
            {"name": "path", "values": 4, "top": [{"value": "/", "series": 2}, {"value": "/a", "series": 1}]},
        ]});
        assert_eq!(metric(&one), "m: 5 series\n\nLABEL  VALUES  MOST SERIES\npath   4       / (2), /a (1)\n");
    }
}
