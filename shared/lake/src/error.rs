//! What can go wrong with a table, and what follows.

use std::{error::Error as StdError, io};

use deltalake::{
    DeltaTableError, ObjectStoreError, arrow::error::ArrowError, datafusion::error::DataFusionError,
    kernel::transaction::TransactionError, parquet::errors::ParquetError,
};
use object_store::path::Path as StorePath;
use serde::{Deserialize, Serialize};
use tidemill_domain::{Code, Outage};

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LakeErrorKind {
    /// The store is away, or too slow. It may pass.
    Away,
    /// The store refuses the credentials.
    Denied,
    /// The store has no room.
    Full,
    /// A table has other columns than this release writes, or is another lake's.
    Schema,
    /// The store does not keep two writers apart.
    Unfit,
    /// A table asks for a newer release of Delta than this one speaks.
    Protocol,
    /// A file of a table is missing or cut.
    Damaged,
    /// Others have written first, again and again. It may pass.
    Contended,
    /// A fault of ours.
    Internal,
}

/// An error of a table.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {table}: {reason}", self.code().as_str())]
pub struct LakeError {
    kind: LakeErrorKind,
    table: String,
    reason: String,
}

impl LakeError {
    /// An error of this kind, of no table yet.
    pub fn new(kind: LakeErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, table: "the lake".into(), reason: reason.into() }
    }

    /// What is asked for is of another lake.
    pub(crate) fn other_owner(owner: &str, own: &str) -> Self {
        Self::new(LakeErrorKind::Schema, format!("it belongs to the lake {owner}, and this one is {own}"))
    }

    /// The same, of this table.
    #[must_use]
    pub fn of(mut self, table: impl ToString) -> Self {
        self.table = table.to_string();
        self
    }

    /// What kind of fault it is.
    pub const fn kind(&self) -> LakeErrorKind {
        self.kind
    }

    /// What went wrong, without code and table.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self.kind {
            LakeErrorKind::Away | LakeErrorKind::Contended => Code::LakeStore,
            LakeErrorKind::Denied => Code::LakeDenied,
            LakeErrorKind::Full => Code::LakeFull,
            LakeErrorKind::Schema => Code::LakeSchema,
            LakeErrorKind::Unfit => Code::LakeUnfit,
            LakeErrorKind::Protocol => Code::LakeProtocol,
            LakeErrorKind::Damaged => Code::LakeDamaged,
            LakeErrorKind::Internal => Code::Internal,
        }
    }
}

/// An operator mends most of these, and the log keeps what waits meanwhile.
impl Outage for LakeError {
    fn is_outage(&self) -> bool {
        match self.kind {
            LakeErrorKind::Away | LakeErrorKind::Denied | LakeErrorKind::Full => true,
            LakeErrorKind::Schema
            | LakeErrorKind::Unfit
            | LakeErrorKind::Protocol
            | LakeErrorKind::Damaged
            | LakeErrorKind::Contended
            | LakeErrorKind::Internal => false,
        }
    }
}

/// A version of a table that is empty.
#[derive(Debug, thiserror::Error)]
#[error("{0} is empty")]
pub(crate) struct EmptyLog(pub(crate) StorePath);

/// Whether a commit was refused since somebody else made that version.
pub(crate) fn is_conflict(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::MaxCommitAttempts(_)
                | TransactionError::VersionAlreadyExists(_)
                | TransactionError::CommitConflict(_)
        ),
        _ => false,
    }
}

impl From<DeltaTableError> for LakeError {
    fn from(error: DeltaTableError) -> Self {
        let kind = match &error {
            error if is_conflict(error) => LakeErrorKind::Contended,
            DeltaTableError::Transaction {
                source: TransactionError::UnsupportedTableFeatures(_) | TransactionError::TableFeaturesRequired(_),
            } => LakeErrorKind::Protocol,
            DeltaTableError::SchemaMismatch { .. } => LakeErrorKind::Schema,
            DeltaTableError::InvalidJsonLog { .. } => LakeErrorKind::Damaged,
            error => kind_of(error),
        };
        Self::new(kind, text_of(&error))
    }
}

impl From<DataFusionError> for LakeError {
    fn from(error: DataFusionError) -> Self {
        Self::new(kind_of(&error), text_of(&error))
    }
}

impl From<ArrowError> for LakeError {
    fn from(error: ArrowError) -> Self {
        Self::new(kind_of(&error), text_of(&error))
    }
}

impl From<ObjectStoreError> for LakeError {
    fn from(error: ObjectStoreError) -> Self {
        Self::new(kind_of(&error), text_of(&error))
    }
}

/// The kind of fault that lies at the bottom of an error: libraries wrap each
/// other's.
fn kind_of(error: &(dyn StdError + 'static)) -> LakeErrorKind {
    let mut found = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        // What lies deeper says more.
        found = kind_of_one(cause).or(found);
        next = cause.source();
    }
    match found {
        // Libraries keep no more than the words of what lies below.
        None | Some(LakeErrorKind::Damaged) => {
            let text = text_of(error);
            store_by_words(&text).or(found).unwrap_or_else(|| kind_by_words(&text))
        }
        Some(kind) => kind,
    }
}

