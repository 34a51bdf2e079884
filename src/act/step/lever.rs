//! Faults on proxies of ours: put, healed, and shown to be in effect.

use serde_json::json;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;

use super::super::fault::{FaultError, Proof};
use super::{Begin, Issue, Means};
use crate::client::answer::with_causes;

/// Returns what became of a request that a proxy or a guard did not carry out.
pub(super) fn failed(error: &FaultError) -> Outcome {
    match error {
        // It may have heard us.
        FaultError::Silent { .. } => Outcome::Unknown(with_causes(error)),
        _ => Outcome::NotDone(with_causes(error)),
    }
}

fn shown(proof: Proof) -> Outcome {
    Outcome::Answer(json!({ "affected": proof.connections, "bytes": proof.bytes, "active": proof.active }))
}

pub(super) async fn pull(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let (Request::Proxy { proxy, tag, .. } | Request::ProxyHeal { proxy, tag } | Request::ProxyProof { proxy, tag, .. }) =
        &issue.request
    else {
        return Outcome::NotDone("this is no fault of a proxy".to_owned());
    };
    // What stands is healed, whatever has become of the list since.
    let heals = matches!(issue.request, Request::ProxyHeal { .. } | Request::ProxyProof { expect: false, .. });
    if !heals && !means.settings.borrow().proxies.iter().any(|one| one.name == *proxy) {
        return Outcome::NotDone(format!("the configuration lists no proxy {proxy:?}"));
    }
    if !matches!(issue.request, Request::ProxyProof { .. })
        && let Err(late) = begin.now(None).await
    {
        return late;
    }
    let done = match &issue.request {
        Request::Proxy { toxics, until, .. } => means.faults.apply(proxy, tag, toxics, *until).await,
        Request::ProxyHeal { .. } => means.faults.heal(proxy, tag).await,
        _ => Ok(()),
    };
    if let Err(error) = done {
        return failed(&error);
    }
    match means.faults.proof(proxy, tag).await {
        Ok(proof) => shown(proof),
        // A proxy that does not run has no faults; that it was healed stays true.
        Err(FaultError::Absent { .. }) if heals => shown(Proof::default()),
        Err(error) => failed(&error),
    }
}
