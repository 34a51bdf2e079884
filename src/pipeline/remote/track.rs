//! Which records of the queue are settled: those of which every sample was delivered, refused or given up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::disk::queue::{Position, Queue};

struct Open {
    left: usize,
    after: Position,
}

/// The records that are under way, in order.
pub struct Track {
    queue: Arc<Queue>,
    name: String,
    open: Mutex<(u64, BTreeMap<u64, Open>)>,
}

impl Track {
    pub fn new(queue: Arc<Queue>, name: &str) -> Track {
        Track { queue, name: name.to_owned(), open: Mutex::default() }
    }

    /// Notes a record with so many samples to be settled; returns its number.
    pub fn begin(&self, samples: usize, after: Position) -> u64 {
        let mut open = self.open.lock().expect("no holder of this lock panics");
        open.0 += 1;
        let number = open.0;
        open.1.insert(number, Open { left: samples, after });
        self.advance(&mut open.1);
        number
    }

    /// Forgets what is under way: it is read anew.
    pub fn forget(&self) {
        self.open.lock().expect("no holder of this lock panics").1.clear();
    }

    /// Notes that samples are settled, each by the number of its record.
    pub fn settle(&self, numbers: impl Iterator<Item = u64>) {
        let mut open = self.open.lock().expect("no holder of this lock panics");
        for number in numbers {
            if let Some(own) = open.1.get_mut(&number) {
                own.left -= 1;
            }
        }
        self.advance(&mut open.1);
    }

    fn advance(&self, open: &mut BTreeMap<u64, Open>) {
        let mut reached = None;
        while let Some(first) = open.first_entry().filter(|first| first.get().left == 0) {
            reached = Some(first.remove().after);
        }
        if let Some(position) = reached {
            self.queue.settle(&self.name, position);
        }
    }
}
