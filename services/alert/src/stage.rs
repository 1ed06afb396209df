//! The service's hooks of the consumer loop, and its units of work.

mod event;
mod metric;
mod open_unit;
mod reader;
mod units;

pub(crate) use self::units::work;
