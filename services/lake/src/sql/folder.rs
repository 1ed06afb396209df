//! The folder of a question's process, for what does not fit into its memory.

use std::{
    env::current_dir,
    fs::{DirBuilder, remove_dir_all},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// How its name begins.
pub(super) const OF_QUESTION: &str = "tidemill-sql-";

/// A folder that is deleted when its process has ended.
pub(super) struct WorkFolder(PathBuf);

impl WorkFolder {
    /// A new one of this name. Nobody else may look into it.
    pub(super) fn make(within: &Path, name: &str) -> io::Result<Self> {
        let path = within.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Deletes the folder that a process was started in, where it is one of a question: whoever
/// was to say so has ended before.
pub(super) fn remove_own() {
    if let Ok(path) = current_dir()
        && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OF_QUESTION))
    {
        remove(&path);
    }
}

/// Deletes it with all that is in it.
pub(super) fn remove(path: &Path) {
    // Both processes delete it, where both live: the second one finds nothing.
    if let Err(error) = remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %path.display(), "the folder of a question could not be deleted");
    }
}
