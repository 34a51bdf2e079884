//! Label sets: the identity of a series.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A set of labels, sorted by name (bytewise), no name twice, no empty value.
///
/// Shape: one shared allocation holding `len name len value …`, lengths as LEB128; so clones are free and equality is one
/// comparison of bytes.
#[derive(Clone)]
pub struct LabelSet(Arc<[u8]>);

/// A stable hash of a label set, equal in every process and version: FNV-1a over names and values in order, with 0xFF behind each.
///
/// Source: prometheus/common `LabelSet.Fingerprint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(&self.digits()))
    }
}

/// Returns digits as text.
fn digits(ascii: &[u8; 16]) -> &str {
    std::str::from_utf8(ascii).expect("digits are ASCII")
}

impl Fingerprint {
    /// Returns its 16 hexadecimal digits in ASCII. Records hold many of them, and the formatter takes ten times as long.
    fn digits(self) -> [u8; 16] {
        std::array::from_fn(|place| b"0123456789abcdef"[(self.0 >> (60 - 4 * place)) as usize & 15])
    }

    /// Appends its 16 hexadecimal digits to a text.
    pub fn write_to(self, text: &mut String) {
        text.push_str(digits(&self.digits()));
    }

    /// Reads the 16 hexadecimal digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Fingerprint)
    }
}

impl Serialize for Fingerprint {
    /// Writes the 16 hexadecimal digits, so that a fingerprint can be a key in JSON.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(digits(&self.digits()))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        let text = String::deserialize(deserializer)?;
        Fingerprint::parse(&text).ok_or_else(|| serde::de::Error::custom("a fingerprint is 16 hexadecimal digits"))
    }
}

fn put_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

fn take_len(bytes: &[u8]) -> (usize, &[u8]) {
    let (mut len, mut shift) = (0usize, 0);
    for (index, byte) in bytes.iter().enumerate() {
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (len, &bytes[index + 1..]);
        }
        shift += 7;
    }
    unreachable!("a label set ends in the middle of a length")
}

fn take_text(bytes: &[u8]) -> (&str, &[u8]) {
    let (len, rest) = take_len(bytes);
    let (text, rest) = rest.split_at(len);
    (std::str::from_utf8(text).expect("label sets are built from UTF-8 text"), rest)
}

fn skip_text(bytes: &[u8]) -> &[u8] {
    let (len, rest) = take_len(bytes);
    &rest[len..]
}

/// Returns the value of a name in a packed form.
pub(super) fn find<'a>(packed: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = packed;
    while !rest.is_empty() {
        // Names that are passed by are not looked at as text.
        let (len, behind) = take_len(rest);
        let (own, value) = behind.split_at(len);
        if own == name.as_bytes() {
            return Some(take_text(value).0);
        }
        rest = skip_text(value);
    }
    None
}

/// Appends a pair to a packed form.
pub(super) fn put_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    for text in [name, value] {
        put_len(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// Returns the labels of a packed form in order of their names.
pub(crate) fn packed_pairs(packed: &[u8]) -> Iter<'_> {
    Iter(packed)
}

/// Returns whether a packed form begins with a label of this name.
pub(crate) fn starts_with_name(packed: &[u8], name: &str) -> bool {
    let (len, rest) = take_len(packed);
    len == name.len() && rest.starts_with(name.as_bytes())
}

/// The labels of a set in order of their names.
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = take_text(self.0);
        let (value, rest) = take_text(rest);
        self.0 = rest;
        Some((name, value))
    }
}

/// Compares two label sets in packed form by their texts, without reading what they have in common.
fn order(left: &[u8], right: &[u8]) -> Ordering {
    let words =
        left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0).take_while(|(left, right)| left == right).count() * 8;
    let common = words + left[words..].iter().zip(&right[words..]).take_while(|(left, right)| left == right).count();
    let mut from = 0;
    loop {
        let (Some(own), Some(other)) = (text_at(left, from), text_at(right, from)) else {
            return left.len().cmp(&right.len());
        };
        if own.1 > common || own.1 != other.1 {
            return left[own.0..own.1].cmp(&right[other.0..other.1]);
        }
        from = own.1;
    }
}

