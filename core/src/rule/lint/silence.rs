//! Comments that silence a lint for one rule: `# tocsin-ignore: name, name`.

use crate::problem::Position;

use super::{Finding, Lint, RuleAt, Sheet};

const MARK: &str = "tocsin-ignore:";

/// Returns the findings that no comment silences, and those about the comments.
///
/// A comment stands in a line of the rule, or in the lines of comments right above it.
pub(super) fn silenced(sheet: &mut Sheet<'_>, rules: &[RuleAt<'_>]) -> Vec<Finding> {
    let starts: Vec<usize> = rules.iter().map(|place| first_line(sheet, place.node.position)).collect();
    let mut found = std::mem::take(&mut sheet.found);
    for (index, place) in rules.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(sheet.lines.len() + 1);
        let mut names = Vec::new();
        for line in starts[index]..end {
            let Some(text) = sheet.lines.get(line - 1) else { continue };
            let Some((before, behind)) = text.split_once(MARK).filter(|(before, _)| before.trim_end().ends_with('#')) else {
                continue;
            };
            for name in behind.split(',').filter_map(|part| part.split_whitespace().next()) {
                names.push(name);
                if Lint::find(name).is_none() {
                    let column = before.chars().count() + 1;
                    let position = Position { line: line as u32, column: column as u32 };
                    let said = (format!("there is no lint {name:?}"), "see tocsin check rules --help for their names");
                    sheet.note(Lint::UnknownLint, place.rule, position, MARK.len(), said);
                }
            }
        }
        let lines = starts[index]..end;
        found.retain(|finding| !(names.contains(&finding.lint.name()) && lines.contains(&(finding.position.line as usize))));
    }
    found.append(&mut sheet.found);
    found
}

/// Returns the line in which a rule or the comments right above it begin.
fn first_line(sheet: &Sheet<'_>, position: Position) -> usize {
    let mut line = position.line as usize;
    while line > 1 && sheet.lines.get(line - 2).is_some_and(|above| above.trim_start().starts_with('#')) {
        line -= 1;
    }
    line
}
