//! How good recommendations are, on a file of sessions.
//!
//! The protocol is that of session-rec (Ludewig et al. 2019, "Performance
//! comparison of neural and non-neural approaches to session-based
//! recommendation"): each event of a test session after its first is predicted
//! from those before it. Every event is a case; items that no training session
//! has count as missed. Sessions of one event have no case.

mod baselines;
mod figures;
mod nearest;
mod plot;
mod report;
mod run;
mod session_file;
#[cfg(test)]
mod tests;

pub use figures::ModelFigures;
pub use plot::plot;
pub use report::{EvaluationReport, ModelReport};
pub use run::{CUTOFF, cases, evaluate};
pub use session_file::{ItemNumbers, SessionColumns, SessionFile, SessionFileError, Visit, Visited, split_last_days};
