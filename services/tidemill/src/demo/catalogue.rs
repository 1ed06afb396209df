//! The shop that the demo plays: its products, customers and where they live.

use std::fmt::Write;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use tidemill_domain::Currency;

use super::spread::Spread;

/// Categories, and their products' names and prices in cents. The first three of a category
/// go together, and so do the last three.
const CATEGORIES: [(&str, [(&str, u32); 6]); 5] = [
    (
        "Books",
        [
            ("The Tide Tables", 1899),
            ("A Year of Storms", 2450),
            ("Knots, Illustrated", 1295),
            ("Mills of the Coast", 2199),
            ("Salt and Stone", 1650),
            ("The Lock Keeper", 999),
        ],
    ),
    (
        "Games",
        [
            ("Harbour Master", 4999),
            ("Lighthouse", 3450),
            ("Nine Fathoms", 2999),
            ("Paper Boats", 1999),
            ("Ebb and Flow", 3999),
            ("Regatta", 5499),
        ],
    ),
    (
        "Garden",
        [
            ("Watering Can", 2250),
            ("Cedar Planter", 6900),
            ("Hand Trowel", 1399),
            ("Bird Bath", 5450),
            ("Rain Gauge", 1150),
            ("Sundial", 4800),
        ],
    ),
    (
        "Kitchen",
        [
            ("Stone Mill", 8900),
            ("Flour Sieve", 1575),
            ("Bread Tin", 1325),
            ("Oak Board", 3995),
            ("Copper Pot", 7950),
            ("Tea Strainer", 845),
        ],
    ),
    (
        "Music",
        [
            ("Violin", 12900),
            ("Violin Bow", 8999),
            ("Violin Case", 14950),
            ("Acoustic Guitar", 19900),
            ("Guitar Strings", 1999),
            ("Guitar Bag", 7900),
        ],
    ),
];

/// Countries with their share of customers and the start of an address range
/// that is theirs (checked against DB-IP's country data).
const COUNTRIES: [(&str, u32, [u8; 3]); 8] = [
    ("GB", 34, [81, 2, 69]),
    ("DE", 18, [85, 214, 132]),
    ("FR", 12, [90, 0, 0]),
    ("US", 16, [12, 0, 0]),
    ("CA", 5, [24, 48, 0]),
    ("JP", 6, [133, 1, 0]),
    ("AU", 5, [101, 160, 0]),
    ("BR", 4, [200, 147, 3]),
];

/// What people of the shop pay in: its own currency, and one more.
#[derive(Debug, Clone)]
pub(super) struct Currencies {
    pub(super) base: String,
    pub(super) second: String,
    /// The country where they pay in the second.
    pub(super) second_in: &'static str,
    /// What one of the second is in the first.
    rate: &'static str,
}

impl Currencies {
    pub(super) fn of(base: Currency) -> Self {
        let base = base.to_string();
        let (second, second_in, rate) = if base == "GBP" { ("EUR", "DE", "0.85") } else { ("GBP", "GB", "1.17") };
        Self { base, second: second.into(), second_in, rate }
    }
}

/// Number of customers with a profile.
pub(super) const CUSTOMERS: u32 = 6_000;
/// Those of them who come more often.
const REGULARS: u32 = 1_000;
/// Products that go together.
const SET: usize = 3;
/// Sets of them.
const SETS: usize = CATEGORIES.len() * 2;
/// Of a customer's looks, those at what goes together with what they came for, and
/// those at more of its category.
const OF_SET: f64 = 0.65;
const OF_CATEGORY: f64 = 0.85;

/// One product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) id: (usize, usize),
    pub(super) cents: u32,
}

impl Product {
    pub(super) fn any(rng: &mut StdRng) -> Self {
        let category = rng.random_range(0..CATEGORIES.len());
        Self::of(category, rng)
    }

    /// One that somebody looks at who came for these.
    pub(super) fn looked_at(set: usize, rng: &mut StdRng) -> Self {
        match rng.random::<f64>() {
            draw if draw < OF_SET => Self::numbered(set / 2, set % 2 * SET + rng.random_range(0..SET)),
            draw if draw < OF_CATEGORY => Self::of(set / 2, rng),
            _ => Self::any(rng),
        }
    }

    /// Which others it goes together with: a number for all of them.
    pub(super) fn set(self) -> usize {
        self.id.0 * 2 + self.id.1 / SET
    }

