//! What can go wrong with a table, and what follows.

use std::{error::Error as StdError, io};

use deltalake::{
    DeltaTableError, ObjectStoreError, arrow::error::ArrowError, datafusion::error::DataFusionError,
    kernel::transaction::TransactionError, parquet::errors::ParquetError,
};
use tidemill_domain::{Code, Outage};

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeErrorKind {
    /// The store is away, or too slow. It may pass.
    Away,
    /// The store refuses the credentials.
    Denied,
    /// The store has no room.
    Full,
    /// A table has other columns than this release writes, or is another lake's.
    Schema,
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
#[derive(Debug, Clone, thiserror::Error)]
#[error("{table}: {reason}")]
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

    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self.kind {
            LakeErrorKind::Away | LakeErrorKind::Contended => Code::LakeStore,
            LakeErrorKind::Denied => Code::LakeDenied,
            LakeErrorKind::Full => Code::LakeFull,
            LakeErrorKind::Schema => Code::LakeSchema,
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
            | LakeErrorKind::Protocol
            | LakeErrorKind::Damaged
            | LakeErrorKind::Contended
            | LakeErrorKind::Internal => false,
        }
    }
}

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
            DeltaTableError::Transaction { source: TransactionError::UnsupportedTableFeatures(_) } => {
                LakeErrorKind::Protocol
            }
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
    while let Some(error) = next {
        // What lies deeper says more.
        found = kind_of_one(error).or(found);
        next = error.source();
    }
    found.unwrap_or_else(|| kind_by_words(&text_of(error)))
}

fn kind_of_one(error: &(dyn StdError + 'static)) -> Option<LakeErrorKind> {
    if let Some(error) = error.downcast_ref::<ObjectStoreError>() {
        return Some(match error {
            ObjectStoreError::NotFound { .. } => LakeErrorKind::Damaged,
            ObjectStoreError::PermissionDenied { .. } | ObjectStoreError::Unauthenticated { .. } => {
                LakeErrorKind::Denied
            }
            _ => LakeErrorKind::Away,
        });
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
    ]) {
        LakeErrorKind::Damaged
    } else if has(&["Error interacting with object store", "Generic "]) {
        LakeErrorKind::Away
    } else {
        LakeErrorKind::Internal
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
    text
}
