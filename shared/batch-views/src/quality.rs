//! How good tables are, in numbers.
//!
//! Files of a table never change, so what is counted of a file is counted once, and a
//! table is the sum of the files that its newest version has. So the numbers are exact
//! whatever has been done to a table: rows that came, files that were put together, a
//! layer that was made anew. Who asks keeps the counts of files; none of them can be
//! wrong, only missing.

mod counted;
mod counts;
mod figure;
mod folders;
mod lag;
mod measure;
mod reach;
mod terms;
#[cfg(test)]
mod tests;

pub use counts::{FileCounts, KnownCounts, RuleCount};
pub use figure::{MeasuredInterval, QualityFigure};
pub use lag::LagQuantiles;
pub use measure::MeasuredTable;
pub use reach::NewestEvents;
pub use terms::QualityTerms;
