//! What people do with dead letters: look at them, have their events sent again,
//! give them up. `tasks` carries out what is written down here.

mod decision;
mod request;
mod show;

pub(crate) use decision::{OrderAnswer, order};
pub(crate) use request::OrderRequest;
pub(crate) use show::{AuditAnswer, LetterAnswer, ListAnswer, audit, list, show};
