//! The lines of orders, as rows.

use tidemill_domain::{Amount, Factor};
use tidemill_events::{Conversion, EnrichedEventRef, EnrichmentRef, LineFacts};
use tidemill_lake_tables::{Date, Money, TableRows, tables::SilverOrderLine};

use super::place::EventPlace;
use crate::bronze::int;

/// Adds the lines that an event places or changes.
pub(super) fn add(
    rows: &mut TableRows<SilverOrderLine<'static>>,
    event: &EnrichedEventRef<'_>,
    enrichment: &EnrichmentRef<'_>,
    place: EventPlace,
) {
    let EventPlace { partition, raw_seq, index, late, .. } = place;
    let Date { year, month, .. } = event.time.into();
    let conversion = enrichment.conversion();
    for (number, line) in enrichment.lines.iter().enumerate() {
        let amounts = LineAmounts::of(line);
        let base = amounts.zip(conversion).map(|(amounts, conversion)| amounts.in_base(conversion));
        rows.push(&SilverOrderLine {
            partition,
            raw_seq,
            index,
            line: int(number),
            event_id: &event.id,
            source: &event.source,
            r#type: &event.kind,
            subject: event.subject.as_deref(),
            time: event.time,
            late,
            backfill: event.backfill.is_some(),
            order_id: enrichment.order.as_ref().map(|order| &*order.id),
            product: line.product.as_deref(),
            category: category(line, enrichment, number),
            country: enrichment.country.as_deref(),
            region: Some(&*enrichment.region).filter(|region| !region.is_empty()),
            currency: enrichment.currency.as_ref().map(|currency| currency.as_str()),
            quantity: (!line.unread).then(|| line.quantity.into()),
            gross: amounts.map(|amounts| amounts.gross.into()),
            discount: amounts.map(|amounts| amounts.discount.into()),
            revenue: amounts.map(|amounts| amounts.revenue.into()),
            refund: amounts.map(|amounts| amounts.refund.into()),
            cancelled: amounts.map(|amounts| amounts.cancelled.into()),
            net: amounts.map(|amounts| amounts.net.into()),
            rounded: line.rounded,
            base_currency: conversion.as_ref().map(|conversion| conversion.base.as_str()),
            base_gross: base.as_ref().and_then(|base| base.gross),
            base_discount: base.as_ref().and_then(|base| base.discount),
            base_revenue: base.as_ref().and_then(|base| base.revenue),
            base_refund: base.as_ref().and_then(|base| base.refund),
            base_cancelled: base.as_ref().and_then(|base| base.cancelled),
            base_net: base.as_ref().and_then(|base| base.net),
            year,
            month,
        });
    }
}

/// The category of a line's product: as the line has it, else as the item does that
/// stands in the same place of the event.
fn category<'e>(line: &'e LineFacts, enrichment: &'e EnrichmentRef<'_>, number: usize) -> Option<&'e str> {
    match &line.facts {
        Some(facts) => Some(&facts.category),
        None => enrichment.items.get(number).map(|item| &*item.category),
    }
}

/// The amounts of a line that can be read.
#[derive(Clone, Copy)]
struct LineAmounts {
    gross: Amount,
    discount: Amount,
    revenue: Amount,
    refund: Amount,
    cancelled: Amount,
    net: Amount,
}

/// The same in the base currency, each rounded once, as totals are; what is too large
/// is none.
struct BaseAmounts {
    gross: Option<Money>,
    discount: Option<Money>,
    revenue: Option<Money>,
    refund: Option<Money>,
    cancelled: Option<Money>,
    net: Option<Money>,
}

impl LineAmounts {
    fn of(line: &LineFacts) -> Option<Self> {
        let LineFacts { gross, discount, refund, cancelled, unread, .. } = *line;
        let (revenue, net) = (line.revenue(), line.net());
        (!unread).then_some(Self { gross, discount, revenue, refund, cancelled, net })
    }

    fn in_base(self, conversion: Conversion<'_>) -> BaseAmounts {
        let converted = |amount: Amount| match conversion.rate {
            None => Some(amount.into()),
            Some(rate) => {
                let product = Amount::product_of([Factor::Exact(amount), Factor::Written(rate)]);
                product.ok().map(|product| product.amount.into())
            }
        };
        BaseAmounts {
            gross: converted(self.gross),
            discount: converted(self.discount),
            revenue: converted(self.revenue),
            refund: converted(self.refund),
            cancelled: converted(self.cancelled),
            net: converted(self.net),
        }
    }
}

/// Gross, discount, revenue and net of a line in the base currency.
#[cfg(test)]
pub(super) fn in_base(line: &LineFacts, conversion: Conversion<'_>) -> Option<[Option<Money>; 4]> {
    let base = LineAmounts::of(line)?.in_base(conversion);
    Some([base.gross, base.discount, base.revenue, base.net])
}
