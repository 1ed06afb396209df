//! The words that every Tidemill service shares: identifiers, exact amounts,
//! event time and partitions.
//!
//! Values parse at the edge and are valid from then on: each newtype has a
//! private field and one fallible constructor, so inner code never checks
//! again.

mod amount;
mod backoff;
mod clock;
mod code;
mod currency;
mod ids;
mod partition;
pub mod text;
mod timestamp;

pub use amount::{Amount, AmountError, Factor, ReadAmount};
pub use backoff::{Backoff, Outage};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use code::{Code, CodeError, Party};
pub use currency::{BaseAmount, Currency, CurrencyError};
pub use ids::{BackfillName, EventId, EventType, GenerationName, IdError, SourceName};
pub use partition::{Partition, PartitionCount, PartitionCountError};
pub use timestamp::{Timestamp, TimestampError};
