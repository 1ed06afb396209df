//! Random events, as enrichment leaves them.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::select};
use tidemill_domain::{Amount, Currency, Timestamp};
use tidemill_events::{Enrichment, ItemFacts, LineFacts, OrderFacts, QualityFlag};

/// When all of it was taken in.
pub(super) const INGESTED_AT: i64 = 1_000_000_000_000;
const FIRST: i64 = 900_000_000_000;
const DAY: i64 = 86_400_000;
/// How far an event may lie behind the newest one of its source.
const ALLOWED: i64 = 7 * DAY + 60_000;

#[derive(Debug, Clone)]
pub(crate) struct TestEvent {
    pub(super) partition: u16,
    pub(super) source: String,
    pub(super) kind: &'static str,
    pub(super) time: Timestamp,
    pub(super) subject: Option<String>,
    pub(super) data: String,
    pub(super) enrichment: Enrichment,
    /// By the rule in its plainest form: one clock a source and partition.
    pub(super) late: bool,
}

/// Numbers as shops write them, and what is none.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..50_i64, 0..100_i64).prop_map(|(whole, cents)| format!("{whole}.{cents:02}")),
        2 => (1..5_i64).prop_map(|n| n.to_string()),
        1 => (-5..5_i64).prop_map(|n| format!("\"{n}\"")),
        1 => select(vec![
            "0.30000000000000004", "29.950000762939453", "1e3", "\" 4.50\"", "\"a lot\"", "null", "true", "[1]",
            "1234567890123456789", "0.1234567890123456", "99999999999999.99", "-0.000000000000049", "\"\"",
        ]).prop_map(String::from),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    (-20_000..200_000_i64, any::<bool>()).prop_map(|(cents, is_odd)| {
        let units = i128::from(cents) * 10_000_000_000;
        Amount::from_units(units + if is_odd { 1 } else { 0 })
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["a", "b", "DE", "x y"]).prop_map(String::from),
        1 => select(vec!["", "Zoë \\\"quoted\\\"", "\\u00e9\\n"]).prop_map(String::from),
        1 => (100..140_usize, select(vec!["ä", "b"])).prop_map(|(n, c)| c.repeat(n)),
    ]
}

fn data() -> impl Strategy<Value = String> {
    let item = (option::weighted(0.9, number()), option::weighted(0.9, number()));
    let item = item.prop_map(|(quantity, price)| object(&[("quantity", quantity), ("unit_price", price)]));
    let texts = (
        option::of(text()),
        option::of((0..4_u8).prop_map(|n| format!("i{n}"))),
        option::of(text()),
        option::of(select(vec!["EUR", " usd ", "€"])),
    );
    (option::weighted(0.9, number()), option::weighted(0.9, number()), vec(item, 0..4), texts).prop_map(
        |(quantity, price, items, (note, invoice, product, money))| {
            let quoted = |text: Option<String>| text.map(|text| format!("\"{text}\""));
            object(&[
                ("quantity", quantity),
                ("unit_price", price),
                ("items", (!items.is_empty()).then(|| format!("[{}]", items.join(",")))),
                ("note", quoted(note)),
                ("invoice", quoted(invoice)),
                ("product", quoted(product)),
                ("money", quoted(money.map(String::from))),
                ("customer_id", Some("\"c\"".into())),
                ("country", Some("\"DE\"".into())),
            ])
        },
    )
}

fn object(members: &[(&str, Option<String>)]) -> String {
    let members = members.iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value.as_ref()?)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn facts() -> impl Strategy<Value = ItemFacts> {
    (select(vec!["Books", "Games", ""]), option::of(text())).prop_map(|(category, brand)| {
        let brand = brand.map(|brand| ("brand".to_owned(), brand.replace('\\', "")));
        ItemFacts { category: category.into(), product: brand.into_iter().collect() }
    })
}

fn line() -> impl Strategy<Value = LineFacts> {
    let amounts = (amount(), amount(), amount(), amount(), amount());
    (
        option::of(select(vec!["p1", "p2"])),
        option::of(facts()),
        amounts,
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(product, facts, (quantity, gross, discount, refund, cancelled), unread, rounded)| LineFacts {
            product: product.map(String::from),
            facts,
            quantity,
            gross,
            discount,
            refund,
            cancelled,
            unread,
            rounded,
        })
}

fn order() -> impl Strategy<Value = OrderFacts> {
    (0..6_u8, amount(), amount(), prop::bool::weighted(0.1)).prop_map(|(id, shipping, tax, unread)| OrderFacts {
        id: format!("o{id}"),
        shipping,
        tax,
        excess: Amount::ZERO,
        shipping_unread: unread,
        tax_unread: false,
    })
}

/// Currency, rate, base and whether the rate is not known.
fn money() -> impl Strategy<Value = (Option<Currency>, Option<String>, Option<Currency>, bool)> {
    let usd: Currency = "USD".parse().expect("a currency");
    prop_oneof![
        Just((Some(Currency::EUR), None, None, false)),
        (1..20_000_u32).prop_map(move |rate| (Some(usd), Some(format!("0.{rate:013}")), Some(Currency::EUR), false)),
        Just((Some(usd), None, None, true)),
        Just((None, None, None, false)),
    ]
}

fn enrichment() -> impl Strategy<Value = Enrichment> {
    let place = (select(vec!["Europe", "Unknown", ""]), option::of(select(vec!["DE", "FR"])));
    let about = (option::weighted(0.7, order()), vec(line(), 0..4), vec(facts(), 0..3));
    (place, about, money(), option::of(text())).prop_map(
        |((region, country), (order, lines, items), (currency, rate, base, is_unknown), segment)| Enrichment {
            region: region.into(),
            country: country.map(String::from),
            currency,
            rate,
            base,
            customer: segment.map(|text| ("segment".to_owned(), text.replace('\\', ""))).into_iter().collect(),
            items,
            order,
            lines,
            quality: is_unknown.then_some(QualityFlag::RateUnknown).into_iter().collect(),
            ..Enrichment::default()
        },
    )
}

/// Events in the order of the log.
pub(crate) fn generated() -> impl Strategy<Value = Vec<TestEvent>> {
    let kinds = vec!["order.placed", "order.refunded", "invoice.line", "product.viewed", "cart.item_added", "other"];
    // Most within hours, so that windows and sessions have several.
    let time = prop_oneof![8 => 0..7_200_000_i64, 2 => 0..(3 * DAY), 1 => 0..(20 * DAY)];
    let who = (0..3_u16, 0..2_u8, select(kinds), option::weighted(0.8, 0..4_u8));
    let event = (who, time, data(), enrichment());
    vec(event, 0..80).prop_map(|events| {
        let event = |(who, time, data, enrichment): (_, i64, _, _)| {
            let (partition, source, kind, subject): (u16, u8, &'static str, Option<u8>) = who;
            let time = Timestamp::saturating_from_millis(FIRST + time);
            let (source, subject) = (format!("s{source}"), subject.map(|n| format!("c{n}")));
            TestEvent { partition, source, kind, time, subject, data, enrichment, late: false }
        };
        marked(events.into_iter().map(event))
    })
}

/// In this order, with what is late.
pub(crate) fn marked(events: impl IntoIterator<Item = TestEvent>) -> Vec<TestEvent> {
    let mut newest = BTreeMap::new();
    let mark = |event: TestEvent| {
        let time = event.time.millis();
        let clock = newest.entry((event.partition, event.source.clone())).or_insert(time);
        let late = time + ALLOWED < *clock;
        *clock = (*clock).max(time);
        TestEvent { late, ..event }
    };
    events.into_iter().map(mark).collect()
}
