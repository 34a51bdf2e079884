//! Kinds of discovery that Prometheus knows and we do not serve: checked for what is plainly wrong, and said so.
//!
//! Source: the packages under Prometheus' `discovery`. Keys inside an entry are not checked for being known.

use std::collections::BTreeSet;

use crate::yaml::{Node, Table, Value};

use super::super::client;
use super::super::place::{Folder, check_url};

/// What an entry must or must not say.
enum Rule {
    /// The key says something.
    Needs(&'static str, &'static str),
    /// The key may be absent for its default, but not empty.
    NotEmpty(&'static str, &'static str),
    /// One of the keys says something.
    NeedsOne(&'static [&'static str], &'static str),
    /// At most one of the keys says something.
    Excludes(&'static [&'static str], &'static str),
    /// The key, where it is there, is one of these texts; the message may name the text as `{}`.
    Among(&'static str, &'static [&'static str], &'static str),
    /// The key, where it is there, is a URL; the text stands before the reason.
    Url(&'static str, &'static str),
}
use Rule::{Among, Excludes, Needs, NeedsOne, NotEmpty, Url};

const SECRET_KEYS: &[&str] = &["secret_key", "secret_key_file"];
const ONE_SECRET: Rule = NeedsOne(SECRET_KEYS, "one of secret_key & secret_key_file must be configured");
const NOT_TWO_SECRETS: Rule = Excludes(SECRET_KEYS, "at most one of secret_key & secret_key_file must be configured");

const KINDS: [(&str, &[Rule]); 34] = [
    ("aws_sd_configs", &[]),
    (
        "azure_sd_configs",
        &[
            Needs("subscription_id", "azure SD configuration requires a subscription_id"),
            Among(
                "authentication_method",
                &["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"],
                "unknown authentication_type \"{}\". Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"",
            ),
        ],
    ),
    ("consul_sd_configs", &[]),
    ("digitalocean_sd_configs", &[]),
    (
        "dns_sd_configs",
        &[
            Needs("names", "DNS-SD config must contain at least one SRV record name"),
            Among("type", &["SRV", "A", "AAAA", "MX", "NS"], "invalid DNS-SD records type {}"),
        ],
    ),
    ("docker_sd_configs", &[NotEmpty("host", "host missing")]),
    (
        "dockerswarm_sd_configs",
        &[
            Needs("host", "host missing"),
            Needs("role", "role missing (one of: tasks, services, nodes)"),
            Among("role", &["tasks", "services", "nodes"], "invalid role {}, expected tasks, services, or nodes"),
        ],
    ),
    ("ec2_sd_configs", &[]),
    ("ecs_sd_configs", &[]),
    ("elasticache_sd_configs", &[]),
    (
        "eureka_sd_configs",
        &[Needs("server", "eureka_sd: empty or null eureka server"), Url("server", "eureka_sd: invalid eureka server URL")],
    ),
    (
        "gce_sd_configs",
        &[Needs("project", "GCE SD configuration requires a project"), Needs("zone", "GCE SD configuration requires a zone")],
    ),
    (
        "hetzner_sd_configs",
        &[Needs("role", "role missing (one of: robot, hcloud)"), Among("role", &["robot", "hcloud"], "unknown role \"{}\"")],
    ),
    ("ionos_sd_configs", &[Needs("datacenter_id", "datacenter id can't be empty")]),
    (
        "kubernetes_sd_configs",
        &[
            Needs("role", "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)"),
            Among(
                "role",
                &["pod", "service", "endpoints", "endpointslice", "node", "ingress"],
                "unknown Kubernetes SD role \"{}\"",
            ),
        ],
    ),
    ("kuma_sd_configs", &[Needs("server", "kuma SD server must not be empty"), Url("server", "kuma SD server is no URL")]),
    ("lightsail_sd_configs", &[]),
    ("linode_sd_configs", &[]),
    ("marathon_sd_configs", &[Needs("servers", "marathon_sd: must contain at least one Marathon server")]),
    ("msk_sd_configs", &[]),
    (
        "nerve_sd_configs",
        &[
            Needs("servers", "nerve SD config must contain at least one Zookeeper server"),
            Needs("paths", "nerve SD config must contain at least one path"),
        ],
    ),
    ("nomad_sd_configs", &[]),
    ("oci_sd_configs", &[]),
    (
        "openstack_sd_configs",
        &[
            Needs("role", "role missing (one of: instance, hypervisor, loadbalancer)"),
            Needs("region", "openstack SD configuration requires a region"),
            Among("role", &["instance", "hypervisor", "loadbalancer"], "unknown OpenStack SD role \"{}\""),
            Among(
                "availability",
                &["public", "internal", "admin"],
                "unknown availability {}, must be one of admin, internal or public",
            ),
        ],
    ),
    ("outscale_sd_configs", &[NotEmpty("region", "outscale SD configuration requires a region"), ONE_SECRET, NOT_TWO_SECRETS]),
    (
        "ovhcloud_sd_configs",
        &[
            Needs("endpoint", "endpoint can not be empty"),
            Needs("application_key", "application key can not be empty"),
            Needs("application_secret", "application secret can not be empty"),
            Needs("consumer_key", "consumer key can not be empty"),
            Needs("service", "service missing (one of: vps, dedicated_server)"),
            Among("service", &["vps", "dedicated_server"], "unknown service: {}"),
        ],
    ),
    ("puppetdb_sd_configs", &[Needs("url", "URL is missing"), Url("url", "bad URL"), Needs("query", "query missing")]),
    ("rds_sd_configs", &[]),
    (
        "scaleway_sd_configs",
        &[
            Needs("role", "role missing (one of: instance, baremetal)"),
            Among("role", &["instance", "baremetal"], "unknown role \"{}\""),
            Needs("project_id", "project_id is mandatory"),
            Needs("access_key", "access_key is mandatory"),
            ONE_SECRET,
            NOT_TWO_SECRETS,
        ],
    ),
    (
        "serverset_sd_configs",
        &[
            Needs("servers", "serverset SD config must contain at least one Zookeeper server"),
            Needs("paths", "serverset SD config must contain at least one path"),
        ],
    ),
    ("stackit_sd_configs", &[Needs("project", "stackit SD configuration requires a project")]),
    (
        "triton_sd_configs",
        &[
            Needs("account", "triton SD configuration requires an account"),
            Needs("dns_suffix", "triton SD configuration requires a dns_suffix"),
            Needs("endpoint", "triton SD configuration requires an endpoint"),
            Among("role", &["container", "cn"], "triton SD configuration requires role to be 'container' or 'cn'"),
        ],
    ),
    (
        "uyuni_sd_configs",
        &[
            Needs("server", "Uyuni SD configuration requires server host"),
            Needs("username", "Uyuni SD configuration requires a username"),
            Needs("password", "Uyuni SD configuration requires a password"),
        ],
    ),
    ("vultr_sd_configs", &[]),
];

/// Checks every entry of the kinds that are not served, and warns once for each kind.
pub(super) fn check(table: &mut Table<'_, '_>, folder: &Folder) {
    for (kind, rules) in &KINDS {
        let Some(whole) = table.entry(kind) else { continue };
        for value in super::entries(table, kind) {
            let errors_before = value.problems.error_count();
            shared(&value, folder);
            for rule in *rules {
                if let Some(message) = broken(rule, value.node) {
                    value.error(message);
                }
            }
            if value.problems.error_count() == errors_before {
                special(kind, &value);
            }
        }
        whole.warning(format!("{kind} is not served yet; list targets with static_configs, file_sd_configs or http_sd_configs"));
    }
}

/// Checks what all kinds share: the settings of an HTTP client.
fn shared(value: &Value<'_, '_>, folder: &Folder) {
    let scratch = value.problems.beside();
    let mut entry = Value::new(value.node, value.path.clone(), &scratch).table();
    client::inline(&mut entry, folder);
    value.problems.take_errors(scratch);
}

/// Whether a key says something: neither nothing, nor an empty text, list or mapping.
fn says(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|value| match value.text() {
        Some(text) => !text.is_empty(),
        None => !value.items().is_empty() || !value.entries().is_empty(),
    })
}

