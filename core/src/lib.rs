//! The thinking half of Tocsin. Nothing here opens a socket or a file, reads a clock or throws dice.
//!
//! | Room | What it decides |
//! | --- | --- |
//! | `time` | instants, spans and their text forms |
//! | `problem` | what is wrong with a text that people typed, and where |
//! | `access` | which role may do what |
//! | `client` | how we speak to other servers: settings, not sockets |
//! | `yaml` | text → a tree that knows its places, and typed values from it |
//! | `model` | labels, matchers, samples, histograms, relabelling, and the text that targets serve |
//! | `template` | Go's templates, for annotations and notifications |
//! | `store` | what samples are kept, and who sees which |
//! | `promql` | text → tree → checked tree → values |
//! | `scrape` | which targets a job has, and what a body of text means for the store |
//! | `rule` | when rules are evaluated, and what an evaluation brings |
//! | `alert` | the alerts of one rule: pending, firing, resolved |
//! | `route` | which receiver hears of which alerts, grouped how, when, and what mutes them |
//! | `page` | a demand on a person, and its states |
//! | `plane` | alerts in, deliveries and pages out: one machine |
//! | `ledger` | the alerts of our rules on their way to routing: what is news, what ends, under which labels |
//! | `alertmanagers` | which other Alertmanagers there are, what waits for each, when it is tried |
//! | `testing` | what unit tests of rules and pages expect, and what a story of series brings instead |
//! | `backtest` | what would have been notified: rules and routing over stored samples, and how two sets of rules differ |
//! | `collect` | what sources that are asked over an API have in common: how far back to ask, what a collection means for the store |
//! | `cloudwatch` | which metrics to ask Amazon CloudWatch for, and what its answers mean |
//! | `atlas` | which measurements to ask MongoDB Atlas for, and what its answers mean |
//! | `slo` | objectives: what is counted, how much budget is left, and when to alert |
//! | `remote` | remote write: what requests of others bring, and what is told to others |
//! | `run` | runbooks, and the one durable machine that carries them out |
//! | `journey` | what a user does, tried at a steady beat: requests, judgements, series |
//! | `config` | configuration files → settings, and every fault in them |

pub mod access;
pub mod alert;
pub mod alertmanagers;
pub mod atlas;
pub mod aws;
pub mod backtest;
pub mod client;
pub mod cloudwatch;
pub mod collect;
pub mod config;
pub mod journey;
pub mod ledger;
pub mod model;
pub mod page;
pub mod plane;
pub mod problem;
pub mod promql;
pub mod remote;
pub mod route;
pub mod rule;
pub mod run;
pub mod scrape;
pub mod slo;
pub mod store;
pub mod template;
pub mod testing;
pub mod time;
pub mod trace;
pub mod yaml;
