//! Who may import whom: one table for the pure half, one for the edge.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::tokens::{self, Token};

/// A room and the rooms that it may know.
pub type Table = &'static [(&'static str, &'static [&'static str])];

/// Rooms of the pure half. `promql` does not know `store`: both know `model::Source`.
pub const CORE: Table = &[
    ("time", &[]),
    ("problem", &[]),
    ("access", &["time"]),
    ("client", &[]),
    ("yaml", &["problem", "time"]),
    ("model", &["time"]),
    ("template", &["model", "time"]),
    ("store", &["model", "time"]),
    ("promql", &["model", "time"]),
    ("scrape", &["client", "model", "time"]),
    ("remote", &["client", "model", "scrape", "time"]),
    ("rule", &["model", "problem", "promql", "template", "time", "yaml"]),
    ("alert", &["model", "rule", "time"]),
    ("aws", &["client", "time"]),
    ("alertmanagers", &["alert", "aws", "client", "model", "route", "scrape", "time"]),
    ("route", &["aws", "client", "model", "template", "time"]),
    ("page", &["model", "route", "time"]),
    ("trace", &["model", "route", "time"]),
    ("plane", &["model", "page", "route", "time", "trace"]),
    ("ledger", &["alert", "alertmanagers", "model", "plane", "route", "rule", "time", "trace"]),
    ("testing", &["alert", "ledger", "model", "plane", "problem", "promql", "route", "rule", "time", "trace", "yaml"]),
    ("backtest", &["alert", "ledger", "model", "plane", "promql", "route", "rule", "time"]),
    ("collect", &["model", "time"]),
    ("cloudwatch", &["aws", "collect", "model", "time"]),
    ("atlas", &["client", "collect", "model", "time"]),
    ("journey", &["client", "model", "time"]),
    ("slo", &["alert", "model", "problem", "promql", "rule", "time", "yaml"]),
    ("run", &["access", "client", "model", "problem", "promql", "time", "yaml"]),
    (
        "config",
        &[
            "alertmanagers",
            "atlas",
            "aws",
            "client",
            "cloudwatch",
            "collect",
            "journey",
            "model",
            "problem",
            "promql",
            "remote",
            "route",
            "run",
            "scrape",
            "time",
            "yaml",
        ],
    ),
];

/// Rooms of the edge; all of them may know the pure half. Edges do not know each other, but for the pipeline, which is their journey,
/// and what stands above it.
pub const EDGE: Table = &[
    ("clock", &[]),
    ("id", &[]),
    ("client", &[]),
    ("db", &[]),
    ("disk", &[]),
    ("telemetry", &["db"]),
    ("config", &["client", "clock"]),
    ("scrape", &["client"]),
    ("aws", &["client", "clock", "id"]),
    ("cloudwatch", &["aws", "client", "clock"]),
    ("atlas", &["client", "clock", "id"]),
    ("notify", &["aws", "client", "clock", "id"]),
    ("demo", &["clock", "id"]),
    (
        "pipeline",
        &["atlas", "aws", "client", "clock", "cloudwatch", "config", "db", "disk", "id", "notify", "scrape", "telemetry"],
    ),
    ("act", &["client", "clock", "config", "db", "id", "pipeline", "telemetry"]),
    ("http", &["act", "client", "clock", "config", "db", "demo", "id", "pipeline", "telemetry"]),
    ("cli", &["client", "clock", "config", "db", "disk"]),
    (
        "serve",
        &["act", "client", "clock", "config", "db", "demo", "disk", "http", "id", "notify", "pipeline", "scrape", "telemetry"],
    ),
];

/// Crates that touch the world or decide a technology, and the rooms that may name them; other crates are free. The demo's services
/// are programs of their own, so `demo` may name what a program needs.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["act", "db", "demo"]),
    ("snap", &["cli", "disk", "pipeline"]),
    ("rustix", &["act", "disk"]),
    ("lettre", &["notify"]),
    ("handlebars", &["notify"]),
    ("axum", &["http", "demo", "serve"]),
    ("utoipa", &["http", "demo"]),
    ("rust_embed", &["http"]),
    ("argon2", &["http"]),
    ("hyper_util", &["http"]),
    ("httparse", &["scrape"]),
    ("aws_sigv4", &["aws"]),
    ("aws_credential_types", &["aws"]),
    ("reqwest", &["act", "atlas", "aws", "cli", "client", "demo", "main", "notify", "pipeline", "scrape"]),
    ("rustls", &["client", "serve", "main"]),
    ("getrandom", &["id"]),
    ("clap", &["main", "cli", "demo"]),
    ("anyhow", &["main", "cli", "serve", "demo"]),
    ("prometheus_client", &["telemetry", "demo"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// Returns the room of a file, the number of module names in its path, and whether it is a room at all (the entries are none).
fn room(source: &Source, folder: &str) -> (String, usize) {
    let inside = source.path.strip_prefix(folder).expect("a file of this folder").with_extension("");
    let parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    (parts[0].clone(), parts.len())
}

/// Reads behind `start` what a path goes on with: one word, or all the words that open the branches of `{…}`.
fn next_words<'a>(tokens: &[Token<'a>], start: usize) -> Vec<&'a str> {
    match tokens.get(start) {
        Some(Token::Word(word)) => vec![word],
        Some(Token::Sign('{')) => {
            let (mut depth, mut words, mut opens) = (1, Vec::new(), true);
            for token in &tokens[start + 1..] {
                match token {
                    Token::Sign('{') => depth += 1,
                    Token::Sign('}') => depth -= 1,
                    Token::Sign(',') if depth == 1 => opens = true,
                    Token::Word(word) if opens => {
                        words.push(*word);
                        opens = false;
                    }
                    Token::Word(_) | Token::Sign(_) => {}
                }
                if depth == 0 {
                    break;
                }
            }
            words
        }
        _ => Vec::new(),
    }
}

