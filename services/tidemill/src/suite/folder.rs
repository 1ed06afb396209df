//! Folders that only their owner may look into, and that one suite uses.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tidemill_service::StartError;

const LOCK: &str = "tidemill.lock";
/// What names of folders begin with that go with their suite.
const PASSING: &str = "tidemill-";

fn failed(path: &Path, error: &io::Error) -> StartError {
    StartError::new(format!("{}: {error}", path.display()))
}

/// A folder of the suite's own, for its owner alone.
pub(super) fn private(parent: &Path, name: &str) -> Result<PathBuf, StartError> {
    let path = parent.join(name);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    // It may be there from an earlier release.
    made.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o700)))
        .map_err(|e| failed(&path, &e))?;
    // nats-server is started with absolute paths.
    path.canonicalize().map_err(|e| failed(&path, &e))
}

/// The right to use a folder, for as long as it is held: two suites in one
/// would destroy each other's data. It goes with the process, however that ends.
pub(super) struct FolderLock(#[allow(dead_code, reason = "the system unlocks it when it is closed")] File);

impl FolderLock {
    /// Takes it, or tells which process has it. A missing folder is made.
    pub(super) fn take(folder: &Path) -> Result<Self, StartError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| failed(folder, &e))?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed(&path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Self::taken(folder, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&path, &error)),
        }
        // For whoever comes next. Until it is there, nobody takes the folder
        // for one that was left behind.
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(|e| failed(&path, &e))?;
        Ok(Self(file))
    }

    fn taken(folder: &Path, file: &mut File) -> StartError {
        let mut process = String::new();
        // Without it the rest is still worth telling.
        let _ = file.read_to_string(&mut process);
        let process = if process.is_empty() { String::new() } else { format!(", process {process}") };
        let folder = folder.display();
        StartError::new(format!("{folder} is in use by another suite{process}; end that one, or take another folder"))
    }
}

/// Where the data of a suite are.
pub(super) enum Folder {
    /// Named by the user, and kept.
    Kept(PathBuf),
    /// Made for this run, and removed at its end. Its name cannot be guessed and
    /// nobody else can look in, so that nobody can have put anything there.
    Passing(TempDir),
}

impl Folder {
    pub(super) fn new(named: Option<&Path>) -> Result<Self, StartError> {
        let Some(folder) = named else {
            let parent = std::env::temp_dir();
            let folder = passing(&parent).map_err(|e| StartError::new(format!("a temporary folder: {e}")))?;
            sweep(&parent, folder.path());
            return Ok(Self::Passing(folder));
        };
        Ok(Self::Kept(folder.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Passing(folder) => folder.path(),
        }
    }

    /// Ends it where nobody is to keep it.
    pub(super) fn close(self) {
        let Self::Passing(folder) = self else { return };
        let path = folder.keep();
        // What was ended before it had drained may still be writing.
        let removed = (0..3).map(|_| std::fs::remove_dir_all(&path)).find(|_| !path.exists());
        if removed.is_none() {
            tell!("tidemill: {} could not be removed", path.display());
        }
    }
}

fn passing(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(PASSING).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// Removes the folders of suites that were killed before they could do it: those
/// like `own`, by the same user, that a process is named in and none holds.
fn sweep(parent: &Path, own: &Path) {
    let owner = |path: &Path| path.symlink_metadata().ok().filter(|m| m.is_dir()).map(|m| (m.uid(), m.mode() & 0o777));
    let is_left = |path: &Path| {
        let lock = path.join(LOCK);
        path != own
            && owner(path) == owner(own)
            && std::fs::metadata(&lock).is_ok_and(|lock| lock.len() > 0)
            && File::open(&lock).is_ok_and(|lock| lock.try_lock().is_ok())
    };
    let beside = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let passing = beside.filter(|entry| entry.file_name().to_string_lossy().starts_with(PASSING));
    for path in passing.map(|entry| entry.path()).filter(|path| is_left(path)) {
        // It may be gone already: another suite sweeps too.
        let _ = std::fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_suite_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("new/data");
        let lock = FolderLock::take(&data).expect("nobody has it");
        let told = FolderLock::take(&data).err().expect("it is taken").to_string();
        let process = format!("in use by another suite, process {};", std::process::id());
        assert!(told.starts_with(&data.display().to_string()) && told.contains(&process), "{told}");
        drop(lock);
        FolderLock::take(&data).expect("nobody has it any more");
    }

    #[test]
    fn what_a_killed_suite_left_goes_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a folder");
        let [own, left, held, starting, foreign] = std::array::from_fn(|_| passing(parent.path()).expect("a folder"));
        let other = tempfile::tempdir_in(parent.path()).expect("a folder");
        for killed in [&left, &other] {
            drop(FolderLock::take(killed.path()).expect("a lock"));
        }
        let _lock = FolderLock::take(held.path()).expect("a lock");
        File::create(starting.path().join(LOCK)).expect("a file");
        std::fs::set_permissions(foreign.path(), Permissions::from_mode(0o755)).expect("sets");
        drop(FolderLock::take(foreign.path()).expect("a lock"));
        sweep(parent.path(), own.path());
        assert!(!left.path().exists());
        for kept in [own, held, starting, foreign, other] {
            assert!(kept.path().exists(), "{kept:?}");
        }
    }
}
