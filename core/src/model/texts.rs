//! Texts by name, such as the annotations of an alert.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::labels::{Iter, find, packed_pairs, put_pair};

/// Texts by name, sorted by name (bytewise), no name twice; a text may be empty.
///
/// Shape: one shared allocation like that of a label set, so clones are free.
#[derive(Clone, PartialEq, Eq)]
pub struct Texts(Arc<[u8]>);

impl Texts {
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.0, name)
    }

    pub fn iter(&self) -> Iter<'_> {
        packed_pairs(&self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }
}

impl Default for Texts {
    fn default() -> Texts {
        Texts(Arc::from([]))
    }
}

impl<'a> IntoIterator for &'a Texts {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> From<&BTreeMap<K, V>> for Texts {
    fn from(map: &BTreeMap<K, V>) -> Texts {
        let mut packed = Vec::new();
        map.iter().for_each(|(name, text)| put_pair(&mut packed, name.as_ref(), text.as_ref()));
        Texts(packed.into())
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer).map(|map| Texts::from(&map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went_also_empty_ones() {
        let map: BTreeMap<&str, &str> = BTreeMap::from([("summary", "größe 🚒"), ("empty", ""), ("a", "1")]);
        let texts = Texts::from(&map);
        assert_eq!(texts.iter().collect::<Vec<_>>(), [("a", "1"), ("empty", ""), ("summary", "größe 🚒")]);
        assert_eq!((texts.get("empty"), texts.get("summary"), texts.get("summar")), (Some(""), Some("größe 🚒"), None));
        let json = serde_json::to_string(&texts).unwrap();
        assert_eq!(json, r#"{"a":"1","empty":"","summary":"größe 🚒"}"#);
        assert_eq!(serde_json::from_str::<Texts>(&json).unwrap(), texts);
        assert!(Texts::default().is_empty() && Texts::default() == serde_json::from_str("{}").unwrap());
    }
}
