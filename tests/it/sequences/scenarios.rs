//! What a generator cannot draw: receivers in trouble, reloads and restarts, in a real Alertmanager and in us.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::clock;
use tocsin_core::time::Timestamp;

use super::pair::{Told, told};
use crate::harness::peers::{self, Peer};
use crate::harness::recorder::Recorder;
use crate::harness::service::{Service, Setup};
use crate::harness::{free_port, http, soon};

const CONFIG: &str = r#"
route: {receiver: hook, group_by: [seq], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: '{url}', timeout: 1s}]}, {name: other, webhook_configs: [{url: '{url}'}]}]
"#;

/// As `CONFIG`; one sequence goes elsewhere.
const MOVED: &str = r#"
route:
  {receiver: hook, group_by: [seq], group_wait: 1s, group_interval: 2s, repeat_interval: 1h,
    routes: [{matchers: ['seq="moves"'], receiver: other}]}
receivers: [{name: hook, webhook_configs: [{url: '{url}', timeout: 1s}]}, {name: other, webhook_configs: [{url: '{url}'}]}]
"#;

struct Stage {
    recorders: [Recorder; 2],
    peer: Option<Peer>,
    port: u16,
    service: Service,
    folder: TempDir,
    began: BTreeMap<&'static str, Timestamp>,
}

fn with_url(config: &str, recorder: &Recorder) -> String {
    config.replace("{url}", &format!("http://{}/hook", recorder.address))
}

impl Stage {
    async fn start() -> Stage {
        let recorders = [Recorder::start().await, Recorder::start().await];
        let (folder, port) = (TempDir::new().expect("a temporary folder"), free_port());
        let peer = peers::alertmanager_at(folder.path(), &with_url(CONFIG, &recorders[0]), port).await;
        let service = Service::start(Setup::new(with_url(CONFIG, &recorders[1]))).await;
        Stage { recorders, peer: Some(peer), port, service, folder, began: BTreeMap::new() }
    }

    fn addresses(&self) -> [String; 2] {
        [format!("127.0.0.1:{}", self.port), self.service.address.clone()]
    }

    async fn post(&self, path: &str, body: &Value) {
        for address in self.addresses() {
            let answer = http().post(format!("http://{address}{path}")).json(body).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{path} of {address}: {}", answer.status());
        }
    }

    async fn fire(&mut self, seq: &'static str) {
        let began = *self.began.entry(seq).or_insert_with(clock::now);
        let alert = json!([{ "labels": { "alertname": "A", "seq": seq }, "startsAt": began.rfc3339() }]);
        self.post("/api/v2/alerts", &alert).await;
    }

    async fn end(&self, seq: &str) {
        let alert = json!([{ "labels": { "alertname": "A", "seq": seq }, "endsAt": clock::now().rfc3339() }]);
        self.post("/api/v2/alerts", &alert).await;
    }

    async fn reload(&self, config: &str) {
        std::fs::write(self.folder.path().join("alertmanager.yml"), with_url(config, &self.recorders[0])).expect("a file");
        std::fs::write(self.service.path("tocsin.yml"), with_url(config, &self.recorders[1])).expect("a file");
        self.post("/-/reload", &Value::Null).await;
    }

    /// Stops both in peace and starts them again with what they have stored.
    async fn restart(&mut self) {
        self.peer.take().expect("it runs").terminate().await;
        self.service.terminate().await;
        self.peer = Some(peers::alertmanager_at(self.folder.path(), &with_url(CONFIG, &self.recorders[0]), self.port).await);
        self.service.restart().await;
    }

    fn told(&self, seq: &str) -> [Told; 2] {
        [0, 1].map(|side: usize| told(&self.recorders[side].taken()).remove(seq).unwrap_or_default())
    }

    /// Waits until both have told a sequence so often, to all receivers together.
    async fn until_told(&self, seq: &str, times: usize) {
        soon(&format!("{seq} is told {times} times"), async || {
            self.told(seq).iter().all(|told| told.values().map(Vec::len).sum::<usize>() >= times).then_some(())
        })
        .await;
    }

