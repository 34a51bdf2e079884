//! Any bytes as records of the log, and sound records with any bytes changed: replaying ends, what is there can be asked for, and a
//! checkpoint of it brings the same back.
#![no_main]

use std::cell::RefCell;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tocsin_core::store::{Lateness, Store};
use tocsin_fuzz::{all, changed, rows, store};

fn checkpoint(store: &Store) -> Vec<u8> {
    let mut records = Vec::new();
    let mut sink = |record: &[u8]| {
        records.extend_from_slice(record);
        Ok(())
    };
    store.checkpoint(&mut sink).expect("the sink takes everything");
    records
}

/// Returns records that we wrote: of rows, and of a checkpoint.
fn sound() -> &'static [Vec<u8>; 2] {
    static RECORDS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let (store, log) = (store(), RefCell::new(Vec::new()));
        let write = |record: &[u8]| {
            log.borrow_mut().extend_from_slice(record);
            Ok(())
        };
        rows(&store, |row| drop(store.append_late(row, Lateness::Any, &write).expect("the series lives")));
        [log.take(), checkpoint(&store)]
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let records = if kind % 4 == 0 { rest.to_vec() } else { changed(&sound()[usize::from(*kind) % 2], rest) };
    let (own, again) = (store(), store());
    // Damage ends the replay, and what came before it stays.
    let _ = own.replay(&records);
    let Ok(before) = all(&own) else { return };
    again.replay(&checkpoint(&own)).expect("what we wrote can be read");
    assert_eq!(all(&again).expect("what we wrote can be read"), before);
});
