//! Visitors who look at products, put them into carts and order them; and who of them
//! is to be forgotten.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tidemill_domain::Timestamp;

use super::{
    traffic::{Event, Fate, Sender},
    truth,
};

/// One event of a visitor for so many invoice lines.
const LINES_PER_EVENT: usize = 12;
const EVENTS: std::ops::Range<usize> = 1_500..40_000;
/// Visitors who are there at once.
const AT_ONCE: usize = 20;
const STEP_MILLIS: i64 = 1_000;
/// More orders of one visitor raise alerts.
const MOST_ORDERS: u32 = 4;
/// Tastes, and products of each.
const TASTES: usize = 10;
const OF_A_TASTE: usize = 12;
/// One visitor in so many is known by the visit alone.
const ANONYMOUS_EVERY: usize = 7;
/// Of the first visitors, one in so many is to be forgotten, and half of these come back.
const FORGOTTEN_EVERY: usize = 6;
/// One customer in so many begins with so many views of which nobody knows that they are
/// theirs; their later views tell it. Those who are to be forgotten are among these.
const UNKNOWN_EVERY: usize = 3;
const UNKNOWN: usize = 3;
/// Events that those send who come back.
const AGAIN: usize = 3;
const SOURCE: &str = "storefront";
const SOURCE_AGAIN: &str = "storefront-again";

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Viewed,
    PutIntoCart,
    Ordered,
}

/// One event of a visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) deed: Deed,
    pub(crate) items: Vec<String>,
    pub(crate) at: Timestamp,
    /// What is paid for it, in millionths.
    pub(crate) revenue: i128,
}

/// Somebody.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The customer's id, or that of the visit.
    pub(crate) name: String,
    pub(crate) is_customer: bool,
    pub(crate) is_to_be_forgotten: bool,
    /// Of some customers the visit that they come in.
    visit: Option<String>,
    /// How many views of that visit nobody knows to be theirs.
    unknown: usize,
    /// Whether a view tells whose visit that is.
    is_visit_told: bool,
    /// What is sent of theirs at first, in its order, and is known to be theirs.
    pub(crate) acts: Vec<Act>,
    /// What is sent once they are forgotten.
    pub(crate) again: Vec<Act>,
    /// How many events the sender has sent with the last of the first ones.
    pub(crate) sent_with: usize,
}

impl Visitor {
    /// By what they are known: their name, and their visit if it is told whose it is.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let visit = self.visit.as_deref().filter(|_| self.is_visit_told);
        [Some(&*self.name), visit].into_iter().flatten()
    }

    /// Whether what they do next is known to be theirs.
    fn is_known(&self) -> bool {
        self.visit.is_none() || self.unknown >= UNKNOWN
    }

    /// The customer and the visit that an event of theirs names.
    fn named(&self, deed: Deed) -> (Option<&str>, Option<&str>) {
        let visit = self.visit.as_deref();
        match self.is_customer {
            false => (None, Some(&self.name)),
            true if !self.is_known() => (None, visit),
            true => (Some(&self.name), visit.filter(|_| deed == Deed::Viewed)),
        }
    }
}

/// All visitors, and what is sent of theirs.
#[derive(Debug)]
pub(crate) struct Storefront {
    pub(crate) visitors: Vec<Visitor>,
    /// Sends at first.
    pub(crate) sender: Sender,
    /// Sends once all are forgotten who are to be.
    pub(crate) again: Sender,
}

impl Storefront {
    /// What a seed means beside so many invoice lines, until `now`.
    pub(crate) fn new(lines: usize, seed: u64, now: Timestamp) -> Self {
        let count = (lines / LINES_PER_EVENT).clamp(EVENTS.start, EVENTS.end);
        let mut making = Making {
            rng: StdRng::seed_from_u64(seed ^ 0x5707_ef40),
            visitors: Vec::new(),
            orders: 0,
            sender: Sender { source: SOURCE.into(), events: Vec::with_capacity(count) },
        };
        let mut present: Vec<(usize, u32)> = Vec::new();
        let mut steps = i64::try_from(count).unwrap_or_default();
        while making.sender.events.len() < count {
            while present.len() < AT_ONCE {
                let who = making.arrival(count);
                present.push((who, making.rng.random_range(3..20)));
            }
            let place = making.rng.random_range(0..present.len());
            steps -= 1;
            making.act(present[place].0, now.plus_millis(-steps * STEP_MILLIS - 1));
            present[place].1 -= 1;
            if present[place].1 == 0 {
                present.swap_remove(place);
            }
        }
        let Making { mut visitors, sender, .. } = making;
        let again = again(&mut visitors, now);
        Self { visitors, sender, again }
    }

