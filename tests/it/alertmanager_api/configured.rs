//! What clients read out of the configuration that `status` shows, beside a real Alertmanager with the same one.

use tempfile::TempDir;

use crate::harness::corpora;
use crate::harness::peers;
use crate::harness::service::{Service, Setup};

/// What amtool is asked of each configuration: the tree, and who hears of alerts with some labels.
const ASKED: [&[&str]; 6] = [
    &["config", "routes", "show"],
    &["config", "routes", "test", "--tree", "test=1"],
    &["config", "routes", "test", "test=1", "severity=critical", "team=web"],
    &["config", "routes", "test", "service=foo1", "severity=critical"],
    &["config", "routes", "test", "service=database", "owner=team-X"],
    &["config", "routes", "test", "service=files", "severity=warning", "cluster=a"],
];

async fn is_read_the_same(config: &str, about: &str) {
    let folder = TempDir::new().expect("a temporary folder");
    let theirs = peers::alertmanager(folder.path(), config).await;
    let ours = Service::start(Setup::new(config)).await;
    for words in ASKED {
        let ask = async |address: &str| {
            let url = format!("--alertmanager.url=http://{address}");
            peers::ask("amtool", &[words, &[&url]].concat()).await
        };
        assert_eq!(ask(&ours.address).await, ask(&theirs.address).await, "{about}: {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amtool_reads_the_same_routes_out_of_our_configuration() {
    let files = [
        "cli/testdata/conf.routing.yml",
        "cli/testdata/conf.routing-reverted.yml",
        "examples/simple.yml",
        "examples/alertmanager.yml",
        "config-testdata/conf.http-config.good.yml",
        "config-testdata/conf.opsgenie-default-apikey.yml",
        "config-testdata/conf.group-by-all.yml",
    ];
    let mut read = 0;
    for file in files {
        let Some(path) = corpora(&format!("alertmanager/{file}")) else { return };
        let config = std::fs::read_to_string(&path).expect("a text");
        is_read_the_same(&config, file).await;
        read += 1;
    }
    assert_eq!(read, files.len());
}
