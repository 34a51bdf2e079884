//! From the labels that a target exposes to those of a series in the store.

use crate::model::exposition::Label;
use crate::model::labels::{METRIC_NAME, is_classic_label_name, is_classic_metric_name, quote};
use crate::model::relabel;
use crate::model::{LabelBuilder, LabelSet};
use crate::scrape::job::{Job, Limits};

/// Put before a label that the target exposes and that belongs to the target itself.
const EXPORTED: &str = "exported_";

/// Returns the labels of the series, or `None` when a rule drops it. Puts the exposed labels in order of their names.
///
/// Errors: a message when the whole scrape must fail: no name, a name that the job does not accept, a label twice, a limit broken.
/// Source: Prometheus `scrapeLoop.append` and `mutateSampleLabels`.
pub fn series_labels(exposed: &mut [Label<'_>], target: &LabelSet, job: &Job) -> Result<Option<LabelSet>, String> {
    // In order, so that a line with very many labels costs no more than sorting them; stable, so that the last of a name counts.
    exposed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut labels = LabelBuilder::default();
    for (name, value) in exposed.iter() {
        labels.set(name, value);
    }
    if job.honor_labels {
        // A label that is exposed with an empty value keeps the target's one away.
        for (name, value) in target.iter() {
            if exposed.binary_search_by(|(own, _)| own.as_ref().cmp(name)).is_err() {
                labels.set(name, value);
            }
        }
    } else {
        put_target_labels(&mut labels, target);
    }
    if !relabel::apply(&job.metric_relabel, &mut labels) {
        return Ok(None);
    }
    let set = labels.build();
    if set.is_empty() {
        return Ok(None);
    }
    check_names(&set, job)?;
    check_limits(&set, &job.limits)?;
    if let Some(name) = repeated(exposed)
        && !labels.get(name).is_empty()
    {
        return Err(format!("label name {} is not unique: invalid sample", quote(name)));
    }
    Ok(Some(set))
}

/// Sets the target's labels; an exposed label of the same name moves to `exported_<name>`, as often prefixed as it takes to be free.
fn put_target_labels(labels: &mut LabelBuilder, target: &LabelSet) {
    let mut moved = Vec::new();
    for (name, value) in target.iter() {
        let exposed = labels.get(name);
        if !exposed.is_empty() {
            moved.push((name, exposed.to_owned()));
        }
        labels.set(name, value);
    }
    moved.sort_by_key(|(name, _)| name.len());
    for (name, value) in moved {
        let mut free = format!("{EXPORTED}{name}");
        while !labels.get(&free).is_empty() {
            free.insert_str(0, EXPORTED);
        }
        labels.set(&free, &value);
    }
}

fn check_names(set: &LabelSet, job: &Job) -> Result<(), String> {
    if set.name().is_empty() {
        return Err("missing metric name (__name__ label)".to_owned());
    }
    let is_good = |name: &str| !name.is_empty() && (!job.classic_names_only || is_classic_label_name(name));
    let is_good_metric = !job.classic_names_only || is_classic_metric_name(set.name());
    if !is_good_metric || !set.iter().all(|(name, _)| is_good(name)) {
        return Err(format!("invalid metric name or label names: {set}"));
    }
    Ok(())
}

/// Returns at most fifty characters of a text for a message.
fn short(text: &str) -> &str {
    text.char_indices().nth(50).map_or(text, |(end, _)| &text[..end])
}

fn check_limits(set: &LabelSet, limits: &Limits) -> Result<(), String> {
    let exceeds = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
    let metric = short(set.name());
    if exceeds(set.len(), limits.labels) {
        let (count, limit) = (set.len(), limits.labels);
        return Err(format!("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"));
    }
    for (name, value) in set.iter() {
        if exceeds(name.len(), limits.label_name_bytes) {
            return Err(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                short(name),
                name.len(),
                limits.label_name_bytes
            ));
        }
        if exceeds(value.len(), limits.label_value_bytes) {
            return Err(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {}, limit: {})",
                short(name),
                quote(short(value)),
                value.len(),
                limits.label_value_bytes
            ));
        }
    }
    Ok(())
}

/// Returns a name that stands twice among labels in order.
fn repeated<'a>(exposed: &'a [Label<'_>]) -> Option<&'a str> {
    exposed.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.as_ref())
}

/// Returns the labels of one of the series that report on a target's scrapes.
pub fn report_labels(metric: &str, target: &LabelSet) -> LabelSet {
    target.builder().set(METRIC_NAME, metric).build()
}
