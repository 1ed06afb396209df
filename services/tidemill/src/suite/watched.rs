//! The files that define something, watched for changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Options;

/// What a file defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Defines {
    /// What events look like.
    Schemas,
    /// What is counted.
    Metrics,
    /// What is watched.
    Rules,
    /// What is recommended.
    Recommendation,
    /// What that is learnt from, and how.
    Learning,
    /// What the shop calls things.
    Shop,
    /// Countries, and which are whose addresses.
    Countries,
    /// What the shop knows.
    Reference,
}

impl Defines {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Schemas => "schemas",
            Self::Metrics => "metrics",
            Self::Rules => "rules",
            Self::Recommendation => "recommendation",
            Self::Learning => "learning",
            Self::Shop => "the shop's definition",
            Self::Countries => "countries",
            Self::Reference => "reference data",
        }
    }
}

/// A digest of the content of all files that define the same.
pub(super) type Digests = BTreeMap<Defines, u128>;

/// What tells, without reading it, whether somebody has written to a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    /// Of its last change, of whatever kind; nobody can set it.
    changed: (i64, i64),
}

/// The files, as they were at the last look.
pub(super) struct WatchedFiles {
    named: Vec<(Defines, PathBuf)>,
    stamps: Vec<Option<Stamp>>,
    digests: Digests,
}

impl WatchedFiles {
    /// Those that a suite is given.
    pub(super) fn of(options: &Options) -> Self {
        let (definitions, reference) = (&options.files.definitions, &options.files.reference);
        let mut named = Vec::new();
        for (defines, path) in [
            (Defines::Schemas, &definitions.schemas),
            (Defines::Metrics, &definitions.metrics),
            (Defines::Rules, &definitions.rules),
            (Defines::Rules, &definitions.amounts),
            (Defines::Recommendation, &definitions.recommendation),
            (Defines::Learning, &definitions.learning),
            (Defines::Learning, &definitions.index),
            (Defines::Shop, &definitions.shop),
            (Defines::Countries, &reference.countries),
            (Defines::Countries, &options.geoip),
        ] {
            named.extend(path.clone().map(|path| (defines, path)));
        }
        named.extend(reference.files.iter().chain(&options.reference).cloned().map(|path| (Defines::Reference, path)));
        let mut files = Self { named, stamps: Vec::new(), digests: Digests::new() };
        files.look();
        files
    }

    /// Whether their content is another than at the last look.
    pub(super) fn look(&mut self) -> bool {
        let stamps = self.all().map(|(_, path)| stamp(&path)).collect();
        if self.stamps == stamps {
            return false;
        }
        self.stamps = stamps;
        let digests = self.read();
        let is_changed = digests != self.digests;
        self.digests = digests;
        is_changed
    }

    /// Their content at the last look.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Their content now.
    pub(super) fn read(&self) -> Digests {
        let mut hashes: BTreeMap<Defines, Xxh3> = BTreeMap::new();
        for (defines, path) in self.all() {
            let hash = hashes.entry(defines).or_default();
            hash.update(path.as_os_str().as_encoded_bytes());
            // One that cannot be read is told of when it is used.
            // What is no file (a pipe) would never end.
            let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
            let content = Some(&path).filter(|_| is_file).and_then(|path| std::fs::read(path).ok());
            let content = content.map(|content| xxh3_128(&content)).unwrap_or_default();
            hash.update(&content.to_be_bytes());
        }
        hashes.into_iter().map(|(defines, hash)| (defines, hash.digest128())).collect()
    }

    /// Each file, those of folders one by one.
    fn all(&self) -> impl Iterator<Item = (Defines, PathBuf)> {
        self.named.iter().flat_map(|(defines, path)| {
            let files = files_of(path).unwrap_or_default();
            let named = Some(path.clone()).filter(|_| files.is_empty());
            files.into_iter().chain(named).map(|file| (*defines, file))
        })
    }
}

/// What is another in one than in the other.
pub(super) fn changed(before: &Digests, now: &Digests) -> BTreeSet<Defines> {
    let all = before.keys().chain(now.keys());
    all.copied().filter(|defines| before.get(defines) != now.get(defines)).collect()
}

/// The files of a folder, in the order of their names.
pub(super) fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // An editor's own files are none of the shop's.
        let kinds = ["yaml", "yml", "json", "csv"];
        if path.extension().and_then(|kind| kind.to_str()).is_some_and(|kind| kinds.contains(&kind)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    let changed = (file.ctime(), file.ctime_nsec());
    Some(Stamp { path: path.to_owned(), inode: file.ino(), bytes: file.len(), changed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop_file::{DefinitionsSection, ReferenceSection};

    #[test]
    fn a_change_is_one_of_content_and_of_what_it_defines() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
        for name in ["metrics", "reference"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        write("metrics/a.yaml", "a");
        write("products.csv", "id");
        let mut options = Options::default();
        options.files.definitions = DefinitionsSection {
            metrics: Some(folder.path().join("metrics")),
            shop: Some(folder.path().join("shop.yaml")),
            ..DefinitionsSection::default()
        };
        let files = vec![folder.path().join("products.csv"), folder.path().join("reference")];
        options.files.reference = ReferenceSection { files, ..ReferenceSection::default() };
        let mut watched = WatchedFiles::of(&options);
        let mut look = |name: &str| {
            let before = watched.digests().clone();
            let looked = watched.look();
            let changed: Vec<_> = changed(&before, watched.digests()).into_iter().collect();
            assert_eq!(looked, !changed.is_empty(), "{name}");
            changed
        };
        assert_eq!(look("nothing"), []);
        write("metrics/a.yaml", "a");
        assert_eq!(look("the same once more"), []);
        write("metrics/a.yaml", "b");
        assert_eq!(look("another content"), [Defines::Metrics]);
        write("metrics/.a.yaml.swp", "x");
        assert_eq!(look("an editor's file"), []);
        write("metrics/b.yaml", "b");
        write("reference/customers.csv", "id");
        assert_eq!(look("two new files"), [Defines::Metrics, Defines::Reference]);
        write("shop.yaml", "events:");
        assert_eq!(look("the shop's definition"), [Defines::Shop]);
        std::fs::remove_file(folder.path().join("products.csv")).expect("removes");
        assert_eq!(look("a file that went"), [Defines::Reference]);
    }

    /// Nobody may ever write to it: a look at it must not wait for that.
    #[test]
    fn a_pipe_among_the_files_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("products.yaml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        let mut options = Options::default();
        options.files.reference.files = vec![pipe];
        let (looked, look) = std::sync::mpsc::channel();
        std::thread::spawn(move || looked.send(WatchedFiles::of(&options).look()));
        assert_eq!(look.recv_timeout(std::time::Duration::from_secs(20)), Ok(false), "nothing changed");
    }
}
