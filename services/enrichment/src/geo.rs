//! Places: countries by code and by name, sales regions, and countries by address.

mod addresses;
mod countries;
mod country;

pub(crate) use addresses::Geo;
pub(crate) use countries::Countries;
pub(crate) use country::Country;
