//! Experiments that Tocsin dies in the middle of: what they broke heals, and the next start says what became of them.

use std::time::Duration;

use serde_json::json;
use tocsin::act::fault::{Identity, ProcessState};

use super::room::{Plan, Room};
use crate::faults::signals::sleeper;
use crate::faults::standing::proxies_on;
use crate::harness::{free_port, soon, within};

/// What is broken: a proxy swallows everything, or a process stands still.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Hole,
    Pause,
}

struct Scene {
    room: Room,
    run: String,
    harm: Harm,
    proxy: String,
    sleeper: Identity,
    _child: tokio::process::Child,
}

impl Scene {
    /// Returns once the fault stands.
    async fn broken(harm: Harm, phase: &str, ttl: &str) -> Scene {
        let ((child, sleeper), proxy) = (sleeper(), format!("127.0.0.1:{}", free_port()));
        let (target, fault) = match harm {
            Harm::Hole => ("kind: proxy, names: [till]", "kind: net.proxy, with: {direction: both, blackhole: true}"),
            Harm::Pause => ("kind: process, names: [worker]", "kind: proc.signal, with: {signal: stop}"),
        };
        let document = format!(
            r#"apiVersion: tocsin/v1
kind: Experiment
metadata: {{id: silence, platform: shop, title: Orders wait when the till is silent, owner: shop}}
spec:
  environment: staging
  hypothesis: [{{id: fine, expr: 'vector(1)', op: '==', value: 1, no_data: stop}}]
  phases: {{baseline: 2s, fault: {phase}, recovery: 10s, sample: 1s}}
  targets: {{select: {{{target}}}, expect: 1}}
  faults: [{{id: harm, {fault}, ttl: {ttl}}}]
  stop_when: [{{hypothesis: fine, for: 10s}}]
"#
        );
        let plan = Plan { files: vec![("run-silence.yml".to_owned(), document)], ..Plan::default() }
            .act(&format!("proxies: [{{name: till, listen: '{proxy}', upstream: 'FAR'}}]"))
            .act("processes: [{name: worker, pid_file: FOLDER/worker.pid, command: sleep}]");
        let mut room = Room::prepare(plan).await;
        std::fs::write(room.mark("worker.pid"), sleeper.pid.to_string()).expect("the folder takes files");
        room.service.launch(&[]);
        room.service.wait_until_ready().await;
        let run = room.begin("silence", json!({})).await;
        let scene = Scene { room, run, harm, proxy, sleeper, _child: child };
        soon("the fault stands", async || scene.is_broken().await.then_some(())).await;
        scene
    }

    async fn is_broken(&self) -> bool {
        match self.harm {
            Harm::Pause => self.sleeper.state().expect("it can be seen") == ProcessState::Stopped,
            Harm::Hole => {
                let request = self.room.service.client.get(format!("http://{}/make", self.proxy));
                request.timeout(Duration::from_millis(500)).send().await.is_err()
            }
        }
    }

    async fn is_healed(&self, most: Duration) {
        within(most, &format!("{:?} has ended", self.harm), async || (!self.is_broken().await).then_some(())).await;
    }

    /// Asserts that the run that was interrupted is told of as one that was stopped.
    async fn is_reported(&self) {
        let run = self.room.at_rest(&self.run).await;
        assert_eq!((&run["state"], &run["verdict"]), (&json!("undone"), &json!("stopped")), "{run}");
        assert!(run["reason"].as_str().is_some_and(|why| why.contains("the process ended in the middle")), "{run}");
        let experiments = self.room.service.get("/api/tocsin/v1/experiments").await;
        let result = &experiments["experiments"][0]["results"][0];
        assert_eq!((&result["run"], &result["verdict"]), (&json!(self.run), &json!("stopped")), "{experiments}");
        assert!(!self.room.audited("the process ended in the middle").await.is_empty());
        let answer = self.room.service.client.get(self.room.service.url("/metrics")).send().await.expect("an answer");
        let figures = answer.text().await.expect("a text");
        assert!(figures.contains("tocsin_runs_ended_total{state=\"undone\"} 1\n"), "{figures}");
    }

    async fn heals_alone(harm: Harm) {
        let mut scene = Scene::broken(harm, "10s", "45s").await;
        scene.room.service.kill().await;
        assert!(scene.is_broken().await, "nobody was there to heal it");
        scene.is_healed(Duration::from_secs(60)).await;
        scene.room.service.restart().await;
        scene.is_reported().await;
    }

    async fn is_healed_by_the_next(harm: Harm) {
        let mut scene = Scene::broken(harm, "5m", "20m").await;
        scene.room.service.kill().await;
        scene.room.service.restart().await;
        scene.is_healed(Duration::from_secs(60)).await;
        scene.is_reported().await;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Proxies outlive whoever started them.
        for pid in proxies_on(&self.proxy) {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_tocsin_broke_heals_by_itself_and_the_next_one_says_so() {
    tokio::join!(Scene::heals_alone(Harm::Hole), Scene::heals_alone(Harm::Pause));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_tocsin_heals_what_a_killed_one_broke() {
    tokio::join!(Scene::is_healed_by_the_next(Harm::Hole), Scene::is_healed_by_the_next(Harm::Pause));
}
