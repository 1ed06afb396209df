//! What can go wrong with a question.

use deltalake::{DeltaTableError, arrow::error::ArrowError, datafusion::error::DataFusionError};
use serde::{Deserialize, Serialize};
use tidemill_domain::Code;
use tidemill_lake_tables::{LakeError, LakeErrorKind};

/// Why a question is not answered.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum SqlError {
    /// It is no SQL, or names what is not there.
    #[error("{0}")]
    Invalid(String),
    /// It would change something.
    #[error("only SELECT, EXPLAIN, SHOW TABLES, SHOW COLUMNS and DESCRIBE are answered")]
    NotReadOnly,
    /// No table has this name.
    #[error("there is no table {name}; there are {known}")]
    UnknownTable {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A table has no such version, or was not there at the time.
    #[error("{table} has no version {asked}: {reason}")]
    NoSuchVersion {
        /// The table.
        table: String,
        /// What was asked for.
        asked: String,
        /// Why there is none.
        reason: String,
    },
    /// A version is one of a table, and the question names several.
    #[error("a version is one of a table, and the question names {0} tables: ask as of a time")]
    VersionOfSeveral(usize),
    /// The text is too long.
    #[error("a question is at most {0} bytes long")]
    TooLong(usize),
    /// It has too many operators.
    #[error("a question has at most {0} operators and keywords")]
    TooManyOperators(usize),
    /// It has too many relations.
    #[error("a question has at most {0} relations, and those of a WITH count each time that they are named")]
    TooManyRelations(usize),
    /// It has too many grouping sets.
    #[error("a GROUP BY has at most {0} grouping sets: a cube of 6 columns, a rollup of 16")]
    TooManyGroupingSets(usize),
    /// The answer has too many rows.
    #[error("the answer has more than {0} rows: add LIMIT, or ask for totals")]
    TooManyRows(usize),
    /// The answer has too many bytes.
    #[error("the answer has more than {0} bytes: add LIMIT, or ask for fewer columns")]
    TooManyBytes(usize),
    /// It takes too long.
    #[error("the answer is not there after {0} seconds: ask for less time, or a table of gold")]
    TookTooLong(u64),
    /// It needs more memory and disk than there is.
    #[error("the question needs more memory than it may take: {0}")]
    OutOfMemory(String),
    /// Too many others are being answered.
    #[error("too many questions are being answered")]
    Busy,
    /// The system has no room for its process.
    #[error("no process can be started for the question: {0}")]
    NoProcess(String),
    /// Its process was ended by somebody else, with this signal.
    #[error(
        "its process was ended by signal {0}, as the system does where memory runs out: ask for less, or once more"
    )]
    Killed(i32),
    /// It went wrong on the way, by its values.
    #[error("{0}")]
    Failed(String),
    /// The engine did not come to an end with it.
    #[error("the question failed within the engine; the service's log tells more")]
    Broken,
    /// A file of a table is missing or cut.
    #[error("{table} is damaged: {what}")]
    Damaged {
        /// The table, or those of the question where the store does not say which.
        table: String,
        /// What is wrong, without the store's places.
        what: String,
    },
    /// The tables cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl SqlError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Invalid(_)
            | Self::TooLong(_)
            | Self::TooManyOperators(_)
            | Self::TooManyRelations(_)
            | Self::TooManyGroupingSets(_) => Code::InvalidSql,
            Self::NotReadOnly => Code::NotReadOnly,
            Self::UnknownTable { .. } => Code::UnknownTable,
            Self::NoSuchVersion { .. } | Self::VersionOfSeveral(_) => Code::UnknownTableVersion,
            Self::TooManyRows(_) | Self::TooManyBytes(_) => Code::AnswerTooLarge,
            Self::TookTooLong(_) | Self::OutOfMemory(_) => Code::SqlTooCostly,
            Self::Busy => Code::Busy,
            Self::NoProcess(_) => Code::Unavailable,
            Self::Failed(_) | Self::Broken | Self::Killed(_) => Code::SqlFailed,
            Self::Damaged { .. } => Code::LakeDamaged,
            Self::Lake(error) => error.code(),
        }
    }

    /// With its code in front, as readiness tells it.
    pub fn told(&self) -> String {
        match self {
            // It says its code itself.
            Self::Lake(error) => error.to_string(),
            other => format!("{}: {other}", other.code().as_str()),
        }
    }

    /// The same of one of these tables, where a table is damaged: in words for whoever asks.
    pub(crate) fn of_tables(self, paths: &[String]) -> Self {
        match self {
            Self::Lake(error) if error.kind() == LakeErrorKind::Damaged => {
                let text = error.to_string();
                let is_named =
                    |path: &&String| text.contains(&format!("{path}:")) || text.contains(&format!("{path}/"));
                let named: Vec<_> = paths.iter().filter(is_named).collect();
                let paths = if named.is_empty() { paths.iter().collect() } else { named };
                let table = paths.iter().map(|path| path.replace('/', ".")).collect::<Vec<_>>().join(" or ");
                Self::Damaged { table, what: without_places(error.reason()) }
            }
            other => other,
        }
    }
}

/// Paths and addresses by their last parts: what a store says may name its places.
fn without_places(text: &str) -> String {
    let last = |word: &str| word.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned();
    text.split_whitespace().map(last).collect::<Vec<_>>().join(" ")
}

/// The most characters of an engine's words: they may hold a value of the question.
const LONGEST: usize = 2000;

fn short(text: &str) -> String {
    // It is told as one line.
    let line = text.replace('\n', " ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line,
    }
}

/// The setting that DataFusion names where questions have filled their share of the disk.
const DISK_LIMIT: &str = "datafusion.runtime.max_temp_directory_size";

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let is_of_store = |error: &DataFusionError| {
            use DataFusionError as E;
            matches!(error, E::ObjectStore(_) | E::IoError(_) | E::ParquetError(_))
        };
        match error.find_root() {
            DataFusionError::ResourcesExhausted(reason) => Self::OutOfMemory(short(reason)),
            // The limit of the disk is told as any failure of a file.
            _ if error.strip_backtrace().contains(DISK_LIMIT) => Self::OutOfMemory(short(&error.strip_backtrace())),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_) => Self::Invalid(short(&error.strip_backtrace())),
            root if is_of_store(root) => Self::Lake(error.into()),
            _ => Self::Failed(short(&error.strip_backtrace())),
        }
    }
}

impl From<DeltaTableError> for SqlError {
    fn from(error: DeltaTableError) -> Self {
        Self::Lake(error.into())
    }
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> Self {
        Self::Failed(short(&error.to_string()))
    }
}
