//! Escaping by place: what an action writes into HTML cannot leave the place that the template's author gave it.
//!
//! This is Go's `html/template` reduced to what e-mails use. The places told apart are text, titles and text areas, tags, quoted and
//! bare attributes, addresses (their start, their path, their query), scripts, styles and comments. A script takes a value as one
//! literal; a style takes only letters, digits and `# % . , -` and spaces, anything else becomes `ZgotmplZ`, Go's sign of a value that
//! was refused. Template literals of scripts, CSS addresses and `srcset` are not told apart.

use super::value::{Safe, Value};

/// Written in place of a value that is not safe where it stands.
const REFUSED: &str = "ZgotmplZ";

/// Where in the page the next text lands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    state: State,
    /// The element whose tag is open, lower case.
    element: String,
    /// The attribute whose value is being written, lower case.
    attribute: String,
    /// Characters read of a name or of the end that is waited for.
    seen: String,
    address: Address,
    /// Whether anything of the attribute's value is written already.
    value_started: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// `<` was read.
    TagStart,
    TagName,
    /// Inside a tag, between attributes.
    Tag,
    AttributeName,
    AfterName,
    BeforeValue,
    Value(Quote),
    Comment,
    /// Inside an element that holds no tags: a script, a style, a title, a text area.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quote {
    Double,
    Single,
    Bare,
}

/// How far an address is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Address {
    #[default]
    Start,
    Path,
    Query,
}

/// What an attribute's value means.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    Plain,
    Address,
    Script,
    Style,
}

