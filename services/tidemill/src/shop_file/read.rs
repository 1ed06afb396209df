//! Reading the file, with errors that say where.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    string::FromUtf8Error,
};

use serde_json::Value;
use tidemill_service::telemetry::check_filter;

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
        let bytes = std::fs::read(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|error| not_utf8(file, &error))?;
        Self::parse(file, &text)
    }

    /// Reads the text of a file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, FileError> {
        let wrong = |line, reason: String| FileError { file: file.into(), line, reason };
        let mut read: Self = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            // Its own text would show the line, which may hold a secret that has no place there.
            let reason = error.message().trim().replace('\n', ", ");
            wrong(line, named(line.and_then(|line| key_at(text, line)), reason))
        })?;
        read.relative_to(file.parent().unwrap_or(Path::new("")));
        if let Some((section, key, reason)) = read.mistake() {
            let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            return Err(wrong(line_of(text, &section, &key), format!("{name}: {reason}")));
        }
        Ok(read)
    }

    /// What is wrong in what could be read: the section and the key, and why.
    fn mistake(&mut self) -> Option<(String, String, String)> {
        let mistake = |section: &str, key: &str, reason: String| Some((section.to_owned(), key.to_owned(), reason));
        // Settings are plain data, which JSON can hold.
        let values = serde_json::to_value(&*self).unwrap_or_default();
        if let Some((section, key)) = with_nul(&values) {
            return mistake(&section, &key, "holds a NUL character".into());
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return mistake("", "sample_ratio", format!("{} is not 0 to 1", self.sample_ratio));
        }
        if let Err(reason) = check_filter(&self.log) {
            return mistake("", "log", reason);
        }
        let (section, key, path) = self.needed().find(|(_, _, path)| !path.exists())?;
        mistake(section, key, format!("{} is not there", path.display()))
    }
}

/// A reason with the key that it is about, unless it names that itself.
fn named(key: Option<String>, reason: String) -> String {
    match key {
        Some(key) if !reason.contains(&format!("`{}`", key.rsplit('.').next().unwrap_or_default())) => {
            format!("{key}: {reason}")
        }
        _ => reason,
    }
}

fn not_utf8(file: &Path, error: &FromUtf8Error) -> FileError {
    let at = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    let line = line_at(&text, at);
    let byte = error.as_bytes().get(at).copied().unwrap_or_default();
    let reason = format!("the byte {byte:#04x} is no UTF-8; save the file as UTF-8");
    FileError { file: file.into(), line: Some(line), reason: named(key_at(&text, line), reason) }
}

/// The section and the key of a text with a NUL character, which no path and no
/// name of a host can hold.
fn with_nul(values: &Value) -> Option<(String, String)> {
    fn has_nul(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(has_nul),
            _ => false,
        }
    }
    let keys = |section: &Value| {
        section.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    let mut all = keys(values).into_iter().flat_map(|(name, value)| match value.is_object() {
        true => keys(&value).into_iter().map(|(key, value)| (name.clone(), key, value)).collect(),
        false => vec![(String::new(), name, value)],
    });
    all.find(|(_, _, value)| has_nul(value)).map(|(section, key, _)| (section, key))
}

/// The key that a line is about, with its section: its own, or the one whose list
/// goes on there.
fn key_at(text: &str, number: usize) -> Option<String> {
    let (mut section, mut list) = ("", None);
    for (at, line) in (1..=number).zip(text.lines().map(str::trim)) {
        let key = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let key = key.filter(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)));
        let own = key.map(|(key, _)| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        if at == number {
            return own.or(list);
        }
        match (line.strip_prefix('['), key) {
            (Some(name), None) if list.is_none() => section = name.split(']').next().unwrap_or_default().trim(),
            (_, Some((_, value))) => list = own.filter(|_| value.starts_with('[') && !value.contains(']')),
            _ if line.contains(']') => list = None,
            _ => {}
        }
    }
    None
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
