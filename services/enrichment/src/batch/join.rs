//! The join: what is known of an event, as of its time.

use tidemill_domain::Currency;
use tidemill_events::QualityFlag;

use super::{
    BatchEvent,
    written::{Quality, UNKNOWN, WrittenEnrichment, WrittenItems, WrittenLines, WrittenOrder},
};
use crate::{
    duplicates::{EventKey, Mark},
    geo::{Country, Geo},
    orders::{LineChange, OrderChange, OrderContext},
    reference::{ProductFacts, Profile, Snapshot},
    shop::NamedCurrency,
};

/// An event, and what is known of it.
pub(crate) struct JoinedEvent<'b> {
    text: &'b [u8],
    kind: &'b str,
    mark: Mark,
    /// What it is about, where its type has a business key.
    about: Option<EventKey>,
    /// Whether ingestion left an attribute of it out, or a record cannot hold what it
    /// claims of a customer.
    is_partly_unread: bool,
    /// Whether the country that it claims of a customer is in no table.
    is_claim_unknown: bool,
    /// Whether the event names a customer.
    has_customer: bool,
    profile: Option<&'b Profile>,
    country: Option<Country>,
    ip_country: Option<Country>,
    region: Option<&'b str>,
    money: EventMoney<'b>,
    order: Option<&'b OrderChange>,
    /// Where its products begin, where those of the lines of its order do, and their end.
    products: [usize; 3],
}

/// The products of the events of a batch: of each the items', then those of the lines of
/// its order.
pub(super) type BatchProducts<'b> = Vec<Option<&'b ProductFacts>>;

/// The products of one event.
#[derive(Clone, Copy)]
pub(super) struct EventProducts<'b> {
    items: &'b [Option<&'b ProductFacts>],
    lines: &'b [Option<&'b ProductFacts>],
}

impl BatchEvent<'_> {
    /// The country comes from the customer's profile, else from the event, else
    /// from the sender's address. What changes an order belongs where the order
    /// does, and is joined as of the order's time; a rate is of the event's own.
    pub(super) fn join<'b>(
        &'b self,
        mark: Mark,
        order: Option<&'b OrderChange>,
        known: &'b Snapshot<'_>,
        geo: &Geo,
        base: Currency,
        products: &mut BatchProducts<'b>,
    ) -> JoinedEvent<'b> {
        let look_ups = &self.look_ups;
        let is_again = order.is_some_and(|order| order.is_again);
        let placed = order.and_then(|order| order.context.as_ref());
        let time = placed.map_or(self.event.time, |placed| placed.time);
        let customer = placed.and_then(|placed| placed.customer.as_deref()).or(look_ups.customer.as_deref());
        let country = placed.and_then(|placed| placed.country.as_deref()).or(look_ups.country.as_deref());
        let of_order = |placed: &OrderContext| placed.currency.map_or(NamedCurrency::Unknown, NamedCurrency::Code);
        let currency = match (look_ups.currency, placed) {
            (NamedCurrency::Absent, Some(placed)) => of_order(placed),
            (named, _) => named,
        };
        let ip_country = self.event.client_address().and_then(|address| geo.country(address));
        let ip_of_order = placed.and_then(|placed| placed.ip_country.as_deref()).and_then(Country::from_code);
        let profile = customer.and_then(|id| known.customer(id, time));
        let country = profile
            .and_then(|profile| profile.country)
            .or_else(|| country.and_then(|text| known.country(text)))
            .or(ip_of_order)
            .or(ip_country);
        let claimed_country = self.claim.as_ref().and_then(|claim| claim.country.as_deref());
        let product = |id: Option<&str>| id.and_then(|id| known.product(id, time));
        let begin = products.len();
        products.extend(look_ups.products().map(product));
        let lines = products.len();
        products.extend(order.into_iter().flat_map(|order| &order.lines).map(|line| product(line.product.as_deref())));
        JoinedEvent {
            text: self.text,
            kind: &self.event.kind,
            about: self.about(),
            mark: if is_again && mark == Mark::New { Mark::Duplicate } else { mark },
            is_partly_unread: self.event.is_partly_unread || self.claim.as_ref().is_some_and(|claim| claim.is_unread),
            is_claim_unknown: claimed_country.is_some_and(|text| known.country(text).is_none()),
            has_customer: customer.is_some(),
            profile,
            country,
            ip_country,
            region: country.and_then(|country| known.region(country, time)),
            money: EventMoney::of(currency, base, |currency| known.rate(currency, self.event.time)),
            order,
            products: [begin, lines, products.len()],
        }
    }
}

