//! Runs: documents that act, what must hold before they may, and one durable machine that carries them out.
//!
//! | Part | What it holds |
//! | --- | --- |
//! | `value` | typed parameters, and what a text from outside must look like to become one |
//! | `inventory` | what there is to act upon |
//! | `action` | what a step does, with references where values are not known yet |
//! | `request` | the same with values, as the edge carries it out; what an answer means |
//! | `plan` | steps, undo, verification: what every kind of document is compiled to |
//! | `lever` | faults, and what drills look through |
//! | `runbook` | a runbook, and its content hash |
//! | `study` | what experiments and drills are beside their plan |
//! | `inject` | faults as steps |
//! | `experiment`, `drill` | their plans, and what their runs have shown |
//! | `read` | text → runbook, with every fault in it |
//! | `trigger`, `webhook`, `schedule` | who asks for a run, and whether they may be believed |
//! | `guard`, `history` | whether a run may begin, and how far its trigger may go on its own |
//! | `machine` | one run |
//! | `settings` | what runs may act upon, as the configuration lists it |
//! | `asks` | what a run waits for people for |
//! | `words` | what a document does, for people |
//! | `report` | what is told of a run when it is over |
//! | `record` | the rows that a run is made of, and the orders it gives |

pub mod action;
pub mod asks;
pub mod drill;
pub mod experiment;
pub mod guard;
pub mod history;
pub mod inject;
pub mod inventory;
pub mod lever;
pub mod machine;
pub mod plan;
mod query;
pub mod read;
pub mod record;
pub mod report;
pub mod request;
pub mod runbook;
pub mod schedule;
pub mod settings;
pub mod study;
pub mod trigger;
pub mod value;
pub mod webhook;
pub mod words;

pub use machine::Run;
pub use runbook::Runbook;
