//! Reading YAML files, with errors that say where.

use std::{fmt, fs::File, io, io::Read as _, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::repeated::repeated_key;

/// A definition that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionError {
    file: String,
    line: Option<usize>,
    reason: String,
}

impl DefinitionError {
    /// An error at a place in a file.
    pub fn new(file: &str, line: Option<usize>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), line, reason: reason.into() }
    }

    /// An error at the first line of `text` that holds `place`; where none does
    /// (a key can be spelled in quotes), at the first line.
    pub fn at(file: &str, text: &str, place: &str, reason: impl Into<String>) -> Self {
        let is_there = |line: &str| line.contains(place) && !line.trim_start().starts_with('#');
        let line = text.lines().position(is_there).unwrap_or(0) + 1;
        Self::new(file, Some(line), reason)
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

/// The largest file of a definition, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// The most brackets within each other; the parser's time grows with their
/// square.
const MAX_BRACKETS: usize = 64;

/// The most references to an anchor: each is read as if it were written out.
const MAX_ALIASES: usize = 100;

/// Reads the text of a definition's file: no more of it than there may be, and nothing of what is no
/// file. The error is for a person.
pub fn read_text(path: &Path) -> io::Result<String> {
    // Not even opened: a pipe would have it wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    match text.len() > MAX_BYTES {
        true => Err(io::Error::other(too_large())),
        false => Ok(text),
    }
}

fn too_large() -> String {
    format!("a definition has at most {} KiB", MAX_BYTES >> 10)
}

/// Reads one definition.
pub fn from_yaml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, DefinitionError> {
    check_size(text).map_err(|(line, why)| DefinitionError::new(file, line, why))?;
    if let Some((line, reason)) = repeated_key(text) {
        return Err(DefinitionError::new(file, Some(line), reason));
    }
    serde_path_to_error::deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|e| {
        // For a value of the wrong meaning the parser may know no better place
        // than the start of what holds it; the path to the value does, and
        // never lies before it.
        let reported = e.inner().location().map(|at| at.line());
        let line = reported.max(line_of(text, e.path())).unwrap_or(1);
        // A text that ends too early is wrong behind its last line.
        let line = line.clamp(1, text.lines().count().max(1));
        DefinitionError::new(file, Some(line), e.inner().to_string())
    })
}

/// Refuses what takes the parser too long, with the line where it begins.
fn check_size(text: &str) -> Result<(), (Option<usize>, String)> {
    if text.len() > MAX_BYTES {
        return Err((None, too_large()));
    }
    let (mut depth, mut line, mut aliases, mut before) = (0_usize, 1, 0, b'\n');
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            // At the beginning of a value, which is no other text.
            b'*' if matches!(before, b'\n' | b'-' | b':' | b',' | b'[' | b'{') => aliases += 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !byte.is_ascii_whitespace() || byte == b'\n' {
            before = byte;
        }
        if aliases > MAX_ALIASES {
            return Err((Some(line), format!("at most {MAX_ALIASES} values may be written as `*name`")));
        }
        if depth > MAX_BRACKETS {
            return Err((Some(line), format!("at most {MAX_BRACKETS} brackets may be within each other")));
        }
    }
    Ok(())
}

/// The line on which the value at `path` is written, found key by key.
fn line_of(text: &str, path: &serde_path_to_error::Path) -> Option<usize> {
    let mut lines = text.lines().enumerate();
    let mut found = None;
    for segment in path {
        if let serde_path_to_error::Segment::Map { key } = segment {
            let key = format!("{key}:");
            let is_key = |line: &str| {
                line.match_indices(&key).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            };
            found = Some(lines.find(|(_, line)| is_key(line))?.0 + 1);
        }
    }
    found
}

/// The name and text of every `.yaml` and `.yml` file of a folder, in the order
/// of their names.
pub fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, DefinitionError> {
    let failed =
        |path: &Path, e: std::io::Error| DefinitionError::new(&path.display().to_string(), None, e.to_string());
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| failed(folder, e))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = read_text(path).map_err(|e| failed(path, e))?;
        Ok((path.display().to_string(), text))
    };
    paths.iter().map(read).collect()
}

/// The version of a definition: the first 12 hex digits of the SHA-256 of its
/// JSON, so that the same definition has the same version everywhere, and any
/// change of meaning another one.
pub fn version_of<T: Serialize>(definition: &T) -> String {
    #[allow(clippy::expect_used, reason = "a shared version for two definitions would mix their totals")]
    let json =
        serde_json::to_vec(definition).expect("definitions are plain data with string keys, which JSON can hold");
    Sha256::digest(&json).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn no_more_is_read_of_a_file_than_there_may_be_and_nothing_of_what_is_none() {
        let told = |path: &str| read_text(Path::new(path)).expect_err(path).to_string();
        assert_eq!(told("/dev/zero"), "is not a file");
        assert_eq!(told("/"), "is not a file");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, "a: 1\n").expect("writes");
        assert_eq!(read_text(&file).expect("reads"), "a: 1\n");
        std::fs::write(&file, "#".repeat(MAX_BYTES + 1)).expect("writes");
        assert_eq!(told(&file.display().to_string()), "a definition has at most 256 KiB");
    }

    #[test]
    fn a_text_that_the_parser_would_take_minutes_for_is_refused_at_once() {
        for (text, told) in [
            (format!("rule: x\nmore: {}", "[".repeat(100_000)), "rule.yaml:2: at most 64 brackets"),
            (format!("rule: {}", "{a: ".repeat(16_000)), "rule.yaml:1: at most 64 brackets"),
            (format!("rule: {}", "x".repeat(300 << 10)), "rule.yaml: a definition has at most 256 KiB"),
            (format!("rule: &a [1]\nmore:\n{}", "  - *a\n".repeat(101)), "rule.yaml:103: at most 100 values"),
            (format!("rule: &a [1]\nmore: [{}]", "*a , ".repeat(101)), "rule.yaml:2: at most 100 values"),
        ] {
            let error = from_yaml::<IgnoredAny>("rule.yaml", &text).map(drop).expect_err(told).to_string();
            assert!(error.starts_with(told), "{error}");
        }
        let allowed = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert!(from_yaml::<IgnoredAny>("rule.yaml", &allowed).is_ok(), "{allowed}");
        let products = format!("rule: a{}\n# {}", " * b".repeat(200), "*a".repeat(200));
        assert!(from_yaml::<IgnoredAny>("rule.yaml", &products).is_ok(), "{products}");
    }
}
