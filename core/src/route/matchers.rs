//! Matchers as Alertmanager writes them: `severity="page"`, `{team=~"a|b", env!="dev"}`.

mod classic;
mod utf8;

use crate::model::Matcher;

/// Which of Alertmanager's two grammars a text is read with.
///
/// Source: Alertmanager `matcher/compat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Names and values are any text; values with reserved characters must be quoted.
    Utf8,
    /// The grammar before 0.27: classic names, lenient values.
    Classic,
    /// What Alertmanager does by default: UTF-8 first, classic where that fails or the two disagree.
    #[default]
    Fallback,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Fallback, Mode::Classic, Mode::Utf8];

    /// Returns the word for the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Fallback => "fallback",
            Mode::Classic => "classic",
            Mode::Utf8 => "utf8",
        }
    }
}

/// Why a text is no list of matchers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMatchers(pub String);

/// Reads a list of matchers, separated by commas, in braces or without.
///
/// Errors: the grammar's own message, with columns counted from 0 in UTF-8 mode.
pub fn parse_matchers(text: &str, mode: Mode) -> Result<Vec<Matcher>, BadMatchers> {
    match mode {
        Mode::Utf8 => utf8::parse(text),
        Mode::Classic => classic::parse(text),
        Mode::Fallback => fallback(utf8::parse(text), classic::parse(text)),
    }
}

/// Reads exactly one matcher, without braces.
pub fn parse_matcher(text: &str, mode: Mode) -> Result<Matcher, BadMatchers> {
    let braces = text.starts_with('{') || text.ends_with('}');
    if braces && mode != Mode::Classic {
        return Err(BadMatchers(format!("unexpected open or close brace: {text}")));
    }
    match mode {
        Mode::Utf8 => single(utf8::parse(text)?),
        Mode::Classic => classic::parse_one(text),
        Mode::Fallback => fallback(utf8::parse(text).and_then(single), classic::parse_one(text)),
    }
}

fn single(mut matchers: Vec<Matcher>) -> Result<Matcher, BadMatchers> {
    match (matchers.pop(), matchers.len()) {
        (Some(matcher), 0) => Ok(matcher),
        (None, _) => Err(BadMatchers("no matchers".to_owned())),
        (Some(_), others) => Err(BadMatchers(format!("expected 1 matcher, found {}", others + 1))),
    }
}

fn fallback<T: PartialEq>(new: Result<T, BadMatchers>, classic: Result<T, BadMatchers>) -> Result<T, BadMatchers> {
    match (new, classic) {
        (Ok(new), Err(_)) => Ok(new),
        (_, classic) => classic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, mode: Mode) -> String {
        match parse_matchers(text, mode) {
            Ok(matchers) => matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(" "),
            Err(bad) => format!("! {bad}"),
        }
    }

    #[test]
    fn each_grammar_reads_its_own() {
        for (text, utf8, classic) in [
            ("a=b", "a=\"b\"", "a=\"b\""),
            ("{ a = \"b\" , c !~ \"d.*\", }", "a=\"b\" c!~\"d.*\"", "a=\"b\" c!~\"d.*\""),
            ("größe=5", "\"größe\"=\"5\"", "! bad matcher format: größe=5"),
            ("a=", "! end of input: expected label value", "a=\"\""),
            ("a=\"\\U0001f642\"", "a=\"🙂\"", "a=\"\\\\U0001f642\""),
            ("a=b\\n", "! 3:4: \\: invalid input: expected a comma or close brace", "a=\"b\\n\""),
            ("a=\"b", "! 2:4: \"b: missing end \": expected label value", "! matcher value contains unescaped double quote: \"b"),
            (
                "a!b",
                "! 1:3: !b: expected one of '=~': expected an operator such as '=', '!=', '=~' or '!~'",
                "! bad matcher format: a!b",
            ),
            ("{a=b", "! 0:4: end of input: expected close brace", "a=\"b\""),
            ("a=~\"(\"", "! failed", "! cannot"),
        ] {
            assert!(shown(text, Mode::Utf8).starts_with(utf8), "{text}: {}", shown(text, Mode::Utf8));
            assert!(shown(text, Mode::Classic).starts_with(classic), "{text}: {}", shown(text, Mode::Classic));
        }
    }

    #[test]
    fn the_default_prefers_utf8_and_yields_to_the_classic_grammar() {
        assert_eq!(shown("größe=5", Mode::Fallback), "\"größe\"=\"5\"");
        assert_eq!(shown("a=", Mode::Fallback), "a=\"\"");
        assert_eq!(shown("a=\"\\x41\"", Mode::Fallback), "a=\"\\\\x41\"");
        assert_eq!(parse_matcher("a=b", Mode::Fallback).unwrap().to_string(), "a=\"b\"");
        assert!(parse_matcher("{a=b}", Mode::Fallback).is_err());
        assert!(parse_matcher("a=b,c=d", Mode::Utf8).is_err());
    }
}
