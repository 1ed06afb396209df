//! Where window totals are written for querying and charting: InfluxDB 2, or a
//! built-in store where no accounts and servers are wanted.
//!
//! A point is overwritten by one with the same measurement, tags and time, in
//! both. So what is written are cumulative totals, tagged by partition, never
//! increments: writing them again is harmless.

mod annotated;
mod builtin;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod influx;
mod point;
mod store;

pub use builtin::BuiltinStore;
pub use config::Config;
pub use error::Error;
pub use influx::InfluxStore;
pub use point::{FieldValue, Point};
pub use store::MetricsStore;