    /// Products that visitors have to do with.
    pub(crate) fn products() -> Vec<String> {
        (0..TASTES * OF_A_TASTE).map(product).collect()
    }
}

fn product(n: usize) -> String {
    match n % 40 {
        7 => format!("item-{n:03}, with a comma"),
        9 => format!("item-{n:03}\u{1f3b8}/?&"),
        _ => format!("item-{n:03}"),
    }
}

struct Making {
    rng: StdRng,
    visitors: Vec<Visitor>,
    orders: usize,
    sender: Sender,
}

impl Making {
    /// Somebody new, or somebody who was there before. In the second half nobody comes
    /// who is to be forgotten.
    fn arrival(&mut self, count: usize) -> usize {
        let is_late = self.sender.events.len() * 2 > count;
        let known: Vec<usize> =
            (0..self.visitors.len()).filter(|n| !is_late || !self.visitors[*n].is_to_be_forgotten).collect();
        if self.rng.random_bool(0.3)
            && let Some(known) = known.choose(&mut self.rng)
        {
            return *known;
        }
        let n = self.visitors.len();
        let is_customer = n % ANONYMOUS_EVERY != 3;
        self.visitors.push(Visitor {
            name: if is_customer { format!("visitor-{n:05}") } else { format!("visit-{n:05}") },
            is_customer,
            is_to_be_forgotten: !is_late && n % FORGOTTEN_EVERY == 2,
            visit: (is_customer && n % UNKNOWN_EVERY == 2).then(|| format!("of-visitor-{n:05}")),
            unknown: 0,
            is_visit_told: false,
            acts: Vec::new(),
            again: Vec::new(),
            sent_with: 0,
        });
        n
    }

    /// Mostly something of the visitor's taste.
    fn item(&mut self, who: usize) -> String {
        let all = TASTES * OF_A_TASTE;
        let of_taste = who % TASTES * OF_A_TASTE + self.rng.random_range(0..OF_A_TASTE);
        product(if self.rng.random_bool(0.85) { of_taste } else { self.rng.random_range(0..all) })
    }

