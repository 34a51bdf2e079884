//! Named points at which the process can be made to die, to prove that a crash loses nothing.
//!
//! `tocsin serve --crash-at POINT[:N]` dies at the N-th passing of a point. A point that nobody asked for costs one atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The points in the order in which an alert passes them.
pub const POINTS: [&str; 6] =
    ["before-record", "after-record", "before-attempt", "before-connect", "after-answer", "after-attempt-record"];

/// The points that a run passes again and again.
pub const RUN_POINTS: [&str; 3] = ["before-run-record", "after-run-record", "after-run-effect"];

/// Points at which a task panics. The process ends with the first three, and starts the work of the others anew.
pub const FAULTS: [&str; 5] = ["in-watch", "in-outbox", "in-chores", "in-scrape", "in-evaluation"];

struct Plan {
    point: String,
    left: AtomicU32,
}

static PLAN: OnceLock<Plan> = OnceLock::new();

/// Asks for death, or for a panic, at a point: its name, and behind a colon at which passing (1 when left out).
///
/// Errors: a name that is not one of `POINTS`, `RUN_POINTS` and `FAULTS`, or a number that is none.
pub fn plan(text: &str) -> Result<(), String> {
    let (point, number) = text.split_once(':').unwrap_or((text, "1"));
    let points = [&POINTS[..], &RUN_POINTS[..], &FAULTS[..]].concat();
    if !points.contains(&point) {
        return Err(format!("there is no point {point:?}; the points are {}", points.join(", ")));
    }
    let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{number:?} is no count of passings"))?;
    PLAN.set(Plan { point: point.to_owned(), left: AtomicU32::new(number) })
        .map_err(|_| "only one point can be asked for".to_owned())
}

/// Dies here, without any clean-up, when this is the passing that was asked for.
pub fn point(name: &str) {
    if is_asked_for(name) {
        std::process::abort();
    }
}

/// Panics here when this is the passing that was asked for.
pub fn fault(name: &str) {
    if is_asked_for(name) {
        panic!("this fault was asked for");
    }
}

fn is_asked_for(name: &str) -> bool {
    PLAN.get().is_some_and(|plan| plan.point == name && plan.left.fetch_sub(1, Ordering::SeqCst) == 1)
}