impl Page {
    /// Takes a piece of the template's own text and returns what is to be written of it; comments are cut.
    pub fn literal(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            let hidden = self.state == State::Comment;
            self.step(c);
            if self.state == State::Comment && !hidden {
                // `<!--` has just been completed: take its first three characters back.
                out.truncate(out.len() - 3);
            } else if !hidden {
                out.push(c);
            }
        }
        out
    }

    fn step(&mut self, c: char) {
        match self.state {
            State::Text => {
                if c == '<' {
                    self.seen.clear();
                    self.state = State::TagStart;
                }
            }
            State::TagStart => self.step_tag_start(c),
            State::TagName => match c {
                '>' => self.close_tag(),
                c if c.is_whitespace() || c == '/' => self.state = State::Tag,
                c => self.element.push(c.to_ascii_lowercase()),
            },
            State::Tag => match c {
                '>' => self.close_tag(),
                c if c.is_whitespace() || c == '/' => {}
                c => {
                    self.attribute = c.to_ascii_lowercase().to_string();
                    self.state = State::AttributeName;
                }
            },
            State::AttributeName => match c {
                '>' => self.close_tag(),
                '=' => self.open_value(),
                c if c.is_whitespace() => self.state = State::AfterName,
                c => self.attribute.push(c.to_ascii_lowercase()),
            },
            State::AfterName => match c {
                '>' => self.close_tag(),
                '=' => self.open_value(),
                c if c.is_whitespace() => {}
                c => {
                    self.attribute = c.to_ascii_lowercase().to_string();
                    self.state = State::AttributeName;
                }
            },
            State::BeforeValue => match c {
                '"' => self.state = State::Value(Quote::Double),
                '\'' => self.state = State::Value(Quote::Single),
                '>' => self.close_tag(),
                c if c.is_whitespace() => {}
                c => {
                    self.state = State::Value(Quote::Bare);
                    self.step_address(c);
                }
            },
            State::Value(quote) => match (quote, c) {
                (Quote::Double, '"') | (Quote::Single, '\'') => self.state = State::Tag,
                (Quote::Bare, '>') => self.close_tag(),
                (Quote::Bare, c) if c.is_whitespace() => self.state = State::Tag,
                (_, c) => self.step_address(c),
            },
            State::Comment => {
                self.seen.push(c);
                if self.seen.ends_with("-->") {
                    self.state = State::Text;
                } else if self.seen.len() > 64 {
                    self.seen = self.seen.chars().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
                }
            }
            State::Raw => self.step_raw(c),
        }
    }

    fn step_tag_start(&mut self, c: char) {
        self.seen.push(c);
        match self.seen.as_str() {
            "!" | "!-" | "/" => {}
            "!--" => {
                self.seen.clear();
                self.state = State::Comment;
            }
            _ if c.is_ascii_alphabetic() && matches!(self.seen.len(), 1 | 2) && !self.seen.starts_with('!') => {
                self.element = self.seen.to_ascii_lowercase();
                self.state = State::TagName;
            }
            seen if seen.starts_with('!') => {
                // A document type ends like a tag and opens nothing.
                self.element = "!".into();
                self.state = if c == '>' { State::Text } else { State::Tag };
            }
            _ => self.state = State::Text,
        }
    }

    fn step_raw(&mut self, c: char) {
        self.seen.push(c.to_ascii_lowercase());
        if self.seen.ends_with(&format!("</{}", self.element)) {
            self.element = format!("/{}", self.element);
            self.state = State::Tag;
        } else if self.seen.chars().count() > 64 {
            self.seen = self.seen.chars().skip(40).collect();
        }
    }

    fn close_tag(&mut self) {
        self.seen.clear();
        self.attribute.clear();
        let raw = matches!(self.element.as_str(), "script" | "style" | "title" | "textarea");
        self.state = if raw { State::Raw } else { State::Text };
    }

    fn open_value(&mut self) {
        self.address = Address::Start;
        self.value_started = false;
        self.state = State::BeforeValue;
    }

    fn step_address(&mut self, c: char) {
        self.value_started = true;
        self.address = match (self.address, c) {
            (_, '?' | '#') | (Address::Query, _) => Address::Query,
            (Address::Start | Address::Path, _) => Address::Path,
        };
    }

    fn meaning(&self) -> Meaning {
        let name = self.attribute.strip_prefix("data-").unwrap_or(&self.attribute);
        match name {
            "style" => Meaning::Style,
            "action" | "background" | "cite" | "codebase" | "data" | "formaction" | "href" | "icon" | "longdesc" | "manifest"
            | "poster" | "profile" | "src" | "usemap" | "xmlns" => Meaning::Address,
            name if name.starts_with("on") => Meaning::Script,
            _ => Meaning::Plain,
        }
    }

    /// Returns a value escaped for the place where the page stands.
    pub fn value(&mut self, value: &Value) -> String {
        let text = match value {
            Value::Nil => String::new(),
            other => other.to_string(),
        };
        let safe = match value {
            Value::Safe(safe, _) => Some(*safe),
            _ => None,
        };
        match self.state {
            State::Text if safe == Some(Safe::Html) => {
                // The writer vouches for whole elements, so the place is the same behind them.
                text
            }
            State::Text => escape(&text, true),
            State::Raw if matches!(self.element.as_str(), "title" | "textarea") => escape(&text, safe != Some(Safe::Html)),
            State::Raw if self.element == "script" => script(value, &text),
            State::Raw => style(&text),
            State::Comment => String::new(),
            State::BeforeValue => {
                self.state = State::Value(Quote::Bare);
                self.attribute_value(value, &text, safe, Quote::Bare)
            }
            State::Value(quote) => self.attribute_value(value, &text, safe, quote),
            State::TagStart | State::TagName | State::Tag | State::AttributeName | State::AfterName => {
                if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) { text } else { REFUSED.into() }
            }
        }
    }

    fn attribute_value(&mut self, value: &Value, text: &str, safe: Option<Safe>, quote: Quote) -> String {
        let written = match self.meaning() {
            Meaning::Plain if safe == Some(Safe::Html) => strip_tags(text),
            Meaning::Plain => text.to_owned(),
            Meaning::Address => self.address_value(text, safe == Some(Safe::Url)),
            Meaning::Script => script(value, text),
            Meaning::Style => style(text),
        };
        self.value_started |= !written.is_empty();
        let escaped = escape(&written, safe != Some(Safe::Html));
        if quote == Quote::Bare { escape_bare(&escaped) } else { escaped }
    }

    fn address_value(&mut self, text: &str, safe: bool) -> String {
        let written = match self.address {
            Address::Query => encode(text, safe),
            Address::Start if !safe && !has_harmless_scheme(text) => format!("#{REFUSED}"),
            Address::Start | Address::Path => encode(text, true),
        };
        for c in written.chars() {
            self.step_address(c);
        }
        written
    }
}

