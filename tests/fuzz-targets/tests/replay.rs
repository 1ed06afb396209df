//! Replays the corpus, and mutations of it, through every target: what the
//! fuzzer would find in its first minute, on any toolchain, the same each time.

mod mutate;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use tidemill_fuzz_targets::{TARGETS, Target};

/// Mutations for each target: what takes all of them together some seconds.
const MUTATIONS: usize = 4000;
/// The corpus is read by people too.
const MAX_FILE: usize = 64 << 10;
const MAX_CORPUS: usize = 300 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let corpus = files(&fuzz().join("corpus").join(name));
    for (file, input) in &corpus {
        run(name, *target, input, file);
    }
    let seeds: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    let mut mutations = mutate::Mutations::new(&seeds);
    for _ in 0..MUTATIONS {
        let (seed, input) = mutations.next();
        run(name, *target, &input, &corpus[seed].0);
    }
}

/// Where a target panics, the input is kept for the fuzzer to make it small.
fn run(name: &str, target: Target, input: &[u8], origin: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let find = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("find-{name}"));
        fs::write(&find, input).expect("the find is kept");
        panic!(
            "{name}, by way of corpus file {origin}: {}\n    the input is in {}",
            input.escape_ascii(),
            find.display()
        );
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed_and_fuzzed() {
            let replayed = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(replayed, known);
            let fuzzed = files(&fuzz().join("targets")).into_iter();
            let fuzzed: BTreeSet<_> = fuzzed.map(|(file, _)| file.trim_end_matches(".rs").to_owned()).collect();
            assert_eq!(fuzzed, known);
        }
    };
}

replays! { condition event inflate json validate line_protocol message metric rule }

#[test]
fn the_corpus_stays_small() {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let corpus = files(&fuzz().join("corpus").join(name));
        assert!(corpus.len() >= 3, "{name} has hardly a corpus");
        for (file, input) in corpus {
            assert!(input.len() <= MAX_FILE, "{name}/{file} has {} bytes", input.len());
            bytes += input.len();
        }
    }
    assert!(bytes <= MAX_CORPUS, "the corpus has {bytes} bytes");
}
