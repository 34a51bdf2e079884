//! The walk from an alert to the groups that it joins.

pub mod decision;
pub mod explain;
pub mod group;
pub mod log;

use crate::model::labels::quote;
use crate::model::matcher::all_match;
use crate::model::{LabelSet, MatchOp, Matcher};
use crate::time::Span;

use super::tree::{GroupBy, Route};
use group::GroupId;

/// The routing tree laid out flat, root first, each node before its children.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// What the walk down the tree sees at a node, by its index.
enum Visit {
    /// One of its matchers does not hold.
    Refuses(usize),
    /// Its matchers hold; its children are asked next.
    Enters(usize),
    /// It takes the alert itself, since none of its children does.
    Takes(usize),
    /// It is not asked, since a sibling before it has taken the alert.
    Skips(usize),
}

/// One node of the tree with its address.
#[derive(Clone, Debug)]
pub struct Node {
    /// The matchers from the root to here, such as `{}/{severity="page"}`: the first half of a group key.
    pub path: String,
    /// How many nodes before this one have the same path and receiver; tells apart what the path cannot.
    pub twin: u32,
    pub receiver: String,
    pub group_by: GroupBy,
    pub group_wait: Span,
    pub group_interval: Span,
    pub repeat_interval: Span,
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
    matchers: Vec<Matcher>,
    continues: bool,
    /// How many nodes stand above.
    depth: usize,
    children: Vec<usize>,
}

impl Tree {
    pub fn new(root: &Route) -> Tree {
        let mut tree = Tree { nodes: Vec::new() };
        tree.lay_out(root, None, 0);
        tree
    }

    fn lay_out(&mut self, route: &Route, parent_path: Option<&str>, depth: usize) -> usize {
        let mut matchers = route.matchers.clone();
        matchers.sort_by(|one, other| (&one.name, &one.value, one.op).cmp(&(&other.name, &other.value, other.op)));
        let own = matchers_text(&matchers);
        let path = parent_path.map_or_else(|| own.clone(), |parent| format!("{parent}/{own}"));
        let twin = self.nodes.iter().filter(|node| node.path == path && node.receiver == route.receiver).count() as u32;
        let index = self.nodes.len();
        self.nodes.push(Node {
            path: path.clone(),
            twin,
            receiver: route.receiver.clone(),
            group_by: route.group_by.clone(),
            group_wait: route.group_wait,
            // A timer that never moves on would spin.
            group_interval: route.group_interval.max(Span(1)),
            repeat_interval: route.repeat_interval,
            mute_time_intervals: route.mute_time_intervals.clone(),
            active_time_intervals: route.active_time_intervals.clone(),
            matchers,
            continues: route.continues,
            depth,
            children: Vec::new(),
        });
        for child in &route.routes {
            let child = self.lay_out(child, Some(&path), depth + 1);
            self.nodes[index].children.push(child);
        }
        index
    }

    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// Returns the nodes that take an alert with these labels, in order of the tree.
    ///
    /// The first child that matches takes it, and later ones too while each says `continue`; a node whose children all pass takes
    /// it itself. The root asks nothing, so there is always an answer.
    /// Source: Alertmanager `Route.Match`.
    pub fn matching(&self, labels: &LabelSet) -> Vec<usize> {
        let mut taken = Vec::new();
        self.walk(0, labels, &mut |visit| {
            if let Visit::Takes(index) = visit {
                taken.push(index);
            }
        });
        if taken.is_empty() {
            taken.push(0);
        }
        taken
    }

    /// Walks from a node down and says what it sees; returns whether the node or one below it takes the alert.
    fn walk(&self, index: usize, labels: &LabelSet, see: &mut impl FnMut(Visit)) -> bool {
        let node = &self.nodes[index];
        if !all_match(&node.matchers, labels) {
            see(Visit::Refuses(index));
            return false;
        }
        see(Visit::Enters(index));
        let mut taken = false;
        let mut children = node.children.iter();
        for child in children.by_ref() {
            if self.walk(*child, labels, see) {
                taken = true;
                if !self.nodes[*child].continues {
                    break;
                }
            }
        }
        children.for_each(|child| see(Visit::Skips(*child)));
        if !taken {
            see(Visit::Takes(index));
        }
        true
    }

    /// Returns the node at an address, for groups read back from records.
    pub fn find(&self, path: &str, receiver: &str, twin: u32) -> Option<usize> {
        self.nodes.iter().position(|node| node.path == path && node.receiver == receiver && node.twin == twin)
    }
}

