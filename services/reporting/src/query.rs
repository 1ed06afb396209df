//! Questions about a metric: what is asked, its cells added up, the answer, and
//! its formats.

mod advice;
mod answer;
mod formats;
mod grouping;
mod question;
mod resolution;
mod totalled;

pub(crate) use answer::{SeriesAnswer, TotalsAnswer, ask};
pub(crate) use formats::{series_csv, totals_csv};
pub(crate) use grouping::{Base, BaseValues, DimensionGroup, Gaps, Grouping, Values};
pub(crate) use question::{Question, QuestionParameters, QuestionView};
pub(crate) use resolution::Rollup;
