//! What kind of events a load is made of, and by which totals it is checked.

use clap::ValueEnum;

/// What kind of events a load is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Views, carts and orders of a shop
    Shop,
    /// Invoice lines, as a back office exports them
    InvoiceLines,
}

impl Shape {
    /// The built-in metric that its truth is compared with.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Shop => "order_metrics",
            Self::InvoiceLines => "daily_country",
        }
    }

    /// The measure that counts what is a row of that metric.
    pub(super) fn row_measure(self) -> &'static str {
        match self {
            Self::Shop => "orders",
            Self::InvoiceLines => "lines",
        }
    }

    /// The dimension and value that probes alone have.
    pub(super) fn probe_group(self) -> (&'static str, &'static str) {
        match self {
            Self::Shop => ("region", COUNTRIES[PROBE_COUNTRY].region),
            Self::InvoiceLines => ("country", COUNTRIES[PROBE_COUNTRY].name),
        }
    }
}

/// A country that events come from.
pub(super) struct LoadCountry {
    pub(super) code: &'static str,
    pub(super) name: &'static str,
    /// Its region in enrichment's table.
    pub(super) region: &'static str,
}

const fn country(code: &'static str, name: &'static str, region: &'static str) -> LoadCountry {
    LoadCountry { code, name, region }
}

/// Where customers are; that of the probes is the last.
pub(super) const COUNTRIES: [LoadCountry; 13] = [
    country("GB", "United Kingdom", "Europe"),
    country("DE", "Germany", "Europe"),
    country("FR", "France", "Europe"),
    country("IE", "EIRE", "Europe"),
    country("ES", "Spain", "Europe"),
    country("NL", "Netherlands", "Europe"),
    country("BE", "Belgium", "Europe"),
    country("CH", "Switzerland", "Europe"),
    country("US", "USA", "North America"),
    country("CA", "Canada", "North America"),
    country("BR", "Brazil", "Latin America"),
    country("JP", "Japan", "Asia Pacific"),
    country("ZA", "South Africa", "Middle East & Africa"),
];
/// Nobody else is there, so that their totals are theirs alone.
pub(super) const PROBE_COUNTRY: usize = COUNTRIES.len() - 1;

/// What products are counted under.
pub(super) const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];
