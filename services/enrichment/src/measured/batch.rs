//! For benches: what a batch costs between two messages.

use std::{collections::HashSet, path::Path, sync::Arc};

use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_events::{Encoded, Message, RawBatch};
use tidemill_service::Registry;

use crate::{
    batch::{BatchPlace, ParsedBatch},
    config::{DuplicatesConfig, OrdersConfig, ReferenceConfig},
    duplicates::{Duplicates, SealedKeys, Sightings},
    geo::{Countries, Geo},
    orders::{OrderMemory, PastEffects},
    reference::{Record, RecordAttributes, RecordKind, Reference},
    shop::ShopDefinition,
    store::Store,
    telemetry::{Spans, Telemetry},
};

/// A partition whose checkpoints are not written.
pub struct MeasuredPartition {
    shop: ShopDefinition,
    reference: Reference,
    geo: Geo,
    currency: Currency,
    duplicates: Duplicates,
    orders: OrderMemory,
    raw_seq: u64,
}

impl MeasuredPartition {
    /// A partition that has seen nothing, and knows these products by id and category.
    ///
    /// # Panics
    /// When the store cannot be made.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub async fn open(folder: &Path, products: &[(String, String)]) -> Self {
        let store =
            tidemill_store::Config { url: format!("sqlite://{}/enrichment.db", folder.display()), max_connections: 2 };
        let store = Arc::new(Store::open(&store, Currency::EUR).await.expect("opens"));
        let record = |(id, category): &(String, String)| Record {
            kind: RecordKind::Product,
            id: id.clone(),
            valid_from: None,
            attributes: RecordAttributes::from([("category".into(), category.clone())]),
        };
        let records: Vec<_> = products.iter().map(record).collect();
        store.accept(&records, Timestamp::EPOCH).await.expect("accepts");
        let shop = ShopDefinition::load(None).expect("is built in");
        let countries = Countries::built_in().expect("are built in");
        let telemetry = Arc::new(Telemetry::new(&Registry::default()));
        let reference = Reference::new(store, countries, shop.records.clone(), &ReferenceConfig::default(), telemetry);
        reference.refresh().await.expect("reads");
        Self {
            shop,
            reference,
            geo: Geo::open(None).expect("needs no file"),
            currency: Currency::EUR,
            duplicates: Duplicates::restore(DuplicatesConfig::default().limits(), SealedKeys::default(), []),
            orders: OrderMemory::restore(OrdersConfig::default().horizon_millis(), HashSet::new()),
            raw_seq: 0,
        }
    }

    /// Reads the next batch, enriches it and writes it.
    ///
    /// # Panics
    /// When it is no batch.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
    pub async fn enrich(&mut self, message: &Encoded) -> Encoded {
        let raw = RawBatch::decode(message, message.payload.clone()).expect("a batch");
        self.raw_seq += 1;
        let (batch, _) = ParsedBatch::parse(self.raw_seq, &raw, &self.shop);
        let keys = batch.keys();
        let batch = batch.mark(&mut self.duplicates, &keys, &Sightings::default());
        self.duplicates.saved();
        let statements = batch.event_statements(&self.geo, self.currency);
        let settled = self.orders.settle(raw.ingested_at, statements, &Default::default(), &PastEffects::default());
        let batch = batch.settled(settled.changes);
        let spans = Spans::open(batch.events(), self.raw_seq, None);
        let known = self.reference.snapshot(batch.products(), batch.customers()).await.expect("reads");
        let place = BatchPlace { raw_seq: self.raw_seq, raw_prev: self.raw_seq - 1, remade: None };
        let joined = batch.join(&known, &self.geo, self.currency);
        let encoded = joined.encode(Partition::new(0), place, spans.traceparent()).expect("writes");
        encoded.message.encode().expect("writes")
    }
}
