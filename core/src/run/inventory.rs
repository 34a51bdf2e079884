//! What there is to act upon, and which of it a run may touch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing that we know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Such as `service`, `process` or `database`.
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Part of ourselves: Tocsin, its database, its way to the pager, the instruments of a drill.
    #[serde(default)]
    pub control_plane: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub items: Vec<Item>,
}

/// Which things a run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub kind: String,
    /// Every one of these labels must have the value; none at all selects every thing of the kind, which only `all_of` may ask for.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Names, where the author lists them.
    #[serde(default)]
    pub names: Vec<String>,
    /// A parameter of type `name` that holds the one name.
    #[serde(default)]
    pub param: Option<String>,
    /// How many things must be found.
    pub expect: usize,
    /// `expect` was written as `all_of`: the author means every thing of the kind.
    #[serde(default)]
    pub all: bool,
    /// The share of the things of the kind that may be touched. Unit: percent.
    #[serde(default)]
    pub max_percent: Option<u32>,
}

/// Why a selection is not acted upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSelection {
    #[error("nothing matches: an empty selection is never acted upon")]
    Empty,
    #[error("{found} things match where {expected} are expected")]
    Count { found: usize, expected: usize },
    #[error("no {kind} of the inventory is called {name:?}")]
    Unknown { kind: String, name: String },
    #[error("all {found} things of the kind {kind:?} match; write `all_of: {found}` if that is meant")]
    Everything { kind: String, found: usize },
    #[error("{found} of {total} are more than {percent} percent")]
    Share { found: usize, total: usize, percent: u32 },
    #[error("{name:?} is part of the control plane, which is never a target")]
    ControlPlane { name: String },
}

impl Inventory {
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.items.iter().any(|item| item.kind == kind && item.name == name)
    }

    /// Returns a label of a thing.
    pub fn label(&self, kind: &str, name: &str, label: &str) -> Option<&str> {
        let item = self.items.iter().find(|item| item.kind == kind && item.name == name)?;
        item.labels.get(label).map(String::as_str)
    }

    /// Returns the names that a selection means, in order; `named` is the value of its parameter.
    pub fn select(&self, selection: &Selection, named: Option<&str>) -> Result<Vec<String>, BadSelection> {
        let of_kind: Vec<&Item> = self.items.iter().filter(|item| item.kind == selection.kind).collect();
        let mut wanted: Vec<&str> = selection.names.iter().map(String::as_str).collect();
        wanted.extend(named);
        if let Some(name) = wanted.iter().find(|name| !of_kind.iter().any(|item| item.name == **name)) {
            return Err(BadSelection::Unknown { kind: selection.kind.clone(), name: (*name).to_owned() });
        }
        let mut found: Vec<&Item> = of_kind
            .iter()
            .copied()
            .filter(|item| wanted.is_empty() || wanted.contains(&item.name.as_str()))
            .filter(|item| selection.labels.iter().all(|(label, value)| item.labels.get(label) == Some(value)))
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found.dedup_by(|one, other| one.name == other.name);
        if found.is_empty() {
            return Err(BadSelection::Empty);
        }
        if found.len() != selection.expect {
            return Err(BadSelection::Count { found: found.len(), expected: selection.expect });
        }
        if let Some(item) = found.iter().find(|item| item.control_plane) {
            return Err(BadSelection::ControlPlane { name: item.name.clone() });
        }
        // Whoever names the one thing that there is means it; a pattern that happens to match everything may not.
        if found.len() == of_kind.len() && !selection.all && wanted.is_empty() {
            return Err(BadSelection::Everything { kind: selection.kind.clone(), found: found.len() });
        }
        if let Some(percent) = selection.max_percent
            && found.len() * 100 > of_kind.len() * percent as usize
        {
            return Err(BadSelection::Share { found: found.len(), total: of_kind.len(), percent });
        }
        Ok(found.into_iter().map(|item| item.name.clone()).collect())
    }
}
