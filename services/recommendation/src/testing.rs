//! What tests learn from.

use std::collections::BTreeMap;

use tidemill_domain::{Amount, Currency, Timestamp};

use crate::learning::{LearntBatch, LearntEvent, LearntItem, LearntKind, VisitorId};

pub(crate) fn item(id: &str, category: &str, attributes: &[(&str, &str)]) -> LearntItem {
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    LearntItem { id: id.into(), category: category.into(), attributes, is_told: true }
}

/// A product of an event in which enrichment finds none.
pub(crate) fn untold(id: &str) -> LearntItem {
    LearntItem { is_told: false, ..item(id, "Unknown", &[]) }
}

pub(crate) fn event(kind: LearntKind, customer: &str, millis: i64, items: &[LearntItem]) -> LearntEvent {
    LearntEvent {
        kind,
        at: Timestamp::saturating_from_millis(millis),
        customer: Some(VisitorId::customer(customer)),
        session: None,
        items: items.to_vec(),
        worth: None,
        worth_in_base: None,
        passed: 0,
    }
}

/// An order of products of an unknown category.
pub(crate) fn order(customer: &str, millis: i64, ids: &[&str], worth: &str) -> LearntEvent {
    let items: Vec<LearntItem> = ids.iter().map(|id| item(id, "Unknown", &[])).collect();
    let amount = Amount::read(worth).expect("an amount").amount;
    let worth = Some((Currency::EUR, amount));
    LearntEvent { worth, worth_in_base: worth, ..event(LearntKind::Order, customer, millis, &items) }
}

pub(crate) fn batch(raw_seq: u64, events: &[LearntEvent]) -> LearntBatch {
    let ingested_at = Timestamp::saturating_from_millis(1_000);
    LearntBatch { raw_seq, ingested_at, refdata: 0, events: events.to_vec() }
}

/// Customers, products, categories and attributes of any Unicode.
pub(crate) fn batch_of_any_texts(raw_seq: u64) -> LearntBatch {
    let events = tidemill_testkit::any_texts().into_iter().enumerate().map(|(n, text)| LearntEvent {
        items: vec![LearntItem {
            id: text.clone(),
            category: text.clone(),
            attributes: BTreeMap::from([(text.clone(), text.clone())]),
            is_told: true,
        }],
        ..event(LearntKind::View, &text, n as i64, &[])
    });
    batch(raw_seq, &events.collect::<Vec<_>>())
}
