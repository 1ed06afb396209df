//! What all partitions of the process share.

use std::sync::Arc;

use tidemill_bus::Bus;
use tidemill_domain::{Currency, Partition};
use tidemill_service::{Breaker, CeilingConfig, Conditions, Context};

use crate::{
    archive::Archive, config::Config, duplicates::MemoryLimits, geo::Geo, reference::Reference, shop::ShopDefinition,
    store::Store, telemetry::Telemetry,
};

pub(crate) struct Resources {
    pub(crate) bus: Bus,
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Archive,
    pub(crate) shop: ShopDefinition,
    pub(crate) reference: Arc<Reference>,
    /// How far ahead a change becomes valid.
    pub(crate) lead_millis: i64,
    /// Customers that may be known by claims alone.
    pub(crate) most_claimed: u32,
    pub(crate) geo: Geo,
    /// The base currency.
    pub(crate) currency: Currency,
    pub(crate) limits: MemoryLimits,
    /// For how long an order is remembered.
    pub(crate) order_horizon_millis: i64,
    pub(crate) ceiling: CeilingConfig,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) context: Context,
    pub(crate) nats: Breaker,
    pub(crate) store_breaker: Breaker,
    pub(crate) conditions: Conditions<Partition>,
}

impl Resources {
    /// As the settings say: with what files define, with a store and reference data that
    /// may be of another, and with what leads outside.
    pub(crate) fn new(
        config: &Config,
        (shop, geo): (ShopDefinition, Geo),
        (store, reference): (Arc<Store>, Arc<Reference>),
        (bus, context): (Bus, Context),
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let store_breaker = context.breaker("store");
        Self {
            bus,
            archive: Archive::new(store.clone(), store_breaker.clone()),
            store,
            shop,
            reference,
            lead_millis: config.reference.lead_millis(),
            most_claimed: config.reference.claimed_customers,
            geo,
            currency: config.shop.currency,
            limits: config.duplicates.limits(),
            order_horizon_millis: config.orders.horizon_millis(),
            ceiling: config.dead_letters,
            telemetry,
            nats: context.breaker("nats"),
            store_breaker,
            conditions: Conditions::new(&context.health, "partition"),
            context,
        }
    }
}
