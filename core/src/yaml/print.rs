//! A tree back to text.

use super::{Kind, Node, Style};

/// Returns block YAML that reads back to the same tree; comments, anchors and merge keys of the original are gone.
///
/// `conceal` is asked for every value of a mapping: it gets the path of keys from the root (positions in lists left out) and the
/// value, and may return a text to print in place of it. In place of a list or mapping, every scalar in it becomes that text.
pub fn print(node: &Node, conceal: &Conceal<'_>) -> String {
    let mut printer = Printer { out: String::new(), path: Vec::new(), concealed: None, conceal };
    match &node.kind {
        Kind::Null => {}
        Kind::Scalar { .. } => printer.inline(node, 0),
        Kind::Sequence(_) | Kind::Mapping(_) => printer.block(node, 0, false),
    }
    printer.out
}

/// Returns what to print in place of a value, `None` to print the value.
pub type Conceal<'c> = dyn Fn(&[&str], &Node) -> Option<String> + 'c;

struct Printer<'n, 'c> {
    out: String,
    path: Vec<&'n str>,
    /// What every scalar is printed as, inside a concealed value.
    concealed: Option<String>,
    conceal: &'c Conceal<'c>,
}

impl<'n> Printer<'n, '_> {
    /// Writes a sequence or mapping whose lines begin at `indent`; the first line's indent is written already after `- `.
    fn block(&mut self, node: &'n Node, indent: usize, mut indented: bool) {
        match &node.kind {
            Kind::Mapping(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    self.indent(indent, std::mem::take(&mut indented));
                    self.out.push_str(&scalar(&key.name, true));
                    self.out.push(':');
                    self.path.push(&key.name);
                    let outer = self.concealed.clone();
                    if outer.is_none() {
                        self.concealed = (self.conceal)(&self.path, value);
                    }
                    self.value(value, indent);
                    self.concealed = outer;
                    self.path.pop();
                }
            }
            Kind::Sequence(items) if !items.is_empty() => {
                for item in items {
                    self.indent(indent, std::mem::take(&mut indented));
                    self.out.push_str("- ");
                    match &item.kind {
                        Kind::Mapping(inner) if !inner.is_empty() => self.block(item, indent + 2, true),
                        Kind::Sequence(inner) if !inner.is_empty() => self.block(item, indent + 2, true),
                        Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => self.inline(item, indent),
                    }
                }
            }
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => self.inline(node, indent),
        }
    }

    fn value(&mut self, node: &'n Node, indent: usize) {
        match &node.kind {
            Kind::Mapping(entries) if !entries.is_empty() => {
                self.out.push('\n');
                self.block(node, indent + 2, false);
            }
            Kind::Sequence(items) if !items.is_empty() => {
                self.out.push('\n');
                self.block(node, indent, false);
            }
            Kind::Null => self.out.push_str(" null\n"),
            Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => {
                self.out.push(' ');
                self.inline(node, indent);
            }
        }
    }

    /// Writes what fits on one line, or a literal block for texts of several lines.
    fn inline(&mut self, node: &Node, indent: usize) {
        match &node.kind {
            Kind::Null => self.out.push_str("null\n"),
            Kind::Sequence(_) => self.out.push_str("[]\n"),
            Kind::Mapping(_) => self.out.push_str("{}\n"),
            Kind::Scalar { text, style } => {
                if let Some(concealed) = &self.concealed {
                    self.out.push_str(&scalar(concealed, true));
                    self.out.push('\n');
                } else if fits_a_literal(text) {
                    self.out.push_str(if text.ends_with('\n') { "|\n" } else { "|-\n" });
                    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                        if !line.is_empty() {
                            self.out.push_str(&" ".repeat(indent + 2));
                            self.out.push_str(line);
                        }
                        self.out.push('\n');
                    }
                } else {
                    self.out.push_str(&scalar(text, *style == Style::Plain));
                    self.out.push('\n');
                }
            }
        }
    }

    fn indent(&mut self, indent: usize, done: bool) {
        if !done {
            self.out.push_str(&" ".repeat(indent));
        }
    }
}

