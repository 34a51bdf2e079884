//! Proxies over reloads, deaths and stops.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use tocsin::act::fault::{FaultError, Faults, ProxySetting, Subject};
use tocsin_core::run::lever::{Toxic, ToxicKind};
use tocsin_core::time::Span;

use super::peers::{Echo, LONG, NAME, PROGRAM, Stage, ms};
use super::signals::kill;
use crate::harness::{free_port, soon};

/// Returns the processes of proxies that listen on an address, by their command lines.
pub fn proxies_on(listen: &str) -> Vec<i32> {
    let mark = format!("--listen={listen}\0");
    let proxies = std::fs::read_dir("/proc").expect("the list of processes").filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (line.contains("fault-proxy") && line.contains(&mark)).then_some(pid)
    });
    proxies.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_leaves_alone_what_stays() {
    let stage = Stage::set().await;
    let mut running = stage.client().await;
    running.echo(b"before").await.expect("an echo");
    stage.harm(ToxicKind::Latency { delay: Span(50), jitter: Span::ZERO }).await;
    let before = proxies_on(&stage.setting.listen);
    assert_eq!(before.len(), 1);

    let second = ProxySetting {
        name: "queue / with a name that is no file's".to_owned(),
        listen: format!("127.0.0.1:{}", free_port()),
        upstream: Echo::start().await.address,
    };
    assert!(stage.faults.proxies.replace(&[stage.setting.clone(), second.clone()]).await.is_empty());
    assert_eq!(proxies_on(&stage.setting.listen), before, "the same process");
    assert!(running.echo(b"the same connection").await.expect("an echo") >= ms(100));
    assert_eq!(stage.faults.standing().await.len(), 1);
    assert_eq!(proxies_on(&second.listen).len(), 1);

    // The same name elsewhere is another proxy, also where two change places.
    let moved = ProxySetting { listen: second.listen.clone(), ..stage.setting.clone() };
    let swapped = ProxySetting { listen: stage.setting.listen.clone(), ..second.clone() };
    assert!(stage.faults.proxies.replace(&[moved.clone(), swapped.clone()]).await.is_empty());
    assert!(running.echo(b"cut").await.is_err());
    assert!(stage.faults.standing().await.is_empty());
    assert_eq!((proxies_on(&moved.listen).len(), proxies_on(&swapped.listen).len()), (1, 1));

    assert!(stage.faults.proxies.replace(&[]).await.is_empty());
    soon("both have gone", async || {
        (proxies_on(&moved.listen).is_empty() && proxies_on(&swapped.listen).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_concerns_one_proxy_only() {
    let stage = Stage::set().await;
    let bad = ProxySetting { name: "taken".to_owned(), listen: stage.echo.address.clone(), ..stage.setting.clone() };
    let failures = stage.faults.proxies.replace(&[bad, stage.setting.clone()]).await;
    let said: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("taken") && said[0].contains(&stage.echo.address), "{said:?}");
    stage.client().await.echo(b"unharmed").await.expect("an echo");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_dies_is_started_again() {
    let stage = Stage::set().await;
    let before = proxies_on(&stage.setting.listen);
    let story = async {
        kill("KILL", before[0]).await;
        let now = soon("another one runs", async || {
            let now = proxies_on(&stage.setting.listen);
            (now.len() == 1 && now != before).then_some(now)
        })
        .await;
        let mut client = soon("it relays", async || stage.try_client().await.ok()).await;
        client.echo(b"after").await.expect("an echo");
        // By SIGTERM it ends in order, and comes back: who wants it gone takes it out of the configuration.
        kill("TERM", now[0]).await;
        soon("another one runs", async || (proxies_on(&stage.setting.listen).first()? != &now[0]).then_some(())).await;
    };
    tokio::select! {
        () = stage.faults.proxies.keep_running() => {}
        () = story => {}
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sockets_are_their_owners_alone_wherever_the_folder_lies() {
    let deep = TempDir::with_prefix("tocsin-faults-").expect("a folder");
    let folder = deep.path().join("a-name-that-is-rather-long".repeat(5)).join("faults");
    let faults = Faults::with_program(&folder, PROGRAM).expect("a folder");
    let setting = ProxySetting {
        name: NAME.to_owned(),
        listen: format!("127.0.0.1:{}", free_port()),
        upstream: Echo::start().await.address,
    };
    let failures = faults.proxies.replace(std::slice::from_ref(&setting)).await;
    assert!(failures.is_empty(), "{failures:?}");
    faults.apply(NAME, "t", &[Toxic::new(ToxicKind::Blackhole)], LONG).await.expect("the fault is put");
    let standing = faults.standing().await;
    assert_eq!(standing[0].subject, Subject::Proxy(NAME.to_owned()));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let sockets: Vec<_> = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert!(sockets.iter().any(|path| path.extension().is_some_and(|extension| extension == "sock")));
    for path in sockets {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    faults.stop().await;
    let absent = faults.proof(NAME, "t").await;
    assert!(matches!(absent, Err(FaultError::Absent { .. })), "{absent:?}");
}
