//! Countries by address.

#[cfg(test)]
mod tests;

use std::{net::IpAddr, path::Path};

use maxminddb::Reader;
use serde::Deserialize;

use super::country::Country;
use crate::error::Error;

/// A country file, or none.
pub(crate) struct Geo(Option<Reader<Vec<u8>>>);

/// A record of ip-location-db, which is flat, or of MaxMind, which is not.
#[derive(Deserialize)]
struct CountryEntry<'a> {
    country_code: Option<&'a str>,
    #[serde(borrow)]
    country: Option<Nested<'a>>,
}

#[derive(Deserialize)]
struct Nested<'a> {
    iso_code: Option<&'a str>,
}

impl Geo {
    /// Reads the file into memory.
    pub(crate) fn open(mmdb: Option<&Path>) -> Result<Self, Error> {
        let open = |path: &Path| {
            Reader::open_readfile(path).map_err(|e| Error::definition(&path.display().to_string(), e.to_string()))
        };
        Ok(Self(mmdb.map(open).transpose()?))
    }

    /// The country of an address; `None` for one that is private, unknown or
    /// malformed.
    pub(crate) fn country(&self, address: &str) -> Option<Country> {
        let file = self.0.as_ref()?;
        let address: IpAddr = address.parse().ok()?;
        // What came over a dual-stack socket is an IPv4 address all the same.
        let entry: CountryEntry<'_> = file.lookup(address.to_canonical()).ok()?.decode().ok()??;
        Country::from_code(entry.country_code.or_else(|| entry.country?.iso_code)?)
    }
}
