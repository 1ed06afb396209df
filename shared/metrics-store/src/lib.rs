//! Where window totals are read as points, for querying and charting: in InfluxDB
//! 2, or where no accounts and servers are wanted, in the checkpoints themselves,
//! which have every total already and are written for no one else.
//!
//! InfluxDB overwrites a point by one with the same measurement, tags and time. So
//! what is written are cumulative totals, tagged by partition, never increments:
//! writing them again is harmless.

mod annotated;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod influx;
mod point;

pub use config::Config;
pub use error::Error;
pub use influx::InfluxStore;
pub use point::{FieldValue, Point};
