//! Holds the code against the house's own rules: who may import whom, how files are named and how long they get.

mod imports;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tokens::Token;

/// A file above this length has more than one subject.
const LINES_MAX: usize = 600;

/// A Rust file: its path below the repository's root, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below some folders of the repository, in order of path.
fn sources(folders: &[&str]) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<Source>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a Rust file is text");
                found.push(Source { path: path.strip_prefix(root()).expect("a file of the repository").to_owned(), text });
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no Rust file below {folders:?}");
    found
}

const EVERYWHERE: [&str; 5] = ["src", "core/src", "core/tests", "tests", "fuzz"];

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let faults: Vec<String> = sources(&EVERYWHERE)
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{}: {lines} lines, above {LINES_MAX}; split it by subject", path.display()))
        .collect();
    assert_none(&faults);
}

#[test]
fn file_names_tell_the_subject() {
    const EMPTY_NAMES: [&str; 8] = ["mod", "utils", "util", "common", "helpers", "helper", "misc", "shared"];
    let mut faults = Vec::new();
    for source in sources(&EVERYWHERE) {
        let path = source.path.with_extension("");
        let in_folders_too = path.iter().filter_map(|part| part.to_str());
        for name in in_folders_too.filter(|name| EMPTY_NAMES.contains(name)) {
            faults.push(format!("{}: {name:?} tells nothing", source.path.display()));
        }
    }
    assert_none(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold the words itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|halves| halves.concat());
    let marks = [["#[ig", "nore"], ["dbg", "!("], ["to", "do!("], ["unimple", "mented!("]].map(|halves| halves.concat());
    let mut faults = Vec::new();
    for source in sources(&EVERYWHERE) {
        for (number, line) in source.text.lines().enumerate() {
            let has_word = line.split(|c: char| !c.is_alphanumeric()).any(|word| words.iter().any(|banned| banned == word));
            if has_word || marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}:{}: {}", source.path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none(&faults);
}

/// Returns the modules that a file declares in files of their own.
fn declared_modules(text: &str) -> Vec<String> {
    tokens::read(text)
        .windows(3)
        .filter_map(|window| match window {
            [Token::Word("mod"), Token::Word(name), Token::Sign(';')] => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

/// Returns the faults of one tree of modules: files that no `mod` reaches.
fn unreached(folder: &str, entries: &[&str]) -> Vec<String> {
    let all = sources(&[folder]);
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = entries.iter().map(|entry| Path::new(folder).join(entry)).collect();
    while let Some(path) = waiting.pop() {
        let Some(source) = all.iter().find(|source| source.path == path) else { continue };
        let is_entry = entries.iter().any(|entry| Path::new(folder).join(entry) == path);
        let below = if is_entry { path.parent().expect("an entry lies in a folder").to_owned() } else { path.with_extension("") };
        waiting.extend(declared_modules(&source.text).iter().map(|name| below.join(name).with_extension("rs")));
        reached.insert(path);
    }
    all.iter()
        .filter(|source| !reached.contains(&source.path))
        .map(|source| format!("{}: no `mod` reaches this file", source.path.display()))
        .collect()
}

#[test]
fn every_file_is_part_of_the_program() {
    let mut faults = unreached("src", &["lib.rs", "main.rs"]);
    faults.extend(unreached("core/src", &["lib.rs"]));
    faults.extend(unreached("tests/it", &["main.rs"]));
    faults.extend(unreached("core/tests/it", &["main.rs"]));
    assert_none(&faults);
}

#[test]
fn no_module_is_declared_twice() {
    let mut faults = Vec::new();
    for source in sources(&EVERYWHERE) {
        let mut seen = BTreeSet::new();
        for name in declared_modules(&source.text) {
            if !seen.insert(name.clone()) {
                faults.push(format!("{}: `mod {name}` twice", source.path.display()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn rooms_import_only_what_the_tables_allow() {
    let mut faults = imports::faults(&sources(&["core/src"]), "core/src", imports::CORE);
    faults.extend(imports::faults(&sources(&["src"]), "src", imports::EDGE));
    assert_none(&faults);
}

#[test]
fn the_tables_of_imports_hold_no_circle() {
    assert_eq!(imports::circle(imports::CORE), None);
    assert_eq!(imports::circle(imports::EDGE), None);
    assert!(imports::circle(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])]).is_some());
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    assert_none(&imports::crate_faults(&sources(&["src"])));
}

/// The pure half stays pure only as long as nothing that it depends on does I/O.
#[test]
fn core_depends_on_nothing_that_does_io() {
    const PURE: [&str; 17] = [
        "chrono",
        "chrono-tz",
        "crc32fast",
        // Reads crontabs, and asks for the next instant behind one that it is given; it has no clock of its own.
        "croner",
        "fast-float2",
        "foldhash",
        "hashbrown",
        "md-5",
        "memchr",
        "regex",
        "roaring",
        "saphyr-parser",
        "serde",
        "serde_json",
        "sha2",
        "thiserror",
        // Bytes in, bytes out.
        "zstd",
    ];
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).expect("core has a manifest");
    let section = manifest.split("[dependencies]").nth(1).expect("core has dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    let faults: Vec<String> = section
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().trim_end_matches(".workspace"))
        .filter(|name| !PURE.contains(name))
        .map(|name| format!("core/Cargo.toml: {name} is not known to be pure; if it is, name it in this test"))
        .collect();
    assert_none(&faults);
}
