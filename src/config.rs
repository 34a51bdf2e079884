//! The configuration with everything that it refers to, read from files: all of it is sound, or none of it is used.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tocsin_core::config::{self, Config, File};
use tocsin_core::problem::{Position, Problem, Severity, has_errors};
use tocsin_core::promql::parse::Syntax;
use tocsin_core::route::templates::Templates;
use tocsin_core::rule::{self, RuleGroup};
use tocsin_core::run::Runbook;
use tocsin_core::run::drill::link;
use tocsin_core::run::read::{self as runbook, Allowed};
use tocsin_core::slo::{Definition, definitions, openslo};

use crate::clock;

/// A file of the configuration is at most this long.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that one pattern may name.
const FILES_MAX: usize = 10_000;

/// Where the configuration is read from.
#[derive(Clone, Debug)]
pub struct Sources {
    pub config: PathBuf,
    /// Routing and receivers, when they stand in a file of their own that the command line names.
    pub alertmanager: Option<PathBuf>,
}

/// A runbook, experiment or drill with the file that it was read from.
#[derive(Clone, Debug)]
pub struct Document {
    pub file: String,
    pub text: Arc<str>,
    pub runbook: Arc<Runbook>,
    /// What the runbook is known by.
    pub hash: String,
}

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub groups: Vec<RuleGroup>,
    pub objectives: Vec<Arc<Definition>>,
    /// By id.
    pub documents: BTreeMap<String, Document>,
    pub templates: Arc<Templates>,
    /// As others may see it: secrets masked.
    pub yaml: Arc<str>,
    /// The routing part of it as Alertmanager's own YAML.
    pub routing_yaml: Arc<str>,
    pub warnings: Vec<Problem>,
}

/// Returns a problem that concerns a file as a whole.
fn whole_file(file: &str, message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: file.into(),
        position: Position { line: 1, column: 1 },
        key: String::new(),
        message,
    }
}

/// Reads a text file, up to the limit.
///
/// Errors: why it cannot be read.
pub fn read_file(path: &Path) -> Result<File, Problem> {
    let name = path.display().to_string();
    let fault = |error: std::io::Error| whole_file(&name, format!("cannot read the file: {error}"));
    if std::fs::metadata(path).map_err(fault)?.len() > FILE_BYTES_MAX {
        return Err(whole_file(&name, "the file is larger than 16 MiB".to_owned()));
    }
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(File { name, text }),
        Ok(Err(error)) => {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let mut problem = whole_file(&name, "the file is not UTF-8 text".to_owned());
            problem.position.line = u32::try_from(line).unwrap_or(u32::MAX);
            Err(problem)
        }
        Err(error) => Err(fault(error)),
    }
}