    /// The next one that goes together with it.
    pub(super) fn companion(self) -> Self {
        let (category, index) = self.id;
        Self::numbered(category, index / SET * SET + (index + 1) % SET)
    }

    /// One of the category that the flash sale is about.
    pub(super) fn on_sale(rng: &mut StdRng) -> Self {
        Self::of(1, rng)
    }

    /// One that orders have evenly.
    pub(super) fn spread(categories: &mut Spread, products: &mut Spread) -> Self {
        let category = categories.place(CATEGORIES.len());
        let index = products.place(CATEGORIES[category].1.len());
        Self::numbered(category, index)
    }

    fn of(category: usize, rng: &mut StdRng) -> Self {
        let index = rng.random_range(0..CATEGORIES[category].1.len());
        Self::numbered(category, index)
    }

    fn numbered(category: usize, index: usize) -> Self {
        Self { id: (category, index), cents: CATEGORIES[category].1[index].1 }
    }

    /// `music-guitar-strings`.
    pub(super) fn sku(self) -> String {
        let (category, products) = CATEGORIES[self.id.0];
        let words = products[self.id.1].0.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        [category].into_iter().chain(words).collect::<Vec<_>>().join("-").to_lowercase()
    }
}

/// One customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) country: &'static str,
    pub(super) ip: String,
    /// What they come for: a set of products.
    pub(super) interest: usize,
}

impl Customer {
    /// The customer with this number; the same number gives the same one.
    pub(super) fn numbered(n: u32) -> Self {
        let total: u32 = COUNTRIES.iter().map(|(_, share, _)| share).sum();
        // A multiplicative hash spreads neighbours over countries.
        let mut at = n.wrapping_mul(2_654_435_761) % total;
        let (country, range) = COUNTRIES
            .iter()
            .find_map(|(country, share, range)| {
                if at < *share {
                    Some((*country, *range))
                } else {
                    at -= share;
                    None
                }
            })
            .unwrap_or((COUNTRIES[0].0, COUNTRIES[0].2));
        let [a, b, c] = range;
        // Another hash, so that a country has all interests.
        let interest = (n.wrapping_mul(2_246_822_519) >> 16) as usize % SETS;
        Self { id: format!("c-{n:05}"), country, ip: format!("{a}.{b}.{c}.{}", n % 250 + 1), interest }
    }

    /// One who comes for this set.
    pub(super) fn who_comes_for(set: usize, rng: &mut StdRng) -> Self {
        // One in ten does. That none of so many does, comes about once in a thousand times.
        let first = Self::any(rng);
        (0..64).map(|_| Self::any(rng)).find(|customer| customer.interest == set).unwrap_or(first)
    }

    pub(super) fn any(rng: &mut StdRng) -> Self {
        // Some customers come more often than others.
        let n = if rng.random_bool(0.1) { rng.random_range(0..REGULARS) } else { rng.random_range(0..CUSTOMERS) };
        Self::numbered(n)
    }

    /// An address in a country that is not the customer's.
    pub(super) fn foreign_ip(&self, rng: &mut StdRng) -> String {
        let others: Vec<_> = COUNTRIES.iter().filter(|(country, ..)| *country != self.country).collect();
        let [a, b, c] = others.choose(rng).map_or(COUNTRIES[0].2, |(_, _, range)| *range);
        format!("{a}.{b}.{c}.{}", rng.random_range(1..250))
    }
}

/// Products, customers and the rate of the second currency as a reference file for
/// enrichment.
pub(super) fn reference_file(currencies: &Currencies) -> String {
    let Currencies { second, rate, .. } = currencies;
    let mut yaml = format!("rates:\n  - {{ id: {second}, rate: \"{rate}\" }}\nproducts:\n");
    for (c, (category, products)) in CATEGORIES.iter().enumerate() {
        for (p, (name, _)) in products.iter().enumerate() {
            let sku = Product { id: (c, p), cents: 0 }.sku();
            // Writing to a String cannot fail.
            let _ = writeln!(yaml, "  - {{ id: {sku}, category: {category}, name: \"{name}\" }}");
        }
    }
    yaml.push_str("customers:\n");
    for n in 0..CUSTOMERS {
        let customer = Customer::numbered(n);
        let segment = if n < REGULARS { "regular" } else { "occasional" };
        let _ = writeln!(yaml, "  - {{ id: {}, country: {}, segment: {segment} }}", customer.id, customer.country);
    }
    yaml
}
