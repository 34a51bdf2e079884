//! Any bytes as a block, and a sound block with any bytes changed: it opens or not, is read or not, and merges or not; what was read
//! before merging is read after it.
#![no_main]

use std::io;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tocsin_core::store::{BlockId, Cut, Lateness, ReadAt};
use tocsin_core::time::Timestamp;
use tocsin_fuzz::{all, changed, rows, store};

fn memory(bytes: Arc<[u8]>) -> ReadAt {
    Box::new(move |at, out| {
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let piece = bytes.get(from..).and_then(|rest| rest.get(..out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    })
}

/// Returns the bytes of a block that we wrote.
fn sound() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let store = store();
        rows(&store, |row| drop(store.append_late_unlogged(row, Lateness::Any).expect("the series lives")));
        let draft = store.draft(Timestamp(i64::MAX), usize::MAX, &mut Cut::of_all()).expect("there are samples");
        draft.bytes().to_vec()
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let bytes: Arc<[u8]> = if kind % 4 == 0 { rest.into() } else { changed(sound(), rest).into() };
    let store = store();
    for number in 1..=2 {
        if store.attach(BlockId::of_cut(number), bytes.len() as u64, memory(bytes.clone())).is_err() {
            return;
        }
    }
    store.adopt_series();
    let before = all(&store);
    let Some(merge) = store.merge_due(Timestamp(i64::MAX / 2), u64::MAX) else { return };
    let mut merged = Vec::new();
    let mut write = |piece: &[u8]| {
        merged.extend_from_slice(piece);
        Ok(())
    };
    let (Ok(_), Ok(before)) = (merge.write(&mut write, &mut || ()), before) else { return };
    let len = merged.len() as u64;
    store.commit_merge(&merge, len, memory(merged.into())).expect("what we wrote can be read");
    let after = all(&store).expect("what we wrote can be read");
    // A directory that lies hides series, until merging writes a new one.
    assert!(before.iter().all(|series| after.contains(series)), "{before:?} became {after:?}");
});
