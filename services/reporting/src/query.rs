//! Questions about a metric: what is asked, its cells added up, the answer, and
//! its formats.

mod adding;
mod advice;
mod answer;
mod formats;
mod grouping;
mod question;
mod ranking;
mod resolution;
mod top;
mod totalled;

#[cfg(test)]
pub(crate) use adding::add_up;
pub(crate) use answer::{SeriesAnswer, TotalsAnswer, ask};
pub(crate) use formats::{series_csv, totals_csv};
#[cfg(test)]
pub(crate) use grouping::approximate;
pub(crate) use grouping::{Base, BaseValues, DimensionGroup, Gaps, Grouping, Values};
pub(crate) use question::{Question, QuestionParameters, QuestionView};
pub(crate) use resolution::Rollup;