fn kind_of_one(error: &(dyn StdError + 'static)) -> Option<LakeErrorKind> {
    if let Some(error) = error.downcast_ref::<ObjectStoreError>() {
        return Some(kind_of_store(error));
    }
    if error.is::<EmptyLog>() {
        return Some(LakeErrorKind::Damaged);
    }
    // Of the folder, by the store over it.
    if let Some(error) = error.downcast_ref::<LakeError>() {
        return Some(error.kind);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(LakeErrorKind::Full),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(LakeErrorKind::Denied),
            _ => None,
        };
    }
    error.downcast_ref::<ParquetError>().map(|_| LakeErrorKind::Damaged)
}

/// What stores call it when they have no room: MinIO, Ceph and Garage, and the status
/// that HTTP has for it. Amazon's is never full.
const NO_ROOM: [&str; 4] = ["StorageFull", "QuotaExceeded", "quota is reached", "507 Insufficient Storage"];

fn kind_of_store(error: &ObjectStoreError) -> LakeErrorKind {
    let text = error.to_string();
    if NO_ROOM.iter().any(|word| text.contains(word)) {
        return LakeErrorKind::Full;
    }
    match error {
        // The bucket is made by whoever runs the store.
        ObjectStoreError::NotFound { .. } if text.contains("NoSuchBucket") => LakeErrorKind::Away,
        ObjectStoreError::NotFound { .. } => LakeErrorKind::Damaged,
        ObjectStoreError::PermissionDenied { .. } | ObjectStoreError::Unauthenticated { .. } => LakeErrorKind::Denied,
        _ => LakeErrorKind::Away,
    }
}

/// What a store has said, as it stands in the words of others.
fn store_by_words(text: &str) -> Option<LakeErrorKind> {
    if NO_ROOM.iter().chain(&["No space left on device"]).any(|word| text.contains(word)) {
        return Some(LakeErrorKind::Full);
    }
    text.contains("Generic S3 error").then_some(LakeErrorKind::Away)
}

/// Some errors are wrapped so that only their words are left.
fn kind_by_words(text: &str) -> LakeErrorKind {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["Unsupported", "unsupported", "Invalid protocol"]) {
        LakeErrorKind::Protocol
    } else if has(&[
        "not found",
        "No such file",
        "No table",
        "No files",
        "File not found",
        "EOF",
        "Corrupt",
        "Parquet",
        "Invalid JSON",
        "Json error",
        "Generic lake error",
        "No table metadata",
        "Expected contiguous commit files",
        "Invalid table version",
    ]) {
        LakeErrorKind::Damaged
    } else if has(&["Error interacting with object store", "Generic "]) {
        LakeErrorKind::Away
    } else {
        LakeErrorKind::Internal
    }
}

/// The most characters of what a library says.
const LONGEST: usize = 400;
/// What libraries put behind their words where RUST_BACKTRACE is set.
const BACKTRACES: [&str; 3] = ["backtrace: ", "stack backtrace:", "\n   0: "];

/// What a library says, as one line that is not too long.
fn short(text: &str) -> String {
    let end = BACKTRACES.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let words: Vec<&str> = text[..end].split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line,
    }
}

/// An error with what caused it, as far as it does not say so itself.
fn text_of(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    short(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: &str, body: &str) -> LakeErrorKind {
        let source = format!("Server returned non-2xx status code: {status}: {body}").into();
        LakeError::from(ObjectStoreError::Generic { store: "S3", source }).kind()
    }

    #[test]
    fn a_store_that_says_it_has_no_room_is_full() {
        for (status, body) in [
            ("507 Insufficient Storage", ""),
            ("500 Internal Server Error", "<Code>XMinioStorageFull</Code>"),
            ("403 Forbidden", "<Code>QuotaExceeded</Code>"),
        ] {
            assert_eq!(answered(status, body), LakeErrorKind::Full, "{status} {body}");
        }
        assert_eq!(answered("503 Slow Down", "<Code>SlowDown</Code>"), LakeErrorKind::Away);
    }

    #[test]
    fn no_backtrace_is_told() {
        let text = short("Parquet error: EOF\n\nbacktrace:    0: std::backtrace\n   1: core");
        assert_eq!(text, "Parquet error: EOF");
        assert_eq!(short("JSON error\n   0: <delta_kernel>\n"), "JSON error");
        assert_eq!(short(&"ä".repeat(1000)).chars().count(), LONGEST + 2);
    }

    #[test]
    fn a_store_that_is_away_is_known_by_the_words_that_are_left_of_it() {
        let away = "Kernel error: Error interacting with object store: Generic LocalFileSystem error: Unable to walk \
                    dir: IO error for operation on /lake/_delta_log: Not a directory (os error 20)";
        assert_eq!(kind_by_words(away), LakeErrorKind::Away);
        assert_eq!(kind_by_words("Kernel error: File not found: part-1.parquet"), LakeErrorKind::Damaged);
        assert_eq!(kind_by_words("Invalid table version: 20"), LakeErrorKind::Damaged);
        assert_eq!(kind_by_words("Kernel error: something else"), LakeErrorKind::Internal);
    }
}
