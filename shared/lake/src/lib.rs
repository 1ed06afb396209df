//! The lake's Delta tables: their columns, where they are, and how rows get into
//! them exactly once.
//!
//! A table is declared once, as a row type ([`tables`]); its schema follows from
//! that. [`Lake`] is where the tables are, [`LakeTable`] one of them, opened or
//! made. [`Appender`] commits rows together with how far the log is in them.

mod append;
mod cell;
mod columns;
mod date;
mod decimal;
mod declare;
mod definition;
mod error;
mod lake;
mod progress;
mod schema;
mod storage;
mod table;
pub mod tables;
mod write;

pub use append::{Appended, Appender, Part};
pub use cell::Cell;
pub use columns::{Row, Rows};
pub use date::Date;
pub use decimal::{Decimal, Money, Rate};
pub use definition::{ColumnDefinition, ColumnKind, Layer, TableDefinition};
pub use error::{LakeError, LakeErrorKind};
pub use lake::Lake;
pub use progress::{AppId, Reached};
pub use storage::{S3Config, StorageConfig};
pub use table::{LakeTable, TableProperties};
