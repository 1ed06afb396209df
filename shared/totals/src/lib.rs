//! Window totals as a CRDT.
//!
//! Each partition publishes, per (metric version, window, dimensions), the
//! totals of everything it has seen up to a position in the `RAW` log. Since
//! totals are a function of that prefix, whoever reads keeps the furthest
//! totals of each partition ([`Replicated::observe`]), whichever replica sent
//! them and in whatever order they arrive, and adds the partitions up
//! ([`Replicated::sum`]). Observing is associative, commutative and
//! idempotent, which the property tests below hold.

mod converted;
mod dense;
mod distinct;
mod measure;
mod quantile;
mod replicated;
mod serving;
mod total;

pub use converted::{Converted, InBase};
pub use dense::{StateKind, TotalsShape};
pub use distinct::{Distinct, SKETCH_SIZE};
pub use measure::{Measure, MergeError, Value};
pub use quantile::QuantileSketch;
pub use replicated::Replicated;
pub use serving::{BatchLanding, ServedState, StreamStanding, TotalsSource, furthest};
pub use total::{MeasureTotal, Totals};
