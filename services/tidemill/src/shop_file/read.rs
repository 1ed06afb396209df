//! Reading the file, with errors that say where.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{NAME, ShopFile};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct FileError {
    file: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            Some(line) => write!(f, "{file}:{line}: {}", self.reason),
            None => write!(f, "{file}: {}", self.reason),
        }
    }
}

impl ShopFile {
    /// The file that is meant: `named`, else the one in the working folder, if it
    /// is there.
    pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
        let here = || Some(PathBuf::from(NAME)).filter(|file| file.exists());
        named.map(Path::to_owned).or_else(here)
    }

    /// Reads a file. Paths in it are relative to its folder.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let unreadable = |error: io::Error| FileError { file: file.into(), line: None, reason: error.to_string() };
        if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
            return Err(FileError { file: file.into(), line: None, reason: "is no file".into() });
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(file, &text)
    }

    /// Reads the text of a file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, FileError> {
        let wrong = |line, reason: String| FileError { file: file.into(), line, reason };
        let mut read: Self = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| {
            // Its own text would show the line, which may hold a secret that has no place there.
            wrong(error.span().map(|span| line_at(text, span.start)), error.message().trim().replace('\n', ", "))
        })?;
        read.relative_to(file.parent().unwrap_or(Path::new("")));
        if !(0.0..=1.0).contains(&read.sample_ratio) {
            return Err(wrong(line_of(text, "", "sample_ratio"), "sample_ratio must be 0 to 1".into()));
        }
        if let Some((section, key, path)) = read.needed().find(|(_, _, path)| !path.exists()) {
            let reason = format!("{section}.{key}: {} is not there", path.display());
            return Err(wrong(line_of(text, section, key), reason));
        }
        Ok(read)
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// The line on which a section has a key; none where it is written in another way
/// than a line of its own.
fn line_of(text: &str, section: &str, key: &str) -> Option<usize> {
    let mut within = "";
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            within = name.trim();
        }
        let name = line.split('=').next().unwrap_or_default().trim();
        if within == section && name == key || within.is_empty() && name == format!("{section}.{key}") {
            return Some(number);
        }
    }
    None
}