/// Returns the files that a path names; its last part may be a pattern with `*`, `?` and `[…]`.
pub fn expand(path: &str) -> Result<Vec<PathBuf>, Problem> {
    let path = Path::new(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that is not there holds no files, as in Prometheus.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        if tocsin_core::config::pattern_matches(&name, &entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
        if files.len() > FILES_MAX {
            return Err(whole_file(&path.display().to_string(), format!("the pattern names more than {FILES_MAX} files")));
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the files that a pattern names, in order; each part of it may hold `*`, `?` and `[…]`. No match is no fault.
///
/// Source: Go `filepath.Glob`.
pub fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        let mut next = Vec::new();
        for base in found {
            if !name.contains(['*', '?', '[']) {
                next.push(base.join(part));
                continue;
            }
            let folder = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            let names = entries.flatten().map(|entry| entry.file_name());
            let fits = names.filter(|own| tocsin_core::config::pattern_matches(&name, &own.to_string_lossy()));
            next.extend(fits.map(|own| base.join(own)));
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// Reads the templates that a path or a pattern names. As in Alertmanager a path that names nothing is no fault; it is warned about.
fn read_templates(path: &str, problems: &mut Vec<Problem>) -> Vec<File> {
    let files = glob(Path::new(path));
    if files.is_empty() {
        let message = "no file of templates is named so".to_owned();
        problems.push(Problem { severity: Severity::Warning, ..whole_file(path, message) });
    }
    if files.len() > FILES_MAX {
        problems.push(whole_file(path, format!("the pattern names more than {FILES_MAX} files")));
        return Vec::new();
    }
    files.iter().filter_map(|file| read_file(file).map_err(|problem| problems.push(problem)).ok()).collect()
}

fn environment(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "external labels may name environment variables; this is where they are read")]
    std::env::var(name).ok()
}

/// Reads the main file and the one with routing, where there is one: that of the command line, or that which the main file names.
fn read_settings(main: &File, alertmanager: Option<&Path>, problems: &mut Vec<Problem>) -> (Option<Config>, Option<File>) {
    let second = match alertmanager {
        Some(path) => Some(path.to_owned()),
        None => config::referenced_files(main).alertmanager.map(PathBuf::from),
    };
    let second = match second.map(|path| read_file(&path)) {
        None => None,
        Some(Ok(file)) => Some(file),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
    };
    let (config, found) = config::read(main, second.as_ref(), &environment);
    problems.extend(found);
    (config, second)
}

/// Reads settings and routing, and nothing else that they refer to, as `tocsin test pages` does. Returns the warnings beside.
///
/// Without a main file everything but routing is as if nothing were said.
/// Errors: every problem of both files, warnings among them.
pub fn read_routing(config: Option<&Path>, alertmanager: Option<&Path>) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let main = match config {
        Some(path) => read_file(path).map_err(|problem| vec![problem])?,
        None => File { name: String::new(), text: String::new() },
    };
    let mut problems = Vec::new();
    let (config, _) = read_settings(&main, alertmanager, &mut problems);
    match config.filter(|_| !has_errors(&problems)) {
        Some(config) => Ok((config, problems)),
        None => Err(problems),
    }
}

/// Reads the configuration and all that it refers to.
///
/// Errors: every problem of every file, warnings among them.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let main = read_file(&sources.config).map_err(|problem| vec![problem])?;
    let (config, second) = read_settings(&main, sources.alertmanager.as_deref(), &mut problems);
    let Some(mut config) = config else { return Err(problems) };
    for path in config.scrape_config_files.clone() {
        for file in collect(&path, &mut problems) {
            problems.extend(config.add_scrape_file(&file));
        }
    }
    let (groups, found) = read_rule_files(&config.rule_files, &rule_defaults(&config));
    problems.extend(found);
    let mut slo_files = Vec::new();
    for path in &config.slo_files {
        slo_files.extend(collect(path, &mut problems));
    }
    let objectives = objectives(&slo_files, &mut problems);
    let mut templates = Templates::new();
    for path in &config.templates {
        for file in read_templates(path, &mut problems) {
            if let Err(error) = templates.add(&file.name, &file.text) {
                problems.push(whole_file(&file.name, error.to_string()));
            }
        }
    }
    let documents = read_documents(&allowed(&config), &config.runbook_files, &mut problems);
    if has_errors(&problems) {
        return Err(problems);
    }
    let routing_text = second.as_ref().map_or(&main.text, |file| &file.text);
    let yaml = match &second {
        Some(file) => format!("{}---\n# {}\n{}", config::masked(&main.text), file.name, config::masked(&file.text)),
        None => config::masked(&main.text),
    };
    Ok(Loaded {
        groups,
        objectives: objectives.into_iter().map(Arc::new).collect(),
        documents,
        templates: Arc::new(templates),
        yaml: yaml.into(),
        routing_yaml: config::masked_routing(routing_text).into(),
        warnings: problems,
        config,
    })
}

/// Reads the rule files that paths or patterns name, with what is wrong and what is hardly meant in them.
pub fn read_rule_files(paths: &[String], defaults: &rule::Defaults) -> (Vec<RuleGroup>, Vec<Problem>) {
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        for file in collect(path, &mut problems) {
            let (own, found) = rule::read(&file.name, &file.text, defaults);
            if !has_errors(&found) {
                problems.extend(rule::lint::at_load(&file.name, &file.text, &own));
            }
            groups.extend(own);
            problems.extend(found);
        }
    }
    (groups, problems)
}

/// Reads the files that a path or a pattern names; those that cannot be read become problems.
fn collect(path: &str, problems: &mut Vec<Problem>) -> Vec<File> {
    let files = expand(path).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    let mut read = Vec::new();
    for file in files {
        match read_file(&file) {
            Ok(file) => read.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    read
}

pub fn rule_defaults(config: &Config) -> rule::Defaults {
    rule::Defaults {
        interval: config.global.evaluation_interval,
        query_offset: config.global.rule_query_offset,
        classic_names_only: config.global.classic_names_only,
        syntax: config.language.syntax,
        ..rule::Defaults::default()
    }
}

/// A rule file that was read alone, as `tocsin check rules` does.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub name: String,
    pub text: String,
    pub groups: Vec<RuleGroup>,
    pub problems: Vec<Problem>,
}

/// Reads a rule file, or a `PrometheusRule` that holds one; `-` is the standard input.
pub fn read_rules(path: &Path, syntax: Syntax, ignore_unknown: bool) -> RuleFile {
    let read = if path == Path::new("-") { read_input() } else { read_file(path) };
    let defaults = rule::Defaults { syntax, ignore_unknown, custom_resources: true, ..rule::Defaults::default() };
    match read {
        Ok(File { name, text }) => {
            let (groups, problems) = rule::read(&name, &text, &defaults);
            RuleFile { name, text, groups, problems }
        }
        Err(problem) => {
            let name = path.display().to_string();
            RuleFile { name, text: String::new(), groups: Vec::new(), problems: vec![problem] }
        }
    }
}

fn read_input() -> Result<File, Problem> {
    let name = "standard input".to_owned();
    let mut text = String::new();
    match std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(File { name, text }),
        Err(error) => Err(whole_file(&name, format!("cannot read it: {error}"))),
    }
}

