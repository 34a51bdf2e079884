//! Tells open pages what has changed. Only the fact travels; the page asks for the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Alerts,
    Pages,
    Deliveries,
    Targets,
    Silences,
    Rules,
    Objectives,
    Inbox,
    Journeys,
    Demo,
    Runs,
}

impl Topic {
    pub fn word(self) -> &'static str {
        match self {
            Topic::Alerts => "alerts",
            Topic::Pages => "pages",
            Topic::Deliveries => "deliveries",
            Topic::Targets => "targets",
            Topic::Silences => "silences",
            Topic::Rules => "rules",
            Topic::Objectives => "objectives",
            Topic::Inbox => "inbox",
            Topic::Journeys => "journeys",
            Topic::Demo => "demo",
            Topic::Runs => "runs",
        }
    }
}

/// A change with its number; numbers rise by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub number: u64,
    pub topic: Topic,
    pub id: Option<Arc<str>>,
}

/// Changes kept for readers that come back after a short absence.
const KEPT: usize = 1024;
/// Changes that a slow reader may lag behind before it is told to start afresh.
const LAG_MAX: usize = 256;

/// The fan-out of changes; clones share it.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    next: u64,
    recent: VecDeque<Change>,
    /// None once the service is stopping.
    sender: Option<broadcast::Sender<Change>>,
}

/// What a reader that comes back has missed.
#[derive(Debug)]
pub enum Missed {
    Changes(Vec<Change>),
    /// Too much, or it was a life of this program ago: ask for everything again.
    TooMuch,
}

impl Hub {
    /// Starts the numbers at `first`, which must be higher than any of an earlier life; the time in milliseconds is.
    pub fn new(first: u64) -> Hub {
        let (sender, _) = broadcast::channel(LAG_MAX);
        let state = State { next: first, recent: VecDeque::new(), sender: Some(sender) };
        Hub { state: Arc::new(Mutex::new(state)) }
    }

    pub fn tell(&self, topic: Topic, id: Option<&str>) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        let change = Change { number: state.next, topic, id: id.map(Arc::from) };
        state.next += 1;
        if state.recent.len() == KEPT {
            state.recent.pop_front();
        }
        state.recent.push_back(change.clone());
        if let Some(sender) = &state.sender {
            // No reader at all is fine.
            let _ = sender.send(change);
        }
    }

    /// Ends every stream, since a browser never hangs up by itself and a stop would wait for it.
    pub fn close(&self) {
        self.state.lock().expect("no holder of this lock panics").sender = None;
    }

    /// Returns what came after change `last`, and the stream of what comes from now on.
    pub fn listen(&self, last: Option<u64>) -> (Missed, broadcast::Receiver<Change>) {
        let state = self.state.lock().expect("no holder of this lock panics");
        let receiver = match &state.sender {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        };
        let missed = match last {
            None => Missed::Changes(Vec::new()),
            Some(last) => {
                let oldest = state.recent.front().map_or(state.next, |change| change.number);
                if last.saturating_add(1) < oldest || last >= state.next {
                    Missed::TooMuch
                } else {
                    Missed::Changes(state.recent.iter().filter(|change| change.number > last).cloned().collect())
                }
            }
        };
        (missed, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_comes_back_gets_what_it_missed() {
        let hub = Hub::new(100);
        for _ in 0..3 {
            hub.tell(Topic::Alerts, Some("a"));
        }
        let Missed::Changes(changes) = hub.listen(Some(100)).0 else { panic!("nothing was lost") };
        assert_eq!(changes.iter().map(|change| change.number).collect::<Vec<_>>(), [101, 102]);
        assert!(matches!(hub.listen(Some(5)).0, Missed::TooMuch));
        for foreign in [999, u64::MAX] {
            assert!(matches!(hub.listen(Some(foreign)).0, Missed::TooMuch));
        }
        for _ in 0..2 * KEPT {
            hub.tell(Topic::Pages, None);
        }
        assert!(matches!(hub.listen(Some(102)).0, Missed::TooMuch));
    }
}