const PATH: [Token<'static>; 2] = [Token::Sign(':'), Token::Sign(':')];

/// Returns the rooms that a file names: by `crate::room`, or by as many `super::` as lead out of its own.
fn named_rooms(source: &Source, depth: usize) -> BTreeSet<String> {
    let tokens = tokens::read(&source.text);
    let mut found = BTreeSet::new();
    // For each open brace, whether it is that of an inline module, which is one step further from the crate's root.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            Token::Sign('{') => {
                braces.push(at >= 2 && tokens[at - 2] == Token::Word("mod"));
                at += 1;
            }
            Token::Sign('}') => {
                braces.pop();
                at += 1;
            }
            Token::Word("crate") if tokens[at + 1..].starts_with(&PATH) => {
                found.extend(next_words(&tokens, at + 3).iter().map(|word| (*word).to_owned()));
                at += 3;
            }
            Token::Word("super") => {
                let mut steps = 0;
                while tokens.get(at) == Some(&Token::Word("super")) && tokens[at + 1..].starts_with(&PATH) {
                    steps += 1;
                    at += 3;
                }
                if steps == depth + braces.iter().filter(|is_module| **is_module).count() {
                    found.extend(next_words(&tokens, at).iter().map(|word| (*word).to_owned()));
                }
                at += usize::from(steps == 0);
            }
            Token::Word(_) | Token::Sign(_) => at += 1,
        }
    }
    found
}

/// Returns every import that the table does not allow, and every room that it does not know.
pub fn faults(sources: &[Source], folder: &str, table: Table) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut faults = Vec::new();
    for source in sources {
        let (room, depth) = room(source, folder);
        // A room's own tests may set it up with what stands above it.
        let is_test = source.path.iter().any(|part| part == "tests" || part == "tests.rs");
        if matches!(room.as_str(), "lib" | "main") || is_test {
            continue;
        }
        let Some(may) = allowed.get(room.as_str()) else {
            faults.push(format!("{}: the room {room:?} is not in the table of imports", source.path.display()));
            continue;
        };
        for named in named_rooms(source, depth) {
            if named != room && allowed.contains_key(named.as_str()) && !may.contains(&named.as_str()) {
                faults.push(format!("{}: {room} may not know {named}", source.path.display()));
            } else if !allowed.contains_key(named.as_str()) {
                faults.push(format!("{}: crate::{named} is no room of the table", source.path.display()));
            }
        }
    }
    faults
}

/// Returns the rooms of a circle in a table, when there is one.
pub fn circle(table: &[(&'static str, &[&'static str])]) -> Option<Vec<&'static str>> {
    let mut left: BTreeMap<&str, &[&'static str]> = table.iter().copied().collect();
    while !left.is_empty() {
        // A room all of whose imports are settled is settled itself.
        let Some(settled) = left.iter().find(|(_, may)| may.iter().all(|room| !left.contains_key(room))).map(|(room, _)| *room)
        else {
            return Some(table.iter().map(|(room, _)| *room).filter(|room| left.contains_key(room)).collect());
        };
        left.remove(settled);
    }
    None
}

/// Returns every mention of a crate outside the rooms that it belongs to.
pub fn crate_faults(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let (room, _) = room(source, "src");
        let tokens = tokens::read(&source.text);
        for (name, rooms) in CRATES {
            let names_it = tokens.windows(3).enumerate().any(|(at, window)| {
                // `crate::client::reqwest` would be a module of ours, and `x.sqlx` a field.
                let starts = at == 0 || !matches!(tokens[at - 1], Token::Sign(':' | '.'));
                starts && window == [Token::Word(name), PATH[0], PATH[1]]
            });
            if names_it && !rooms.contains(&room.as_str()) {
                faults.push(format!("{}: {name} belongs to {}", source.path.display(), rooms.join(", ")));
            }
        }
    }
    faults
}

#[test]
fn paths_are_read_out_of_every_form() {
    let text = "use crate::alpha::X; use crate::{beta, gamma::{a, b}, delta as d}; fn f() -> crate::epsilon::Y { super::zeta::g() } \
                // use crate::comment;\n mod tests { use super::own; use super::super::eta; }";
    let source = Source { path: "src/room.rs".into(), text: text.to_owned() };
    let found: Vec<String> = named_rooms(&source, 1).into_iter().collect();
    assert_eq!(found, ["alpha", "beta", "delta", "epsilon", "eta", "gamma", "zeta"]);
}