/// A literal block keeps a text only when its first line shows the indentation and its end is one line end or none.
fn fits_a_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\t', '\n'])
        && body
            .chars()
            .all(|c| c == '\n' || c == '\t' || (!c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}')))
}

fn scalar(text: &str, was_plain: bool) -> String {
    if stands_without_quotes(text, was_plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Texts that read as a number, a truth value or nothing stay bare only where they were bare.
fn stands_without_quotes(text: &str, was_plain: bool) -> bool {
    let plain_characters = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | '+' | ' ' | '(' | ')' | '<' | '>' | '=' | '~' | '^' | '$' | ';')
    };
    let Some(first) = text.chars().next() else { return false };
    // A negative number; other texts that begin so may be the item of a list.
    let is_negative = was_plain && first == '-' && text[1..].starts_with(|next: char| next.is_ascii_digit());
    let begins_well = first.is_alphanumeric() || matches!(first, '_' | '/' | '.' | '(' | '<' | '$' | '^' | '+') || is_negative;
    let reserved = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "<<" | ".inf" | ".nan" | "+.inf"
    );
    let looks_like_number = first.is_ascii_digit() || matches!(first, '.' | '+');
    begins_well
        && (was_plain || !(reserved || looks_like_number))
        && text != "<<"
        && !text.starts_with("...")
        && !text.ends_with(' ')
        && text
            .char_indices()
            .all(|(i, c)| plain_characters(c) || (c == ':' && text[i + 1..].starts_with(|next: char| !next.is_whitespace())))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn shape(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "~".to_owned(),
            Kind::Scalar { text, .. } => format!("{text:?}"),
            Kind::Sequence(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(", ")),
            Kind::Mapping(entries) => {
                format!(
                    "{{{}}}",
                    entries.iter().map(|(key, node)| format!("{:?}: {}", key.name, shape(node))).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_tree() {
        for text in [
            "a: 1\nb: [x, {c: d, e: [1, 2]}, [], {}, ~]\n",
            "a: |\n  two\n  lines\nb: >-\n  one\n  line\nc: 'it''s'\nd: \"tab\\t\\u0001\"\n",
            "- - 1\n  - 2\n- a:\n    - b\n    - c: d\n",
            "\"true\": \"yes\"\nx: yes\ny: \"5\"\n\"a: b\": \"# no\"\nz: \" lead\"\n",
            "a: \"\\n lead\\n\"\nb: \"x\\n\\n\"\nc: \"x\\ny\\n\"\nd: \"null\"\ne: null\nf: \"\"\ng: \"- a\"\nh: \"*\"\n",
            "- |\n  a\n   b\n\n  c\n- x\n",
            "\"...\": \"... a\"\n\"---\": \"--- b\"\n",
            " ... and on",
            "match: \"a=~\\\".*\\\"\"\nurl: http://h:1/p\n\"<<\": 1\n",
        ] {
            let node = parse("f", text).0.unwrap();
            let printed = print(&node, &|_, _| None);
            let (again, problems) = parse("f", &printed);
            assert_eq!(problems, [], "{printed}");
            assert_eq!(shape(&again.unwrap()), shape(&node), "{printed}");
        }
    }

    #[test]
    fn numbers_stay_numbers_and_texts_stay_texts() {
        let text = "a: -100\nb: \"-100\"\nc: 5\nd: \"5\"\ne: \"-x\"\nf: -1.5\n";
        assert_eq!(print(&parse("f", text).0.unwrap(), &|_, _| None), text);
    }

    #[test]
    fn concealed_values_never_reach_the_text() {
        let node = parse("f", "a: {password: hunter2, user: x}\nb:\n- password: [deep, hunter2]\n").0.unwrap();
        let printed = print(&node, &|path, _| (path.last() == Some(&"password")).then(|| "<secret>".to_owned()));
        assert_eq!(printed, "a:\n  password: <secret>\n  user: x\nb:\n- password:\n  - <secret>\n  - <secret>\n");
    }
}
