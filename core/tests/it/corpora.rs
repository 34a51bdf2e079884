//! Where the test data of other projects lies, when it is there.

use std::path::{Path, PathBuf};

/// Returns the path of a file or folder of the corpora; says so and returns `None` when it is not there.
pub fn path(rest: &str) -> Option<PathBuf> {
    let root = match std::env::var("TOCSIN_CORPORA") {
        Ok(root) => PathBuf::from(root),
        Err(_) => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
    };
    let path = root.join(rest);
    if !path.exists() {
        println!("skipped: corpora not found ({})", path.display());
        return None;
    }
    Some(path)
}

/// Returns the files below a folder whose names end in one of these extensions, in order of path.
pub fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