fn broken(rule: &Rule, node: &Node) -> Option<String> {
    match rule {
        Needs(key, message) => (!says(node, key)).then(|| format!("{message}; write {key}")),
        NotEmpty(key, message) => (node.get(key).is_some() && !says(node, key)).then(|| format!("{message}; write {key}")),
        NeedsOne(keys, message) => (!keys.iter().any(|key| says(node, key))).then(|| (*message).to_owned()),
        Excludes(keys, message) => {
            (keys.iter().filter(|key| says(node, key)).count() > 1).then(|| format!("{message}; remove one"))
        }
        Among(key, allowed, message) => {
            let text = node.get(key).and_then(Node::text).filter(|text| !text.is_empty() && !allowed.contains(text))?;
            Some(message.replace("{}", text))
        }
        Url(key, message) => {
            let text = node.get(key).and_then(Node::text).filter(|text| !text.is_empty())?;
            check_url(text).err().map(|reason| format!("{message}: {reason}"))
        }
    }
}

/// Checks that need more than one key at a time.
fn special(kind: &str, value: &Value<'_, '_>) {
    match kind {
        "azure_sd_configs" => azure(value),
        "dns_sd_configs" => {
            let needs_port = value.node.get("type").and_then(Node::text).is_some_and(|kind| kind != "SRV");
            if needs_port && !says(value.node, "port") {
                value.error("a port is required in DNS-SD configs for all record types except SRV");
            }
        }
        "ec2_sd_configs" => {
            let filters = value.node.get("filters").map(Node::items).unwrap_or_default();
            if filters.iter().any(|filter| !says(filter, "values")) {
                value.error("EC2 SD configuration filter values cannot be empty");
            }
        }
        "kubernetes_sd_configs" => kubernetes(value),
        "marathon_sd_configs" => marathon(value),
        _ => {}
    }
}