/// Returns where the text begins and ends whose length stands at `from`; `None` at the end.
fn text_at(packed: &[u8], from: usize) -> Option<(usize, usize)> {
    let (mut len, mut at) = (0, from);
    loop {
        let byte = *packed.get(at)?;
        len |= usize::from(byte & 0x7f) << (7 * (at - from));
        at += 1;
        if byte & 0x80 == 0 {
            return Some((at, at + len));
        }
    }
}

impl LabelSet {
    /// Returns the set without labels.
    pub fn empty() -> LabelSet {
        LabelSet(Arc::from([]))
    }

    /// Builds a set from pairs in any order; a later pair replaces an earlier one of the same name, an empty value removes it.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> LabelSet {
        let mut builder = LabelBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds a set from pairs that are already sorted, distinct and non-empty.
    ///
    /// Panics in debug builds when they are not.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSet {
        let mut bytes = Vec::with_capacity(128);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|last| last < name) && !value.is_empty(), "labels out of order at {name:?}");
            put_pair(&mut bytes, name, value);
            last = Some(name);
        }
        LabelSet(bytes.into())
    }

    /// Returns the labels in order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many labels the set has.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns the value of a label; a missing label and an empty value are the same, so there is always an answer.
    pub fn get(&self, name: &str) -> &str {
        find(&self.0, name).unwrap_or("")
    }

    pub fn has(&self, name: &str) -> bool {
        find(&self.0, name).is_some()
    }

    /// Returns the metric's name, empty when there is none.
    pub fn name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    pub fn fingerprint(&self) -> Fingerprint {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for (name, value) in self.iter() {
            for byte in name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        }
        Fingerprint(hash)
    }

    /// Returns the set without the labels that `drop` names.
    pub fn without(&self, drop: impl Fn(&str) -> bool) -> LabelSet {
        LabelSet::from_sorted(self.iter().filter(|(name, _)| !drop(name)))
    }

    /// Returns only the labels that `keep` names.
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> LabelSet {
        LabelSet::from_sorted(self.iter().filter(|(name, _)| keep(name)))
    }

    /// Puts the packed form of the labels that `keep` names in place of what `out` holds.
    pub fn pack_only(&self, keep: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        out.clear();
        self.packed_texts().filter(|text| keep(take_text(text).0)).for_each(|text| out.extend_from_slice(text));
    }

    pub fn builder(&self) -> LabelBuilder {
        LabelBuilder { pairs: self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    /// Returns the packed form, for a log or a file; `from_packed` reads it.
    pub fn packed(&self) -> &[u8] {
        &self.0
    }

    /// Returns the pairs of the packed form, each as it stands there.
    pub(crate) fn packed_texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let whole = rest;
            rest = Some(rest).filter(|rest| !rest.is_empty()).map(|rest| skip_text(skip_text(rest)))?;
            Some(&whole[..whole.len() - rest.len()])
        })
    }

    /// Builds a set from its packed form, which is known to be one.
    pub(crate) fn from_trusted(packed: &[u8]) -> LabelSet {
        debug_assert!(LabelSet::from_packed(packed).is_some(), "not a packed label set");
        LabelSet(packed.into())
    }

    /// Reads the packed form; `None` when the bytes are not one.
    pub fn from_packed(bytes: &[u8]) -> Option<LabelSet> {
        let (mut rest, mut last): (&[u8], Option<&[u8]>) = (bytes, None);
        while !rest.is_empty() {
            let mut pair: [&[u8]; 2] = [&[], &[]];
            for text in &mut pair {
                let end = rest.iter().take(5).position(|byte| byte & 0x80 == 0)?;
                let (len, behind) = take_len(&rest[..=end]);
                debug_assert!(behind.is_empty());
                let body = &rest[end + 1..];
                *text = body.get(..len)?;
                std::str::from_utf8(text).ok()?;
                rest = &body[len..];
            }
            if last.is_some_and(|last| last >= pair[0]) || pair[1].is_empty() {
                return None;
            }
            last = Some(pair[0]);
        }
        Some(LabelSet(bytes.into()))
    }
}

