//! Visits and baskets of a large shop, to learn and to ask of.

use std::collections::HashSet;

use bytes::Bytes;
use tidemill_domain::Timestamp;

/// Items of a session, each another one.
pub(super) const OF_SESSION: usize = 4;
/// One session in so many is a basket: an order. The others are visits.
const BASKET_EVERY: u64 = 3;
/// Every other visitor is not known as a customer.
const ANONYMOUS_EVERY: u64 = 2;
const CATEGORIES: u64 = 20;

/// A shop, as a function of the number of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visits {
    pub(super) items: u64,
}

/// A number that looks drawn, of two others.
pub(super) fn mixed(a: u64, b: u64) -> u64 {
    let mut mixed = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    mixed ^= mixed >> 31;
    mixed = mixed.wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 29)
}

/// An item's id.
pub(super) fn item_id(item: u64) -> String {
    format!("item-{item:06}")
}

impl Visits {
    /// What enrichment has to know of products.
    pub(super) fn catalogue(&self) -> String {
        let line = |item: u64| format!("{},shelf-{:02}\n", item_id(item), item % CATEGORIES);
        std::iter::once("id,category\n".to_owned()).chain((0..self.items).map(line)).collect()
    }

    /// An item by what is drawn: few are popular, as in any shop.
    pub(super) fn item(&self, drawn: u64) -> u64 {
        // Of a cube, an eighth of all lies in the first half.
        let part = u128::from(drawn % 1_000_000);
        let cube = u128::from(self.items) * part * part * part / 1_000_000_u128.pow(3);
        u64::try_from(cube).unwrap_or_default().min(self.items - 1)
    }

    /// The items of a session: around one of them.
    pub(super) fn session(&self, session: u64) -> Vec<u64> {
        let centre = self.item(mixed(session, 0));
        let (mut seen, mut items) = (HashSet::from([centre]), vec![centre]);
        for n in 1_u64.. {
            let drawn = mixed(session, n);
            let item = match drawn % 10 {
                0..7 => (centre + 1 + (drawn >> 8) % 30) % self.items,
                _ => self.item(drawn >> 8),
            };
            if seen.insert(item) {
                items.push(item);
            }
            if items.len() == OF_SESSION {
                break;
            }
        }
        items
    }

    /// Events of some sessions as lines: each has one view for each item, or is an order.
    pub(super) fn body(&self, sessions: std::ops::Range<u64>, at: Timestamp) -> Bytes {
        let mut lines = String::new();
        for session in sessions {
            let items = self.session(session);
            let head = |n: u64, kind: &str| {
                format!(
                    r#"{{"specversion":"1.0","id":"{session}-{n}","source":"large-shop","type":"{kind}","time":"{at}""#
                )
            };
            if session % BASKET_EVERY == 0 {
                let line = |item: &u64| format!(r#"{{"product_id":"{}","quantity":1,"unit_price":2}}"#, item_id(*item));
                let of_order: Vec<String> = items.iter().map(line).collect();
                lines.push_str(&head(0, "order.placed"));
                lines.push_str(&format!(
                    r#","subject":"buyer-{session}","data":{{"order_id":"o-{session}","items":[{}]}}}}"#,
                    of_order.join(",")
                ));
                lines.push('\n');
                continue;
            }
            for (n, item) in (0..).zip(items) {
                lines.push_str(&head(n, "product.viewed"));
                let item = item_id(item);
                lines.push_str(&match session / BASKET_EVERY % ANONYMOUS_EVERY {
                    0 => format!(r#","data":{{"product_id":"{item}","session_id":"visit-{session}"}}}}"#),
                    _ => format!(r#","subject":"visitor-{session}","data":{{"product_id":"{item}"}}}}"#),
                });
                lines.push('\n');
            }
        }
        lines.into()
    }

    /// How many events these sessions have.
    pub(super) fn events(sessions: std::ops::Range<u64>) -> u64 {
        let baskets = sessions.end.div_ceil(BASKET_EVERY) - sessions.start.div_ceil(BASKET_EVERY);
        (sessions.end - sessions.start - baskets) * OF_SESSION as u64 + baskets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_other_items_and_as_many_events_as_is_told() {
        let visits = Visits { items: 1_000 };
        for range in [0..90, 5..6, 7..29] {
            let body = visits.body(range.clone(), Timestamp::EPOCH);
            let lines: Vec<serde_json::Value> = std::str::from_utf8(&body)
                .expect("text")
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            assert_eq!(lines.len() as u64, Visits::events(range));
        }
        let mut popular = 0;
        for session in 0..1_000 {
            let items = visits.session(session);
            assert_eq!(items.iter().collect::<HashSet<_>>().len(), OF_SESSION);
            assert_eq!(items, visits.session(session));
            popular += usize::from(items[0] < 125);
        }
        assert!((400..600).contains(&popular), "half of all centres are of the first eighth: {popular}");
    }
}
