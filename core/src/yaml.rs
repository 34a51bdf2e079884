//! YAML as people write it: text → a tree in which every node knows its place, and a reader that finds all faults of one.

mod mend;
mod print;
mod reader;

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::problem::{Position, Problem};

use mend::Mended;

pub use print::{Conceal, print};
pub use reader::{Problems, Table, Value, nearest};

/// A text larger than this is refused.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Sequences and mappings may lie in each other this deep.
pub const DEPTH_MAX: usize = 64;
/// What all anchors and aliases of a text may copy; a node counts 64 bytes and its text.
const COPIED_BYTES_MAX: usize = 64 << 20;
const NODE_BYTES: usize = 64;

/// A value and where it begins. What an alias stands for keeps the place of its anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub position: Position,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Scalar {
        text: String,
        style: Style,
    },
    Sequence(Vec<Node>),
    /// In the order of the text; every name occurs once; merge keys are already resolved.
    Mapping(Vec<(Key, Node)>),
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes, so that `true` and `5` may be read as what they look like.
    Plain,
    Quoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub position: Position,
}

impl Node {
    /// Returns the value of a key of a mapping; `None` when there is none or the node is no mapping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => None,
        }
    }

    /// Returns the text of a scalar as it was written.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// Returns the items of a sequence; none for every other kind.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Sequence(items) => items,
            Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_) => &[],
        }
    }

    /// Returns the entries of a mapping; none for every other kind.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => &[],
        }
    }

    fn weight(&self) -> usize {
        NODE_BYTES
            + match &self.kind {
                Kind::Null => 0,
                Kind::Scalar { text, .. } => text.len(),
                Kind::Sequence(items) => items.iter().map(Node::weight).sum(),
                Kind::Mapping(entries) => entries.iter().map(|(key, node)| key.name.len() + node.weight()).sum(),
            }
    }

    fn depth(&self) -> usize {
        match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 0,
            Kind::Sequence(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Mapping(entries) => 1 + entries.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
        }
    }
}

/// Reads the first document of a text.
///
/// Shape: an empty text is a null node. Without a tree the problems say why; with one they may still hold errors, such as a
/// key that stands twice.
pub fn parse(file: &str, text: &str) -> (Option<Node>, Vec<Problem>) {
    let (documents, problems) = read(file, text, true);
    let start = Position { line: 1, column: 1 };
    let first = documents.map(|documents| documents.into_iter().next().unwrap_or(Node { position: start, kind: Kind::Null }));
    (first, problems)
}

/// Reads every document of a text; those that `---` separates and that say nothing are null nodes.
///
/// Shape: none of the documents when any of them is no YAML; the problems then say why.
pub fn parse_all(file: &str, text: &str) -> (Option<Vec<Node>>, Vec<Problem>) {
    read(file, text, false)
}

fn read(file: &str, text: &str, first_only: bool) -> (Option<Vec<Node>>, Vec<Problem>) {
    let problems = Problems::new(file);
    let start = Position { line: 1, column: 1 };
    if text.len() > TEXT_BYTES_MAX {
        problems.error(start, "", format!("the file is larger than {} MiB; split it", TEXT_BYTES_MAX >> 20));
        return (None, problems.into_vec());
    }
    let mut mended = Mended::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    loop {
        let problems = Problems::new(file);
        let error = match Builder::new(&problems, &mended).build(first_only) {
            Ok(documents) => return (Some(documents), problems.into_vec()),
            Err(Stopped::Told) => return (None, problems.into_vec()),
            Err(Stopped::Unreadable(error)) => error,
        };
        if !mended.mend(&error) {
            let info = error.info();
            problems.error(mended.place(*error.marker()), "", format!("cannot read YAML: {info}; {}", remedy(info)));
            return (None, problems.into_vec());
        }
    }
}

/// Why the text cannot be read further.
enum Stopped {
    /// The reason stands among the problems.
    Told,
    Unreadable(ScanError),
}

enum Frame {
    Sequence {
        position: Position,
        anchor: usize,
        items: Vec<Node>,
    },
    Mapping {
        position: Position,
        anchor: usize,
        entries: Vec<(Key, Node)>,
        seen: BTreeSet<String>,
        pending: Pending,
        merges: Vec<Node>,
    },
}

