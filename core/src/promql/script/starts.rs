//! Start timestamps of a series, as a line `name@st` before the series says them: distances from the instants of its samples.
//!
//! Source: Prometheus `promql/promqltest`.

use crate::promql::notation::VALUES_MAX;
use crate::time::Span;

/// For each sample how far behind its instant it starts to count, `None` where nothing is said.
pub(super) type Starts = Vec<Option<Span>>;

/// Returns for each sample how far behind its instant it starts to count, `None` where nothing is said.
///
/// Shape: `_` and `_xN` say nothing of 1 and N samples; `-1m`, `-1mxN` and `-30s-1mxN` are 1, N+1 and N+1 distances.
/// Errors: what is wrong, and the byte at which the wrong item begins.
pub(super) fn starts(text: &str) -> Result<Starts, (usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for item in text.split(char::is_whitespace) {
        if !item.is_empty() {
            let read = read(item, VALUES_MAX - found.len()).map_err(|message| (at, message))?;
            found.extend(read);
        }
        at += item.len() + 1;
    }
    Ok(found)
}

fn read(item: &str, room: usize) -> Result<Starts, String> {
    let wrong = || format!("start timestamp {item:?} is no distance such as -30s, -1mx4, -30s-1mx2, _ or _x3");
    let (written, count) = match item.split_once('x') {
        Some((written, count)) => (written, Some(count.parse::<usize>().map_err(|_| wrong())?)),
        None => (item, None),
    };
    let many = match (written, count) {
        ("_", count) => count.unwrap_or(1),
        (_, count) => count.unwrap_or(0).saturating_add(1),
    };
    if many > room {
        return Err(format!("a series may have at most {VALUES_MAX} values"));
    }
    if written == "_" {
        return Ok(vec![None; many]);
    }
    let behind = written
        .find(['+', '-'])
        .filter(|sign| *sign > 0)
        .or(written.get(1..).and_then(|rest| rest.find(['+', '-'])).map(|sign| sign + 1));
    let (first, step) = written.split_at(behind.unwrap_or(written.len()));
    if !step.is_empty() && count.is_none() {
        return Err(wrong());
    }
    let first = signed(first).ok_or_else(wrong)?;
    let step = if step.is_empty() { Span::ZERO } else { signed(step).ok_or_else(wrong)? };
    Ok((0..many as i64).map(|index| Some(Span(first.0.saturating_add(step.0.saturating_mul(index))))).collect())
}

fn signed(text: &str) -> Option<Span> {
    match text.strip_prefix('-') {
        Some(rest) => Span::parse(rest).ok().map(|span| Span(-span.0)),
        None => Span::parse(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::starts;

    fn shown(text: &str) -> String {
        match starts(text) {
            Ok(starts) => {
                let starts = starts.iter().map(|start| start.map_or("_".to_owned(), |span| span.0.to_string()));
                starts.collect::<Vec<_>>().join(" ")
            }
            Err((at, message)) => format!("{at}: {message}"),
        }
    }

    #[test]
    fn distances_are_read_and_repeated() {
        for (text, expected) in [
            ("_ _x2 -1m", "_ _ _ -60000"),
            ("-30s-1mx2 0", "-30000 -90000 -150000 0"),
            ("1ms+1mx1 +1m", "1 60001 60000"),
            ("-0msx1", "0 0"),
            ("0-1mx2", "0 -60000 -120000"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_distance_is_refused_with_its_place() {
        for text in ["-1m-1m", "5", "-1mx", "--1m", "1y2x3", "-", "-1m-x2"] {
            assert!(shown(&format!("_  {text}")).starts_with("3: start timestamp"), "{text}: {}", shown(&format!("_  {text}")));
        }
        assert!(shown("_x150000 _x150000").contains("at most"));
        assert!(shown("-1mx99999999999999999999").contains("is no distance"));
    }
}