impl Node {
    /// Returns the labels that the alerts of a group share here.
    pub fn group_labels(&self, labels: &LabelSet) -> LabelSet {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.only(|name| names.iter().any(|own| own == name)),
        }
    }

    /// Returns the key of a group here, such as `{}/{severity="page"}:{alertname="Slow"}`.
    pub fn group_key(&self, group_labels: &LabelSet) -> String {
        format!("{}:{}", self.path, group_labels_text(group_labels))
    }

    /// Returns the group to which an alert belongs here.
    pub fn group_of(&self, labels: &LabelSet) -> GroupId {
        GroupId { key: self.group_key(&self.group_labels(labels)), receiver: self.receiver.clone() }
    }
}

/// Writes matchers as Alertmanager does in its route keys: `{a="b",c=~"d"}`.
fn matchers_text(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(matcher_text).collect();
    format!("{{{}}}", texts.join(","))
}

/// Names with characters that the classic syntax cannot hold are quoted, and then the value is quoted as Go quotes text; else
/// only backslash, quote and line end are escaped.
fn matcher_text(matcher: &Matcher) -> String {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
    if matcher.name.contains(reserved) {
        return format!("{}{op}{}", quote(&matcher.name), quote(&matcher.value));
    }
    let value = matcher.value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{}{op}\"{value}\"", matcher.name)
}

/// Writes group labels as Prometheus' model does: `{a="b", c="d"}`, names never quoted.
pub fn group_labels_text(labels: &LabelSet) -> String {
    let texts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(receiver: &str, matchers: &[&str], continues: bool, routes: Vec<Route>) -> Route {
        let matcher = |text: &&str| {
            let (name, value) = text.split_once('=').unwrap();
            match value.strip_prefix('~') {
                Some(pattern) => Matcher::new(name, MatchOp::Regex, pattern).unwrap(),
                None => Matcher::equal(name, value),
            }
        };
        Route {
            receiver: receiver.to_owned(),
            matchers: matchers.iter().map(matcher).collect(),
            group_by: GroupBy::Labels(vec!["alertname".to_owned(), "job".to_owned()]),
            continues,
            group_wait: Span::ZERO,
            group_interval: Span::from_mins(5),
            repeat_interval: Span::from_mins(240),
            mute_time_intervals: vec![],
            active_time_intervals: vec![],
            routes,
        }
    }

    fn receivers(tree: &Tree, pairs: &[(&str, &str)]) -> Vec<String> {
        let labels = LabelSet::from_pairs(pairs.iter().copied());
        tree.matching(&labels).into_iter().map(|index| tree.node(index).receiver.clone()).collect()
    }

    #[test]
    fn the_first_matching_child_takes_the_alert_unless_it_continues() {
        let tree = Tree::new(&route(
            "root",
            &[],
            false,
            vec![
                route("audit", &["team=~.+"], true, vec![]),
                route("a", &["team=a"], false, vec![route("a-page", &["severity=page"], false, vec![])]),
                route("any", &["team=~a|b"], false, vec![]),
            ],
        ));
        assert_eq!(receivers(&tree, &[("team", "a")]), ["audit", "a"]);
        assert_eq!(receivers(&tree, &[("team", "a"), ("severity", "page")]), ["audit", "a-page"]);
        assert_eq!(receivers(&tree, &[("team", "b")]), ["audit", "any"]);
        assert_eq!(receivers(&tree, &[("job", "x")]), ["root"]);
    }

    #[test]
    fn group_keys_are_written_as_alertmanager_writes_them() {
        let tree =
            Tree::new(&route("root", &[], false, vec![route("x", &["b=say \"hi\"", "a=~x\\d", "odd name=1"], false, vec![])]));
        let labels = LabelSet::from_pairs([("alertname", "Slow"), ("job", "a\tb"), ("zone", "1")]);
        let key = |index: usize| tree.node(index).group_key(&tree.node(index).group_labels(&labels));
        assert_eq!(key(0), r#"{}:{alertname="Slow", job="a\tb"}"#);
        assert_eq!(key(1), r#"{}/{a=~"x\\d",b="say \"hi\"","odd name"="1"}:{alertname="Slow", job="a\tb"}"#);
        assert_eq!(tree.node(0).group_key(&LabelSet::empty()), "{}:{}");
    }

    #[test]
    fn nodes_that_only_differ_in_their_options_are_told_apart() {
        let day_and_night = vec![route("x", &["a=1"], true, vec![]), route("x", &["a=1"], false, vec![])];
        let tree = Tree::new(&route("root", &[], false, day_and_night));
        assert_eq!(tree.matching(&LabelSet::from_pairs([("a", "1")])), [1, 2]);
        assert_eq!((tree.node(1).twin, tree.node(2).twin), (0, 1));
        assert_eq!(tree.find("{}/{a=\"1\"}", "x", 1), Some(2));
        assert_eq!(tree.find("{}/{a=\"1\"}", "y", 0), None);
    }
}
