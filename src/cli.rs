//! What the command line asks of a running service and of files, and how it prints the answers.

pub mod backtest;
pub mod lint;
pub mod run;
pub mod runbook;
pub mod slo;
pub mod test;
pub mod tsdb;
pub mod why;

use std::path::PathBuf;

use anyhow::{Context, bail};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tocsin_core::promql::parse::Syntax;

use crate::client;

/// Where the service is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub struct Remote {
    /// Address of the service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9190")]
    pub url: String,
    /// A file with an API token, for a service that asks who you are.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Remote {
    /// Returns a client, and the token to send.
    pub fn client(&self) -> anyhow::Result<(reqwest::Client, Option<String>)> {
        let http = reqwest::Client::builder().user_agent(client::USER_AGENT).build().context("cannot make an HTTP client")?;
        let token = match &self.token_file {
            Some(file) => {
                let token = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Some(token.trim().to_owned())
            }
            None => None,
        };
        Ok((http, token))
    }

    /// Returns the address of a path of the service.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// Gets JSON from our own API.
    ///
    /// Errors: what the service says, in its words.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        json(self.send(Method::GET, path, None).await?).await
    }

    /// Posts JSON to our own API, and returns what it answers.
    ///
    /// Errors: what the service says, in its words.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Gets a text from our own API.
    ///
    /// Errors: what the service says, in its words.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.send(Method::GET, path, None).await?;
        if !answer.status().is_success() {
            bail!("{}", refusal(answer.status(), &answer.json().await.unwrap_or_default()));
        }
        answer.text().await.context("the answer broke off")
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let (http, token) = self.client()?;
        let mut request = http.request(method, self.address(&format!("/api/tocsin/v1{path}")));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.with_context(|| format!("{} does not answer", self.url))
    }
}

/// A part of PromQL that Prometheus opens by a flag, under the flag's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Feature {
    #[value(name = "promql-experimental-functions")]
    ExperimentalFunctions,
    #[value(name = "promql-duration-expr")]
    DurationExpr,
    #[value(name = "promql-extended-range-selectors")]
    ExtendedRangeSelectors,
    #[value(name = "promql-binop-fill-modifiers")]
    FillModifiers,
    #[value(name = "promql-delayed-name-removal")]
    DelayedNameRemoval,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Features {
    /// Open a part of PromQL. Repeatable, or with commas between.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_enum)]
    enable_feature: Vec<Feature>,
}

impl Features {
    fn has(&self, feature: Feature) -> bool {
        self.enable_feature.contains(&feature)
    }

    fn syntax(&self) -> Syntax {
        Syntax {
            experimental_functions: self.has(Feature::ExperimentalFunctions),
            duration_expressions: self.has(Feature::DurationExpr),
            extended_range_selectors: self.has(Feature::ExtendedRangeSelectors),
            fill_modifiers: self.has(Feature::FillModifiers),
        }
    }

    fn delay_name_removal(&self) -> bool {
        self.has(Feature::DelayedNameRemoval)
    }
}

/// A question whose answer people or programs read.
#[derive(Clone, Debug, clap::Args)]
pub struct Asked {
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

impl Asked {
    /// Asks our own API and prints the answer, in `words` or as it is.
    ///
    /// Errors: what the service says, in its words.
    pub async fn print(&self, path: &str, words: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let answer = self.remote.get(path).await?;
        print!("{}", if self.json { format!("{answer:#}\n") } else { words(&answer) });
        Ok(())
    }
}

async fn json(answer: Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body: Value = answer.json().await.with_context(|| format!("the answer is no JSON (HTTP {status})"))?;
    if !status.is_success() {
        bail!("{}", refusal(status, &body));
    }
    Ok(body)
}

fn refusal(status: StatusCode, body: &Value) -> String {
    format!("{} (HTTP {status})", body["detail"].as_str().unwrap_or("no reason was given"))
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// Returns rows as a table whose columns are aligned.
pub fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |cells: [&str; COLUMNS]| {
        let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut text = line(head);
    text.extend(rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str()))));
    text
}
