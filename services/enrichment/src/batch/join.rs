//! The join: what is known of an event, as of its time.

use tidemill_domain::Currency;
use tidemill_events::{Enrichment, ItemFacts, LineFacts, OrderFacts, QualityFlag};

use super::BatchEvent;
use crate::{
    duplicates::{EventKey, Mark},
    geo::{Country, Geo},
    orders::{LineChange, OrderChange, OrderContext},
    reference::{Profile, Snapshot},
    shop::NamedCurrency,
};

/// What is written where no category or region is known.
const UNKNOWN: &str = "Unknown";

/// An event, and what is known of it.
pub(crate) struct JoinedEvent<'b> {
    text: &'b [u8],
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
    /// The product of each item.
    items: Vec<Option<&'b ItemFacts>>,
    order: Option<&'b OrderChange>,
    /// The product of each line of the order.
    lines: Vec<Option<&'b ItemFacts>>,
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
        let ip_country = self.event.clientip.as_deref().and_then(|address| geo.country(address));
        let ip_of_order = placed.and_then(|placed| placed.ip_country.as_deref()).and_then(Country::from_code);
        let profile = customer.and_then(|id| known.customer(id, time));
        let country = profile
            .and_then(|profile| profile.country)
            .or_else(|| country.and_then(|text| known.country(text)))
            .or(ip_of_order)
            .or(ip_country);
        let claimed_country = self.claim.as_ref().and_then(|claim| claim.country.as_deref());
        let product = |id: Option<&str>| id.and_then(|id| known.product(id, time));
        JoinedEvent {
            text: self.text,
            about: self.about(),
            mark: if is_again && mark == Mark::New { Mark::Duplicate } else { mark },
            is_partly_unread: self.event.unread.is_some() || self.claim.as_ref().is_some_and(|claim| claim.is_unread),
            is_claim_unknown: claimed_country.is_some_and(|text| known.country(text).is_none()),
            has_customer: customer.is_some(),
            profile,
            country,
            ip_country,
            region: country.and_then(|country| known.region(country, time)),
            money: EventMoney::of(currency, base, |currency| known.rate(currency, self.event.time)),
            items: look_ups.products.iter().map(|id| product(id.as_deref())).collect(),
            order,
            lines: order
                .into_iter()
                .flat_map(|order| &order.lines)
                .map(|line| product(line.product.as_deref()))
                .collect(),
        }
    }
}

impl<'b> JoinedEvent<'b> {
    pub(super) fn text(&self) -> &'b [u8] {
        self.text
    }

    /// What the attributes take as JSON, roughly: they hold no control characters.
    pub(super) fn detail_bytes(&self) -> usize {
        let products = self.items.iter().chain(&self.lines).flatten().flat_map(|facts| &facts.product);
        let attributes = products.chain(self.profile.iter().flat_map(|profile| &profile.attributes));
        attributes.map(|(name, value)| name.len() + value.len() + 6).sum()
    }

    /// What is written: with attributes where it is to be detailed, and always
    /// with what is counted by. Missing knowledge is a flag, and no error.
    pub(super) fn enrichment(&self, refdata: u64, is_detailed: bool) -> Enrichment {
        let quality = [
            (self.has_customer && self.profile.is_none(), QualityFlag::CustomerUnknown),
            (self.items.iter().any(Option::is_none), QualityFlag::ProductUnknown),
            (self.country.is_none() || self.is_claim_unknown, QualityFlag::CountryUnknown),
            (self.is_partly_unread, QualityFlag::AttributeUnread),
            (self.money.currency.is_none(), QualityFlag::CurrencyUnknown),
            (self.money.lacks_rate, QualityFlag::RateUnknown),
            (self.order.is_some_and(|order| order.is_unknown), QualityFlag::OrderUnknown),
            (self.order.is_some_and(|order| order.differs), QualityFlag::CurrencyDiffers),
            (self.order.is_some_and(|order| order.is_unfollowed), QualityFlag::OrderUnfollowed),
        ];
        let profile = self.profile.filter(|_| is_detailed);
        Enrichment {
            refdata,
            duplicate: self.mark != Mark::New,
            repeated: self.mark == Mark::Repeated,
            about: self.about.map(|key| key.to_string()),
            region: self.region.unwrap_or(UNKNOWN).into(),
            country: self.country.as_ref().map(written),
            ip_country: self.ip_country.as_ref().map(written),
            currency: self.money.currency,
            rate: self.money.rate.map(|(_, rate)| rate.to_owned()),
            base: self.money.rate.map(|(base, _)| base),
            customer: profile.map(|profile| profile.attributes.clone()).unwrap_or_default(),
            items: self.items.iter().map(|facts| item(*facts, is_detailed)).collect(),
            order: self.order.map(order),
            lines: self.lines(is_detailed),
            quality: quality.into_iter().filter_map(|(is_missing, flag)| is_missing.then_some(flag)).collect(),
        }
    }

    fn lines(&self, is_detailed: bool) -> Vec<LineFacts> {
        let changes = self.order.into_iter().flat_map(|order| &order.lines);
        changes.zip(&self.lines).map(|(change, facts)| line(change, *facts, is_detailed)).collect()
    }
}

fn order(change: &OrderChange) -> OrderFacts {
    OrderFacts {
        id: change.id.clone(),
        shipping: change.shipping,
        tax: change.tax,
        excess: change.excess,
        shipping_unread: change.is_shipping_unread,
        tax_unread: change.is_tax_unread,
    }
}

/// What is known of an item's product stands with the item.
fn line(change: &LineChange, facts: Option<&ItemFacts>, is_detailed: bool) -> LineFacts {
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

fn written(country: &Country) -> String {
    country.as_str().to_owned()
}

fn item(facts: Option<&ItemFacts>, is_detailed: bool) -> ItemFacts {
    match facts {
        Some(facts) if is_detailed => facts.clone(),
        Some(facts) => ItemFacts { category: facts.category.clone(), product: Default::default() },
        None => ItemFacts { category: UNKNOWN.into(), product: Default::default() },
    }
}
