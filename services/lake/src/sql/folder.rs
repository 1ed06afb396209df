//! The folder of a question's process, for what does not fit into its memory.

use std::{
    fs::{DirBuilder, remove_dir_all},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

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

/// Deletes it with all that is in it.
pub(super) fn remove(path: &Path) {
    // Both processes delete it, where both live: the second one finds nothing.
    if let Err(error) = remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %path.display(), "the folder of a question could not be deleted");
    }
}
