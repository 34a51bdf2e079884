//! Rust text as words and signs; what stands in comments, strings and characters is left out.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Word(&'a str),
    /// One character; `::` is two.
    Sign(char),
}

/// Returns where a literal that starts at `at` with `quote` ends (just behind it).
fn past_quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Returns where the raw string that starts at `at` (at its first `#` or quote) ends, or None when none starts there.
fn past_raw(text: &str, at: usize) -> Option<usize> {
    let hashes = text[at..].bytes().take_while(|byte| *byte == b'#').count();
    let body = text[at + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(at + hashes + 1 + body.find(&end).map_or(body.len(), |found| found + end.len()))
}

fn past_comment(text: &str, at: usize) -> Option<usize> {
    if text[at..].starts_with("//") {
        return Some(text[at..].find('\n').map_or(text.len(), |found| at + found));
    }
    if !text[at..].starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (1, at + 2);
    while depth > 0 && at < text.len() {
        let rest = &text.as_bytes()[at..];
        (depth, at) = match rest {
            [b'/', b'*', ..] => (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth - 1, at + 2),
            _ => (depth, at + 1),
        };
    }
    Some(at)
}

/// Returns whether the quote at `at` starts a character (`'a'`, `'\n'`) rather than a lifetime (`'a`).
fn is_character(text: &str, at: usize) -> bool {
    let mut rest = text[at + 1..].chars();
    match rest.next() {
        Some('\\') => true,
        Some(_) => rest.next() == Some('\''),
        None => false,
    }
}

pub fn read(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(c) = text[at..].chars().next() {
        if let Some(past) = past_comment(text, at) {
            at = past;
        } else if c == '"' {
            at = past_quoted(bytes, at, b'"');
        } else if c == '\'' && is_character(text, at) {
            at = past_quoted(bytes, at, b'\'');
        } else if is_word(c) {
            let word = &text[at..at + text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at)];
            at += word.len();
            let raw = matches!(word, "r" | "br" | "cr").then(|| past_raw(text, at)).flatten();
            match raw {
                Some(past) => at = past,
                None => tokens.push(Token::Word(word)),
            }
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Sign(c));
            }
            at += c.len_utf8();
        }
    }
    tokens
}

#[test]
fn comments_strings_and_characters_are_left_out() {
    let text = "use a::b; // use c\n/* x /* y */ z */ let s = \"use \\\" d\"; let c = '\\''; fn f<'l>(x: &'l str) { r#\"mod \" e;\"# } 'q'";
    let words: Vec<&str> = read(text)
        .into_iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word),
            Token::Sign(_) => None,
        })
        .collect();
    assert_eq!(words, ["use", "a", "b", "let", "s", "let", "c", "fn", "f", "l", "x", "l", "str"]);
}
