//! Where the test data of other projects lies, when it is there.

use std::path::{Path, PathBuf};

/// Returns the path of a corpus; `None`, having said so, when the corpora are not on this machine.
#[allow(clippy::disallowed_methods, reason = "only tests read this variable")]
pub fn path(rest: &str) -> Option<PathBuf> {
    let root = match std::env::var("TOCSIN_CORPORA") {
        Ok(root) => PathBuf::from(root),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
    };
    let path = root.join(rest);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: corpora not found");
    None
}
