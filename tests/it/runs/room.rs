//! A service that may act, a far side to act upon, and what people ask of runs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::far::Far;
use crate::harness::exporter::Exporter;
use crate::harness::service::{Service, Setup};
use crate::harness::soon;

/// States in which a run asks for nothing more by itself.
const REST: [&str; 6] = ["succeeded", "failed", "undone", "undo_failed", "refused", "needs_human"];

pub struct Room {
    pub service: Service,
    pub exporter: Exporter,
    pub far: Far,
    /// Where programs are, and where they leave marks.
    pub folder: TempDir,
}

/// What a room is made of beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Name of the file and its text.
    pub files: Vec<(String, String)>,
    /// Further lines below `act`.
    pub act: String,
    /// Further YAML of the top level.
    pub more: String,
    /// Text of a file of rules.
    pub rules: String,
    /// Name and text of programs; `FOLDER` stands for the folder where they leave marks.
    pub programs: Vec<(&'static str, &'static str)>,
    pub auth: bool,
}

impl Plan {
    /// Adds a document; `FAR` in it stands for the address of the far side, `FOLDER` for that of programs.
    pub fn runbook(mut self, id: &str, spec: &str) -> Plan {
        let head = format!("metadata: {{id: {id}, platform: shop, slug: incident, title: Story {id}, owner: shop}}");
        let text = format!("apiVersion: tocsin/v1\nkind: Runbook\n{head}\nspec:\n{spec}");
        self.files.push((format!("run-{id}.yml"), text));
        self
    }

    pub fn act(mut self, line: &str) -> Plan {
        self.act.push_str(&format!("  {line}\n"));
        self
    }
}

/// A verification that holds at once.
pub const GOOD: &str = "  verify: [{expr: 'vector(1)', op: '==', value: 1, within: 30s}]\n";
/// Who may start by hand.
pub const BY_HAND: &str = "  triggers: [{manual: {roles: [responder, operator, sre-lead]}}]\n";

impl Room {
    pub async fn start(plan: Plan) -> Room {
        let mut room = Room::prepare(plan).await;
        room.service.launch(&[]);
        room.service.wait_until_ready().await;
        room
    }

