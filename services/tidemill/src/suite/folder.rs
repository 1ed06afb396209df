//! Folders that only their owner may look into.

use std::{
    fs::{DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tidemill_service::StartError;

/// A folder of the suite's own, for its owner alone.
pub(super) fn private(parent: &Path, name: &str) -> Result<PathBuf, StartError> {
    let path = parent.join(name);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    // It may be there from an earlier release.
    made.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o700)))
        .map_err(|e| StartError::new(format!("{}: {e}", path.display())))?;
    // nats-server is started with absolute paths.
    path.canonicalize().map_err(|e| StartError::new(format!("{}: {e}", path.display())))
}
