//! What totals must be: the same events added up here, by another program than
//! the suite's.

use std::collections::{BTreeMap, HashSet};

use tidemill_domain::Timestamp;

use super::{
    shape::{CATEGORIES, COUNTRIES, Shape},
    workload::{Facts, Kind, LoadCustomer, Workload, category},
};

/// A dimension that a truth can be split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckedDimension {
    Category,
    Country,
    Region,
}

impl CheckedDimension {
    /// By its name in a metric.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "category" => Some(Self::Category),
            "country" => Some(Self::Country),
            "region" => Some(Self::Region),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Country => "country",
            Self::Region => "region",
        }
    }

    fn of(self, facts: &Facts) -> &'static str {
        let country = &COUNTRIES[facts.country];
        match self {
            Self::Category => CATEGORIES[category(facts.items()[0].product)],
            Self::Country => country.name,
            Self::Region => country.region,
        }
    }
}

/// The start of a window, and the values of the dimensions.
pub(super) type TrueCellKey = (Timestamp, Vec<&'static str>);

/// The total of a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TrueTotal {
    pub(super) rows: u64,
    pub(super) quantity: u64,
    pub(super) cents: u64,
    customers: HashSet<LoadCustomer>,
    documents: HashSet<u64>,
}

/// What a measure of a metric must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrueValue {
    Count(u64),
    /// A number of hundredths.
    Hundredths(u64),
}

impl TrueTotal {
    fn add(&mut self, facts: &Facts) {
        self.rows += 1;
        for item in facts.items() {
            self.quantity += u64::from(item.quantity);
            self.cents += u64::from(item.quantity) * u64::from(item.cents);
        }
        self.customers.insert(facts.customer);
        self.documents.insert(facts.document);
    }

    /// What the measure of this name must be, where it is one of those known.
    pub(super) fn measure(&self, name: &str) -> Option<TrueValue> {
        Some(match name {
            "lines" | "orders" => TrueValue::Count(self.rows),
            "invoices" => TrueValue::Count(self.documents.len() as u64),
            "customers" => TrueValue::Count(self.customers.len() as u64),
            "quantity" => TrueValue::Hundredths(self.quantity * 100),
            "net" | "sales" | "gross" | "revenue" => TrueValue::Hundredths(self.cents),
            _ => return None,
        })
    }
}

/// Whether an event is a row of the metric that its shape is checked by.
fn is_row(shape: Shape, facts: &Facts) -> bool {
    match shape {
        Shape::InvoiceLines => facts.kind == Kind::InvoiceLine,
        Shape::Shop => facts.kind == Kind::Order,
    }
}

/// The totals of the windows that start in `from..to`, which are so long.
pub(super) fn totals(
    workload: &Workload,
    dimensions: &[CheckedDimension],
    window_millis: i64,
    (from, to): (Timestamp, Timestamp),
) -> BTreeMap<TrueCellKey, TrueTotal> {
    let mut cells: BTreeMap<TrueCellKey, TrueTotal> = BTreeMap::new();
    for n in workload.first_at(from)..workload.first_at(to) {
        let facts = workload.facts(n);
        if is_row(workload.shape, &facts) {
            let values = dimensions.iter().map(|dimension| dimension.of(&facts)).collect();
            cells.entry((facts.time.floor_to(window_millis), values)).or_default().add(&facts);
        }
    }
    cells
}
