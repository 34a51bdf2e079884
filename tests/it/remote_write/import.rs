//! Import of OpenMetrics with timestamps: into a running service, and into a folder; and what promtool makes of the same file.

use std::fmt::Write;

use tempfile::TempDir;

use super::receiver::start;
use super::senders::samples;
use crate::harness::service::run;
use crate::harness::{free_port, peers};

/// The files begin here, and go on for three days.
const STEPS: i64 = 3 * 24 * 60;

fn file(start: i64) -> String {
    let mut text = String::from("# HELP past_total What was.\n# TYPE past_total counter\n");
    for n in 0..20 {
        for step in 0..STEPS {
            writeln!(text, "past_total{{n=\"{n}\"}} {} {}", step * n, start + step * 60).expect("a text takes more");
        }
    }
    text.push_str("# TYPE heat gauge\n");
    for step in 0..STEPS {
        writeln!(text, "heat{{room=\"é\"}} {} {}.25", f64::from(step as i32) / 7.0, start + step * 60)
            .expect("a text takes more");
    }
    text + "# EOF\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_imported_into_a_service_and_into_a_folder_as_promtool_reads_it() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let path = folder.path().join("past.txt");
    let start_at = tocsin::clock::now().0 / 1000 - STEPS * 60 - 600;
    std::fs::write(&path, file(start_at)).expect("the folder takes files");
    let (path, until) = (path.display().to_string(), (tocsin::clock::now().0 / 1000).to_string());
    let count = 21 * STEPS;

    let running = start().await;
    let done = run(&["tsdb", "import", &path, "--url", &running.url("")]).await;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said == format!("{count} samples imported\n"), "{done:?}");

    let mut stopped = start().await;
    let data = stopped.path("data").display().to_string();
    let refused = run(&["tsdb", "import", &path, "--data", &data]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another process uses the data folder"), "{refused:?}");
    stopped.terminate().await;
    // The second time changes no answer.
    for _ in 0..2 {
        let done = run(&["tsdb", "import", &path, "--data", &data]).await;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && said == format!("{count} samples imported\n"), "{done:?}");
    }
    stopped.restart().await;

    let tsdb = folder.path().join("tsdb");
    peers::ask("promtool", &["tsdb", "create-blocks-from", "openmetrics", &path, &tsdb.display().to_string()]).await;
    let prometheus = peers::prometheus_at(folder.path(), "global: {}\n", &[], free_port()).await;
    for question in ["past_total[4d]", "heat[4d]", "past_total{n=\"3\"}[1d] offset 1d"] {
        let question = question.replace(']', &format!("] @ {until}"));
        let wanted = samples(&prometheus.address, &question).await;
        assert!(wanted.len() > 1_000, "{question}: promtool has made {}", wanted.len());
        for service in [&running, &stopped] {
            assert!(samples(&service.address, &question).await == wanted, "{question}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_told_with_its_line_and_nothing_is_written() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let service = start().await;
    let good = "# TYPE a gauge\na 1 1\n".to_owned();
    // Longer than a piece, so that what stands before the fault was read in another one.
    let long: String = (0..300_000).map(|n| format!("a{{n=\"{n}\"}} 1 1\n")).collect();
    for (text, fault) in [
        (format!("{good}b 2\n# EOF\n"), ":line 3, column 1: the sample has no timestamp"),
        (format!("{good}{long}b{{ 2 3\n# EOF\n"), ":line 300003, column"),
        (good.clone(), "# EOF"),
        (format!("{good}# EOF\nc 1 1\n"), "EOF"),
    ] {
        let path = folder.path().join("bad.txt");
        std::fs::write(&path, text).expect("the folder takes files");
        let done = run(&["tsdb", "import", &path.display().to_string(), "--url", &service.url("")]).await;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(fault), "{fault}: {said}");
    }
    assert!(service.query("count({__name__=~\".+\"})").await.is_empty(), "nothing was written");
}
