//! Signals to processes of the configuration, and to nobody else.

use std::process::{Child, Command};

use tocsin_core::run::action::Signal;
use tocsin_core::run::lever::ProcessState;
use tocsin_core::run::request::Request;
use tocsin_core::time::Span;

use super::stage::{LONG, Stage, answer, assert_not_done};

struct Sleeper(Child);

impl Sleeper {
    fn start() -> Sleeper {
        Sleeper(Command::new("sleep").arg("600.5").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(process: &str, signal: Signal, ttl: Option<Span>) -> Request {
    Request::ProcSignal { process: process.to_owned(), signal, ttl }
}

fn proof(expect: ProcessState, started: Option<i64>) -> Request {
    Request::ProcProof { process: "sleeper".to_owned(), expect, started, within: Span::from_secs(5) }
}

#[tokio::test]
async fn only_the_process_that_is_meant_is_signalled() {
    let (mut sleeper, files) = (Sleeper::start(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good", format!("{}\nmore\n", sleeper.0.id()));
    let (own, first, none) =
        (file("own", std::process::id().to_string()), file("first", "1".to_owned()), file("none", "x".to_owned()));
    let parent = file("parent", std::os::unix::process::parent_id().to_string());
    let old = file("old", sleeper.0.id().to_string());
    let long_ago = std::fs::File::options().write(true).open(&old).unwrap();
    long_ago.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let entry = |name: &str, file: &str, command: &str| format!("{{name: {name}, pid_file: {file}, command: '{command}'}}");
    let entries = [
        entry("sleeper", &good, "sleep 600.5"),
        entry("other", &good, "postgres"),
        entry("own", &own, "it"),
        entry("first", &first, "i"),
        entry("none", &none, "x"),
        entry("parent", &parent, "o"),
        entry("old", &old, "sleep 600.5"),
        entry("missing", "/nowhere/pid", "x"),
    ];
    let stage = Stage::new(&format!("{{processes: [{}]}}", entries.join(", "))).await;
    for name in ["own", "first", "none", "parent", "old", "missing", "other", "unlisted"] {
        assert_not_done(&stage.carry_out(signal(name, Signal::Kill, None), LONG).await, "");
    }
    assert!(sleeper.0.try_wait().unwrap().is_none());
    let state = async |request| answer(stage.carry_out(request, LONG).await)["state"].clone();
    assert!(["R", "S"].contains(&state(proof(ProcessState::Running, None)).await.as_str().unwrap()));
    assert_not_done(&stage.carry_out(signal("sleeper", Signal::Stop, None), LONG).await, "only stopped for a time");
    let told = answer(stage.carry_out(signal("sleeper", Signal::Stop, Some(Span::from_mins(5))), LONG).await);
    let started = told["started"].as_i64().unwrap();
    assert_eq!((told["sent"].as_bool(), told["pid"].as_u64()), (Some(true), Some(sleeper.0.id().into())), "{told}");
    assert_eq!(state(proof(ProcessState::Stopped, Some(started))).await, "T");
    assert_eq!(state(proof(ProcessState::Gone, Some(started + 1))).await, "-", "another one is not the one that is meant");
    assert_eq!(answer(stage.carry_out(signal("sleeper", Signal::Cont, None), LONG).await)["sent"], true);
    assert!(["R", "S"].contains(&state(proof(ProcessState::Running, Some(started))).await.as_str().unwrap()));
    assert_eq!(answer(stage.carry_out(signal("sleeper", Signal::Term, None), LONG).await)["sent"], true);
    sleeper.0.wait().unwrap();
    assert_eq!(state(proof(ProcessState::Gone, Some(started))).await, "-");
}
