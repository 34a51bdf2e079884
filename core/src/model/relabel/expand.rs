//! Templates of replacements, read as Go's `regexp.Expand` reads them.

use regex::{Captures, Regex};

/// Returns a template with `$name`, `${name}`, `$1` and `$$` resolved.
///
/// A bare name runs as far as letters, digits and `_` reach, so `$1x` is the group called `1x`. A group that is missing or took no part
/// is empty; a `$` that starts no reference stands for itself.
pub fn expand(template: &str, regex: &Regex, captures: &Captures<'_>) -> String {
    let (mut out, mut rest) = (String::new(), template);
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some((name, behind)) = reference(behind) {
            out.push_str(group(name, regex, captures));
            rest = behind;
        } else {
            out.push('$');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// Takes the name behind a `$`: the name, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let body = inner.unwrap_or(text);
    let end = body.find(|c: char| !(c.is_alphabetic() || c.is_numeric() || c == '_')).unwrap_or(body.len());
    let (name, behind) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    match inner {
        Some(_) => Some((name, behind.strip_prefix('}')?)),
        None => Some((name, behind)),
    }
}

fn group<'a>(name: &str, regex: &Regex, captures: &Captures<'a>) -> &'a str {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && name.len() <= 9 && (name == "0" || !name.starts_with('0'));
    let found = if is_number {
        name.parse().ok().and_then(|index: usize| captures.get(index))
    } else {
        regex.capture_names().position(|own| own == Some(name)).and_then(|index| captures.get(index))
    };
    found.map_or("", |found| found.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_the_rules_of_go() {
        let regex = Regex::new("^(?P<first>a+)(b)?(c)$").unwrap();
        let captures = regex.captures("aac").unwrap();
        for (template, expected) in [
            ("plain", "plain"),
            ("$1-$3", "aa-c"),
            ("${1}x", "aax"),
            ("$1x", ""),
            ("$first.", "aa."),
            ("${first}s", "aas"),
            ("$0", "aac"),
            ("$2|$9|$01", "||"),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$-b", "a$-b"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("${1-}", "${1-}"),
            ("$ü", ""),
        ] {
            assert_eq!(expand(template, &regex, &captures), expected, "{template}");
        }
    }
}
