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
mod compact;
mod date;
mod decimal;
mod declare;
mod definition;
mod error;
#[cfg(test)]
mod faults;
mod lake;
mod progress;
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
pub use columns::{Row, TableRows};
pub use compact::{Compacted, CompactionGoal};
pub use date::Date;
pub use decimal::{LakeDecimal, Money, Rate};
pub use definition::{ColumnDefinition, ColumnKind, Layer, TableDefinition};
pub use error::{LakeError, LakeErrorKind};
pub use lake::Lake;
pub use progress::{AppId, Reached};
pub use storage::{S3Config, StorageConfig};
pub use table::{LakeTable, TableProperties};
pub use upsert::OrderKeeper;
