//! Pages: the series by their numbers, 256 to a page, each page with its own locks.
//!
//! A target's series are mostly numbered in one go, so a row works through few pages, and a reader copies a page in microseconds.

use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{LabelSet, Matcher};

use super::head::Head;
use super::labels::PageLabels;

pub(super) const PAGE_LEN: usize = 256;
const SHELF_LEN: usize = 4096;
const SHELVES: usize = (1 << 32) / PAGE_LEN / SHELF_LEN;

/// Labels and heads of 256 series; the list of heads is empty or full.
#[derive(Default)]
pub(super) struct Page {
    labels: RwLock<PageLabels>,
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
    pub fn labels(&self) -> RwLockReadGuard<'_, PageLabels> {
        self.labels.read().expect(POISONED)
    }

    pub fn heads(&self) -> RwLockReadGuard<'_, Vec<Head>> {
        self.heads.read().expect(POISONED)
    }

    pub fn heads_mut(&self) -> RwLockWriteGuard<'_, Vec<Head>> {
        self.heads.write().expect(POISONED)
    }

    /// Puts a new series into a slot.
    pub fn place(&self, slot: usize, labels: &LabelSet, logged: bool) {
        self.labels.write().expect(POISONED).put(slot, labels);
        let mut heads = self.heads_mut();
        if heads.is_empty() {
            heads.resize_with(PAGE_LEN, Head::default);
        }
        heads[slot] = Head::born(logged);
    }

    /// Returns the slots that hold series from `from` on, each with the series' labels; `heads` is the page's own.
    pub fn living<'a>(
        heads: &'a [Head],
        labels: &'a PageLabels,
        from: usize,
    ) -> impl Iterator<Item = (usize, &'a Head, LabelSet)> {
        let alive = heads.iter().enumerate().skip(from).filter(|(_, head)| head.alive);
        alive.filter_map(|(slot, head)| Some((slot, head, labels.get(slot)?)))
    }

    /// Empties a slot and returns how many bytes its samples took; a page without series gives its memory back.
    pub fn clear(&self, slot: usize) -> usize {
        let mut heads = self.heads_mut();
        let bytes = heads.get_mut(slot).map_or(0, |head| std::mem::take(head).bytes());
        if self.labels.write().expect(POISONED).clear(slot) {
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
        self.get(page_of(series))?.labels().get(slot_of(series))
    }

    /// Returns whether a number stands for a series.
    pub fn has(&self, series: u32) -> bool {
        self.get(page_of(series)).is_some_and(|page| page.labels().has(slot_of(series)))
    }

    /// Returns whether a number stands for a series that is not about to leave memory.
    pub fn is_alive(&self, series: u32) -> bool {
        self.get(page_of(series)).is_some_and(|page| page.heads().get(slot_of(series)).is_some_and(|head| head.alive))
    }

    /// Returns whether a number stands for the series with these labels.
    pub fn is(&self, series: u32, labels: &LabelSet) -> bool {
        self.get(page_of(series)).is_some_and(|page| page.labels().is(slot_of(series), labels))
    }

    /// Calls `each` with the numbers, in order, each with the labels of its page and the slot there.
    pub fn walk(&self, numbers: &[u32], mut each: impl FnMut(u32, &PageLabels, usize)) {
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.get(page_of(run[0])) else { continue };
            let labels = page.labels();
            run.iter().filter(|series| labels.has(slot_of(**series))).for_each(|series| each(*series, &labels, slot_of(*series)));
        }
    }

    /// Returns those of the numbers, in order, whose series satisfy a matcher.
    pub fn filter(&self, numbers: &[u32], matcher: &Matcher) -> Vec<u32> {
        let mut kept = Vec::new();
        // Neighbours share values, and a regular expression costs more than a look at the last one.
        let mut last: Option<(u32, u32, bool)> = None;
        self.walk(numbers, |series, labels, slot| {
            let page = page_of(series);
            let yes = match (labels.value(slot, &matcher.name), last) {
                (None, _) => matcher.matches_empty(),
                (Some((pair, _)), Some((of, own, yes))) if of == page && own == pair => yes,
                (Some((pair, value)), _) => {
                    let yes = matcher.is_match(value);
                    last = Some((page, pair, yes));
                    yes
                }
            };
            if yes {
                kept.push(series);
            }
        });
        kept
    }
}
