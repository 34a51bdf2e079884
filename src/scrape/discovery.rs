//! Where lists of targets come from: files and HTTP endpoints. Both carry the same JSON; files may be YAML too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use serde::Deserialize;
use tocsin_core::config::{pattern_matches, without_password};
use tocsin_core::model::LabelSet;
use tocsin_core::scrape::job::{HttpDiscovery, TargetGroup};
use tocsin_core::yaml;

use crate::client::{self, ClientError};

/// A list of targets is at most this long.
const LIST_BYTES_MAX: usize = 32 << 20;
/// A pattern of files names at most this many.
const FILES_MAX: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("cannot read {path}")]
    File {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{name} holds no list of target groups: {reason}")]
    Shape { name: String, reason: String },
    #[error("{name} is larger than 32 MiB")]
    TooLarge { name: String },
    #[error("cannot ask {url}")]
    Http {
        url: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("{url} answered with HTTP status {status}")]
    Status { url: String, status: reqwest::StatusCode },
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// One group as lists write it.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn groups(name: &str, list: Vec<Group>, extra: (&str, &str)) -> Vec<TargetGroup> {
    list.into_iter()
        .enumerate()
        .map(|(index, group)| TargetGroup {
            addresses: group.targets,
            labels: LabelSet::from_pairs(group.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([extra])),
            source: format!("{name}:{index}"),
        })
        .collect()
}

/// Reads YAML as the same groups, by way of the tree that knows its places.
fn yaml_groups(name: &str, text: &str) -> Result<Vec<Group>, DiscoveryError> {
    let shape = |reason: &str| DiscoveryError::Shape { name: name.to_owned(), reason: reason.to_owned() };
    let (node, problems) = yaml::parse(name, text);
    if let Some(problem) = problems.first() {
        return Err(shape(&problem.to_string()));
    }
    let Some(node) = node else { return Ok(Vec::new()) };
    if node.is_null() {
        return Ok(Vec::new());
    }
    let mut list = Vec::new();
    for item in node.items() {
        let text = |node: &yaml::Node| node.text().map(str::to_owned).ok_or_else(|| shape("a target or a label is not a text"));
        let targets = item.get("targets").map_or(&[][..], yaml::Node::items).iter().map(text).collect::<Result<_, _>>()?;
        let labels = item.get("labels").map_or(&[][..], yaml::Node::entries).iter();
        let labels = labels.map(|(key, value)| Ok((key.name.clone(), text(value)?))).collect::<Result<_, DiscoveryError>>()?;
        list.push(Group { targets, labels });
    }
    if list.is_empty() && node.entries().iter().next().is_some() {
        return Err(shape("a list is expected at the top"));
    }
    Ok(list)
}

/// Returns the files that a path names; its last part may be a pattern.
fn expand(path: &str) -> Result<Vec<PathBuf>, DiscoveryError> {
    let path = Path::new(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fault = |cause| DiscoveryError::File { path: folder.display().to_string(), cause };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)?.take(100 * FILES_MAX) {
        let entry = entry.map_err(fault)?;
        if pattern_matches(&name, &entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    files.sort();
    files.truncate(FILES_MAX);
    Ok(files)
}

/// A list as a file gave it.
pub type FileList = Result<Vec<TargetGroup>, DiscoveryError>;

/// Reads every file that a pattern names, by path. A file that cannot be read is an error of its own; the others still count.
pub fn read_files(pattern: &str) -> Result<BTreeMap<String, FileList>, DiscoveryError> {
    let files = expand(pattern)?;
    Ok(files.iter().map(|file| (file.display().to_string(), read_file(file))).collect())
}

fn read_file(path: &Path) -> FileList {
    let name = path.display().to_string();
    let fault = |cause| DiscoveryError::File { path: name.clone(), cause };
    if std::fs::metadata(path).map_err(fault)?.len() > LIST_BYTES_MAX as u64 {
        return Err(DiscoveryError::TooLarge { name });
    }
    let text = std::fs::read_to_string(path).map_err(fault)?;
    let list = if path.extension().is_some_and(|ending| ending == "json") {
        serde_json::from_str(&text).map_err(|error| DiscoveryError::Shape { name: name.clone(), reason: error.to_string() })?
    } else {
        yaml_groups(&name, &text)?
    };
    Ok(groups(&name, list, ("__meta_filepath", &name)))
}

/// Asks an HTTP endpoint for its groups.
pub async fn ask(discovery: &HttpDiscovery) -> Result<Vec<TargetGroup>, DiscoveryError> {
    // The password of the address is nobody's but the endpoint's: labels and messages have it masked.
    let shown = without_password(&discovery.url).unwrap_or_else(|| discovery.url.clone());
    let url = &shown;
    let fault = |cause| DiscoveryError::Http { url: url.clone(), cause };
    let http = client::build(&discovery.client, Duration::from_secs(10)).await?;
    let request = http
        .get(&discovery.url)
        .timeout(discovery.refresh.to_std().clamp(Duration::from_secs(1), Duration::from_secs(60)))
        .header("accept", "application/json")
        .header("x-prometheus-refresh-interval-seconds", discovery.refresh.seconds().to_string());
    let response = client::authorise(request, &discovery.client).await?.send().await.map_err(fault)?;
    if !response.status().is_success() {
        return Err(DiscoveryError::Status { url: url.clone(), status: response.status() });
    }
    let (mut body, mut pieces) = (Vec::new(), response.bytes_stream());
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(fault)?);
        if body.len() > LIST_BYTES_MAX {
            return Err(DiscoveryError::TooLarge { name: url.clone() });
        }
    }
    let list =
        serde_json::from_slice(&body).map_err(|error| DiscoveryError::Shape { name: url.clone(), reason: error.to_string() })?;
    Ok(groups(url, list, ("__meta_url", url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_lists_read_as_json_lists_do() {
        let list = yaml_groups("t.yml", "- targets: [a:1, 'b:2']\n  labels: {team: x}\n- targets: []\n").unwrap();
        assert_eq!(list[0].targets, ["a:1", "b:2"]);
        assert_eq!(list[0].labels["team"], "x");
        assert_eq!(list.len(), 2);
        assert!(yaml_groups("t.yml", "targets: [a]\n").is_err());
        assert!(yaml_groups("t.yml", "- targets: [[a]]\n").is_err());
        assert!(yaml_groups("t.yml", "").unwrap().is_empty());
    }
}
