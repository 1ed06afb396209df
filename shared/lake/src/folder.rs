//! The folder of the tables, where they are not in a bucket.
//!
//! Whoever writes a file makes the folders that it is in. So where a volume goes away and
//! leaves an empty folder behind, tables would be written there, and be lost when it is
//! back. It is looked at before each file. What goes away between the look and the write,
//! which is microseconds, cannot be kept apart: no call of the system does both.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use object_store::Error as StoreError;
use url::Url;

use crate::error::{LakeError, LakeErrorKind};

/// Which folder it is: device and number.
type FolderIdentity = (u64, u64);

/// The folder, as it was found when the lake was opened; none for a bucket.
#[derive(Debug, Clone)]
pub struct LakeFolder(Option<(PathBuf, FolderIdentity)>);

fn identity(path: &Path) -> io::Result<FolderIdentity> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl LakeFolder {
    /// That of a root.
    pub(crate) fn of(root: &Url) -> Self {
        let path = root.to_file_path().ok();
        Self(path.and_then(|path| identity(&path).ok().map(|found| (path, found))))
    }

    /// Whether it is still there, and the same.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> Result<(), LakeError> {
        let Some((path, known)) = &self.0 else { return Ok(()) };
        let gone = |reason: &str| LakeError::new(LakeErrorKind::Away, format!("{} {reason}", path.display()));
        match identity(path) {
            Ok(found) if found == *known => Ok(()),
            Ok(_) => Err(gone("is another folder than at the start: start the lake anew if that is meant")),
            Err(error) => Err(gone(&format!("is gone: {error}"))),
        }
    }

    /// What went wrong, of which the folder may be the reason: without it, whatever it had is missing or not as it was.
    pub fn explain(&self, error: LakeError) -> LakeError {
        self.check().err().unwrap_or(error)
    }

    /// The same look, for who is about to write.
    pub(crate) fn check_write(&self) -> Result<(), StoreError> {
        self.check().map_err(|error| StoreError::Generic { store: "folder", source: Box::new(error) })
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, path::Path as StorePath};
    use tidemill_testkit::tempdir;

    use super::*;
    use crate::{Lake, S3Config, StorageConfig};

    #[tokio::test]
    async fn an_empty_folder_in_its_place_is_not_the_lake() {
        let folder = tempdir();
        let (tables, away) = (folder.path().join("lake"), folder.path().join("away"));
        let url = tables.display().to_string();
        let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
        let known = lake.folder().clone();
        let file = StorePath::from_absolute_path(tables.join("silver/events/part.parquet")).expect("a path");
        known.check().expect("it is there");
        fs::rename(&tables, &away).expect("moves");
        assert!(known.check().is_err_and(|error| error.kind() == LakeErrorKind::Away));
        fs::create_dir(&tables).expect("another one");
        assert!(known.check().is_err_and(|error| error.to_string().contains("another folder")));
        // Who has a table open writes nothing there.
        let refused = lake.store().put(&file, "rows".into()).await.map_err(LakeError::from);
        assert!(refused.is_err_and(|error| error.kind() == LakeErrorKind::Away && error.reason().contains("another")));
        assert!(lake.store().put_multipart(&file).await.is_err());
        assert!(lake.store().copy(&file, &file).await.is_err());
        assert_eq!(fs::read_dir(&tables).expect("a folder").count(), 0);
        let missing = LakeError::new(LakeErrorKind::Internal, "Invalid table version: 20");
        assert_eq!(known.explain(missing.clone()).kind(), LakeErrorKind::Away);
        fs::remove_dir(&tables).and_then(|()| fs::rename(&away, &tables)).expect("is back");
        known.check().expect("it is the same");
        assert_eq!(known.explain(missing).kind(), LakeErrorKind::Internal);
        lake.store().put(&file, "rows".into()).await.expect("is written");
    }
}
