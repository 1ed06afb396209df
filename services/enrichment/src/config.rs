//! Settings of the service.

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use tidemill_domain::Currency;
use tidemill_service::{AuthConfig, CeilingConfig, HttpConfig, ServiceConfig, TelemetryConfig};

use crate::duplicates::MemoryLimits;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    #[serde(default = "default_http")]
    pub http: HttpConfig,
    /// The log.
    #[serde(default)]
    pub nats: tidemill_bus::Config,
    /// Its own database.
    pub store: tidemill_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// Who may read and change reference data.
    #[serde(default)]
    pub auth: AuthConfig,
    /// Places by address and by name.
    #[serde(default)]
    pub geo: GeoConfig,
    /// What the shop calls things.
    #[serde(default)]
    pub shop: ShopConfig,
    /// Reference data.
    #[serde(default)]
    pub reference: ReferenceConfig,
    /// What counts as a duplicate.
    #[serde(default)]
    pub duplicates: DuplicatesConfig,
    /// What becomes of orders.
    #[serde(default)]
    pub orders: OrdersConfig,
    /// When too much of what is read is no event.
    #[serde(default)]
    pub dead_letters: CeilingConfig,
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}

fn default_http() -> HttpConfig {
    HttpConfig::at(SocketAddr::from(([127, 0, 0, 1], 7071)))
}

/// Section `geo`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeoConfig {
    /// MMDB file with countries by address: one of ip-location-db
    /// (`country_code`) or MaxMind's (`country.iso_code`). Without one,
    /// addresses tell nothing.
    pub mmdb: Option<PathBuf>,
    /// YAML file with countries, their names and regions, in place of the
    /// table that is built in.
    pub countries: Option<PathBuf>,
}

/// Section `shop`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShopConfig {
    /// YAML file that says which members of an event are the products, the
    /// customer, the country and the currency, by which business keys an event is
    /// known that comes again under another id, what becomes of orders, and which
    /// attribute of a record is a product's category and a customer's country, in
    /// place of the built-in definition.
    pub definition: Option<PathBuf>,
    /// The base currency, by its ISO 4217 code: that of amounts whose event names
    /// none, and the one that rates lead to. Totals of each currency stay as they
    /// are when it changes; what was converted before is not converted anew.
    pub currency: Currency,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self { definition: None, currency: Currency::EUR }
    }
}

/// Section `reference`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReferenceConfig {
    /// YAML or CSV files with products, customers, countries and rates, loaded at
    /// start when their content is new.
    pub files: Vec<PathBuf>,
    /// How far ahead a change becomes valid, so that every replica knows it in
    /// time. Must be longer than `poll_millis`.
    pub lead_seconds: u32,
    /// How often a replica looks for changes.
    pub poll_millis: u32,
    /// Products, and as many customers, that are kept in memory.
    pub cached_entries: u64,
    /// Customers that may be known by what events say of them alone, where the shop's
    /// definition has a section `customer_changes`. Beyond them, events make no new one
    /// known.
    pub claimed_customers: u32,
}

impl Default for ReferenceConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            lead_seconds: 3,
            poll_millis: 1000,
            cached_entries: 200_000,
            claimed_customers: 1_000_000,
        }
    }
}

impl ReferenceConfig {
    pub(crate) fn lead_millis(&self) -> i64 {
        i64::from(self.lead_seconds) * 1000
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_millis.into())
    }
}

/// Section `duplicates`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicatesConfig {
    /// For how long an event is remembered at least, by the log's clock: the horizon,
    /// which moves in steps of ten seconds. One
    /// that comes again later than this is counted once more, unless it is late
    /// by then: keep this longer than aggregation's `allowed_lateness_seconds`
    /// and `out_of_orderness_seconds` together.
    pub horizon_seconds: u32,
    /// Keys that a partition keeps in memory, about, at some 60 bytes each. An
    /// event has one, and one more if its type has a business key. When there are
    /// more, the older half is sealed: it lies in the store, at 11 bytes a key, and
    /// memory has a filter of it, at 9 bits a key.
    pub keys_per_partition: usize,
    /// Keys of a partition that are sealed at most. When there are more, the
    /// oldest are forgotten before their time, and
    /// `tidemill_enrichment_keys_dropped_total` counts them.
    pub sealed_keys_per_partition: u64,
}

impl Default for DuplicatesConfig {
    fn default() -> Self {
        Self {
            // Aggregation takes what is seven days late.
            horizon_seconds: (7 * 24 + 1) * 3600,
            keys_per_partition: 32_768,
            // 25 hours of 20,000 events a second over 32 partitions, and a tenth more that is
            // beyond the horizon and not yet written anew.
            sealed_keys_per_partition: 64_000_000,
        }
    }
}

/// The steps in which the horizon moves. A time of a key takes two bytes in the store
/// while a run is of less than a week.
const TICK_MILLIS: u32 = 10_000;
/// Keys of one run when all is merged. More are merged faster than they are looked up,
/// and take more memory for that moment.
const RUN_KEYS: RangeInclusive<u64> = 1 << 20..=1 << 22;
/// So that a range of keys has about four such runs.
const WHOLE_RUNS: u64 = 64;

impl DuplicatesConfig {
    pub(crate) fn limits(&self) -> MemoryLimits {
        MemoryLimits {
            horizon_millis: i64::from(self.horizon_seconds) * 1000,
            tick_millis: TICK_MILLIS,
            keys: self.keys_per_partition,
            sealed_keys: self.sealed_keys_per_partition,
            run_keys: (self.sealed_keys_per_partition / WHOLE_RUNS).clamp(*RUN_KEYS.start(), *RUN_KEYS.end()),
        }
    }
}

/// Section `orders`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrdersConfig {
    /// For how many days an order is remembered after the last event about it, by
    /// the log's clock: as long as a return may take. A refund of one that is not
    /// remembered counts under no product, and without an amount as nothing. An
    /// order takes some 300 bytes in the store, and 100 more for each line.
    pub remembered_days: u32,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self { remembered_days: 100 }
    }
}

impl OrdersConfig {
    pub(crate) fn horizon_millis(&self) -> i64 {
        i64::from(self.remembered_days) * 24 * 3_600_000
    }
}

impl Config {
    /// What no single section can see is wrong.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let reference = &self.reference;
        if reference.poll_millis == 0 {
            return Err("reference.poll_millis must be at least 1".into());
        }
        if reference.lead_millis() <= i64::from(reference.poll_millis) {
            return Err("reference.lead_seconds must be longer than reference.poll_millis".into());
        }
        if self.orders.remembered_days == 0 {
            return Err("orders.remembered_days must be at least 1".into());
        }
        if self.duplicates.keys_per_partition == 0 {
            return Err("duplicates.keys_per_partition must be at least 1".into());
        }
        Ok(())
    }
}
