//! The log of a run as people read it: a line for everything that a batch changes. What people must answer for goes to the audit too.

use std::collections::BTreeMap;

use tocsin_core::run::record::{AttemptState, Batch, Phase, Record, RunRow, RunState, StepAttempt, UndoRow, UndoState, Vote};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::time::Timestamp;

use super::MACHINE;
use crate::db::accounts::AuditEntry;
use crate::db::runs::RunNote;

/// What a batch is to add to the log of its run and to the audit.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub log: Vec<RunNote>,
    pub audit: Vec<AuditEntry>,
}

/// Returns the lines of a batch; `before` is the row as it was stored last.
pub fn lines(runbook: &Runbook, before: &RunRow, batch: &Batch, now: Timestamp) -> Lines {
    let mut writer = Writer { run_id: &batch.run_id, now, lines: Lines::default() };
    let mut state = (before.state, before.reason.clone());
    // Only the last word on an attempt matters to people.
    let mut last = BTreeMap::new();
    for (index, record) in batch.records.iter().enumerate() {
        if let Record::Attempt(attempt) = record {
            last.insert(&attempt.key, index);
        }
    }
    for (index, record) in batch.records.iter().enumerate() {
        match record {
            Record::Run(row) => {
                let next = (row.state, row.reason.clone());
                if next != state {
                    writer.state(row);
                    state = next;
                }
            }
            // Samples are many; plots show them.
            Record::Attempt(attempt) if attempt.key.phase != Phase::Sample && last.get(&attempt.key) == Some(&index) => {
                writer.attempt(runbook, attempt);
            }
            Record::Attempt(_) => {}
            Record::Undo(undo) => writer.undo(undo),
            Record::Approval(approval) => {
                let what = match approval.verdict {
                    Vote::Approve => "approved",
                    Vote::Deny => "denied",
                };
                let subject = if approval.step_id.is_empty() { String::new() } else { format!("the step {}", approval.step_id) };
                writer.line(&approval.who, what, subject.clone());
                writer.audit(&approval.who, &format!("run {what}"), "done", subject);
            }
            Record::Rate(_) | Record::Lock(_) | Record::Unlock { .. } | Record::Sample(_) => {}
        }
    }
    writer.lines
}

impl Lines {
    /// Adds who asked for a run, and with which values.
    pub fn asked(&mut self, runbook: &Runbook, row: &RunRow, now: Timestamp) {
        let mut writer = Writer { run_id: &row.id, now, lines: Lines::default() };
        let values: Vec<String> = row.params.iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
        let dry = if row.dry_run { " without acting" } else { "" };
        let what = format!("{} ({}){dry} {}", runbook.metadata.title, &row.doc_hash[..12], values.join(" "));
        writer.line(&row.starter, "asked", what.trim_end());
        writer.audit(&row.starter, "run", "asked", format!("{} {}", row.doc_id, values.join(" ")).trim_end());
        self.log.splice(0..0, writer.lines.log);
        self.audit.splice(0..0, writer.lines.audit);
    }
}

struct Writer<'b> {
    run_id: &'b str,
    now: Timestamp,
    lines: Lines,
}

impl Writer<'_> {
    fn line(&mut self, who: &str, what: &str, detail: impl Into<String>) {
        let note = RunNote {
            run_id: self.run_id.to_owned(),
            at: self.now,
            who: who.to_owned(),
            what: what.to_owned(),
            detail: detail.into(),
        };
        self.lines.log.push(note);
    }

    fn audit(&mut self, who: &str, action: &str, outcome: &str, detail: impl Into<String>) {
        self.lines.audit.push(AuditEntry {
            at: self.now,
            who: who.to_owned(),
            action: action.to_owned(),
            subject: format!("run {}", self.run_id),
            outcome: outcome.to_owned(),
            detail: detail.into(),
        });
    }

    fn state(&mut self, row: &RunRow) {
        self.line(MACHINE, row.state.word(), row.reason.clone());
        let what = format!("{} ({})", row.doc_id, &row.doc_hash[..12.min(row.doc_hash.len())]);
        match row.state {
            RunState::Refused => self.audit(&row.starter, "run", "refused", format!("{what}: {}", row.reason)),
            RunState::Running => self.audit(&row.starter, "run", "begun", what),
            _ if row.state.is_final() || row.state == RunState::NeedsHuman => {
                self.audit(&row.starter, "run", row.state.word(), format!("{what}: {}", row.reason));
            }
            _ => {}
        }
    }

    fn attempt(&mut self, runbook: &Runbook, attempt: &StepAttempt) {
        let AttemptState::Pending = attempt.state else {
            let detail = describe(runbook, attempt);
            let what = match attempt.state {
                AttemptState::Pending | AttemptState::Intent => "begins",
                AttemptState::Issued => return,
                AttemptState::Succeeded => "done",
                AttemptState::Failed => "failed",
                AttemptState::Unknown => "in doubt",
                AttemptState::Skipped => "skipped",
                AttemptState::Abandoned => "given up",
            };
            return self.line(MACHINE, what, detail);
        };
        if let Some(due) = attempt.due_at {
            self.line(MACHINE, "waits", format!("{} until {due}", describe(runbook, attempt)));
        }
    }

    fn undo(&mut self, undo: &UndoRow) {
        let what = match undo.state {
            UndoState::Armed | UndoState::Released => return,
            UndoState::Started => "undo begins",
            UndoState::Undone => "undone",
            UndoState::Failed => "undo failed",
        };
        self.line(MACHINE, what, undo.step_id.clone());
    }
}

fn describe(runbook: &Runbook, attempt: &StepAttempt) -> String {
    let step = &attempt.key.step;
    let deed = match attempt.key.phase {
        Phase::Do => runbook.plan.step(step).map_or_else(|| step.clone(), |known| format!("{step} ({})", known.action.kind())),
        Phase::Check => format!("{step}: whether it has happened"),
        Phase::Undo => format!("{step}: undo"),
        Phase::UndoCheck => format!("{step}: whether it is undone"),
        Phase::Verify => format!("verification {step}"),
        Phase::Page => format!("page {step}"),
        Phase::Sample => format!("sample {step}"),
    };
    let number = if attempt.key.attempt > 1 { format!(", attempt {}", attempt.key.attempt) } else { String::new() };
    match &attempt.error {
        Some(fault) => format!("{deed}{number}: {}", fault.message),
        None => format!("{deed}{number}"),
    }
}
