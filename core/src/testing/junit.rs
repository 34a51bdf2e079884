//! The outcome of test files as JUnit's XML.
//!
//! Source: Prometheus `util/junitxml`.

use super::Outcome;
use crate::time::Timestamp;

/// One file of tests.
#[derive(Clone, Debug)]
pub struct Suite {
    pub name: String,
    /// Errors: why nothing of the file was run.
    pub outcomes: Result<Vec<Outcome>, String>,
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            // XML has no place for other control characters.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Returns the document: a suite for each file, a case for each test, a failure for each thing that is not as expected.
pub fn document(suites: &[Suite], at: Timestamp) -> String {
    let at = at.rfc3339();
    let at = at.get(..19).unwrap_or_default();
    let mut out = String::from("<testsuites>");
    for suite in suites {
        let (tests, failures, errors) = match &suite.outcomes {
            Ok(outcomes) => (outcomes.len(), outcomes.iter().map(|outcome| outcome.failures.len()).sum(), 0),
            Err(_) => (1, 0, 1),
        };
        out.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{at}\">",
            escape(&suite.name)
        ));
        match &suite.outcomes {
            Err(reason) => {
                out.push_str(&format!("<testcase name=\"unknown\"><error>{}</error></testcase>", escape(reason)));
            }
            Ok(outcomes) => {
                for outcome in outcomes {
                    out.push_str(&format!("<testcase name=\"{}\">", escape(&outcome.title)));
                    for failure in &outcome.failures {
                        out.push_str(&format!("<failure>{}</failure>", escape(&failure.what.to_string())));
                    }
                    out.push_str("</testcase>");
                }
            }
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>");
    out
}
