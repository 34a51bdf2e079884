//! Faults as steps: break, prove that it is broken, and the way back, which has a deadline and a proof of its own.

use std::collections::BTreeMap;

use super::action::{Action, SavedRef, Signal, Slot};
use super::lever::{ProcessState, ToxicKind};
use super::plan::{Effect, FailClass, Jitter, OnFail, Retry, Save, Step, Undo};
use super::study::{FaultSpec, Lever};
use super::value::Type;
use crate::time::Span;

/// A fault that has not been seen in effect after this is not proven.
pub const PROOF_WITHIN: Span = Span::from_secs(30);
const TIMEOUT: Span = Span::from_secs(15);
/// A process has this long to show its state.
const STATE_WITHIN: Span = Span::from_secs(10);
/// A process that is started anew by its supervisor is waited for this long at a time.
const BACK_WITHIN: Span = Span::from_secs(20);

/// Returns a step with the settings of a study's own steps: tried once, and what fails takes everything back.
pub(super) fn step(id: impl Into<String>, action: Action, timeout: Span) -> Step {
    Step {
        id: id.into(),
        when: None,
        action,
        effect: Effect::Idempotent,
        check: None,
        undo: None,
        undo_waived: false,
        fault: false,
        timeout,
        retry: Retry::default(),
        on_fail: OnFail::Undo,
        save: BTreeMap::new(),
    }
}

/// Returns what an answer saves as a whole number under this name.
pub(super) fn saves(name: &str) -> BTreeMap<String, Save> {
    let kind = Type::Int { min: Some(0), max: Some(i64::MAX) };
    BTreeMap::from([(name.to_owned(), Save { path: format!("/{name}"), kind: Some(kind) })])
}

/// Returns the ids of the steps that break something, in the order of `steps`.
pub fn ids(fault: &FaultSpec, targets: usize) -> Vec<String> {
    match &fault.named {
        Some(_) => vec![format!("fault/{}", fault.id)],
        None if targets == 1 => vec![format!("fault/{}", fault.id)],
        None => (1..=targets).map(|number| format!("fault/{}/{number}", fault.id)).collect(),
    }
}

/// Returns the steps of a fault: for each of its targets one that breaks and one that proves, behind a wait where one is asked for.
pub fn steps(fault: &FaultSpec, targets: usize) -> Vec<Step> {
    let wait = |after: &Span| {
        step(format!("after/{}", fault.id), Action::Wait { length: Slot::Text(after.to_string()) }, *after + TIMEOUT)
    };
    let waits = fault.after.iter().map(wait);
    let ids = ids(fault, targets);
    let faults = ids.into_iter().enumerate().flat_map(|(index, id)| {
        let subject = fault.named.clone().unwrap_or(Slot::Target(index));
        match &fault.lever {
            Lever::Proxy(toxics) => {
                // A listener that is gone is never reached, so it counts nothing.
                let silent = toxics.iter().all(|toxic| toxic.kind == ToxicKind::Down);
                of_proxy(fault, id, subject, u64::from(!silent))
            }
            Lever::Signal(signal) => of_process(fault, id, subject, *signal),
        }
    });
    waits.chain(faults).collect()
}

fn proof(id: &str, action: Action) -> Step {
    let tries = (PROOF_WITHIN.0 / 1000) as u32;
    let retry = Retry {
        attempts: tries,
        backoff: Span::from_secs(1),
        factor: 1.0,
        max: Span::from_secs(1),
        jitter: Jitter::None,
        when: vec![FailClass::Expect, FailClass::Timeout, FailClass::Connect],
    };
    Step { retry, ..step(id.replacen("fault/", "proof/", 1), action, TIMEOUT) }
}

fn of_proxy(fault: &FaultSpec, id: String, proxy: Slot, affected_min: u64) -> [Step; 2] {
    let Lever::Proxy(toxics) = &fault.lever else { unreachable!("the caller has looked") };
    let looks = |expect, affected_min| Action::ProxyProof { proxy: proxy.clone(), tag: id.clone(), expect, affected_min };
    let proof = proof(&id, looks(true, affected_min));
    let undo = Undo {
        action: Action::ProxyHeal { proxy: proxy.clone(), tag: id.clone() },
        check: Some(looks(false, 0)),
        timeout: TIMEOUT,
        deadline: Some(fault.ttl),
    };
    let action = Action::Proxy { proxy, toxics: toxics.clone(), ttl: fault.ttl, tag: id.clone() };
    [Step { undo: Some(undo), fault: true, retry: once(), ..step(id, action, TIMEOUT) }, proof]
}

fn of_process(fault: &FaultSpec, id: String, process: Slot, signal: Signal) -> [Step; 2] {
    let looks = |expect, started, within| Action::ProcProof { process: process.clone(), expect, started, within };
    let started = || Some(Slot::Saved(SavedRef { step: id.clone(), name: "started".to_owned() }));
    let (expect, undo) = match signal {
        Signal::Stop => {
            let action = Action::ProcSignal { process: process.clone(), signal: Signal::Cont, ttl: None };
            let check = Some(looks(ProcessState::Running, None, STATE_WITHIN));
            (ProcessState::Stopped, Undo { action, check, timeout: TIMEOUT, deadline: Some(fault.ttl) })
        }
        // What was killed is brought back by its supervisor, or by the failback; here it is only seen to be back.
        _ => {
            let action = looks(ProcessState::Running, None, BACK_WITHIN);
            (ProcessState::Gone, Undo { action, check: None, timeout: BACK_WITHIN + TIMEOUT, deadline: Some(fault.ttl) })
        }
    };
    let proof = proof(&id, looks(expect, started(), STATE_WITHIN));
    let ttl = (signal == Signal::Stop).then_some(fault.ttl);
    let action = Action::ProcSignal { process, signal, ttl };
    let save = saves("started");
    [Step { undo: Some(undo), fault: true, save, retry: once(), ..step(id, action, TIMEOUT) }, proof]
}

/// A fault is not tried twice: what fails to break is looked into by people.
fn once() -> Retry {
    Retry { attempts: 1, ..Retry::default() }
}
