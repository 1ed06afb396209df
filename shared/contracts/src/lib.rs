//! Data contracts of the lake.
//!
//! A [`DataContract`] is a file of the Open Data Contract Standard: what a table has, and
//! the rules that its rows keep. [`EventJudge`] holds the rules of `silver.events`
//! against each event, [`QualityRules`] says how good an event or a customer is, and
//! `standard` brings e-mail addresses and telephone numbers to one form. All of it is a function
//! of the event and of these files.

mod check;
mod contract;
mod currencies;
mod error;
mod event;
mod judge;
mod odcs;
mod quality;
mod rule;
mod shipped;
mod sql_check;
mod standard;
mod written;

pub use check::{CheckOutcome, RuleCheck};
pub use contract::{ContractColumn, ContractSet, DataContract};
pub use error::ContractError;
pub use event::JudgedEvent;
pub use judge::{EventJudge, RuleSet, Verdict};
pub use quality::{PartSet, QualityRules, Score, ToldContacts};
pub use rule::{Rule, RuleSeverity};
pub use sql_check::{CheckBound, SqlCheck};
pub use standard::{is_email, standard_email, standard_phone};