    pub async fn prepare(plan: Plan) -> Room {
        let (exporter, far) = (Exporter::start().await, Far::start().await);
        // Programs run as nobody, who must find them and leave marks.
        let folder = TempDir::with_prefix("tocsin-runs-").expect("a temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("the folder is ours");
        let home = folder.path().display().to_string();
        let mut programs = Vec::new();
        for (name, text) in &plan.programs {
            let path = folder.path().join(name);
            std::fs::write(&path, text.replace("FOLDER", &home)).expect("the folder takes files");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the file is ours");
            programs.push(format!("{{path: {}}}", path.display()));
        }
        let filled = |text: &str| text.replace("FAR", &far.address).replace("FOLDER", &home);
        let config = format!(
            r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{}']}}]}}]
rule_files: [rules.yml]
runbook_files: ['run-*.yml']
route: {{receiver: desk, group_by: [alertname, shop, run, key], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - {{name: desk, users: [ada], inbox_configs: [{{}}]}}
  - {{name: night, inbox_configs: [{{}}]}}
act:
  environment: staging
  hosts: ['{}']
  programs: [{}]
{}
{}
"#,
            exporter.address,
            far.address,
            programs.join(", "),
            filled(&plan.act),
            filled(&plan.more),
        );
        let rules = if plan.rules.is_empty() { "groups: []\n".to_owned() } else { plan.rules.clone() };
        let mut setup = Setup::new(config).with_file("rules.yml", rules);
        for (name, text) in &plan.files {
            setup = setup.with_file(name, filled(text));
        }
        if plan.auth {
            setup = setup.with_auth();
        }
        Room { service: Service::prepare(setup), exporter, far, folder }
    }

    pub fn mark(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns what programs wrote into a file; nothing where there is none.
    pub fn marked(&self, name: &str) -> String {
        std::fs::read_to_string(self.mark(name)).unwrap_or_default()
    }

    /// Asks for a run by hand; returns the status and the answer.
    pub async fn ask(&self, id: &str, asked: Value) -> (u16, Value) {
        self.service.send(Method::POST, &format!("/api/tocsin/v1/runbooks/{id}/runs"), Some(&asked)).await
    }

    /// Begins a run by hand; returns its id.
    pub async fn begin(&self, id: &str, params: Value) -> String {
        let (status, run) = self.ask(id, json!({ "params": params })).await;
        assert_eq!(status, 202, "{run}");
        run["id"].as_str().expect("an id").to_owned()
    }

    /// Returns a run with all that it did.
    pub async fn run(&self, id: &str) -> Value {
        self.service.get(&format!("/api/tocsin/v1/runs/{id}")).await
    }

    /// Waits until a run is in a state; returns it.
    pub async fn in_state(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        soon(&format!("run {id} is {state}"), async || {
            last = self.run(id).await;
            let other = REST.contains(&last["state"].as_str().unwrap_or_default()) && last["state"] != "needs_human";
            assert!(last["state"] == state || !other, "run {id} is {} ({}) and not {state}", last["state"], last["reason"]);
            (last["state"] == state).then(|| last.clone())
        })
        .await
    }

    /// Waits until a run asks for nothing more by itself; returns it.
    pub async fn at_rest(&self, id: &str) -> Value {
        soon(&format!("run {id} comes to rest"), async || {
            let run = self.run(id).await;
            REST.contains(&run["state"].as_str().unwrap_or_default()).then_some(run)
        })
        .await
    }

    /// Begins a run by hand and returns it once it has come to rest.
    pub async fn whole(&self, id: &str, params: Value) -> Value {
        let run = self.begin(id, params).await;
        self.at_rest(&run).await
    }

    /// Returns the runs of a document, newest first.
    pub async fn runs_of(&self, id: &str) -> Vec<Value> {
        self.service.get(&format!("/api/tocsin/v1/runs?doc={id}")).await["runs"].as_array().expect("a list").clone()
    }

    /// Waits until a document has so many runs; returns them, newest first.
    pub async fn has_runs(&self, id: &str, count: usize) -> Vec<Value> {
        soon(&format!("{id} has {count} runs"), async || {
            let runs = self.runs_of(id).await;
            assert!(runs.len() <= count, "{id} has more than {count} runs: {runs:?}");
            (runs.len() == count).then_some(runs)
        })
        .await
    }

    /// Says something to a run; returns the status and the answer.
    pub async fn say(&self, id: &str, what: &str, body: Value) -> (u16, Value) {
        self.service.send(Method::POST, &format!("/api/tocsin/v1/runs/{id}/{what}"), Some(&body)).await
    }

    /// Returns the messages of the inbox that tell of something firing and hold a text.
    pub async fn told(&self, text: &str) -> Vec<Value> {
        let inbox = self.service.get("/api/tocsin/v1/inbox").await;
        let messages = inbox["messages"].as_array().expect("a list").clone();
        messages.into_iter().filter(|one| one["status"] == "firing" && one.to_string().contains(text)).collect()
    }

    /// Waits until the inbox tells of something.
    pub async fn is_told(&self, text: &str) -> Value {
        soon(&format!("the inbox tells of {text}"), async || self.told(text).await.into_iter().next()).await
    }

    /// Returns the lines of the audit that hold a text.
    pub async fn audited(&self, text: &str) -> Vec<Value> {
        let audit = self.service.get("/api/tocsin/v1/audit?limit=500").await;
        audit["entries"].as_array().expect("a list").iter().filter(|entry| entry.to_string().contains(text)).cloned().collect()
    }
}

/// Returns a step of a run.
pub fn step<'r>(run: &'r Value, id: &str) -> &'r Value {
    let steps = run["steps"].as_array().expect("a list");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {run}"))
}
