//! Kinds of records.

use std::fmt;

/// What reference data is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RecordKind {
    Product,
    Customer,
    Country,
    /// Of a currency to the base currency.
    Rate,
}

impl RecordKind {
    pub(crate) const ALL: [Self; 4] = [Self::Product, Self::Customer, Self::Country, Self::Rate];

    /// As in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Customer => "customer",
            Self::Country => "country",
            Self::Rate => "rate",
        }
    }

    /// As in addresses and files.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Product => "products",
            Self::Customer => "customers",
            Self::Country => "countries",
            Self::Rate => "rates",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
