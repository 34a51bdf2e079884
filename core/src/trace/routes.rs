//! The tree of routes as it was at a time, so that it can be told later which way an alert took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::Matcher;
use crate::route::dispatch::group::hex;
use crate::route::tree::{GroupBy, Route, Routing};
use crate::time::Span;

/// What routing did with alerts: the tree, and who stands behind its receivers. Secrets are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    root: Node,
    /// Of each receiver the kinds of its integrations, such as `pagerduty`, and its users.
    pub receivers: BTreeMap<String, Receiver>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Receiver {
    pub channels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    receiver: String,
    matchers: Vec<Matcher>,
    /// None: by all labels.
    group_by: Option<Vec<String>>,
    continues: bool,
    group_wait: Span,
    group_interval: Span,
    repeat_interval: Span,
    mute: Vec<String>,
    active: Vec<String>,
    routes: Vec<Node>,
}

impl Routes {
    pub fn new(routing: &Routing) -> Routes {
        let receiver = |receiver: &crate::route::receiver::Receiver| Receiver {
            channels: receiver.integrations.iter().map(|integration| integration.channel.kind().to_owned()).collect(),
            users: receiver.users.clone(),
        };
        Routes {
            root: node(&routing.tree()),
            receivers: routing.receivers.iter().map(|(name, own)| (name.clone(), receiver(own))).collect(),
        }
    }

    /// Returns a text that is the same for the same routes: 16 hexadecimal digits.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("routes are made of plain fields with text keys");
        hex(&Sha256::digest(&json)[..8])
    }

    /// Returns the tree.
    pub fn tree(&self) -> crate::route::dispatch::Tree {
        crate::route::dispatch::Tree::new(&route(&self.root))
    }
}

fn node(route: &Route) -> Node {
    Node {
        receiver: route.receiver.clone(),
        matchers: route.matchers.clone(),
        group_by: match &route.group_by {
            GroupBy::All => None,
            GroupBy::Labels(names) => Some(names.clone()),
        },
        continues: route.continues,
        group_wait: route.group_wait,
        group_interval: route.group_interval,
        repeat_interval: route.repeat_interval,
        mute: route.mute_time_intervals.clone(),
        active: route.active_time_intervals.clone(),
        routes: route.routes.iter().map(node).collect(),
    }
}

fn route(node: &Node) -> Route {
    Route {
        receiver: node.receiver.clone(),
        matchers: node.matchers.clone(),
        group_by: node.group_by.clone().map_or(GroupBy::All, GroupBy::Labels),
        continues: node.continues,
        group_wait: node.group_wait,
        group_interval: node.group_interval,
        repeat_interval: node.repeat_interval,
        mute_time_intervals: node.mute.clone(),
        active_time_intervals: node.active.clone(),
        routes: node.routes.iter().map(route).collect(),
    }
}