impl<'b> JoinedEvent<'b> {
    pub(super) fn text(&self) -> &'b [u8] {
        self.text
    }

    /// Its type.
    pub(super) fn kind(&self) -> &'b str {
        self.kind
    }

    /// Its products, of those of its batch.
    pub(super) fn products<'p>(&self, all: &'p [Option<&'p ProductFacts>]) -> EventProducts<'p> {
        let [begin, lines, end] = self.products;
        EventProducts { items: &all[begin..lines], lines: &all[lines..end] }
    }

    /// What the attributes take as JSON, roughly.
    pub(super) fn detail_bytes(&self, EventProducts { items, lines }: EventProducts<'_>) -> usize {
        let products = items.iter().chain(lines).flatten().map(|facts| facts.detail_bytes);
        products.chain(self.profile.map(|profile| profile.detail_bytes)).sum()
    }

    /// What is written: with attributes where it is to be detailed, and always
    /// with what is counted by. Missing knowledge is a flag, and no error.
    pub(super) fn enrichment<'p>(
        &'p self,
        refdata: u64,
        is_detailed: bool,
        EventProducts { items, lines }: EventProducts<'p>,
    ) -> WrittenEnrichment<'p> {
        let quality = [
            (self.has_customer && self.profile.is_none(), QualityFlag::CustomerUnknown),
            (items.iter().any(Option::is_none), QualityFlag::ProductUnknown),
            (self.country.is_none() || self.is_claim_unknown, QualityFlag::CountryUnknown),
            (self.is_partly_unread, QualityFlag::AttributeUnread),
            (self.money.currency.is_none(), QualityFlag::CurrencyUnknown),
            (self.money.lacks_rate, QualityFlag::RateUnknown),
            (self.order.is_some_and(|order| order.is_unknown), QualityFlag::OrderUnknown),
            (self.order.is_some_and(|order| order.differs), QualityFlag::CurrencyDiffers),
            (self.order.is_some_and(|order| order.is_unfollowed), QualityFlag::OrderUnfollowed),
        ];
        WrittenEnrichment {
            refdata,
            duplicate: self.mark != Mark::New,
            repeated: self.mark == Mark::Repeated,
            about: self.about,
            region: self.region.unwrap_or(UNKNOWN),
            country: self.country.as_ref().map(Country::as_str),
            ip_country: self.ip_country.as_ref().map(Country::as_str),
            currency: self.money.currency,
            rate: self.money.rate.map(|(_, rate)| rate),
            base: self.money.rate.map(|(base, _)| base),
            customer: self.profile.filter(|_| is_detailed).and_then(|profile| profile.attributes.as_deref()),
            items: WrittenItems { facts: items, is_detailed },
            order: self.order.map(WrittenOrder::of),
            lines: WrittenLines { changes: self.changes(), facts: lines, is_detailed },
            quality: Quality(quality),
        }
    }

    fn changes(&self) -> &'b [LineChange] {
        self.order.map(|order| &*order.lines).unwrap_or_default()
    }
}

/// The currency of an event's amounts.
struct EventMoney<'b> {
    currency: Option<Currency>,
    /// The base currency, and what one of the other is in it.
    rate: Option<(Currency, &'b str)>,
    lacks_rate: bool,
}

impl<'b> EventMoney<'b> {
    fn of(named: NamedCurrency, base: Currency, rate: impl Fn(Currency) -> Option<&'b str>) -> Self {
        let currency = match named {
            NamedCurrency::Absent => Some(base),
            NamedCurrency::Code(code) => Some(code),
            NamedCurrency::Unknown => None,
        };
        let foreign = currency.filter(|code| *code != base);
        let rate = foreign.and_then(rate).map(|rate| (base, rate));
        Self { currency, rate, lacks_rate: foreign.is_some() && rate.is_none() }
    }
}
