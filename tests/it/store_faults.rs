//! The store's process is killed again and again while it writes, cuts, merges and checkpoints; the device refuses; nothing that was
//! seen is lost.

mod changes;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tocsin::disk::{Disk, DiskOptions, RecoveryReport, Written};
use tocsin_core::model::{Cell, LabelSet, Matcher, Row, Select, SeriesRef, Source, Value};
use tocsin_core::store::{AppendError, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

/// Present in the environment of a child that plays the store: its part, the data folder and the row to go on with.
const ROLE: &str = "TOCSIN_TEST_STORE_ROLE";
const KILLS: u64 = 200;
const SERIES: u32 = 40;
/// Rows of one life at most, so that what is looked through stays small.
const ROWS_OF_A_LIFE: i64 = 400;
/// From one row to the next; the store lives much faster than the clock.
const STEP: i64 = 5_000;
const SAMPLES_MAX: usize = 1 << 24;

fn at(row: i64) -> Timestamp {
    Timestamp(1_795_231_655_000 + row * STEP)
}

/// Limits so small that every kind of file is written all the time.
fn options() -> DiskOptions {
    DiskOptions {
        segment_bytes_max: 8 << 10,
        log_bytes_max: 64 << 10,
        log_bytes_min: 16 << 10,
        memory_span: Span(60 * STEP),
        cut_period: Span(90 * STEP),
        block_bytes_max: 4 << 10,
        ..DiskOptions::default()
    }
}

fn open(data: &Path) -> (Arc<Store>, Disk, RecoveryReport) {
    let store = Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() });
    let (disk, report) = Disk::open_with(data, &store, options()).expect("the folder can be opened");
    (Arc::new(store), disk, report)
}

fn series(store: &Store, number: u32) -> SeriesRef {
    let labels = LabelSet::from_pairs([("__name__", "kills".to_owned()), ("number", number.to_string())]);
    store.resolve(&labels).expect("there is room")
}

/// The value that a series has in a row: some never change, some count, some are no short numbers.
fn value(row: i64, number: u32) -> f64 {
    match number % 4 {
        0 => f64::from(number),
        1 => (row * i64::from(number)) as f64,
        2 => row as f64 * 0.1,
        _ => f64::from_bits((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2),
    }
}

fn row(store: &Store, number: i64) -> Row {
    let cells = (0..SERIES).map(|own| Cell { series: series(store, own), at: None, value: Value::Float(value(number, own)) });
    Row { at: at(number), cells: cells.collect() }
}

/// Appends a row. Series may leave between their naming and their first sample, for maintenance goes round as fast as it can.
fn append(store: &Store, disk: &Disk, number: i64) -> Written {
    loop {
        match disk.append(store, &row(store, number)) {
            Err(AppendError::Dead { .. }) => {}
            done => return done.expect("the row is taken"),
        }
    }
}

/// Returns how many rows the store holds, and asserts that they are whole and that none is missing, doubled or changed.
fn rows(store: &Store) -> i64 {
    let matchers = [Matcher::equal("__name__", "kills")];
    let (start, end) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let all = store.select(&Select { matchers: &matchers, start, end, samples_max: SAMPLES_MAX, newest_only: false });
    let all = all.expect("the store can be read");
    let count = all.first().map_or(0, |series| series.floats.len());
    assert!(all.is_empty() || all.len() == SERIES as usize, "{} series have samples", all.len());
    for series in &all {
        let number: u32 = series.labels.get("number").parse().expect("it is one");
        assert_eq!(series.floats.len(), count, "series {number} has other rows");
        for (own, (when, own_value)) in (0..).zip(&series.floats) {
            assert_eq!((*when, own_value.to_bits()), (at(own).0, value(own, number).to_bits()), "row {own} of series {number}");
        }
    }
    count as i64
}

/// What the child does. As a test of its own it does nothing.
#[test]
fn role_of_a_store_that_is_killed() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let role: serde_json::Value = serde_json::from_str(role.to_str().expect("a text")).expect("a role");
    let data = PathBuf::from(role["data"].as_str().expect("a folder"));
    if role["part"] == "restoring" {
        return changes::be_restoring(&data, Path::new(role["snapshot"].as_str().expect("a folder")));
    }
    let (store, disk, report) = open(&data);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    match role["part"].as_str().expect("a part") {
        "busy" => be_busy(&store, disk, role["row"].as_i64().expect("a row")),
        "refused" => be_refused(&store, &disk),
        "changing" => changes::be_changing(&store, disk, &role),
        "deleting" => changes::be_deleting(&store, &disk),
        "crowded" => changes::be_crowded(&store, &disk, &data),
        part => panic!("there is no part {part}"),
    }
}

fn say(word: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "said {word}").and_then(|()| out.flush()).expect("the parent listens");
}

type Work = fn(&Disk, &Store, Timestamp);

