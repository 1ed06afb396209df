use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use tidemill_domain::Amount;

use super::*;
use crate::{event::Enrichment, item::ItemFacts};

/// Escapes too, which keep a text from being borrowed.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,6}", vec(select(vec!['a', '"', '\\', '\n', 'ä', '🌍']), 0..4).prop_map(String::from_iter)]
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn items() -> impl Strategy<Value = Vec<ItemFacts>> {
    vec((text(), attributes()).prop_map(|(category, product)| ItemFacts { category, product }), 0..3)
}

fn lines() -> impl Strategy<Value = Vec<LineFacts>> {
    let line = (option::of(text()), -5_i64..5, any::<bool>()).prop_map(|(product, gross, unread)| LineFacts {
        product,
        gross: Amount::from_int(gross),
        unread,
        ..LineFacts::default()
    });
    vec(line, 0..3)
}

fn currency() -> impl Strategy<Value = Option<Currency>> {
    option::of(select(vec!["EUR", "JPY"])).prop_map(|code| code.and_then(|code| code.parse().ok()))
}

fn enrichments() -> impl Strategy<Value = Enrichment> {
    let marks = (any::<u64>(), any::<bool>(), any::<bool>(), vec(select(QualityFlag::ALL.to_vec()), 0..4));
    let places = (option::of("[0-9a-f]{32}"), text(), option::of("[A-Z]{2}"), option::of("[A-Z]{2}"));
    let money = (currency(), option::of("[0-9]\\.[0-9]{1,9}"), currency());
    let order = option::of(text().prop_map(|id| OrderFacts { id, ..OrderFacts::default() }));
    (marks, places, money, attributes(), items(), order, lines()).prop_map(
        |(marks, places, money, customer, items, order, lines)| {
            let (refdata, duplicate, repeated, quality) = marks;
            let (about, region, country, ip_country) = places;
            let (currency, rate, base) = money;
            let known = Enrichment {
                refdata,
                duplicate,
                repeated,
                about,
                region,
                country,
                ip_country,
                ..Enrichment::default()
            };
            Enrichment { currency, rate, base, customer, items, order, lines, quality, ..known }
        },
    )
}

fn map(attributes: &Attributes<'_>) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

proptest! {
    #[test]
    fn it_reads_what_enrichment_writes(enrichment in enrichments()) {
        let json = serde_json::to_string(&enrichment).expect("is written");
        let read: EnrichmentRef<'_> = serde_json::from_str(&json).expect("is read");
        prop_assert_eq!(read.conversion(), enrichment.conversion());
        prop_assert_eq!(read.quality, enrichment.quality.iter().copied().collect());
        let items = read.items.iter();
        let items = items.map(|item| ItemFacts { category: item.category.to_string(), product: map(&item.product) });
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(String::from);
        let back = Enrichment {
            refdata: read.refdata,
            duplicate: read.duplicate,
            repeated: read.repeated,
            about: owned(&read.about),
            region: read.region.to_string(),
            country: owned(&read.country),
            ip_country: owned(&read.ip_country),
            currency: read.currency,
            rate: owned(&read.rate),
            base: read.base,
            customer: map(&read.customer),
            items: items.collect(),
            order: read.order.clone(),
            lines: read.lines.clone(),
            quality: enrichment.quality.clone(),
        };
        prop_assert_eq!(back, enrichment);
    }
}

#[test]
fn it_refuses_what_an_enrichment_refuses() {
    for json in [
        r#"{"refdata":1}"#,
        r#"{"region":"x"}"#,
        r#"{"refdata":1,"region":null}"#,
        r#"{"refdata":1,"region":"x","customer":{"a":1}}"#,
        r#"{"refdata":1,"region":"x","customer":null}"#,
        r#"{"refdata":1,"region":"x","quality":[1]}"#,
        r#"{"refdata":1,"region":"x","country":7}"#,
        r#"{"refdata":1,"region":"x","country":null}"#,
        r#"{"refdata":1,"region":"x","items":[{"product":{}}]}"#,
        r#"{"refdata":1,"region":"x","currency":"EURO"}"#,
        r#"{"refdata":1,"region":"x","customer":{"a":"1","a":"2"}}"#,
        r#"{"refdata":1,"region":"x","more":[{}],"quality":["of_a_newer_release"]}"#,
    ] {
        let (known, owned) =
            (serde_json::from_str::<EnrichmentRef<'_>>(json), serde_json::from_str::<Enrichment>(json));
        assert_eq!(known.is_ok(), owned.is_ok(), "{json}");
        if let (Ok(known), Ok(owned)) = (known, owned) {
            assert_eq!(known.customer.get("a").map(|a| &**a), owned.customer.get("a").map(String::as_str), "{json}");
        }
    }
}

#[test]
fn a_line_is_borrowed_whether_all_of_it_is_utf8() {
    let line = br#"{"id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z","subject":"c","extra":"X",
        "enriched":{"refdata":1,"region":"Europe","country":"GB","items":[{"category":"Books"}]}}"#;
    let with = |replaced: u8| -> Vec<u8> { line.iter().map(|b| if *b == replaced { 0xff } else { *b }).collect() };
    for line in [line.to_vec(), with(b'X')] {
        let event = EnrichedEventRef::read(&line).expect("an event");
        let enriched = event.enriched.expect("is enriched");
        let texts = [event.subject.clone(), enriched.country.clone(), Some(enriched.items[0].category.clone())];
        assert!(texts.iter().all(|text| matches!(text, Some(Cow::Borrowed(_)))), "{texts:?}");
    }
    assert!(EventRef::<Enrichment>::read(&with(b'1')).is_err(), "a text that is looked at");
}