/// What the next node of a mapping is.
enum Pending {
    Key,
    ValueOf(Key),
    Merge,
    /// The value of a key that was refused.
    Dropped,
}

struct Builder<'p> {
    problems: &'p Problems,
    source: &'p Mended<'p>,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    copied_bytes: usize,
    documents: Vec<Node>,
}

impl<'p> Builder<'p> {
    fn new(problems: &'p Problems, source: &'p Mended<'p>) -> Self {
        Builder { problems, source, frames: Vec::new(), anchors: BTreeMap::new(), copied_bytes: 0, documents: Vec::new() }
    }

    fn build(mut self, first_only: bool) -> Result<Vec<Node>, Stopped> {
        let mut parser = Parser::new_from_str(&self.source.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Stopped::Unreadable)?;
            let position = self.source.place(span.start);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 && first_only {
                        self.problems.warning(
                            position,
                            "",
                            "only the first document of a file is read; what follows --- is ignored",
                        );
                        break;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(text.into_owned(), style, tag.as_deref(), position);
                    self.accept(node, anchor)?;
                }
                Event::Alias(anchor) => {
                    let node = self.alias(anchor, position)?;
                    self.accept(node, 0)?;
                }
                Event::SequenceStart(anchor, _) => {
                    self.push(Frame::Sequence { position, anchor, items: Vec::new() }, position)?
                }
                Event::MappingStart(anchor, _) => {
                    let frame = Frame::Mapping {
                        position,
                        anchor,
                        entries: Vec::new(),
                        seen: BTreeSet::new(),
                        pending: Pending::Key,
                        merges: Vec::new(),
                    };
                    self.push(frame, position)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.documents)
    }

