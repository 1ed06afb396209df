//! From events to window totals: a function of the log, the definitions and
//! what was known before. Nothing here waits, or asks anybody.

pub(crate) mod books;
pub(crate) mod cell;
pub(crate) mod changes;
pub(crate) mod counting;
pub(crate) mod messages;
#[cfg(test)]
mod money;
pub(crate) mod parse;
pub(crate) mod points;
pub(crate) mod session;
pub(crate) mod size;
pub(crate) mod state;
