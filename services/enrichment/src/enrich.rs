//! The join: what is known of an event, as of its time. No I/O in here.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use tidemill_domain::SourceName;
use tidemill_events::{
    Enrichment, EventRef, ItemFacts, QualityFlag,
    event::{lines, splice_enrichment},
};

use crate::{country::Country, duplicates::Marks, error::Error, geo::Geo, reference::Snapshot};

/// Items of one event that are looked up; the shop's schema allows no more.
const MAX_ITEMS: usize = 500;
/// From here on the events of a batch get no attributes, only what is counted
/// by. It bounds an enriched batch, whatever came in and however much is known
/// of it, to what readers and NATS accept.
const FULL_DETAIL_BYTES: usize = 512 * 1024;
/// An event whose attributes alone would take more than this gets none either:
/// each of its items may have fifteen long ones.
const EVENT_DETAIL_BYTES: usize = 128 * 1024;

/// An event that was read, and what is to be looked up for it.
pub(crate) struct Line<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) event: EventRef<'a>,
    /// The product of each item.
    products: Vec<Option<Cow<'a, str>>>,
    /// The country that the event names.
    country: Option<Cow<'a, str>>,
}

/// A line that is no event.
pub(crate) struct Dead<'a> {
    /// Its place in the batch.
    pub(crate) index: usize,
    pub(crate) text: &'a [u8],
    pub(crate) error: Error,
}

/// The part of `data` that is looked at. Schemas are the user's, so a member
/// may be anything; what has another form than expected says nothing.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    #[serde(borrow)]
    product_id: Option<&'a RawValue>,
    #[serde(borrow)]
    stock_code: Option<&'a RawValue>,
    #[serde(borrow)]
    country: Option<&'a RawValue>,
    #[serde(borrow)]
    billing_country: Option<&'a RawValue>,
}

impl<'a> Data<'a> {
    fn read(raw: &'a RawValue) -> Option<Self> {
        // An array would be read as the members in their order.
        raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok()).flatten()
    }

    fn product(&self) -> Option<Cow<'a, str>> {
        self.product_id.and_then(text).or_else(|| self.stock_code.and_then(text))
    }

    fn products(&self) -> Vec<Option<Cow<'a, str>>> {
        let items = self.items.and_then(|items| serde_json::from_str::<Vec<&RawValue>>(items.get()).ok());
        match items {
            Some(items) => {
                items.into_iter().take(MAX_ITEMS).map(|item| Data::read(item).and_then(|item| item.product())).collect()
            }
            None => self.product().map(Some).into_iter().collect(),
        }
    }

    fn country(&self) -> Option<Cow<'a, str>> {
        self.country.and_then(text).or_else(|| self.billing_country.and_then(text))
    }
}

/// The text of a string, or of a number: an id may be written as either.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw.get())),
        _ => None,
    }
}

/// Reads the events of a batch; a line that is none goes its own way.
pub(crate) fn read(payload: &[u8]) -> (Vec<Line<'_>>, Vec<Dead<'_>>) {
    let (mut good, mut dead) = (Vec::new(), Vec::new());
    for (index, text) in lines(payload).enumerate() {
        match Line::read(text) {
            Ok(line) => good.push(line),
            Err(error) => dead.push(Dead { index, text, error }),
        }
    }
    (good, dead)
}

impl<'a> Line<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Error> {
        let event: EventRef<'a> = serde_json::from_slice(text).map_err(|e| Error::Event(e.to_string()))?;
        if event.enriched.is_some() {
            return Err(Error::Event("it has a member \"enriched\" already".into()));
        }
        let data = event.data.and_then(Data::read);
        let products = data.as_ref().map(Data::products).unwrap_or_default();
        let country = data.as_ref().and_then(Data::country);
        Ok(Self { text, event, products, country })
    }
}

/// The products and the customers of these events.
pub(crate) fn ids<'a>(lines: &'a [Line<'a>]) -> (HashSet<&'a str>, HashSet<&'a str>) {
    let products = lines.iter().flat_map(|line| line.products.iter().flatten()).map(|id| &**id).collect();
    let customers = lines.iter().filter_map(|line| line.event.subject.as_deref()).collect();
    (products, customers)
}

/// What became of the events of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) enriched: u64,
    pub(crate) duplicate: u64,
    pub(crate) customer_unknown: u64,
    pub(crate) product_unknown: u64,
    pub(crate) country_unknown: u64,
}

impl Tally {
    fn add(&mut self, enrichment: &Enrichment) {
        *if enrichment.duplicate { &mut self.duplicate } else { &mut self.enriched } += 1;
        for flag in &enrichment.quality {
            *match flag {
                QualityFlag::CustomerUnknown => &mut self.customer_unknown,
                QualityFlag::ProductUnknown => &mut self.product_unknown,
                QualityFlag::CountryUnknown => &mut self.country_unknown,
            } += 1;
        }
    }
}