fn azure(value: &Value<'_, '_>) {
    let method = value.node.get("authentication_method").and_then(Node::text).unwrap_or("OAuth");
    for key in ["tenant_id", "client_id", "client_secret"] {
        if method == "OAuth" && !says(value.node, key) {
            value.error(format!("azure SD configuration requires a {key}"));
        }
    }
}

fn marathon(value: &Value<'_, '_>) {
    let (token, file) = (says(value.node, "auth_token"), says(value.node, "auth_token_file"));
    if token && file {
        value.error("marathon_sd: at most one of auth_token & auth_token_file must be configured");
    }
    if !token && !file {
        return;
    }
    if says(value.node, "basic_auth") {
        value.error("marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured");
    }
    if says(value.node, "bearer_token") || says(value.node, "bearer_token_file") {
        value.error(
            "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
        );
    }
    if says(value.node, "authorization") {
        value.error("marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured");
    }
}

/// Keys of an HTTP client that differ from its defaults when they are there.
const CLIENT_KEYS: [&str; 8] =
    ["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file", "tls_config", "proxy_url", "http_headers"];

/// Which selectors a role may carry.
const SELECTORS: [(&str, &[&str]); 6] = [
    ("pod", &["pod", "node"]),
    ("service", &["service"]),
    ("endpointslice", &["pod", "service", "endpointslice"]),
    ("endpoints", &["pod", "service", "endpoints"]),
    ("node", &["node"]),
    ("ingress", &["ingress"]),
];

fn kubernetes(value: &Value<'_, '_>) {
    let node = value.node;
    let (server, kubeconfig) = (says(node, "api_server"), says(node, "kubeconfig_file"));
    let own_client = CLIENT_KEYS.into_iter().any(|key| says(node, key));
    if server && kubeconfig {
        value.error("cannot use 'kubeconfig_file' and 'api_server' simultaneously");
    } else if kubeconfig && own_client {
        value.error("cannot use a custom HTTP client configuration together with 'kubeconfig_file'");
    } else if !server && own_client {
        value.error("to use custom HTTP client configuration please provide the 'api_server' URL explicitly");
    }
    if let Some(namespaces) = node.get("namespaces") {
        let mut table = Table::new(namespaces, format!("{}.namespaces", value.path), value.problems);
        let own = table.boolean("own_namespace").unwrap_or(false);
        table.texts("names");
        table.finish();
        for (present, key) in [(server, "api_server"), (kubeconfig, "kubeconfig_file")] {
            if own && present {
                value.error(format!("cannot use '{key}' and 'namespaces.own_namespace' simultaneously"));
            }
        }
    }
    let role = node.get("role").and_then(Node::text).unwrap_or_default();
    let allowed = SELECTORS.iter().find(|(of, _)| *of == role).map_or(&[][..], |(_, allowed)| allowed);
    let mut seen = BTreeSet::new();
    for selector in node.get("selectors").map(Node::items).unwrap_or_default() {
        let of = selector.get("role").and_then(Node::text).unwrap_or_default();
        if !seen.insert(of) {
            value.error(format!("duplicated selector role: {of}"));
        } else if !allowed.contains(&of) {
            value.error(format!("{role} role supports only {} selectors", allowed.join(", ")));
        }
    }
}