impl Default for LabelSet {
    fn default() -> Self {
        LabelSet::empty()
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &LabelSet) -> bool {
        self.0 == other.0
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Ord for LabelSet {
    /// Compares label by label, name before value; a set that ends first comes first. As Prometheus orders series.
    fn cmp(&self, other: &LabelSet) -> Ordering {
        order(&self.0, &other.0)
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &LabelSet) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LabelSet {
    /// Writes `{a="b", c="d"}` with every label, the metric's name included; names that are not classic are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}={}", quoted_name(name), quote(value))?;
        }
        f.write_str("}")
    }
}

impl Serialize for LabelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelSet, D::Error> {
        let map = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(LabelSet::from_pairs(map))
    }
}

/// Labels under construction: sorted, each name once.
#[derive(Clone, Debug, Default)]
pub struct LabelBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelBuilder {
        match (self.pairs.binary_search_by(|(own, _)| own.as_str().cmp(name)), value.is_empty()) {
            (Ok(at), true) => drop(self.pairs.remove(at)),
            (Ok(at), false) => value.clone_into(&mut self.pairs[at].1),
            (Err(_), true) => {}
            (Err(at), false) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut LabelBuilder {
        self.set(name, "")
    }

    /// Returns the value of a label, empty when it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.binary_search_by(|(own, _)| own.as_str().cmp(name)).map_or("", |at| &self.pairs[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.pairs.retain(|(name, value)| keep(name, value));
    }

    pub fn build(&self) -> LabelSet {
        LabelSet::from_sorted(self.iter())
    }
}

/// Returns whether a name needs no quotes as a label's name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_classic_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns whether a name needs no quotes as a metric's name: as a label's name, with colons.
pub fn is_classic_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// Returns a label's name as PromQL writes it: bare when classic, else in double quotes.
pub fn quoted_name(name: &str) -> Cow<'_, str> {
    if is_classic_label_name(name) { Cow::Borrowed(name) } else { Cow::Owned(quote(name)) }
}

/// Returns text in double quotes, escaped as Go's `strconv.Quote` does for text that can be printed.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            // It stands for bytes that are no text, which readers of PromQL refuse.
            char::REPLACEMENT_CHARACTER => out.push_str("\\ufffd"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_order_is_the_order_of_label_sets() {
        let long = "x".repeat(200);
        let mut sets = vec![LabelSet::empty()];
        for (a, b) in
            [("", "1"), ("1", ""), ("1", "1"), ("1", "12"), ("12", "1"), ("2", "1"), ("10000000", "1"), ("10000001", &long)]
        {
            sets.push(LabelSet::from_pairs([("a", a), ("bb", b)]));
            sets.push(LabelSet::from_pairs([("aa", a), ("b", b)]));
            sets.push(LabelSet::from_pairs([("a", long.as_str()), ("b", a), ("c", b)]));
        }
        for left in &sets {
            for right in &sets {
                assert_eq!(left.cmp(right), left.iter().cmp(right.iter()), "{left} {right}");
            }
        }
    }

    #[test]
    fn a_set_is_sorted_and_holds_each_name_once() {
        let set = LabelSet::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(set.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!((set.get("b"), set.get("c"), set.len()), ("3", "", 2));
        assert_eq!(LabelSet::from_packed(set.packed()), Some(set));
    }

    #[test]
    fn damaged_packed_bytes_are_refused() {
        let set = LabelSet::from_pairs([("name", "value"), ("other", "x")]);
        for cut in 1..set.packed().len() {
            if let Some(read) = LabelSet::from_packed(&set.packed()[..cut]) {
                assert_eq!(read, set.only(|name| name == "name"));
            }
        }
        assert_eq!(LabelSet::from_packed(&[0xff; 12]), None);
    }

    #[test]
    fn the_fingerprint_is_fnv_1a_with_separators() {
        assert_eq!(LabelSet::empty().fingerprint().to_string(), "cbf29ce484222325");
        assert_eq!(Fingerprint::parse("cbf29ce484222325"), Some(LabelSet::empty().fingerprint()));
    }

    #[test]
    fn order_goes_label_by_label() {
        let set = |pairs: &[(&str, &str)]| LabelSet::from_pairs(pairs.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "2")]) > set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("aa", "1")]) > set(&[("a", "9")]));
    }
}
