//! The folder of the tables, where they are not in a bucket.
//!
//! Whoever writes a file makes the folders that it is in. So where a volume goes away and
//! leaves an empty folder behind, tables would be written there, and be lost when it is
//! back.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tidemill_lake_tables::{Lake, LakeError, LakeErrorKind};

/// Which folder it is: device and number.
type FolderIdentity = (u64, u64);

/// The folder, as it was found at the start; none for a bucket.
#[derive(Debug, Clone)]
pub(crate) struct LakeFolder(Option<(PathBuf, FolderIdentity)>);

fn identity(path: &Path) -> io::Result<FolderIdentity> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl LakeFolder {
    /// That of a lake which has been opened.
    pub(crate) fn of(lake: &Lake) -> Self {
        let path = lake.root().to_file_path().ok();
        Self(path.and_then(|path| identity(&path).ok().map(|found| (path, found))))
    }

    /// Whether it is still there, and the same.
    pub(crate) fn check(&self) -> Result<(), LakeError> {
        let Some((path, known)) = &self.0 else { return Ok(()) };
        let gone = |reason: &str| LakeError::new(LakeErrorKind::Away, format!("{} {reason}", path.display()));
        match identity(path) {
            Ok(found) if found == *known => Ok(()),
            Ok(_) => Err(gone("is another folder than at the start: start the lake anew if that is meant")),
            Err(error) => Err(gone(&format!("is gone: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemill_lake_tables::{S3Config, StorageConfig};
    use tidemill_testkit::tempdir;

    use super::*;

    #[test]
    fn an_empty_folder_in_its_place_is_not_the_lake() {
        let folder = tempdir();
        let (tables, away) = (folder.path().join("lake"), folder.path().join("away"));
        let url = tables.display().to_string();
        let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
        let known = LakeFolder::of(&lake);
        known.check().expect("it is there");
        fs::rename(&tables, &away).expect("moves");
        assert!(known.check().is_err_and(|error| error.kind() == LakeErrorKind::Away));
        fs::create_dir(&tables).expect("another one");
        assert!(known.check().is_err_and(|error| error.to_string().contains("another folder")));
        fs::remove_dir(&tables).and_then(|()| fs::rename(&away, &tables)).expect("is back");
        known.check().expect("it is the same");
    }
}
