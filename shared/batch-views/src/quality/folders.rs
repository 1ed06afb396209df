//! Duplicates, which no file can tell of itself: they are counted by folder, since what
//! is the same has the same folder.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

/// The files of a folder.
#[derive(Debug, Default)]
pub(super) struct FolderFiles {
    pub(super) paths: Vec<String>,
    pub(super) rows: u64,
}

/// The folders of files, by names that change with what is in them.
pub(super) fn folders(files: &BTreeMap<String, u64>) -> BTreeMap<String, FolderFiles> {
    let mut folders: BTreeMap<&str, FolderFiles> = BTreeMap::new();
    for (path, rows) in files {
        let folder = folders.entry(path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default();
        folder.paths.push(path.clone());
        folder.rows += rows;
    }
    let named = |(folder, files): (&str, FolderFiles)| {
        let mut hash = Xxh3::new();
        for path in &files.paths {
            hash.update(path.as_bytes());
            hash.update(b"\n");
        }
        (format!("{folder}@{:016x}", hash.digest()), files)
    };
    folders.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_another_file_has_another_name() {
        let files = BTreeMap::from([("m=1/a", 2), ("m=1/b", 3), ("m=2/a", 4)].map(|(path, rows)| (path.into(), rows)));
        let first = folders(&files);
        assert_eq!(first.values().map(|folder| folder.rows).collect::<Vec<_>>(), [5, 4]);
        let mut more = files;
        more.insert("m=2/c".into(), 1);
        let second = folders(&more);
        let same: Vec<_> = first.keys().filter(|name| second.contains_key(*name)).collect();
        assert_eq!(same.len(), 1);
        assert!(same[0].starts_with("m=1@"));
    }
}
