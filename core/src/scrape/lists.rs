//! The lists of targets of one job: of each source the last one that could be read.

use std::collections::BTreeMap;

use super::job::{FileDiscovery, HttpDiscovery, Job, TargetGroup};

/// Where lists come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Static,
    /// Files that a pattern names.
    Pattern(String),
    Url(String),
}

/// What a source says now.
#[derive(Clone, Debug)]
pub enum News {
    /// The files that a pattern names, by their paths; None for one that cannot be read.
    Files {
        pattern: String,
        files: BTreeMap<String, Option<Vec<TargetGroup>>>,
    },
    Http {
        url: String,
        groups: Vec<TargetGroup>,
    },
}

/// The last good list of each source. A source that has not been read yet has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    /// By source, and within it by file.
    known: BTreeMap<Source, BTreeMap<String, Vec<TargetGroup>>>,
}

impl Lists {
    /// Returns the lists of a job that takes the place of another.
    pub fn for_job(self, job: &Job) -> Lists {
        self.for_sources(&job.static_groups, &job.file_sd, &job.http_sd)
    }

    /// Returns the lists of sources that take the place of others: what both name stays known, so that no target is lost while its
    /// source is read for the first time again.
    pub fn for_sources(mut self, static_groups: &[TargetGroup], file_sd: &[FileDiscovery], http_sd: &[HttpDiscovery]) -> Lists {
        self.known.retain(|source, _| match source {
            Source::Static => false,
            Source::Pattern(pattern) => file_sd.iter().any(|discovery| discovery.files.contains(pattern)),
            Source::Url(url) => http_sd.iter().any(|discovery| discovery.url == *url),
        });
        self.known.insert(Source::Static, one(static_groups.to_vec()));
        self
    }

    /// Takes what a source says; returns whether that changes anything. A file that cannot be read keeps its last good list.
    pub fn take(&mut self, news: News) -> bool {
        let (source, lists) = match news {
            News::Http { url, groups } => (Source::Url(url), one(groups)),
            News::Files { pattern, files } => {
                let source = Source::Pattern(pattern);
                let mut old = self.known.get(&source).cloned().unwrap_or_default();
                let lists = files.into_iter().filter_map(|(path, groups)| {
                    let groups = groups.or_else(|| old.remove(&path))?;
                    Some((path, groups))
                });
                (source, lists.collect())
            }
        };
        let changes = self.known.get(&source) != Some(&lists);
        self.known.insert(source, lists);
        changes
    }

    /// Returns all groups of addresses.
    pub fn groups(&self) -> Vec<TargetGroup> {
        self.known.values().flat_map(BTreeMap::values).flatten().cloned().collect()
    }
}

fn one(groups: Vec<TargetGroup>) -> BTreeMap<String, Vec<TargetGroup>> {
    [(String::new(), groups)].into()
}
