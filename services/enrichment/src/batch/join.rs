//! The join: what is known of an event, as of its time.

use tidemill_events::{Enrichment, ItemFacts, QualityFlag};

use super::BatchEvent;
use crate::{
    geo::{Country, Geo},
    reference::{Profile, Snapshot},
};

/// What is written where no category or region is known.
const UNKNOWN: &str = "Unknown";

/// An event, and what is known of it.
pub(crate) struct JoinedEvent<'b> {
    text: &'b [u8],
    duplicate: bool,
    /// Whether ingestion left an attribute of it out.
    is_partly_unread: bool,
    /// Whether the event names a customer.
    has_customer: bool,
    profile: Option<&'b Profile>,
    country: Option<Country>,
    ip_country: Option<Country>,
    region: Option<&'b str>,
    /// The product of each item.
    items: Vec<Option<&'b ItemFacts>>,
}

impl BatchEvent<'_> {
    /// The country comes from the customer's profile, else from the event, else
    /// from the sender's address.
    pub(super) fn join<'b>(&'b self, duplicate: bool, known: &'b Snapshot<'_>, geo: &Geo) -> JoinedEvent<'b> {
        let (time, look_ups) = (self.event.time, &self.look_ups);
        let profile = look_ups.customer.as_deref().and_then(|id| known.customer(id, time));
        let ip_country = self.event.clientip.as_deref().and_then(|address| geo.country(address));
        let country = profile
            .and_then(|profile| profile.country)
            .or_else(|| look_ups.country.as_deref().and_then(|text| known.country(text)))
            .or(ip_country);
        let product = |id: &'b Option<_>| id.as_deref().and_then(|id| known.product(id, time));
        JoinedEvent {
            text: self.text,
            duplicate,
            is_partly_unread: self.event.unread.is_some(),
            has_customer: look_ups.customer.is_some(),
            profile,
            country,
            ip_country,
            region: country.and_then(|country| known.region(country, time)),
            items: look_ups.products.iter().map(product).collect(),
        }
    }
}

impl<'b> JoinedEvent<'b> {
    pub(super) fn text(&self) -> &'b [u8] {
        self.text
    }

    /// What the attributes take as JSON, roughly: they hold no control characters.
    pub(super) fn detail_bytes(&self) -> usize {
        let products = self.items.iter().flatten().flat_map(|facts| &facts.product);
        let attributes = products.chain(self.profile.iter().flat_map(|profile| &profile.attributes));
        attributes.map(|(name, value)| name.len() + value.len() + 6).sum()
    }

    /// What is written: with attributes where it is to be detailed, and always
    /// with what is counted by. Missing knowledge is a flag, and no error.
    pub(super) fn enrichment(&self, refdata: u64, is_detailed: bool) -> Enrichment {
        let quality = [
            (self.has_customer && self.profile.is_none(), QualityFlag::CustomerUnknown),
            (self.items.iter().any(Option::is_none), QualityFlag::ProductUnknown),
            (self.country.is_none(), QualityFlag::CountryUnknown),
            (self.is_partly_unread, QualityFlag::AttributeUnread),
        ];
        let profile = self.profile.filter(|_| is_detailed);
        Enrichment {
            refdata,
            duplicate: self.duplicate,
            region: self.region.unwrap_or(UNKNOWN).into(),
            country: self.country.as_ref().map(written),
            ip_country: self.ip_country.as_ref().map(written),
            customer: profile.map(|profile| profile.attributes.clone()).unwrap_or_default(),
            items: self.items.iter().map(|facts| item(*facts, is_detailed)).collect(),
            quality: quality.into_iter().filter_map(|(is_missing, flag)| is_missing.then_some(flag)).collect(),
        }
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