    fn assert_same(&self, seq: &str) {
        let [theirs, ours] = self.told(seq);
        assert_eq!(theirs, ours, "{seq}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_reloads_and_restarts_are_met_as_by_alertmanager() {
    let mut stage = Stage::start().await;
    // A receiver that fails hears once it is well.
    stage.recorders.iter().for_each(|recorder| recorder.answer(500));
    stage.fire("fails").await;
    soon("both try again", async || stage.recorders.iter().all(|recorder| recorder.refused() >= 2).then_some(())).await;
    stage.recorders.iter().for_each(|recorder| recorder.answer(200));
    stage.until_told("fails", 1).await;
    // A receiver that is slower than its timeout is tried again.
    stage.recorders.iter().for_each(|recorder| recorder.delay(Duration::from_secs(30)));
    stage.fire("slow").await;
    let before = stage.recorders.each_ref().map(Recorder::begun);
    soon("both try again", async || {
        stage.recorders.iter().zip(before).all(|(recorder, before)| recorder.begun() >= before + 2).then_some(())
    })
    .await;
    stage.recorders.iter().for_each(|recorder| recorder.delay(Duration::ZERO));
    stage.until_told("slow", 1).await;
    for seq in ["fails", "slow"] {
        stage.end(seq).await;
        stage.until_told(seq, 2).await;
        stage.assert_same(seq);
    }

    // A reload tells nobody anything twice.
    stage.fire("stays").await;
    stage.until_told("stays", 1).await;
    stage.reload(CONFIG).await;
    stage.fire("after a reload").await;
    stage.until_told("after a reload", 1).await;
    stage.assert_same("stays");
    // What is routed elsewhere is told there.
    stage.fire("moves").await;
    stage.until_told("moves", 1).await;
    stage.reload(MOVED).await;
    stage.until_told("moves", 2).await;
    stage.assert_same("moves");
    stage.end("moves").await;
    stage.until_told("moves", 3).await;
    let left = soon("we tell the one who heard of it before, too", async || {
        let [theirs, mut ours] = stage.told("moves");
        let left = ours.get_mut("hook {\"seq\":\"moves\"}").filter(|told| told.len() == 2)?.pop()?;
        (theirs == ours).then_some(left)
    })
    .await;
    assert_eq!(left["status"], "resolved");
    stage.reload(CONFIG).await;

    // A start with what was stored tells nothing twice, and what ends.
    stage.restart().await;
    stage.fire("stays").await;
    stage.fire("after a restart").await;
    stage.until_told("after a restart", 1).await;
    stage.assert_same("stays");
    stage.end("stays").await;
    stage.until_told("stays", 2).await;
    stage.assert_same("stays");
    for (seq, times) in [("fails", 2), ("slow", 2), ("after a reload", 1), ("after a restart", 1), ("stays", 2)] {
        stage.assert_same(seq);
        assert_eq!(stage.told(seq)[1].values().map(Vec::len).sum::<usize>(), times, "{seq}");
    }
}

/// Returns how many intervals lie between each of some instants and the first of them.
fn intervals(all: &[Timestamp]) -> Vec<i64> {
    all.iter().map(|at| ((*at - all[0]).seconds() / 2.0).round() as i64).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_refuses_is_told_again_when_alertmanager_tells_it_again() {
    let mut stage = Stage::start().await;
    // Both news and ends are refused twice, and then taken.
    for (round, is_end) in [false, true].into_iter().enumerate() {
        let before = stage.recorders.each_ref().map(Recorder::refused);
        stage.recorders.iter().for_each(|recorder| recorder.answer(400));
        if is_end {
            stage.end("refused").await;
        } else {
            stage.fire("refused").await;
        }
        soon("both are refused twice", async || {
            let is_done = |(recorder, before): (&Recorder, usize)| recorder.refused() >= before + 2;
            stage.recorders.iter().zip(before).all(is_done).then_some(())
        })
        .await;
        stage.recorders.iter().for_each(|recorder| recorder.answer(200));
        stage.until_told("refused", round + 1).await;
        stage.assert_same("refused");
        let told_at = |side: usize| {
            let recorder = &stage.recorders[side];
            let taken = recorder.taken().last().expect("a post").at;
            intervals(&[recorder.refused_at().split_off(before[side]), vec![taken]].concat())
        };
        assert_eq!(told_at(0), [0, 1, 2], "Alertmanager tells it at each interval");
        assert_eq!(told_at(1), [0, 1, 2]);
    }
    let deliveries = stage.service.deliveries().await;
    let states: Vec<&Value> = deliveries.iter().rev().map(|delivery| &delivery["state"]).collect();
    assert_eq!(states, ["rejected", "rejected", "delivered", "rejected", "rejected", "delivered"]);
    let keys: std::collections::BTreeSet<String> = deliveries.iter().map(|delivery| delivery["key"].to_string()).collect();
    assert_eq!(keys.len(), 6, "each is a delivery of its own");
}
