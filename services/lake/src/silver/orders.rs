//! What an event does to an order, as a row.

use tidemill_domain::Amount;
use tidemill_events::{EnrichedEventRef, EnrichmentRef, LineFacts, OrderFacts};
use tidemill_lake_tables::{TableRows, tables::OrderChange};

use super::place::EventPlace;

/// Adds what an event does to its order. A late one does nothing, as in totals.
pub(super) fn add(
    rows: &mut TableRows<OrderChange<'static>>,
    event: &EnrichedEventRef<'_>,
    enrichment: &EnrichmentRef<'_>,
    place: EventPlace,
) {
    let EventPlace { partition, raw_seq, late, .. } = place;
    let Some(OrderFacts { id, shipping, tax, excess, .. }) = enrichment.order.as_ref().filter(|_| !late) else {
        return;
    };
    let lines = || enrichment.lines.iter().filter(|line| !line.unread);
    let sum = |amount: fn(&LineFacts) -> Amount| lines().map(amount).sum::<Amount>().into();
    let is_placed = lines().any(|line| !line.quantity.is_zero() || !line.gross.is_zero());
    rows.push(&OrderChange {
        partition,
        raw_seq,
        order_id: id,
        time: event.time,
        placed_at: is_placed.then_some(event.time),
        customer: event.subject.as_deref(),
        country: enrichment.country.as_deref(),
        region: Some(&*enrichment.region).filter(|region| !region.is_empty()),
        currency: enrichment.currency.as_ref().map(|currency| currency.as_str()),
        gross: sum(|line| line.gross),
        discount: sum(|line| line.discount),
        revenue: sum(LineFacts::revenue),
        refund: sum(|line| line.refund),
        cancelled: sum(|line| line.cancelled),
        net: sum(LineFacts::net),
        shipping: (*shipping).into(),
        tax: (*tax).into(),
        excess: (*excess).into(),
    });
}