/// Escapes HTML; `ampersands` is false for text that holds entities already.
fn escape(text: &str, ampersands: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '&' if ampersands => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Escapes on what would end an attribute without quotes.
fn escape_bare(text: &str) -> String {
    if text.is_empty() {
        return REFUSED.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '=' | '`' => out.push_str(&format!("&#{};", c as u32)),
            c => out.push(c),
        }
    }
    out
}

fn strip_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// Returns whether an address starts with no scheme or with one that runs nothing.
fn has_harmless_scheme(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        }
        _ => true,
    }
}

/// Percent-encodes an address; `keep` leaves what has a meaning in addresses as it is.
fn encode(text: &str, keep: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let plain = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'[' | b']' => keep,
            b'%' => keep && bytes.get(index + 1..index + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric(),
        };
        if plain { out.push(*byte as char) } else { out.push_str(&format!("%{byte:02x}")) }
    }
    out
}

/// Returns a value as a literal of JavaScript.
fn script(value: &Value, text: &str) -> String {
    let json = match value {
        Value::Safe(..) => Value::text(text).json(),
        other => other.json(),
    };
    json.unwrap_or_else(|_| "null".into()).replace('\'', "\\u0027").replace('`', "\\u0060")
}

fn style(text: &str) -> String {
    let harmless = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '#' | '%' | '.' | ',' | '-' | ' '));
    if harmless { text.to_owned() } else { REFUSED.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(before: &str, value: Value, after: &str) -> String {
        let mut page = Page::default();
        let mut out = page.literal(before);
        out.push_str(&page.value(&value));
        out.push_str(&page.literal(after));
        out
    }

    #[test]
    fn a_value_stays_where_it_stands() {
        let check = |before: &str, value: &str, after: &str, expected: &str| {
            assert_eq!(written(before, value.into(), after), expected, "{before}…{after}");
        };
        check("<p>", "<b>&'\"+", "</p>", "<p>&lt;b&gt;&amp;&#39;&#34;&#43;</p>");
        check("<p title=\"", "a\" onclick=\"x", "\">", "<p title=\"a&#34; onclick=&#34;x\">");
        check("<p title=", "a b", ">", "<p title=a&#32;b>");
        check("<a href=\"", "javascript:alert(1)", "\">", "<a href=\"#ZgotmplZ\">");
        check("<a href=\"", "http://x/a b?c=d", "\">", "<a href=\"http://x/a%20b?c=d\">");
        check("<a href=\"/s?", "q=a b", "\">", "<a href=\"/s?q%3da%20b\">");
        check("<script>x = ", "</script>", ";</script>", "<script>x = \"\\u003c/script\\u003e\";</script>");
        check("<p style=\"color: ", "red; x", "\">", "<p style=\"color: ZgotmplZ\">");
        check("<p style=\"color: ", "#ff0000", "\">", "<p style=\"color: #ff0000\">");
        check("<title>", "</title>", "</title>", "<title>&lt;/title&gt;</title>");
        check("<!-- a ", "x", " b --><p>", "<p>");
        check("<!DOCTYPE html><br/>a < b ", "<", "", "<!DOCTYPE html><br/>a < b &lt;");
        check("<", "script", ">", "<script>");
        check("<p ", "onclick=x", ">", "<p ZgotmplZ>");
    }

    #[test]
    fn text_that_its_writer_vouches_for_passes() {
        assert_eq!(written("<p>", Value::Safe(Safe::Html, "<b>".into()), "</p>"), "<p><b></p>");
        assert_eq!(written("<p title=\"", Value::Safe(Safe::Html, "<b>x</b>".into()), "\">"), "<p title=\"x\">");
        assert_eq!(written("<a href=\"/s?", Value::Safe(Safe::Url, "q=a%20b".into()), "\">"), "<a href=\"/s?q=a%20b\">");
        assert_eq!(written("<a href=\"", Value::Safe(Safe::Url, "irc:x".into()), "\">"), "<a href=\"irc:x\">");
        assert_eq!(written("", Value::Nil, ""), "");
    }
}