    fn act(&mut self, who: usize, at: Timestamp) {
        let is_known = self.visitors[who].is_known();
        let ordered = self.visitors[who].acts.iter().filter(|act| act.deed == Deed::Ordered).count();
        // A visit that nobody knows orders nothing, and puts nothing into a cart: only
        // views name it.
        let deed = match self.rng.random_range(0..100) {
            _ if !is_known => Deed::Viewed,
            70..88 if self.visitors[who].is_customer => Deed::PutIntoCart,
            88.. if self.visitors[who].is_customer && ordered < MOST_ORDERS as usize => Deed::Ordered,
            _ => Deed::Viewed,
        };
        let mut items = vec![self.item(who)];
        if deed == Deed::Ordered {
            for _ in 0..self.rng.random_range(0..3) {
                let item = self.item(who);
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
        let n = self.sender.events.len();
        self.orders += usize::from(deed == Deed::Ordered);
        let price = format!("{}.{:02}", 1 + n % 30, n % 100);
        let lines = i128::try_from(items.len()).unwrap_or_default();
        let revenue = truth::micros(&price).unwrap_or_default() * lines;
        let act = Act { deed, items, at, revenue: if deed == Deed::Ordered { revenue } else { 0 } };
        let visitor = &mut self.visitors[who];
        let named = visitor.named(act.deed);
        let is_visit_told = matches!(named, (Some(_), Some(_)));
        self.sender.events.push(event(named, &act, SOURCE, n, &price));
        visitor.is_visit_told |= is_visit_told;
        match is_known {
            true => visitor.acts.push(act),
            false => visitor.unknown += 1,
        }
        visitor.sent_with = n + 1;
    }
}

/// What half of those do who are forgotten.
fn again(visitors: &mut [Visitor], now: Timestamp) -> Sender {
    let mut events = Vec::new();
    for (n, visitor) in visitors.iter_mut().filter(|visitor| visitor.is_to_be_forgotten).enumerate() {
        for place in 0..AGAIN * (n % 2) {
            let at = now.plus_millis(i64::try_from(events.len()).unwrap_or_default());
            let act = Act { deed: Deed::Viewed, items: vec![product(n * 5 % 100 + place)], at, revenue: 0 };
            let named = if visitor.is_customer { (Some(&*visitor.name), None) } else { visitor.named(act.deed) };
            events.push(event(named, &act, SOURCE_AGAIN, events.len(), ""));
            visitor.again.push(act);
        }
    }
    Sender { source: SOURCE_AGAIN.into(), events }
}

/// An event that names a customer, a visit, or both.
fn event(named: (Option<&str>, Option<&str>), act: &Act, source: &str, n: usize, price: &str) -> Event {
    let item = &act.items[0];
    let line = |item: &String| json!({"product_id": item, "quantity": 1, "unit_price": price});
    let (kind, data, fate) = match act.deed {
        Deed::Viewed => ("product.viewed", json!({"product_id": item}), Fate::Seen),
        Deed::PutIntoCart => ("cart.item_added", line(item), Fate::Seen),
        Deed::Ordered => {
            let items: Vec<Value> = act.items.iter().map(line).collect();
            let data = json!({"order_id": format!("{source}-{n}"), "items": items});
            ("order.placed", data, Fate::Order { revenue: act.revenue, suspicious: None })
        }
    };
    let mut event = json!({"specversion": "1.0", "id": format!("act-{n:06}"), "source": source, "type": kind,
        "time": act.at, "data": data});
    if let Some(customer) = named.0 {
        event["subject"] = Value::from(customer);
    }
    if let Some(visit) = named.1 {
        event["data"]["session_id"] = Value::from(visit);
    }
    Event { json: event.to_string(), fate }
}

/// What must be known of a customer by what they did: the latest first, each product once.
pub(crate) fn latest(acts: &[Act], deed: Deed) -> Vec<(Timestamp, &str)> {
    let mut seen: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for act in acts.iter().filter(|act| act.deed == deed) {
        seen.extend(act.items.iter().map(|item| (item.as_str(), act.at)));
    }
    let mut latest: Vec<(Timestamp, &str)> = seen.into_iter().map(|(item, at)| (at, item)).collect();
    latest.sort_unstable_by(|a, b| b.cmp(a));
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_be_forgotten_sends_in_the_first_half_and_some_of_them_come_back() {
        let now = Timestamp::saturating_from_millis(1_800_000_000_000);
        let Storefront { visitors, sender, again } = Storefront::new(60_000, 3, now);
        assert_eq!(sender.events.len(), 5_000);
        let forgotten: Vec<&Visitor> = visitors.iter().filter(|visitor| visitor.is_to_be_forgotten).collect();
        assert!(forgotten.len() > 20 && forgotten.iter().any(|visitor| !visitor.is_customer));
        assert!(forgotten.iter().all(|visitor| visitor.sent_with < sender.events.len() * 2 / 3));
        assert!(forgotten.iter().filter(|visitor| visitor.names().count() == 2).count() > 10, "their visits are told");
        let back = forgotten.iter().filter(|visitor| !visitor.again.is_empty()).count();
        assert!(back > 5 && back < forgotten.len());
        assert_eq!(again.events.len(), back * AGAIN);
        assert!(visitors.iter().flat_map(|visitor| &visitor.acts).all(|act| act.at < now));
        for visitor in &visitors {
            assert!(visitor.acts.is_sorted_by(|a, b| a.at < b.at), "each act has a time of its own");
            assert!(visitor.acts.iter().filter(|act| act.deed == Deed::Ordered).count() <= MOST_ORDERS as usize);
        }
    }

    #[test]
    fn each_product_is_known_by_when_it_was_seen_last() {
        let act = |at, item: &str| Act {
            deed: Deed::Viewed,
            items: vec![item.into()],
            at: Timestamp::saturating_from_millis(at),
            revenue: 0,
        };
        let acts = [act(1, "a"), act(2, "b"), act(3, "a")];
        let latest: Vec<&str> = latest(&acts, Deed::Viewed).into_iter().map(|(_, item)| item).collect();
        assert_eq!(latest, ["a", "b"]);
    }
}
