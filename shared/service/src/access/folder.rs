//! Keys in files, which may change while the service runs.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Role, key::KeyEntry};

/// Bytes of one file: far more than there may be keys.
const MOST_BYTES: u64 = 256 << 10;

/// The folder's files, as they are at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    folder: PathBuf,
    texts: Vec<(Role, String)>,
}

impl Files {
    /// Reads the files. An absent file has no keys. An absent folder is an
    /// error, and so is a file that cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        if !folder.is_dir() {
            return Err(format!("auth.folder: {} is no folder", folder.display()));
        }
        let mut texts = Vec::new();
        for role in Role::ALL {
            let path = folder.join(role.as_str());
            let mut text = String::new();
            match File::open(&path).map(|file| file.take(MOST_BYTES + 1)) {
                Ok(mut file) => file.read_to_string(&mut text).map_err(|error| told(&path, error))?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(told(&path, error)),
            };
            if text.len() as u64 > MOST_BYTES {
                return Err(format!("{}: is larger than {MOST_BYTES} bytes", path.display()));
            }
            texts.push((role, text));
        }
        Ok(Self { folder: folder.into(), texts })
    }

    /// Tells these contents from others.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (role, text) in &self.texts {
            hash.update(role.as_str());
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    /// The entries; an error names file and line.
    pub(super) fn entries(&self) -> Result<Vec<(Role, KeyEntry)>, String> {
        let mut entries = Vec::new();
        for (role, text) in &self.texts {
            for (number, line) in (1..).zip(text.lines().map(str::trim)) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let told = |error| format!("{}, line {number} {error}", self.folder.join(role.as_str()).display());
                entries.push((*role, KeyEntry::parse(line).map_err(told)?));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_entry_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("write"), "# The shop's page\nshop key-of-the-shop-1\n\n").expect("writes");
        std::fs::write(folder.path().join("operate"), "\r\nanna key-of-anna-is-it\r\n").expect("writes");
        let files = Files::read(folder.path()).expect("reads");
        let entries = files.entries().expect("right");
        let names: Vec<_> = entries.iter().map(|(role, entry)| (*role, entry.name.as_str())).collect();
        assert_eq!(names, [(Role::Write, "shop"), (Role::Operate, "anna")]);
        std::fs::write(folder.path().join("write"), "shop key-of-the-shop-1\nsecret\n").expect("writes");
        let changed = Files::read(folder.path()).expect("reads");
        assert_ne!(changed.digest(), files.digest());
        let error = changed.entries().expect_err("too short");
        assert!(error.contains("write, line 2 has a key of less") && !error.contains("secret"), "{error}");
        assert!(Files::read(&folder.path().join("nowhere")).expect_err("absent").contains("is no folder"));
    }
}
