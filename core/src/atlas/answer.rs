//! What Atlas answers.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::{LabelSet, Series};
use crate::time::{Span, Timestamp};

use super::plan::PAGE_LEN;
use super::{Process, Subject, name};

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the answer with {what} cannot be read")]
    Malformed {
        what: &'static str,
        #[source]
        cause: serde_json::Error,
    },
    #[error("the measurement {name} has a point at {at:?}, which is no time")]
    Time { name: String, at: String },
}

fn read<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(body).map_err(|cause| AnswerError::Malformed { what, cause })
}

#[derive(Deserialize)]
struct List<T> {
    results: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProcessEntry {
    id: String,
    #[serde(default)]
    user_alias: Option<String>,
    #[serde(default)]
    replica_set_name: Option<String>,
    #[serde(default)]
    type_name: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartEntry {
    #[serde(alias = "databaseName")]
    partition_name: String,
}

/// Reads one page of a project's processes; the flag says whether there may be more.
pub fn processes(body: &[u8]) -> Result<(Vec<Process>, bool), AnswerError> {
    let list: List<ProcessEntry> = read("processes", body)?;
    let more = list.results.len() >= PAGE_LEN;
    let processes = list.results.into_iter().map(|entry| Process {
        id: entry.id,
        alias: entry.user_alias.unwrap_or_default(),
        replica_set: entry.replica_set_name.unwrap_or_default(),
        kind: entry.type_name.unwrap_or_default(),
        version: entry.version.unwrap_or_default(),
    });
    Ok((processes.collect(), more))
}

/// Reads one page of the names of a process's disks or databases; the flag says whether there may be more.
pub fn parts(body: &[u8]) -> Result<(Vec<String>, bool), AnswerError> {
    let list: List<PartEntry> = read("disks or databases", body)?;
    let more = list.results.len() >= PAGE_LEN;
    Ok((list.results.into_iter().map(|entry| entry.partition_name).collect(), more))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measurements {
    measurements: Vec<Measurement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measurement {
    name: String,
    #[serde(default)]
    units: Option<String>,
    #[serde(default)]
    data_points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    timestamp: String,
    value: Option<f64>,
}

/// Reads the measurements of a subject. Points without a value, which Atlas has not got yet or could not take, are left out.
///
/// Shape: each series in order of time, no instant twice.
pub fn series(body: &[u8], subject: &Subject, common: &LabelSet) -> Result<Vec<Series>, AnswerError> {
    let answer: Measurements = read("measurements", body)?;
    let mut all = Vec::with_capacity(answer.measurements.len());
    for measurement in answer.measurements {
        let (metric, factor) = name::metric(subject.level, &measurement.name, measurement.units.as_deref().unwrap_or_default());
        let mut floats = Vec::with_capacity(measurement.data_points.len());
        for point in measurement.data_points {
            let Some(value) = point.value else { continue };
            let Some(at) = Timestamp::parse_rfc3339(&point.timestamp) else {
                return Err(AnswerError::Time { name: measurement.name, at: point.timestamp.chars().take(40).collect() });
            };
            floats.push((at.0, value * factor));
        }
        floats.sort_by_key(|(at, _)| *at);
        floats.dedup_by_key(|(at, _)| *at);
        if !floats.is_empty() {
            all.push(Series { labels: name::series(subject, &metric, common), floats, ..Series::default() });
        }
    }
    Ok(all)
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<i64>,
}

/// Tokens live this long where the answer does not say.
const TOKEN_LIFE: i64 = 3600;

/// Reads the answer to a request for a token: the token, and how long it lives.
pub fn token(body: &[u8]) -> Result<(String, Span), AnswerError> {
    let token: Token = read("a token", body)?;
    Ok((token.access_token, Span::from_secs(token.expires_in.unwrap_or(TOKEN_LIFE).clamp(0, 24 * 3600))))
}

/// Returns when to get another token for one that was got at an instant: when a tenth of its life is left, at most five minutes.
pub fn renewal(got_at: Timestamp, life: Span) -> Timestamp {
    got_at + Span(life.0 - (life.0 / 10).min(300_000))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    #[serde(default, alias = "error_code")]
    error_code: String,
    #[serde(default, alias = "error_description")]
    detail: String,
}

/// Returns what a refusal says, in one line.
pub fn refusal(status: u16, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Refusal>(body).ok();
    let (code, detail) = said.map(|said| (said.error_code, said.detail)).unwrap_or_default();
    let detail: String = detail.lines().next().unwrap_or_default().chars().take(200).collect();
    let code: String = code.chars().take(80).collect();
    [format!("HTTP {status}"), code, detail].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}
