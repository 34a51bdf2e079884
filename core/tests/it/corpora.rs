//! Where the test data of other projects lies, when it is there.

use std::path::PathBuf;

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