/// Does works over and over, each on a thread of its own, until the process dies. Returns the disk, and the clock that they read.
fn work_beside(store: &Arc<Store>, disk: Disk, from: i64, works: &[Work]) -> (Arc<Disk>, Arc<AtomicI64>) {
    let (disk, now) = (Arc::new(disk), Arc::new(AtomicI64::new(at(from).0)));
    say("ready");
    for work in works.iter().copied() {
        let (disk, store, now) = (disk.clone(), store.clone(), now.clone());
        std::thread::spawn(move || {
            loop {
                work(&disk, &store, Timestamp(now.load(Ordering::Relaxed)));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
    (disk, now)
}

const MAINTAIN: Work = |disk, store, now| disk.maintain(store, now).map(drop).expect("the disk takes it");
const MERGE: Work = |disk, store, now| disk.merge(store, now, &mut || ()).map(drop).expect("the disk takes it");
const CLEAN: Work = |disk, store, _| disk.clean(store, &mut || ()).map(drop).expect("the disk takes it");
const SYNC: Work = |disk, _, _| disk.sync().expect("the disk takes it");

/// Appends as fast as it can and says each row once it is visible, while maintenance, merging and the sync run beside it.
fn be_busy(store: &Arc<Store>, disk: Disk, from: i64) {
    let (disk, now) = work_beside(store, disk, from, &[MAINTAIN, MERGE, SYNC]);
    for number in from..from + ROWS_OF_A_LIFE {
        let written = append(store, &disk, number);
        assert!(written.unlogged.is_none(), "{:?}", written.unlogged);
        now.store(at(number).0, Ordering::Relaxed);
        say(number);
    }
    std::thread::sleep(Duration::from_secs(600));
}

fn roll(dice: &mut u64) {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
}

fn play(role: &serde_json::Value, through: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let own = std::env::current_exe().expect("our own file");
    let mut command = through.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    command.push(own.to_str().expect("a text").to_owned());
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .args(["--exact", "store_faults::role_of_a_store_that_is_killed", "--nocapture"])
        .env(ROLE, role.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, out)
}

/// Returns the next word that the child says; None when it has ended.
fn next_word(out: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    while out.read_line(&mut line).expect("the pipe can be read") > 0 {
        // The test runner's own text may stand in front of it.
        if let Some((_, word)) = line.trim_end().split_once("said ") {
            return Some(word.to_owned());
        }
        line.clear();
    }
    None
}

#[test]
fn two_hundred_kills_lose_no_row_and_leave_none_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut dice, mut held, mut lives_at_work) = (0x70c5_1a1e_u64, 0, 0);
    println!("seed {dice:#x}");
    for kill in 0..KILLS {
        let role = serde_json::json!({"part": "busy", "data": folder.path(), "row": held});
        let (mut child, mut out) = play(&role, &[]);
        assert_eq!(next_word(&mut out).as_deref(), Some("ready"), "before kill {kill}");
        let listener = std::thread::spawn(move || {
            let mut last = None;
            while let Some(word) = next_word(&mut out) {
                last = Some(word.parse::<i64>().expect("a row"));
            }
            last
        });
        roll(&mut dice);
        std::thread::sleep(Duration::from_micros(dice % 60_000));
        assert_eq!(child.try_wait().expect("a child of ours"), None, "it ended by itself before kill {kill}");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let said = listener.join().expect("the listener ends").map_or(held, |last| last + 1);
        lives_at_work += u64::from(said > held);
        let (store, _disk, report) = open(folder.path());
        assert!(report.damage.is_empty(), "after kill {kill}: {:?}", report.damage);
        let found = rows(&store);
        // The row that was under way may be there, though nobody was told.
        assert!(found == said || found == said + 1, "after kill {kill}: {said} rows were visible, {found} are there");
        held = found;
    }
    assert!(lives_at_work > KILLS / 2, "only {lives_at_work} of {KILLS} lives wrote anything");
    println!("{KILLS} kills, {held} rows of {SERIES} samples");
}

/// Appends, and is refused by the device now and then: rows live in memory meanwhile, and the log resumes with a checkpoint.
fn be_refused(store: &Arc<Store>, disk: &Disk) {
    let (mut number, mut refusals) = (0, 0);
    while refusals < 3 || disk.is_suspended() {
        for _ in 0..5 {
            disk.append(store, &row(store, number)).expect("the row is taken, by memory at least");
            number += 1;
        }
        refusals += u64::from(disk.sync().is_err());
        if disk.is_suspended() {
            disk.append(store, &row(store, number)).expect("memory takes the row");
            number += 1;
            assert_eq!(rows(store), number, "what is not on the disk can be read all the same");
            // It may be refused too; then the next one resumes.
            let _ = disk.maintain(store, at(number));
        }
        assert!(number < 10_000, "the device refused {refusals} times only");
    }
    say(number);
}

#[test]
fn a_device_that_refuses_to_sync_costs_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let role = serde_json::json!({"part": "refused", "data": folder.path()});
    for call in ["fdatasync", "fsync,fdatasync"] {
        let data = folder.path().join(call);
        let role = serde_json::json!({"part": "refused", "data": data, "row": role["row"]});
        let inject = format!("inject={call}:error=EIO:when=3+4");
        let trace = format!("trace={call}");
        let through = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let (mut child, mut out) = play(&role, &through);
        let said: i64 = next_word(&mut out).expect("it gets through").parse().expect("a row");
        assert!(child.wait().expect("it ends").success());
        let (store, _disk, report) = open(&data);
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        assert_eq!(rows(&store), said, "with {call} refused");
    }
}
