//! Pages: the series by their numbers, 256 to a page, each page with its own locks.
//!
//! A target's series are mostly numbered in one go, so a row works through few pages, and a reader copies a page in microseconds.

use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::LabelSet;

use super::head::Head;

pub(super) const PAGE_LEN: usize = 256;
const SHELF_LEN: usize = 4096;
const SHELVES: usize = (1 << 32) / PAGE_LEN / SHELF_LEN;

/// Labels and heads of 256 series; both lists are empty or full.
#[derive(Default)]
pub(super) struct Page {
    labels: RwLock<Vec<Option<LabelSet>>>,
    heads: RwLock<Vec<Head>>,
}

type Shelf = Box<[OnceLock<Box<Page>>]>;

pub(super) struct Pages {
    shelves: Box<[OnceLock<Shelf>]>,
}

/// Returns the number of the page that holds a series.
pub(super) fn page_of(series: u32) -> u32 {
    series / PAGE_LEN as u32
}

/// Returns the place of a series in its page.
pub(super) fn slot_of(series: u32) -> usize {
    series as usize % PAGE_LEN
}

const POISONED: &str = "no thread panics while it holds a page";

impl Page {
    pub fn labels(&self) -> RwLockReadGuard<'_, Vec<Option<LabelSet>>> {
        self.labels.read().expect(POISONED)
    }

    pub fn heads(&self) -> RwLockReadGuard<'_, Vec<Head>> {
        self.heads.read().expect(POISONED)
    }

    pub fn heads_mut(&self) -> RwLockWriteGuard<'_, Vec<Head>> {
        self.heads.write().expect(POISONED)
    }

    /// Puts a new series into a slot.
    pub fn place(&self, slot: usize, labels: LabelSet, logged: bool) {
        let mut all = self.labels.write().expect(POISONED);
        if all.is_empty() {
            all.resize_with(PAGE_LEN, || None);
        }
        all[slot] = Some(labels);
        drop(all);
        let mut heads = self.heads_mut();
        if heads.is_empty() {
            heads.resize_with(PAGE_LEN, Head::default);
        }
        heads[slot] = Head::born(logged);
    }

    /// Returns the slots that hold series from `from` on, each with the series' labels; `heads` is the page's own.
    pub fn living<'a>(
        heads: &'a [Head],
        labels: &'a [Option<LabelSet>],
        from: usize,
    ) -> impl Iterator<Item = (usize, &'a Head, &'a LabelSet)> {
        let slots = heads.iter().zip(labels).enumerate().skip(from);
        slots.filter_map(|(slot, (head, labels))| Some((slot, head, labels.as_ref().filter(|_| head.alive)?)))
    }

    /// Empties a slot and returns how many bytes its samples took; a page without series gives its memory back.
    pub fn clear(&self, slot: usize) -> usize {
        let mut heads = self.heads_mut();
        let bytes = heads.get_mut(slot).map_or(0, |head| std::mem::take(head).bytes());
        let mut all = self.labels.write().expect(POISONED);
        if let Some(labels) = all.get_mut(slot) {
            *labels = None;
        }
        if all.iter().all(Option::is_none) {
            *all = Vec::new();
            *heads = Vec::new();
        }
        bytes
    }
}

impl Pages {
    pub fn new() -> Pages {
        Pages { shelves: (0..SHELVES).map(|_| OnceLock::new()).collect() }
    }

    /// Returns a page that exists.
    pub fn get(&self, page: u32) -> Option<&Page> {
        let shelf = self.shelves[page as usize / SHELF_LEN].get()?;
        shelf[page as usize % SHELF_LEN].get().map(Box::as_ref)
    }

    /// Returns a page, and makes it first if need be.
    pub fn make(&self, page: u32) -> &Page {
        let shelf =
            self.shelves[page as usize / SHELF_LEN].get_or_init(|| (0..SHELF_LEN).map(|_| OnceLock::new()).collect::<Shelf>());
        shelf[page as usize % SHELF_LEN].get_or_init(Box::default)
    }

    /// Returns a series' labels; `None` for a number without a series.
    pub fn labels(&self, series: u32) -> Option<LabelSet> {
        self.get(page_of(series))?.labels().get(slot_of(series))?.clone()
    }

    /// Calls `ask` with each of the numbers, in order, and the labels of those that are series; returns the numbers it says yes to.
    pub fn filter(&self, numbers: &[u32], mut ask: impl FnMut(&LabelSet) -> bool) -> Vec<u32> {
        let mut kept = Vec::new();
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.get(page_of(run[0])) else { continue };
            let labels = page.labels();
            let yes = |series: &u32| labels.get(slot_of(*series)).and_then(Option::as_ref).is_some_and(&mut ask);
            kept.extend(run.iter().copied().filter(yes));
        }
        kept
    }
}
