//! Functions that rewrite labels: `label_replace`, `label_join`.

use regex::Regex;

use crate::model::METRIC_NAME;
use crate::model::matcher::anchored;
use crate::promql::ast::{Call, ExprKind, Place};
use crate::promql::evaluate::{Engine, EvalError, Grid, Line, Steps, bare};

fn text(call: &Call, index: usize, place: Place) -> Result<&str, EvalError> {
    match call.args.get(index).map(|arg| &bare(arg).kind) {
        Some(ExprKind::Text(text)) => Ok(text),
        _ => Err(EvalError::execution(format!("{} expects a string as argument {}", call.function.name, index + 1), place)),
    }
}

/// Returns the template of a replacement in the form that the regular expression library reads: `$1x` names group 1 here and
/// would name the group `1x` there, so that every name gets braces.
///
/// Source: Go `regexp.Expand`: a name is the longest run of letters, digits and underscores; `$$` is a dollar sign.
fn template(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len() + 8);
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => rest.split_at(rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            // Not a reference to a group: the sign stands for itself.
            out.push_str("$$");
            continue;
        }
        out.push_str("${");
        out.push_str(name);
        out.push('}');
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns whether a text may be a label's name: any text but the empty one and one that was not UTF-8 where it was written.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER)
}

impl Engine<'_> {
    fn relabelled(
        &self,
        mut grid: Grid,
        target: &str,
        place: Place,
        value: impl Fn(&Line) -> Option<String>,
    ) -> Result<Grid, EvalError> {
        for line in &mut grid.lines {
            if let Some(value) = value(line) {
                line.labels = line.labels.builder().set(target, &value).build();
                if target == METRIC_NAME {
                    line.drop_name = false;
                }
            }
        }
        grid.merged(place)
    }

    pub(crate) fn label_replace(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let text = |index| text(call, index, place);
        let (target, replacement, source, pattern) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let regex: Regex = anchored(pattern)
            .map_err(|_| EvalError::execution(format!("invalid regular expression in label_replace(): {pattern}"), place))?;
        if !is_label_name(target) {
            return Err(EvalError::execution(format!("invalid destination label name in label_replace(): {target}"), place));
        }
        let replacement = template(replacement);
        let grid = self.vector(bare(&call.args[0]), steps)?;
        self.relabelled(grid, target, place, |line| {
            let captures = regex.captures(line.labels.get(source))?;
            let mut value = String::new();
            captures.expand(&replacement, &mut value);
            Some(value)
        })
    }

    pub(crate) fn label_join(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let (target, separator) = (text(call, 1, place)?, text(call, 2, place)?);
        let sources = (3..call.args.len()).map(|index| text(call, index, place)).collect::<Result<Vec<&str>, EvalError>>()?;
        for (kind, name) in sources.iter().map(|name| ("source", *name)).chain([("destination", target)]) {
            if !is_label_name(name) {
                return Err(EvalError::execution(format!("invalid {kind} label name in label_join(): {name}"), place));
            }
        }
        let grid = self.vector(bare(&call.args[0]), steps)?;
        self.relabelled(grid, target, place, |line| {
            let values: Vec<&str> = sources.iter().map(|source| line.labels.get(source)).collect();
            Some(values.join(separator))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_go_does() {
        let expand = |pattern: &str, replacement: &str, text: &str| {
            let mut out = String::new();
            Regex::new(pattern).unwrap().captures(text).unwrap().expand(&template(replacement), &mut out);
            out
        };
        assert_eq!(expand("(.*)-(.*)", "${2}x$1", "a-b"), "bxa");
        assert_eq!(expand("(.*)-(.*)", "$1x$$", "a-b"), "$");
        assert_eq!(expand("(?P<first>.)(.)", "$first-$2-$9", "ab"), "a-b-");
        assert_eq!(expand(".*", "5$", "ab"), "5$");
    }
}
