//! Files that appear whole or not at all, and files that are kept aside.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

use super::DiskError;

pub(super) const DAMAGED_SUFFIX: &str = ".damaged";
pub(super) const UNFINISHED_SUFFIX: &str = ".tmp";

/// Makes the names in a folder last through a loss of power.
pub(super) fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(DiskError::of("sync the folder", folder))
}

/// Writes a file under a temporary name, makes it last, and gives it its name. Returns its length in bytes.
pub(super) fn write_whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<u64, DiskError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED_SUFFIX);
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
        fill(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        file.metadata().map(|metadata| metadata.len())
    };
    let done = write().and_then(|len| fs::rename(&unfinished, path).map(|()| len));
    match done {
        Ok(len) => {
            if let Some(folder) = path.parent() {
                sync_folder(folder)?;
            }
            Ok(len)
        }
        Err(cause) => {
            // Its space is wanted back at once; if that fails too, the next start removes it.
            let _ = fs::remove_file(&unfinished);
            Err(DiskError::of("write", path)(cause))
        }
    }
}

/// Reads a file; None when it is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(DiskError::of("read", path)(cause)),
    }
}

/// Deletes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(DiskError::of("delete", path)(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns the damaged files that are kept aside in a folder.
pub(super) fn kept_aside(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder).map_err(DiskError::of("list the folder", folder))? {
        let path = entry.map_err(DiskError::of("list the folder", folder))?.path();
        if path.to_str().is_some_and(|path| path.ends_with(DAMAGED_SUFFIX)) {
            kept.push(path);
        }
    }
    Ok(kept)
}

/// Moves damaged files out of the way, where people can look at them; the oldest names beyond `files_max` are deleted.
pub(super) fn keep_aside<'a>(
    folder: &Path,
    damaged: impl IntoIterator<Item = &'a Path>,
    files_max: usize,
) -> Result<(), DiskError> {
    for path in damaged.into_iter().filter(|path| path.starts_with(folder) && path.exists()) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(DAMAGED_SUFFIX);
        fs::rename(path, &aside).map_err(DiskError::of("rename", path))?;
    }
    let mut kept = kept_aside(folder)?;
    kept.sort();
    for path in &kept[..kept.len().saturating_sub(files_max)] {
        fs::remove_file(path).map_err(DiskError::of("delete", path))?;
    }
    sync_folder(folder)
}
