//! Paths of requests.

use crate::time::Span;

use super::{Level, Process, Source, Subject};

/// Entries of a list that one answer may hold.
///
/// Source: Atlas Administration API v2, `itemsPerPage`.
pub const PAGE_LEN: usize = 500;
/// Pages of one list.
pub const PAGES_MAX: usize = 20;

/// Returns a text as a part of a path or query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn group(project: &str) -> String {
    format!("/api/atlas/v2/groups/{}", encoded(project))
}

/// Returns the path of one page of a list, from 1: a project's processes, or a process's disks or databases.
pub fn list(project: &str, of: Option<(&Process, Level)>, page: usize) -> String {
    let below = of.map(|(process, level)| format!("/{}/{}", encoded(&process.id), level.word())).unwrap_or_default();
    format!("{}/processes{below}?itemsPerPage={PAGE_LEN}&pageNum={page}", group(project))
}

/// Returns the path of a subject's measurements, looking back over a span, which is rounded up to whole minutes.
pub fn measurements(source: &Source, project: &str, subject: &Subject, back: Span) -> String {
    let part = match subject.level {
        Level::Process => String::new(),
        Level::Disk | Level::Database => format!("/{}/{}", subject.level.word(), encoded(&subject.part)),
    };
    let minutes = (back.0.max(source.granularity.span().0) + 59_999) / 60_000;
    let mut path = format!(
        "{}/processes/{}{part}/measurements?granularity={}&period=PT{minutes}M",
        group(project),
        encoded(&subject.process.id),
        source.granularity.word(),
    );
    for name in source.levels.get(&subject.level).into_iter().flatten() {
        path.push_str("&m=");
        path.push_str(&encoded(name));
    }
    path
}

/// Returns what to ask for: the wanted levels of the wanted processes. `parts` holds the names of disks and databases by process.
pub fn subjects(source: &Source, processes: &[Process], parts: &dyn Fn(&Process, Level) -> Vec<String>) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for process in processes.iter().filter(|process| source.wants(process)) {
        for level in source.levels.keys() {
            let names = match level {
                Level::Process => vec![String::new()],
                Level::Disk | Level::Database => parts(process, *level),
            };
            subjects.extend(names.into_iter().map(|part| Subject { process: process.clone(), level: *level, part }));
        }
    }
    subjects
}
