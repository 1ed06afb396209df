//! What is known of a customer, folded from their events.
//!
//! A profile is kept for each partition that has events of the customer: an order is
//! in the partition of its own id. Who asks gets them merged.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_definitions::CustomerSegments;
use tidemill_domain::{Amount, Currency, Timestamp};
use tidemill_events::{ItemFacts, ProfileItem, ProfileName, PublishedProfile};

use crate::learning::{LearntEvent, LearntKind};

/// Views and purchases that a profile keeps, the latest of each.
pub(crate) const MAX_RECENT: usize = 50;
/// Categories and brands that it counts.
const MAX_COUNTED: usize = 50;
/// Categories and brands that it shows.
const FAVOURITES: usize = 10;
/// Currencies that it adds up amounts of.
const MAX_CURRENCIES: usize = 16;
/// The product's attribute that is its brand.
const BRAND: &str = "brand";

/// A customer, as the events of one partition tell of them, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CustomerProfile {
    /// The latest first; each product once.
    pub(crate) views: Vec<ProfileItem>,
    /// The same of what was bought.
    pub(crate) purchases: Vec<ProfileItem>,
    /// Interactions by category: an order counts as three, the cart as two.
    pub(crate) categories: BTreeMap<String, u64>,
    /// The same by brand.
    pub(crate) brands: BTreeMap<String, u64>,
    /// When the newest of their events was, of whatever kind.
    pub(crate) last_active: Timestamp,
    pub(crate) orders: u64,
    /// What the orders come to, less what was given back; by currency.
    pub(crate) value: BTreeMap<Currency, Amount>,
    /// The same in the shop's base currency, by what that is; one, unless the shop took
    /// another. `None` where a release that did not count it so knew of orders.
    #[serde(default)]
    pub(crate) in_base: Option<BTreeMap<Currency, Amount>>,
}

impl Default for CustomerProfile {
    fn default() -> Self {
        Self {
            views: Vec::new(),
            purchases: Vec::new(),
            categories: BTreeMap::new(),
            brands: BTreeMap::new(),
            last_active: Timestamp::saturating_from_millis(i64::MIN),
            orders: 0,
            value: BTreeMap::new(),
            in_base: Some(BTreeMap::new()),
        }
    }
}

impl CustomerProfile {
    /// Takes an event of the customer in.
    pub(crate) fn take(&mut self, event: &LearntEvent) {
        let weight = match event.kind {
            LearntKind::View => 1,
            LearntKind::Cart => 2,
            LearntKind::Order => 3,
            LearntKind::Change => 0,
        };
        for item in &event.items {
            let seen = || ProfileItem { at: event.at, item: item.id.clone() };
            match event.kind {
                LearntKind::View => remember(&mut self.views, seen()),
                LearntKind::Order => remember(&mut self.purchases, seen()),
                LearntKind::Cart | LearntKind::Change => {}
            }
            count(&mut self.categories, &item.category, weight);
            if let Some(brand) = item.attributes.get(BRAND) {
                count(&mut self.brands, brand, weight);
            }
        }
        self.orders += u64::from(event.kind == LearntKind::Order);
        if let Some((base, amount)) = event.worth_in_base {
            if self.in_base.is_none() && self.value.keys().all(|currency| *currency == base) {
                self.in_base = Some(self.value.clone());
            }
            if let Some(in_base) = &mut self.in_base {
                add(in_base, base, amount);
            }
        }
        if let Some((currency, amount)) = event.worth {
            add(&mut self.value, currency, amount);
        }
        // A refund's too: it may be all that the partition has of the customer.
        self.last_active = self.last_active.max(event.at);
    }

    /// Together with what another partition tells of the same customer.
    pub(crate) fn merge(&mut self, other: Self) {
        other.views.into_iter().for_each(|seen| remember(&mut self.views, seen));
        other.purchases.into_iter().for_each(|bought| remember(&mut self.purchases, bought));
        other.categories.iter().for_each(|(name, weight)| count(&mut self.categories, name, *weight));
        other.brands.iter().for_each(|(name, weight)| count(&mut self.brands, name, *weight));
        other.value.into_iter().for_each(|(currency, amount)| add(&mut self.value, currency, amount));
        self.in_base = self.in_base.take().zip(other.in_base).map(|(mut in_base, other)| {
            other.into_iter().for_each(|(base, amount)| add(&mut in_base, base, amount));
            in_base
        });
        self.orders += other.orders;
        self.last_active = self.last_active.max(other.last_active);
    }

    /// Which segment the customer is in: nothing without orders, where it is not known
    /// what they come to in the base currency, or where there were two of these. Orders
    /// without any amount are of a type of which enrichment does not know the lines.
    fn segment<'s>(&self, segments: &'s CustomerSegments) -> Option<&'s str> {
        let in_base = self.in_base.as_ref().filter(|in_base| self.orders > 0 && in_base.len() == 1)?;
        Some(segments.of(in_base.values().copied().sum()))
    }

    /// As others are told of it.
    pub(crate) fn published(self, segments: &CustomerSegments) -> PublishedProfile {
        let is_known = |(name, _): &(&String, &u64)| *name != ItemFacts::UNKNOWN_CATEGORY;
        PublishedProfile {
            segment: self.segment(segments).map(str::to_owned),
            last_active: self.last_active,
            orders: self.orders,
            favourite_categories: favourites(self.categories.iter().filter(is_known), FAVOURITES),
            favourite_brands: favourites(&self.brands, FAVOURITES),
            value: self.value,
            views: self.views,
            purchases: self.purchases,
        }
    }
}

/// Names with their counts, the highest first.
fn favourites<'c>(counted: impl IntoIterator<Item = (&'c String, &'c u64)>, most: usize) -> Vec<ProfileName> {
    let name = |(name, weight): (&String, &u64)| ProfileName { name: name.clone(), weight: *weight };
    let mut favourites: Vec<ProfileName> = counted.into_iter().map(name).collect();
    favourites.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    favourites.truncate(most);
    favourites
}

fn remember(recent: &mut Vec<ProfileItem>, seen: ProfileItem) {
    match recent.iter_mut().find(|known| known.item == seen.item) {
        Some(known) => known.at = known.at.max(seen.at),
        None => recent.push(seen),
    }
    recent.sort_by(|a, b| b.cmp(a));
    recent.truncate(MAX_RECENT);
}

/// A new name takes the place of the one with the least, where there is no room.
fn count(counted: &mut BTreeMap<String, u64>, name: &str, weight: u64) {
    if let Some(known) = counted.get_mut(name) {
        *known = known.saturating_add(weight);
        return;
    }
    if counted.len() >= MAX_COUNTED
        && let Some(least) = counted.iter().min_by_key(|(_, weight)| **weight).map(|(name, _)| name.clone())
    {
        counted.remove(&least);
    }
    counted.insert(name.to_owned(), weight);
}

fn add(value: &mut BTreeMap<Currency, Amount>, currency: Currency, amount: Amount) {
    if value.len() >= MAX_CURRENCIES && !value.contains_key(&currency) {
        return;
    }
    let sum = value.entry(currency).or_insert(Amount::ZERO);
    // Beyond what an amount can hold it stays as it is.
    *sum = sum.checked_add(amount).unwrap_or(*sum);
}
