//! What is asked of generations, and what of them is shown.

mod order;
mod show;

pub(crate) use order::{OrderedAnswer, order};
pub(crate) use show::{ChangesAnswer, DifferencesAnswer, GenerationsAnswer, changes, differences, list};