/// Writes the events with what is known of them, one a line.
pub(crate) fn write(
    lines: &[Line<'_>],
    duplicates: &Marks,
    snapshot: &Snapshot<'_>,
    geo: &Geo,
) -> Result<(Vec<u8>, Tally), Error> {
    let mut tally = Tally::default();
    let mut out = Vec::with_capacity(lines.iter().map(|line| line.text.len() + 160).sum());
    for (index, line) in lines.iter().enumerate() {
        let detailed = out.len() < FULL_DETAIL_BYTES;
        let mut enrichment = join(line, duplicates.get(index), snapshot, geo, detailed);
        if detail_bytes(&enrichment) > EVENT_DETAIL_BYTES {
            enrichment = join(line, duplicates.get(index), snapshot, geo, false);
        }
        splice_enrichment(line.text, &enrichment, &mut out).map_err(tidemill_bus::Error::from)?;
        tally.add(&enrichment);
    }
    Ok((out, tally))
}

/// What the attributes take as JSON, roughly: they hold no control characters.
fn detail_bytes(enrichment: &Enrichment) -> usize {
    let attributes = enrichment.items.iter().flat_map(|item| &item.product).chain(&enrichment.customer);
    attributes.map(|(name, value)| name.len() + value.len() + 6).sum()
}

fn join(line: &Line<'_>, duplicate: bool, snapshot: &Snapshot<'_>, geo: &Geo, detailed: bool) -> Enrichment {
    let time = line.event.time;
    let profile = line.event.subject.as_deref().and_then(|id| snapshot.customer(id, time));
    let ip_country = line.event.clientip.as_deref().and_then(|address| geo.country(address));
    let country = profile
        .and_then(|profile| profile.country)
        .or_else(|| line.country.as_deref().and_then(|text| snapshot.country(text)))
        .or(ip_country);
    let products: Vec<Option<&ItemFacts>> =
        line.products.iter().map(|id| id.as_deref().and_then(|id| snapshot.product(id, time))).collect();
    let quality = [
        (line.event.subject.is_some() && profile.is_none(), QualityFlag::CustomerUnknown),
        (products.iter().any(Option::is_none), QualityFlag::ProductUnknown),
        (country.is_none(), QualityFlag::CountryUnknown),
    ];
    Enrichment {
        refdata: snapshot.version(),
        duplicate,
        region: country.and_then(|country| snapshot.region(country, time)).unwrap_or("Unknown").into(),
        country: country.as_ref().map(written),
        ip_country: ip_country.as_ref().map(written),
        customer: profile.filter(|_| detailed).map(|profile| profile.attributes.clone()).unwrap_or_default(),
        items: products.into_iter().map(|facts| item(facts, detailed)).collect(),
        quality: quality.into_iter().filter_map(|(missing, flag)| missing.then_some(flag)).collect(),
    }
}

fn written(country: &Country) -> String {
    country.as_str().to_owned()
}

fn item(facts: Option<&ItemFacts>, detailed: bool) -> ItemFacts {
    match facts {
        Some(facts) if detailed => facts.clone(),
        Some(facts) => ItemFacts { category: facts.category.clone(), product: Default::default() },
        None => ItemFacts { category: "Unknown".into(), product: Default::default() },
    }
}

/// The source of a line that is no event, for the books: as it claims, else
/// the only one its batch has.
pub(crate) fn source_of<'s>(text: &[u8], mut sources: impl Iterator<Item = &'s String>) -> String {
    #[derive(Deserialize)]
    struct Claim {
        source: String,
    }
    let claimed = serde_json::from_slice::<Claim>(text).ok().map(|claim| claim.source);
    claimed
        .or_else(|| sources.next().filter(|_| sources.next().is_none()).cloned())
        .unwrap_or_else(|| SourceName::UNKNOWN.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data: &str) -> String {
        format!(r#"{{"id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z","data":{data}}}"#)
    }

    #[test]
    fn products_are_found_in_every_form_of_event() {
        for (data, products) in [
            (
                r#"{"items":[{"product_id":"a"},{"quantity":1},{"product_id":7},"x",null]}"#,
                vec![Some("a"), None, Some("7"), None, None],
            ),
            (r#"{"items":[]}"#, vec![]),
            (r#"{"items":{"product_id":"a"},"product_id":"b"}"#, vec![Some("b")]),
            (r#"{"product_id":"caf\u00e9","stock_code":"c"}"#, vec![Some("café")]),
            (r#"{"stock_code":"85123A"}"#, vec![Some("85123A")]),
            (r#"{"product_id":["a"]}"#, vec![]),
            (r#"["a",{"product_id":"b"}]"#, vec![]),
            (r#""text""#, vec![]),
            ("null", vec![]),
            ("{}", vec![]),
        ] {
            let text = line(data);
            let read = Line::read(text.as_bytes()).map(|line| line.products).expect(data);
            assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), products, "{data}");
        }
        let many = line(&format!(r#"{{"items":[{}1]}}"#, "0,".repeat(9999)));
        assert_eq!(Line::read(many.as_bytes()).map(|line| line.products.len()).expect("reads"), MAX_ITEMS);
    }

    #[test]
    fn the_country_is_of_the_event_or_its_bill() {
        for (data, country) in [
            (r#"{"country":"EIRE","billing_country":"DE"}"#, Some("EIRE")),
            (r#"{"country":null,"billing_country":"DE"}"#, Some("DE")),
            (r#"{"country":{"code":"DE"}}"#, None),
        ] {
            let text = line(data);
            assert_eq!(Line::read(text.as_bytes()).expect(data).country.as_deref(), country, "{data}");
        }
    }

    #[test]
    fn a_broken_line_goes_alone() {
        let enriched = line("1").replace("\"id\"", "\"enriched\":{\"refdata\":1,\"region\":\"x\"},\"id\"");
        let payload = [line("1"), "{\"source\":\"s\"".into(), enriched, line("2"), String::new()].join("\n");
        let (good, dead) = read(payload.as_bytes());
        assert_eq!(good.len(), 2);
        assert_eq!(dead.iter().map(|dead| dead.index).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_broken_line_is_booked_to_whom_it_came_from() {
        let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        assert_eq!(source_of(br#"{"source":"b"}"#, one.iter()), "b");
        assert_eq!(source_of(b"{", one.iter()), "a");
        assert_eq!(source_of(b"{", two.iter()), "unknown");
    }
}