/// Returns what documents may name under a configuration.
fn allowed(config: &Config) -> Allowed {
    config.act.allowed(config.routing.receivers.keys().cloned().collect())
}

/// Reads runbooks, experiments and drills together, held against what a configuration lists.
fn read_documents(allowed: &Allowed, patterns: &[String], problems: &mut Vec<Problem>) -> BTreeMap<String, Document> {
    let mut documents: BTreeMap<String, Document> = BTreeMap::new();
    let files: Vec<File> = patterns.iter().flat_map(|path| collect(path, problems)).collect();
    for file in files {
        let (read, found) = runbook::read(&file.name, &file.text, allowed, clock::now());
        problems.extend(found);
        let Some(read) = read else { continue };
        let id = read.metadata.id.clone();
        let hash = read.hash();
        let document = Document { file: file.name.clone(), text: file.text.into(), runbook: Arc::new(read), hash };
        if let Some(other) = documents.insert(id.clone(), document) {
            let message = format!("the id {id:?} is that of {} too; choose another one", other.file);
            problems.push(whole_file(&file.name, message));
        }
    }
    let mut runbooks: Vec<Runbook> = documents.values().map(|document| (*document.runbook).clone()).collect();
    // Drills take over what experiments break, and are from here on what they then are.
    let linked = link(&mut runbooks);
    for runbook in &runbooks {
        if let Some(document) = documents.get_mut(&runbook.metadata.id) {
            document.runbook = Arc::new(runbook.clone());
        }
    }
    for fault in linked.into_iter().chain(runbook::check_calls(&runbooks)) {
        let file = documents.get(&fault.id).map(|document| document.file.as_str()).unwrap_or_default();
        problems.push(whole_file(file, fault.message));
    }
    documents
}

/// Reads runbooks, experiments and drills, as `tocsin check runbooks` does: under a configuration, which lists what they may name, and
/// beside its own documents, which they may call; without one they may name nothing.
pub fn read_runbooks(paths: &[PathBuf], sources: Option<&Sources>) -> (BTreeMap<String, Document>, Vec<Problem>) {
    let mut problems = Vec::new();
    let (allowed, beside) = match sources.map(load) {
        None => (Allowed::default(), Vec::new()),
        Some(Ok(loaded)) => (allowed(&loaded.config), loaded.config.runbook_files),
        Some(Err(problems)) => return (BTreeMap::new(), problems),
    };
    let mut files: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let beside = beside.iter().filter_map(|path| expand(path).ok()).flatten();
    files.extend(
        beside.map(|path| path.display().to_string()).filter(|path| !paths.iter().any(|own| same_file(own, Path::new(path)))),
    );
    let documents = read_documents(&allowed, &files, &mut problems);
    (documents, problems)
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Reads OpenSLO files together, as `tocsin check slo` does. Returns the objectives that can be counted.
pub fn read_objectives(paths: &[PathBuf]) -> (Vec<Definition>, Vec<Problem>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match read_file(path) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    let definitions = objectives(&files, &mut problems);
    (definitions, problems)
}

/// Returns the objectives of OpenSLO files, of which one may name what stands in another.
fn objectives(files: &[File], problems: &mut Vec<Problem>) -> Vec<Definition> {
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        let (read, found) = openslo::read(&file.name, &file.text);
        documents.push(read);
        problems.extend(found);
    }
    let (resolved, missing) = openslo::resolve(documents);
    problems.extend(missing);
    let (definitions, unread) = definitions(&resolved);
    problems.extend(unread);
    definitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_by_patterns_in_every_part_and_none_is_no_fault() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder takes folders");
            std::fs::write(path, text).expect("the folder takes files");
        };
        for team in ["a", "b", "other"] {
            put(&format!("teams/{team}/page.tmpl"), &format!("{{{{ define \"{team}\" }}}}{team}{{{{ end }}}}"));
        }
        put("teams/notes.tmpl", "{{ bad");
        let found = glob(&folder.path().join("teams/[ab]/p*.tmpl"));
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(folder.path()).expect("inside").display().to_string()).collect();
        assert_eq!(names, ["teams/a/page.tmpl", "teams/b/page.tmpl"]);
        let load_with = |templates: &str| {
            put("tocsin.yml", &format!("templates: {templates}\n"));
            load(&Sources { config: folder.path().join("tocsin.yml"), alertmanager: None })
        };
        let loaded =
            load_with("['teams/*/*.tmpl', 'none/*.tmpl', missing.tmpl]").unwrap_or_else(|problems| panic!("{problems:?}"));
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("no file of templates is named so")), "{warnings:?}");
        assert!(load_with("['teams/*']").is_err(), "a template that cannot be read is a fault");
    }
}
