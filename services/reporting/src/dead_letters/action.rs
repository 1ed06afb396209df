//! What is ordered for dead letters, and what comes of it.

use serde::Serialize;
use tidemill_domain::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;

use super::names::{Act, ActionProgress, RequestKind};

/// An order for letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRequest {
    /// Its name. An order for many letters takes several calls, which share it.
    pub request: Uuid,
    /// What is to be done.
    pub kind: RequestKind,
    /// Whether it is also for letters that something was done about before.
    pub force: bool,
    /// Who ordered it.
    pub by: String,
    /// The name of their key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The mended event; empty where the letter's own body goes.
    pub body: Vec<u8>,
}

impl ActionRequest {
    /// The id of the action for one letter. A call that is repeated gives the
    /// same id, and so does nothing twice.
    pub fn action(&self, letter: u64) -> Uuid {
        Uuid::new_v5(&self.request, &letter.to_be_bytes())
    }
}

/// One order for one letter, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Action)]
pub(crate) struct LetterAction {
    /// Its number; later ones have higher numbers.
    pub(crate) number: u64,
    /// The order that it is a part of.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) request: Uuid,
    /// The letter.
    pub(crate) letter: u64,
    /// What was done.
    pub(crate) kind: Act,
    /// How far it has come.
    pub(crate) state: ActionProgress,
    /// Who ordered it.
    pub(crate) by: String,
    /// The name of their key, `anybody` where none is needed.
    pub(crate) key: String,
    /// Why.
    pub(crate) reason: String,
    /// When it was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// Whether another body than the letter's was sent.
    pub(crate) mended: bool,
    /// When it was settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) settled_at: Option<Timestamp>,
    /// Sequence in `RAW` of the batch that has the event.
    pub(crate) raw_sequence: Option<u64>,
    /// The letter as which the event has failed again.
    pub(crate) failed_again_as: Option<u64>,
}

/// Which actions are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ActionFilter {
    /// For this letter.
    pub(crate) letter: Option<u64>,
    /// Of this order.
    pub(crate) request: Option<Uuid>,
    /// Ordered by them.
    pub(crate) by: Option<String>,
    /// Of this kind.
    pub(crate) kind: Option<Act>,
    /// That have come this far.
    pub(crate) state: Option<ActionProgress>,
    /// With a lower number: the next page.
    pub(crate) before: Option<u64>,
}
