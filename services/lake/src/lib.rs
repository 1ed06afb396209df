//! The lake: bronze, silver and gold as Delta tables over an object store.

pub mod gold;
pub mod sql;
