//! One sample's journey, in the order in which it happens:
//!
//! 1. `scrapes` finds the targets, fetches each on its own time and has its body read into a row;
//!    `collect` asks the sources that have an API of their own, whose points may be late;
//!    `journeys` tries what users do, at a beat that nothing else holds up;
//!    `receive` takes what other servers write;
//! 2. `ingest` writes the row to the log and makes it visible in the store; `remote` sends it on to other servers;
//! 3. `rules` evaluates the groups at their slots, and looks early at alerting rules that the scrape touches;
//!    `objectives` counts what was promised, and judges how fast it is broken;
//! 4. `watch` owns the state: core's ledger moves the alerts of our rules, its plane routes them and opens pages; all that changed
//!    is recorded in one transaction (`ledger` and `watch` turn it into SQL);
//!    `alertmanagers` tells others what our rules bring;
//! 5. `outbox` takes the recorded deliveries to their channels;
//! 6. `hub` tells open pages what has changed, `picture` puts together what they then ask for.
//!
//! `memory` stands beside: it looks how much memory all of it takes, and has what can wait give way; `own_alerts` tells people of that
//! at step 4.
//!
//! Feedback (a silence, an acknowledgement) enters as an event at step 4; nothing reaches back.

pub mod alertmanagers;
pub mod auditor;
pub mod collect;
pub mod crash;
pub mod fault;
pub mod fresh;
pub mod heartbeats;
pub mod hub;
pub mod ingest;
pub mod journeys;
pub mod ledger;
mod lists;
pub mod memory;
pub mod objectives;
pub mod outbox;
pub mod own_alerts;
pub mod picture;
pub mod pulse;
pub mod receive;
pub mod remote;
pub mod rules;
pub mod scrapes;
pub mod stored;
pub mod tombstones;
pub mod watch;
pub mod why;
