//! The lake's Delta tables: their columns, where they are, and how rows get into
//! them exactly once.
//!
//! A table is declared once, as a row type ([`tables`]); its schema follows from
//! that. [`Lake`] is where the tables are, [`LakeTable`] one of them, opened or
//! made. [`Appender`] commits rows together with how far the log is in them.

mod append;
#[cfg(test)]
mod bucket;
mod cell;
mod claim;
mod columns;
mod date;
mod decimal;
mod declare;
mod definition;
mod error;
mod evolve;
#[cfg(test)]
mod faults;
mod folder;
mod kept;
mod lake;
mod more;
mod progress;
mod quarantine;
mod read;
mod rebuild;
mod replace;
mod schema;
mod sound;
mod storage;
mod table;
pub mod tables;
#[doc(hidden)]
pub mod testing;
mod upkeep;
mod upsert;
mod write;

pub use append::{Appended, Appender, TablePart};
pub use cell::ColumnCell;
pub use columns::{MoreValue, Row, TableRows};
pub use date::Date;
pub use decimal::{LakeDecimal, Money, Rate, decimal_units};
pub use definition::{ColumnDefinition, ColumnKind, Layer, TableDefinition};
pub use error::{LakeError, LakeErrorKind};
pub use folder::LakeFolder;
pub use kept::{Compacted, CompactionGoal, Dropped, KeptTable, Moved, Retention, TIERED, complete_since, rows_of_both};
pub use lake::Lake;
pub use more::{MoreColumn, MoreColumns};
pub use progress::{AppId, Reached};
pub use quarantine::{HeldEvent, QuarantineKeeper, RedriveScope};
pub use rebuild::{
    EventFile, EventFiles, FolderComparison, KeptEvent, Months, OrderRebuild, RebuildPart, TableRebuild,
};
pub use replace::Replacement;
pub use storage::{S3Config, StorageConfig};
pub use table::{LakeTable, TableProperties};
pub use upsert::OrderKeeper;
