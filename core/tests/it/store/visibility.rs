//! Readers beside writers: a row is seen whole or not at all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

use tocsin_core::model::{Cell, LabelSet, Matcher, Row, Select, Series, SeriesRef, Source, Value};
use tocsin_core::store::{AppendError, BlockId, Cut, ReadAt, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

const WRITERS: usize = 3;
const SERIES: usize = 700;
const ROWS: i64 = 400;
/// Between two rows.
const STEP: i64 = 60_000;

fn set(writer: usize, kind: &str, number: i64) -> LabelSet {
    LabelSet::from_pairs([("__name__", kind), ("writer", &writer.to_string()), ("number", &number.to_string())])
}

fn cell(series: SeriesRef, at: Option<i64>, value: i64) -> Cell {
    Cell { series, at: at.map(Timestamp), value: Value::Float(value as f64) }
}

/// Appends rows: each has all steady series, a late sample for one of them, and a series of its own.
fn write(store: &Store, writer: usize, clock: &AtomicI64) {
    let resolve = |kind, number| store.resolve(&set(writer, kind, number)).unwrap();
    let mut steady: Vec<SeriesRef> = (0..SERIES as i64).map(|number| resolve("steady", number)).collect();
    for row in 1..=ROWS {
        let done = loop {
            let mut cells: Vec<Cell> = steady.iter().map(|series| cell(*series, None, row)).collect();
            cells.push(cell(resolve("late", 0), Some((ROWS - row + 1) * STEP), row));
            cells.push(cell(resolve("own", row), None, row));
            match store.append(&Row { at: Timestamp(row * STEP), cells }, &|_| Ok(())) {
                // Truncation takes series that stay without samples, or get no more.
                Err(AppendError::Dead { .. }) => steady = (0..SERIES as i64).map(|number| resolve("steady", number)).collect(),
                done => break done.unwrap(),
            }
        };
        assert_eq!(done.samples, SERIES + 2);
        clock.store(row * STEP, Ordering::SeqCst);
    }
}

fn reader(bytes: Arc<[u8]>) -> ReadAt {
    Box::new(move |at, out| {
        let own = bytes.get(at as usize..at as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(own);
        Ok(())
    })
}

/// Counts a writer out, however it ends.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn read(source: &impl Source, matchers: &[Matcher], newest_only: bool) -> Vec<Series> {
    let (start, end) = (Timestamp::MIN, Timestamp::MAX);
    source.select(&Select { matchers, start, end, samples_max: usize::MAX, newest_only }).unwrap()
}

/// Checks that the answers hold the same rows; returns how many.
fn check(store: &Store, writer: usize) -> usize {
    let snapshot = store.snapshot();
    let own = Matcher::equal("writer", writer.to_string());
    let name = |kind: &str| [own.clone(), Matcher::equal("__name__", kind)];
    let owns = read(&snapshot, &name("own"), false);
    let steady = read(&snapshot, &name("steady"), false);
    let late = read(&snapshot, &name("late"), false);
    let newest = read(&snapshot, &name("steady"), true);
    let last = |series: &[Series]| -> Vec<_> { series.iter().map(|series| series.floats.last().copied()).collect() };
    assert_eq!(last(&newest), last(&steady));
    let rows = owns.len();
    let lens: Vec<usize> = steady.iter().map(|series| series.floats.len()).collect();
    assert!(lens.iter().all(|len| *len == rows), "{rows} rows, but series of {lens:?}");
    assert_eq!(late.iter().map(|series| series.floats.len()).sum::<usize>(), rows);
    assert!(rows == 0 || steady.len() == SERIES);
    let all = read(&snapshot, std::slice::from_ref(&own), false);
    assert_eq!(all.iter().map(|series| series.floats.len()).sum::<usize>(), rows * (SERIES + 2));
    rows
}

#[test]
fn readers_see_rows_whole() {
    let store = Store::new(StoreOptions { out_of_order_window: Span(ROWS * STEP), ..StoreOptions::default() });
    // The writers' series lie on the same pages.
    for number in 0..SERIES {
        (0..WRITERS).for_each(|writer| drop(store.resolve(&set(writer, "steady", number as i64))));
    }
    let busy = AtomicUsize::new(WRITERS);
    let (looks, cooled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let clocks: [AtomicI64; WRITERS] = Default::default();
    thread::scope(|scope| {
        for (writer, clock) in clocks.iter().enumerate() {
            let (store, busy) = (&store, &busy);
            scope.spawn(move || {
                let _busy = Busy(busy);
                write(store, writer, clock);
            });
        }
        for reader in 0..2 {
            let (store, busy, looks) = (&store, &busy, &looks);
            scope.spawn(move || {
                let (mut seen, mut turn) = ([0; WRITERS], reader);
                while busy.load(Ordering::SeqCst) > 0 {
                    turn = (turn + 1) % WRITERS;
                    let rows = check(store, turn);
                    assert!(rows >= seen[turn], "rows vanished");
                    seen[turn] = rows;
                    looks.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let (store, busy, clocks, cooled) = (&store, &busy, &clocks, &cooled);
        scope.spawn(move || {
            let mut block = 0;
            while busy.load(Ordering::SeqCst) > 0 {
                let now = clocks.iter().map(|clock| clock.load(Ordering::SeqCst)).min().unwrap_or(0);
                let mut cut = Cut::of_all();
                while let Some(draft) = store.draft(Timestamp(now - 20 * STEP), 1 << 16, &mut cut) {
                    block += 1;
                    store.commit(&draft, BlockId::of_cut(block), reader(draft.bytes().into())).unwrap();
                }
                cooled.fetch_add(store.truncate(Timestamp(now)).series, Ordering::SeqCst);
                store.checkpoint(&mut |_| Ok(())).unwrap();
            }
        });
    });
    for writer in 0..WRITERS {
        assert_eq!(check(&store, writer), ROWS as usize);
    }
    let cooled = cooled.into_inner();
    println!("{} looks, {cooled} series went cold", looks.into_inner());
    assert!(cooled > 100);
}
