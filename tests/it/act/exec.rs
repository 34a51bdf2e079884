//! Programs under their watchers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tocsin::act::step::{adopt, carry_out, forget};
use tocsin::clock::Stopwatch;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::time::Span;

use super::stage::{LONG, Stage, answer, assert_not_done, assert_unknown, exec, issue, open_folder, passed, program};
use crate::harness::soon;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

async fn stage_with(text: &str) -> (Stage, String) {
    let folder = open_folder();
    let path = program(folder.path(), "program", text);
    (Stage::within(folder, &format!("{{programs: [{{path: {path}}}]}}")).await, path)
}

/// Returns how many processes hold a word in their command lines.
fn running(word: &str) -> usize {
    let lines = fs::read_dir("/proc").expect("proc").flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

#[tokio::test]
async fn a_program_finds_a_clean_world() {
    let text = "#!/bin/sh\necho uid=$(id -u) groups=$(id -G) umask=$(umask) pwd=$(pwd) files=$(ls -A)\necho mine > kept\n\
                grep -E 'NoNewPrivs|^CapEff' /proc/self/status\ngrep -E 'open files|file size|address space|core' /proc/self/limits\n\
                env | sort | tr '\\n' ' '\necho open: $(ls /proc/self/fd)\ncut -d' ' -f5,6 /proc/$$/stat; echo own=$$ >&2\n";
    let (stage, path) = stage_with(text).await;
    let told = answer(stage.carry_out(exec(&path, &[]), LONG).await);
    let (out, err) = (told["stdout"].as_str().unwrap(), told["stderr"].as_str().unwrap());
    assert_eq!(told["exit"], 0, "{told}");
    if is_root() {
        assert!(out.contains("uid=65534 groups=65534 "), "{out}");
        assert!(out.contains("CapEff:\t0000000000000000"), "{out}");
    }
    assert!(out.contains("NoNewPrivs:\t1"), "{out}");
    assert!(out.contains("umask=0077") && out.contains("/work files=\n"), "{out}");
    for limit in
        ["core file size 0 0", "open files 256 256", "file size 1073741824 1073741824", "address space 4294967296 4294967296"]
    {
        assert!(out.split_whitespace().collect::<Vec<_>>().join(" ").contains(limit), "{limit}: {out}");
    }
    assert!(out.contains("LEVEL=7 PATH=/usr/local/bin:/usr/bin:/bin PWD="), "{out}");
    assert!(out.contains("TOCSIN_KEY=run-1/one/g1 TOCSIN_RUN=run-1 "), "{out}");
    // It leads its own session, and so its own group.
    let own = err.trim().strip_prefix("own=").unwrap();
    assert!(out.contains(&format!("{own} {own}")), "{out} {err}");
    // Beside the three streams only the script itself and the listing's own folder are open, and what was handed to this test.
    let open = out.split("open: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let handed: Vec<String> = handed_on().iter().map(ToString::to_string).collect();
    let more =
        open.split_whitespace().filter(|number| !["0", "1", "2"].contains(number) && !handed.iter().any(|one| one == number));
    assert!(more.count() <= 2, "{open}, of which were handed on {handed:?}");
}

/// Returns the descriptors of this process that every program inherits.
fn handed_on() -> Vec<u32> {
    let files = fs::read_dir("/proc/self/fdinfo").expect("proc").flatten();
    let inherits = |entry: &fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim).unwrap_or("2000000").to_owned();
        u32::from_str_radix(&flags, 8).is_ok_and(|flags| flags & 0o2_000_000 == 0)
    };
    files.filter(inherits).filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[tokio::test]
async fn what_strangers_write_stays_one_argument() {
    let (stage, path) = stage_with("#!/bin/sh\nfor one in \"$@\"; do printf '<%s>' \"$one\"; done\nls -A\n").await;
    let long = "x".repeat(10_000);
    let tainted = ["; touch x", "$(id)", "--flag", "a\nb", "../../x", "`id` | cat > y", "*", ""];
    let told = answer(stage.carry_out(exec(&path, &tainted), LONG).await);
    let whole: String = tainted.iter().map(|text| format!("<{text}>")).collect();
    assert_eq!(told["stdout"], whole, "{told}");
    let told = answer(stage.carry_out(exec(&path, &[&long]), LONG).await);
    assert!(told["stdout"].as_str().unwrap().starts_with("<xxxx") && told.to_string().len() <= 4_000, "{told}");
}

#[tokio::test]
async fn only_what_is_listed_and_unchanged_is_run() {
    let folder = open_folder();
    let mark = folder.path().join("mark");
    fs::write(&mark, "").unwrap();
    std::os::unix::fs::chown(&mark, Some(65534), Some(65534)).ok();
    let text = format!("#!/bin/sh\necho ran >> {}\n", mark.display());
    let (good, other) = (program(folder.path(), "good", &text), program(folder.path(), "other", &text));
    let writable = program(folder.path(), "writable", &text);
    fs::set_permissions(&writable, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let hash = tocsin::id::digest(&text);
    let act = format!("{{programs: [{{path: {good}, sha256: {hash}}}, {{path: {writable}}}, {{path: /nowhere/x}}]}}");
    let stage = Stage::within(folder, &act).await;
    assert_not_done(&stage.carry_out(exec(&other, &[]), LONG).await, "does not list the program");
    assert_not_done(&stage.carry_out(exec(&writable, &[]), LONG).await, "can be written");
    assert_not_done(&stage.carry_out(exec("/nowhere/x", &[]), LONG).await, "cannot open /nowhere/x");
    let pinned = |hash: &str| match exec(&good, &[]) {
        Request::Exec { program, argv, env, .. } => Request::Exec { program, argv, env, sha256: Some(hash.to_owned()) },
        other => other,
    };
    assert_not_done(&stage.carry_out(pinned(&"0".repeat(64)), LONG).await, "is not what it should be");
    assert_eq!(fs::read_to_string(&mark).unwrap(), "");
    assert_eq!(answer(stage.carry_out(pinned(&hash), LONG).await)["exit"], 0);
    assert_eq!(fs::read_to_string(&mark).unwrap(), "ran\n");
    fs::write(&good, format!("{text}# changed\n")).unwrap();
    assert_not_done(&stage.carry_out(exec(&good, &[]), LONG).await, "is not what it should be");
    let late = issue(exec(&good, &[]), LONG);
    assert_not_done(
        &carry_out(&stage.means, &tocsin::act::step::Issue { before: passed(), ..late }, async |_| {}).await,
        "has passed",
    );
    assert_eq!(fs::read_to_string(&mark).unwrap(), "ran\n");
}

#[tokio::test]
async fn a_program_that_takes_too_long_ends_with_all_that_it_started() {
    let word = format!("sleeper-{}", std::process::id());
    let text = format!("#!/bin/sh\ntrap '' TERM\nsetsid sh -c 'sleep 300; : {word}' &\nsleep 300; : {word}\n");
    let (stage, path) = stage_with(&text).await;
    let watch = Stopwatch::start();
    assert_unknown(&stage.carry_out(exec(&path, &[]), Span::from_secs(1)).await, "did not end within 1s, and was stopped");
    assert!(watch.elapsed() >= Duration::from_secs(6) && watch.elapsed() < Duration::from_secs(14), "{:?}", watch.elapsed());
    assert_eq!(running(&word), 0);
}

#[tokio::test]
async fn outputs_are_cut_and_show_no_secrets() {
    let folder = open_folder();
    fs::write(folder.path().join("secret"), "correct horse battery\n").unwrap();
    let text = "#!/bin/sh\necho 'key: correct horse battery, ann@example.org'\nhead -c 300000 /dev/zero | tr '\\0' x\nexit 3\n";
    let path = program(folder.path(), "program", text);
    let secret = folder.path().join("secret");
    let act = format!("{{programs: [{{path: {path}}}], secrets: [{{name: key, file: {}}}]}}", secret.display());
    let stage = Stage::within(folder, &act).await;
    let told = answer(stage.carry_out(exec(&path, &[]), LONG).await);
    assert_eq!(told["exit"], 3);
    assert!(told["stdout"].as_str().unwrap().starts_with("key: [secret], [mail]\nxxx"), "{told}");
    assert!(told.to_string().len() <= 4_000, "{}", told.to_string().len());
}

#[tokio::test]
async fn an_end_by_a_signal_is_told_as_such() {
    let (stage, path) = stage_with("#!/bin/sh\nkill -9 $$\n").await;
    let told = answer(stage.carry_out(exec(&path, &[]), LONG).await);
    assert_eq!((told["exit"].is_null(), told["signal"].as_i64()), (true, Some(9)), "{told}");
}

#[tokio::test]
async fn nothing_begins_before_its_handle_is_recorded() {
    let (stage, path) = stage_with("#!/bin/sh\ntouch /tmp/never-$TOCSIN_RUN-$PPID\n").await;
    let handle: Arc<OnceLock<String>> = Arc::default();
    let issue = issue(exec(&path, &[]), LONG);
    let known = handle.clone();
    let never = carry_out(&stage.means, &issue, async move |handle| {
        known.set(handle.expect("a program has a handle")).expect("once");
        std::future::pending().await
    });
    assert!(tokio::time::timeout(Duration::from_secs(5), never).await.is_err());
    let handle = handle.get().expect("it was about to begin").clone();
    let found = adopt(&stage.means, &issue, &handle).await;
    assert_not_done(&found.expect("the watcher says so"), "before it was begun");
}

#[tokio::test]
async fn who_is_not_waited_for_is_stopped_unless_the_service_leaves() {
    let word = format!("waiter-{}", std::process::id());
    let (stage, path) = stage_with(&format!("#!/bin/sh\nsleep 3; : {word}\necho done\n")).await;
    let issue = issue(exec(&path, &["x"]), LONG);
    for leaves in [false, true] {
        stage.means.leaving.store(leaves, Ordering::Release);
        let handle: Mutex<Option<String>> = Mutex::default();
        let carried = carry_out(&stage.means, &issue, async |given| *handle.lock().unwrap() = given);
        assert!(tokio::time::timeout(Duration::from_millis(1_500), carried).await.is_err());
        let handle = handle.lock().unwrap().clone().expect("a handle");
        stage.means.leaving.store(false, Ordering::Release);
        let found = adopt(&stage.means, &issue, &handle).await.expect("its watcher tells");
        match leaves {
            false => assert_unknown(&found, "was stopped"),
            true => assert_eq!(answer(found)["stdout"], "done\n"),
        }
        forget(&stage.means, &handle);
        assert_eq!(adopt(&stage.means, &issue, &handle).await, None, "nothing is left");
    }
}

/// The process that is killed in the next story: it carries out a program and says under which handle.
#[tokio::test]
async fn a_process_that_is_killed() {
    #[allow(clippy::disallowed_methods, reason = "the story tells its other process so what to do")]
    let Ok(folder) = std::env::var("TOCSIN_ACT_FOLDER") else { return };
    let path = Path::new(&folder).join("program").display().to_string();
    let work = Path::new(&folder).join("world");
    fs::create_dir(&work).unwrap();
    let stage = Stage::new(&format!("{{programs: [{{path: {path}}}]}}")).await;
    fs::write(work.join("steps"), stage.means.folder.display().to_string()).unwrap();
    let issue = issue(exec(&path, &[]), LONG);
    carry_out(&stage.means, &issue, async |handle| fs::write(work.join("handle"), handle.unwrap()).unwrap()).await;
}

#[tokio::test]
async fn a_program_survives_us_and_is_adopted() {
    let folder = open_folder();
    let path = program(folder.path(), "program", "#!/bin/sh\nsleep 3\necho survived\nexit 4\n");
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "act::exec::a_process_that_is_killed"])
        .env("TOCSIN_ACT_FOLDER", folder.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let file = folder.path().join("world/handle");
    let handle =
        soon("the program is under way", async || fs::read_to_string(&file).ok().filter(|text| text.ends_with('}'))).await;
    child.kill().await.unwrap();
    let mut stage = Stage::new(&format!("{{programs: [{{path: {path}}}]}}")).await;
    let steps = fs::read_to_string(folder.path().join("world/steps")).unwrap();
    Arc::get_mut(&mut stage.means).unwrap().folder = steps.clone().into();
    let issue = issue(exec(&path, &[]), LONG);
    // Twice: until it is recorded the answer stays.
    for _ in 0..2 {
        let told = answer(adopt(&stage.means, &issue, &handle).await.expect("it is found"));
        assert_eq!((told["exit"].as_i64(), told["stdout"].as_str()), (Some(4), Some("survived\n")));
    }
    let elsewhere = handle.replace(&steps, "/tmp");
    assert_eq!(adopt(&stage.means, &issue, &elsewhere).await, None, "a handle leads nowhere else");
    assert_eq!(adopt(&stage.means, &issue, "{}").await, None);
    let _ = fs::remove_dir_all(Path::new(&steps).parent().unwrap());
}

/// Outcomes cross tasks, as the runner's do.
#[tokio::test]
async fn a_request_can_be_carried_out_in_a_task_of_its_own() {
    let (stage, path) = stage_with("#!/bin/sh\nexit 0\n").await;
    let (means, issue) = (stage.means.clone(), issue(exec(&path, &[]), LONG));
    let task = tokio::spawn(async move { carry_out(&means, &issue, async |handle| assert!(handle.is_some())).await });
    assert!(matches!(task.await.unwrap(), Outcome::Answer(_)));
}