    fn push(&mut self, frame: Frame, position: Position) -> Result<(), Stopped> {
        if self.frames.len() >= DEPTH_MAX {
            self.problems.error(
                position,
                "",
                format!("lists and mappings lie more than {DEPTH_MAX} deep in each other; flatten them"),
            );
            return Err(Stopped::Told);
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stopped> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        match frame {
            Frame::Sequence { position, anchor, items } => self.accept(Node { position, kind: Kind::Sequence(items) }, anchor),
            Frame::Mapping { position, anchor, mut entries, mut seen, merges, .. } => {
                for source in merges {
                    let Kind::Mapping(merged) = source.kind else { continue };
                    entries.extend(merged.into_iter().filter(|(key, _)| seen.insert(key.name.clone())));
                }
                self.accept(Node { position, kind: Kind::Mapping(entries) }, anchor)
            }
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Node {
        let core_tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        if core_tag == Some("binary") {
            return Node { position, kind: Kind::Scalar { text: self.binary(&text, position), style: Style::Quoted } };
        }
        let style = match style {
            ScalarStyle::Plain if core_tag == Some("str") => Style::Quoted,
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let is_null = style == Style::Plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        Node { position, kind: if is_null { Kind::Null } else { Kind::Scalar { text, style } } }
    }

    fn binary(&self, text: &str, position: Position) -> String {
        let Some(bytes) = base64(text) else {
            self.problems.error(
                position,
                "",
                "!!binary value contains invalid base64 data; write the text itself, without the tag",
            );
            return String::new();
        };
        String::from_utf8(bytes).unwrap_or_else(|error| {
            // Only the bytes at fault: the rest may be a secret.
            let start = error.utf8_error().valid_up_to();
            let end = start + error.utf8_error().error_len().unwrap_or(1);
            let shown = error.as_bytes()[start..end].escape_ascii().to_string();
            let is_key = matches!(self.frames.last(), Some(Frame::Mapping { pending: Pending::Key, .. }));
            let role = if is_key { "name" } else { "value" };
            let message = format!("\"{shown}\" is not a valid label {role}, nor any other text: it must be UTF-8");
            self.problems.error(position, "", message);
            String::new()
        })
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<Node, Stopped> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.problems.error(position, "", "the alias stands inside its own anchor; write the value out");
            return Err(Stopped::Told);
        };
        if self.frames.len() + node.depth() > DEPTH_MAX {
            self.problems.error(
                position,
                "",
                format!("with this alias, lists and mappings lie more than {DEPTH_MAX} deep in each other"),
            );
            return Err(Stopped::Told);
        }
        let weight = node.weight();
        self.charge(weight, position)?;
        Ok(self.anchors[&anchor].clone())
    }

    /// Counts a copy before it is made, so that aliases of aliases cannot exhaust memory.
    fn charge(&mut self, weight: usize, position: Position) -> Result<(), Stopped> {
        self.copied_bytes = self.copied_bytes.saturating_add(weight);
        if self.copied_bytes > COPIED_BYTES_MAX {
            self.problems.error(position, "", "aliases stand for too much text; write fewer of them");
            return Err(Stopped::Told);
        }
        Ok(())
    }

    fn accept(&mut self, node: Node, anchor: usize) -> Result<(), Stopped> {
        if anchor > 0 {
            self.charge(node.weight(), node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut() {
            None => self.documents.push(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, seen, pending, merges, .. }) => match std::mem::replace(pending, Pending::Key) {
                Pending::Key => *pending = key(node, seen, self.problems),
                Pending::ValueOf(key) => {
                    let empty_at_key = node.kind == Kind::Null;
                    let position = if empty_at_key { key.position } else { node.position };
                    entries.push((key, Node { position, kind: node.kind }));
                }
                Pending::Merge => collect_merge(node, merges, self.problems),
                Pending::Dropped => {}
            },
        }
        Ok(())
    }
}

fn key(node: Node, seen: &mut BTreeSet<String>, problems: &Problems) -> Pending {
    let position = node.position;
    let name = match node.kind {
        Kind::Scalar { text, style: Style::Plain } if text == "<<" => return Pending::Merge,
        Kind::Scalar { text, .. } => text,
        Kind::Null => "null".to_owned(),
        Kind::Sequence(_) | Kind::Mapping(_) => {
            problems.error(position, "", "a key must be a text, not a list or a mapping; quote texts that begin with { or [");
            return Pending::Dropped;
        }
    };
    if !seen.insert(name.clone()) {
        problems.error(position, "", format!("key {name:?} already set in this mapping; remove one of the two"));
        return Pending::Dropped;
    }
    Pending::ValueOf(Key { name, position })
}

fn collect_merge(node: Node, merges: &mut Vec<Node>, problems: &Problems) {
    let position = node.position;
    let sources = match node.kind {
        Kind::Sequence(items) => items,
        kind @ (Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_)) => vec![Node { position, kind }],
    };
    for source in sources {
        match source.kind {
            Kind::Mapping(_) => merges.push(source),
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => {
                problems.error(source.position, "", "map merge requires a mapping or a list of mappings after <<");
            }
        }
    }
}

fn remedy(info: &str) -> &'static str {
    if info.contains("recursion limit") {
        "lists and mappings lie too deep in each other; flatten them"
    } else if info.contains("tab") {
        "indent with spaces"
    } else if info.contains("mapping values") {
        "quote a text that holds \": \", or check the indentation"
    } else if info.contains("anchor") {
        "define the anchor with &name before the alias *name, or quote a text that begins with *"
    } else if info.contains("quote") {
        "close the quotes"
    } else {
        "check the indentation and the quotes here and on the line above"
    }
}

/// Decodes the standard alphabet with padding; white space is skipped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held, mut padding, mut digits) = (0u32, 0u32, 0usize, 0usize);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        digits += 1;
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (padding <= 2 && (digits + padding).is_multiple_of(4) && digits % 4 != 1).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        parse("f.yml", text).1.iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn every_node_knows_its_place() {
        let (node, problems) = parse("f.yml", "a: 1\nb:\n  - x\n  - {c: 'd'}\ne:\n");
        assert_eq!(problems, []);
        let node = node.unwrap();
        let at = |node: &Node| (node.position.line, node.position.column);
        assert_eq!(at(&node), (1, 1));
        assert_eq!(at(node.get("a").unwrap()), (1, 4));
        let items = node.get("b").unwrap().items();
        assert_eq!((at(&items[0]), at(&items[1])), ((3, 5), (4, 5)));
        assert_eq!(at(items[1].get("c").unwrap()), (4, 9));
        assert!(node.get("e").unwrap().is_null());
        assert_eq!(at(node.get("e").unwrap()), (5, 1));
    }

    #[test]
    fn all_documents_of_a_text_are_read() {
        let (documents, problems) = parse_all("f.yml", "---\na: 1\n---\n# nothing\n---\n- b\n- {c: d}\n");
        assert_eq!(problems, []);
        let documents = documents.unwrap();
        assert_eq!(documents.iter().map(|node| node.position.line).collect::<Vec<_>>(), [2, 5, 6]);
        assert_eq!(documents[2].items()[1].get("c").and_then(Node::text), Some("d"));
        assert!(parse_all("f.yml", "a: 1\n---\nb: [1\n").0.is_none());
        assert_eq!(parse_all("f.yml", "").0, Some(vec![]));
    }

    #[test]
    fn anchors_aliases_and_merge_keys_resolve() {
        let (node, problems) =
            parse("f.yml", "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse:\n  <<: [*b, *o]\n  x: 9\nlist: [*b]\n");
        assert_eq!(problems, []);
        let node = node.unwrap();
        let merged = node.get("use").unwrap();
        let text = |name| merged.get(name).and_then(Node::text);
        assert_eq!((text("x"), text("y"), text("z")), (Some("9"), Some("2"), Some("4")));
        assert_eq!(node.get("list").unwrap().items()[0].get("y").and_then(Node::text), Some("2"));
    }

    #[test]
    fn faults_of_form_have_a_place_and_a_remedy() {
        assert_eq!(
            faults("a: 1\nb: 2\na: 3\n"),
            ["f.yml:3:1: error: key \"a\" already set in this mapping; remove one of the two"]
        );
        assert_eq!(faults("a: b: c\n").len(), 1);
        assert!(faults("a: [1, 2\nb: 3\n")[0].starts_with("f.yml:2:"), "{:?}", faults("a: [1, 2\nb: 3\n"));
        assert!(faults("a: *nowhere\n")[0].contains("define the anchor"), "{:?}", faults("a: *nowhere\n"));
        assert!(faults("a: 1\n---\nb: 1\n")[0].contains("warning: only the first document"));
        assert!(faults("a: !!binary \"/w==\"\n")[0].contains("\"\\xff\" is not a valid label value"));
        assert!(faults("!!binary \"/w==\": a\n")[0].contains("\"\\xff\" is not a valid label name"));
        assert!(faults("a: !!binary \"*\"\n")[0].contains("invalid base64 data"));
    }

    #[test]
    fn lines_inside_brackets_and_quotes_may_begin_further_left() {
        let text = "a:\n  b: [\n    x,\ny\n]\n  c: \"one\ntwo\n three\"\n  d:\t1\n  e: {\nf: g}\n";
        let (node, problems) = parse("f.yml", text);
        assert_eq!(problems, []);
        let node = node.unwrap();
        let a = node.get("a").unwrap();
        let items = a.get("b").unwrap().items();
        assert_eq!((items.len(), items[1].text(), items[1].position), (2, Some("y"), Position { line: 4, column: 1 }));
        assert_eq!(a.get("c").and_then(Node::text), Some("one two three"));
        assert_eq!(a.get("d").and_then(Node::text), Some("1"));
        assert_eq!(a.get("e").and_then(|e| e.get("f")).map(|f| f.position), Some(Position { line: 11, column: 4 }));
        assert!(faults("a:\n  b: [\n  x: y: z\n]\n")[0].starts_with("f.yml:3:"));
        assert_eq!(faults("a:\n  b: 1\n c: 2\n").len(), 1);
    }

    #[test]
    fn hostile_texts_are_bounded() {
        let deep = "[".repeat(100_000);
        assert!(faults(&deep)[0].contains("too deep"), "{:?}", faults(&deep));
        let blocks = "- ".repeat(70) + "x";
        assert!(faults(&blocks)[0].contains("more than 64 deep"), "{:?}", faults(&blocks));
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..20 {
            laughs += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
        }
        assert!(faults(&laughs)[0].contains("aliases stand for too much text"), "{:?}", faults(&laughs));
        assert!(faults("a: &a [*a]\n")[0].contains("alias"), "{:?}", faults("a: &a [*a]\n"));
        assert!(faults(&"x".repeat(TEXT_BYTES_MAX + 1))[0].contains("larger than 16 MiB"));
        assert_eq!(parse("f.yml", "").0.unwrap().kind, Kind::Null);
    }

    #[test]
    fn base64_decodes_only_whole_groups() {
        assert_eq!(base64("aGVs\nbG8="), Some(b"hello".to_vec()));
        assert_eq!(base64(""), Some(vec![]));
        for bad in ["a", "aGVsbG8", "a===", "ab=c", "*"] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }
}
