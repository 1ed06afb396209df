//! An event, as far as it is learnt from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidemill_domain::{Amount, Currency, Timestamp};
use tidemill_recommender::InteractionKind;

/// What a visitor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LearntKind {
    /// Looked at a product.
    View,
    /// Put it into the cart.
    Cart,
    /// Ordered it.
    Order,
    /// Changed what an order comes to.
    Change,
}

impl LearntKind {
    /// What it says of an interest in the items, if it says anything.
    pub(crate) const fn interest(self) -> Option<InteractionKind> {
        match self {
            Self::View => Some(InteractionKind::View),
            Self::Cart => Some(InteractionKind::Cart),
            Self::Order => Some(InteractionKind::Order),
            Self::Change => None,
        }
    }
}

/// A customer's id, or a visit's, as a hash: the store holds any text by it, and no id
/// of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct VisitorId(pub(crate) [u8; 16]);

impl VisitorId {
    /// Of a customer.
    pub(crate) fn customer(id: &str) -> Self {
        Self::of(b"customer:", id)
    }

    /// Of a visit.
    pub(crate) fn session(id: &str) -> Self {
        Self::of(b"session:", id)
    }

    fn of(kind: &[u8], id: &str) -> Self {
        let digest = Sha256::new().chain_update(kind).chain_update(id.as_bytes()).finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }

    /// As the index knows it.
    pub(crate) fn text(self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }
}

impl From<VisitorId> for String {
    fn from(id: VisitorId) -> Self {
        id.text()
    }
}

impl TryFrom<String> for VisitorId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = || u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        digits().map(|number| Self(number.to_be_bytes())).ok_or_else(|| "is no visitor's id".into())
    }
}

/// A product of an event, and what enrichment knew of it. What was known is kept
/// beside the journal, and not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LearntItem {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) category: String,
    #[serde(skip)]
    pub(crate) attributes: BTreeMap<String, String>,
    /// Whether enrichment looked it up. Of events whose members it does not know it tells
    /// nothing, which takes nothing back of what another event told.
    #[serde(skip)]
    pub(crate) is_told: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LearntEvent {
    pub(crate) kind: LearntKind,
    pub(crate) at: Timestamp,
    /// Who is known as a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<VisitorId>,
    /// The visit that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<VisitorId>,
    /// Each product once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) items: Vec<LearntItem>,
    /// By how much it changes what the customer's orders come to.
    #[serde(skip)]
    pub(crate) worth: Option<(Currency, Amount)>,
    /// The same in the shop's base currency, where there is a rate.
    #[serde(skip)]
    pub(crate) worth_in_base: Option<(Currency, Amount)>,
    /// Of a visitor who is forgotten: so many interactions are passed over, and nothing
    /// else is left of the event.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) passed: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_none(passed: &usize) -> bool {
    *passed == 0
}

impl LearntEvent {
    /// Whose it is: the customer's, else the visit's.
    pub(crate) fn visitor(&self) -> Option<VisitorId> {
        self.customer.or(self.session)
    }

    /// Interactions that the index counts for it.
    pub(crate) fn interactions(&self) -> usize {
        if self.kind.interest().is_some() { self.items.len() + self.passed } else { 0 }
    }

    /// What is left of it once its visitor is forgotten.
    pub(crate) fn erased(&self) -> Self {
        let (items, passed) = (Vec::new(), self.interactions());
        Self { customer: None, session: None, items, worth: None, worth_in_base: None, passed, ..*self }
    }
}

/// What a batch of the log is learnt from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LearntBatch {
    /// Its sequence in `RAW`.
    pub(crate) raw_seq: u64,
    /// When ingestion took it in.
    pub(crate) ingested_at: Timestamp,
    /// The version of the reference data that enrichment knew: 0 where it is read again.
    #[serde(skip)]
    pub(crate) refdata: u64,
    pub(crate) events: Vec<LearntEvent>,
}

impl LearntBatch {
    /// No event of it is later than its intake: one that says so would be the newest for
    /// as long as it is kept.
    pub(crate) fn until_intake(mut self) -> Self {
        let intake = self.ingested_at;
        self.events.iter_mut().for_each(|event| event.at = event.at.min(intake));
        self
    }
}

#[cfg(test)]
impl LearntBatch {
    /// Interactions that the index counts for it.
    pub(crate) fn interactions(&self) -> usize {
        self.events.iter().map(LearntEvent::interactions).sum()
    }
}
