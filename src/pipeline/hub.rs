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
    Inbox,
    Demo,
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
            Topic::Inbox => "inbox",
            Topic::Demo => "demo",
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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    sender: broadcast::Sender<Change>,
}

#[derive(Debug)]
struct State {
    next: u64,
    recent: VecDeque<Change>,
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
        Hub { shared: Arc::new(Shared { state: Mutex::new(State { next: first, recent: VecDeque::new() }), sender }) }
    }

    pub fn tell(&self, topic: Topic, id: Option<&str>) {
        let change = {
            let mut state = self.shared.state.lock().expect("no holder of this lock panics");
            let change = Change { number: state.next, topic, id: id.map(Arc::from) };
            state.next += 1;
            if state.recent.len() == KEPT {
                state.recent.pop_front();
            }
            state.recent.push_back(change.clone());
            change
        };
        // No reader at all is fine.
        let _ = self.shared.sender.send(change);
    }

    /// Returns what came after change `last`, and the stream of what comes from now on.
    pub fn listen(&self, last: Option<u64>) -> (Missed, broadcast::Receiver<Change>) {
        let state = self.shared.state.lock().expect("no holder of this lock panics");
        let receiver = self.shared.sender.subscribe();
        let missed = match last {
            None => Missed::Changes(Vec::new()),
            Some(last) => {
                let oldest = state.recent.front().map_or(state.next, |change| change.number);
                if last + 1 < oldest || last >= state.next {
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
        assert!(matches!(hub.listen(Some(999)).0, Missed::TooMuch));
        for _ in 0..2 * KEPT {
            hub.tell(Topic::Pages, None);
        }
        assert!(matches!(hub.listen(Some(102)).0, Missed::TooMuch));
    }
}
