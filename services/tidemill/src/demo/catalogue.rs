//! The shop that the demo plays: its products, customers and where they live.

use std::fmt::Write;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use tidemill_domain::Currency;

use super::spread::Spread;

/// Categories, and their products' names and prices in cents.
const CATEGORIES: [(&str, [(&str, u32); 6]); 5] = [
    (
        "Books",
        [
            ("The Tide Tables", 1899),
            ("Mills of the Coast", 2450),
            ("Salt and Stone", 1295),
            ("A Year of Storms", 2199),
            ("Knots, Illustrated", 1650),
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
            ("Bird Bath", 5450),
            ("Hand Trowel", 1399),
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
        "Audio",
        [
            ("Wave Radio", 12900),
            ("Shell Speaker", 8999),
            ("Headphones", 14950),
            ("Turntable", 19900),
            ("Cable Set", 1999),
            ("Earbuds", 7900),
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

    /// One of the category that the flash sale is about.
    pub(super) fn on_sale(rng: &mut StdRng) -> Self {
        Self::of(1, rng)
    }

    /// One that orders have evenly.
    pub(super) fn spread(categories: &mut Spread, products: &mut Spread) -> Self {
        let category = categories.place(CATEGORIES.len());
        let index = products.place(CATEGORIES[category].1.len());
        Self { id: (category, index), cents: CATEGORIES[category].1[index].1 }
    }

    fn of(category: usize, rng: &mut StdRng) -> Self {
        let index = rng.random_range(0..CATEGORIES[category].1.len());
        Self { id: (category, index), cents: CATEGORIES[category].1[index].1 }
    }

    pub(super) fn sku(self) -> String {
        format!("{}-{}", CATEGORIES[self.id.0].0.to_lowercase(), self.id.1 + 1)
    }
}

/// One customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) country: &'static str,
    pub(super) ip: String,
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
        Self { id: format!("c-{n:05}"), country, ip: format!("{a}.{b}.{c}.{}", n % 250 + 1) }
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
