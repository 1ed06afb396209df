use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use serde_json::value::to_raw_value;
use tidemill_events::{Enrichment, ItemFacts, LineFacts, OrderFacts};

use super::*;

type Attributes = BTreeMap<String, String>;

fn text() -> impl Strategy<Value = String> {
    "[ -~éß\"\\\\]{0,12}"
}

fn attributes() -> impl Strategy<Value = Attributes> {
    proptest::collection::btree_map(text(), text(), 0..3)
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![Just(Amount::ZERO), (-100_000i64..100_000).prop_map(|n| format!("{n}.25").parse().expect("an amount"))]
}

/// What is known of a product, if anything.
fn facts() -> impl Strategy<Value = Option<(String, Attributes)>> {
    option::of((text(), attributes()))
}

fn line() -> impl Strategy<Value = LineChange> {
    let amounts = [amount(), amount(), amount(), amount(), amount()];
    (option::of(text()), any::<[bool; 3]>(), amounts).prop_map(
        |(product, [is_item, unread, rounded], [quantity, gross, discount, refund, cancelled])| LineChange {
            product,
            is_item,
            quantity,
            gross,
            discount,
            refund,
            cancelled,
            unread,
            rounded,
        },
    )
}

fn order() -> impl Strategy<Value = OrderChange> {
    let of_lines = vec(line(), 0..3);
    (text(), any::<[bool; 2]>(), [amount(), amount(), amount()], of_lines).prop_map(
        |(id, [is_shipping_unread, is_tax_unread], [shipping, tax, excess], lines)| OrderChange {
            id,
            shipping,
            tax,
            excess,
            is_shipping_unread,
            is_tax_unread,
            lines,
            ..OrderChange::default()
        },
    )
}

fn item(facts: &Option<(String, Attributes)>, is_detailed: bool) -> ItemFacts {
    match facts {
        Some((category, product)) if is_detailed => ItemFacts { category: category.clone(), product: product.clone() },
        Some((category, _)) => ItemFacts { category: category.clone(), product: Attributes::new() },
        None => ItemFacts { category: ItemFacts::UNKNOWN_CATEGORY.into(), product: Attributes::new() },
    }
}

fn line_facts(change: &LineChange, facts: &Option<(String, Attributes)>, is_detailed: bool) -> LineFacts {
    LineFacts {
        product: change.product.clone(),
        facts: (!change.is_item).then(|| item(facts, is_detailed)),
        quantity: change.quantity,
        gross: change.gross,
        discount: change.discount,
        refund: change.refund,
        cancelled: change.cancelled,
        unread: change.unread,
        rounded: change.rounded,
    }
}

fn order_facts(change: &OrderChange) -> OrderFacts {
    OrderFacts {
        id: change.id.clone(),
        shipping: change.shipping,
        tax: change.tax,
        excess: change.excess,
        shipping_unread: change.is_shipping_unread,
        tax_unread: change.is_tax_unread,
    }
}

const FLAGS: [QualityFlag; 9] = [
    QualityFlag::CustomerUnknown,
    QualityFlag::ProductUnknown,
    QualityFlag::CountryUnknown,
    QualityFlag::AttributeUnread,
    QualityFlag::CurrencyUnknown,
    QualityFlag::RateUnknown,
    QualityFlag::OrderUnknown,
    QualityFlag::CurrencyDiffers,
    QualityFlag::OrderUnfollowed,
];

proptest! {
    #[test]
    fn it_is_written_as_an_enrichment_is(
        (refdata, [duplicate, repeated, is_detailed], about) in (any::<u64>(), any::<[bool; 3]>(), option::of(any::<[u8; 16]>())),
        (region, country, ip_country, rate) in (text(), option::of("[A-Z]{2}"), option::of("[A-Z]{2}"), option::of(text())),
        (currency, base) in (option::of("[A-Z]{3}"), option::of("[A-Z]{3}")),
        (customer, items, change, of_lines) in (attributes(), vec(facts(), 0..3), option::of(order()), vec(facts(), 3)),
        missing in any::<[bool; 9]>(),
    ) {
        let [currency, base] = [currency, base].map(|code| code.map(|code| code.parse().expect("a currency")));
        let about = about.map(EventKey::from_bytes);
        let lines: &[LineChange] = change.as_ref().map(|change| &*change.lines).unwrap_or_default();
        let known = Enrichment {
            refdata, duplicate, repeated,
            about: about.map(|key| key.to_string()),
            region: region.clone(),
            country: country.clone(), ip_country: ip_country.clone(), currency, rate: rate.clone(), base,
            customer: customer.clone(),
            items: items.iter().map(|facts| item(facts, is_detailed)).collect(),
            order: change.as_ref().map(order_facts),
            lines: lines.iter().zip(&of_lines).map(|(line, facts)| line_facts(line, facts, is_detailed)).collect(),
            quality: FLAGS.into_iter().zip(missing).filter_map(|(flag, holds)| holds.then_some(flag)).collect(),
        };
        let facts = |(category, product): &(String, Attributes)| ProductFacts::of(category.clone(), product.clone());
        let [items, of_lines]: [Vec<_>; 2] =
            [items, of_lines].map(|all| all.iter().map(|known| known.as_ref().map(facts)).collect());
        let [items, of_lines]: [Vec<_>; 2] = [&items, &of_lines].map(|all| all.iter().map(Option::as_ref).collect());
        let customer = (!customer.is_empty()).then(|| to_raw_value(&customer).expect("is written"));
        let mut quality = FLAGS.map(|flag| (false, flag));
        quality.iter_mut().zip(missing).for_each(|((is_missing, _), holds)| *is_missing = holds);
        let written = WrittenEnrichment {
            refdata, duplicate, repeated, about,
            region: &region,
            country: country.as_deref(), ip_country: ip_country.as_deref(), currency, rate: rate.as_deref(), base,
            customer: customer.as_deref(),
            items: WrittenItems { facts: &items, is_detailed },
            order: change.as_ref().map(WrittenOrder::of),
            lines: WrittenLines { changes: lines, facts: &of_lines, is_detailed },
            quality: Quality(quality),
        };
        let [known, written] = [serde_json::to_string(&known), serde_json::to_string(&written)];
        prop_assert_eq!(written.expect("is written"), known.expect("is written"));
    }
}
