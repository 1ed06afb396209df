//! For benches: messages of the log into tables, without NATS and without the store.

use std::path::Path;

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{Encoded, EnrichedBatch, Message, RawBatch};
use tidemill_lake_tables::{
    AppId, Appender, Lake, LakeError, OrderKeeper, S3Config, StorageConfig, TablePart, TableProperties, TableRows,
    tables::{BronzeEvent, SilverEvent, SilverOrder, SilverOrderLine},
    testing,
};
use tidemill_lateness::{Clocks, EventTimeRules, LeftOut};

use crate::{
    bronze::{add_batch, long},
    config::ContractsConfig,
    silver::{SilverBatch, SilverRows, SilverRules},
};

/// The rows and tables of one partition of the log.
pub struct MeasuredLake {
    partition: Partition,
    bronze: TableRows<BronzeEvent<'static>>,
    silver: SilverRows,
    rules: SilverRules,
    clocks: Clocks,
    left_out: LeftOut,
    reached: i64,
    bronze_events: Appender,
    silver_events: Appender,
    order_lines: Appender,
    orders: OrderKeeper,
}

/// Rows that a commit takes in.
#[derive(Debug, Clone)]
pub struct MeasuredParts {
    bronze_events: TablePart,
    silver_events: TablePart,
    order_lines: TablePart,
    orders: TablePart,
}

#[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
impl MeasuredLake {
    /// A lake in an empty folder.
    pub async fn open(folder: &Path) -> Self {
        let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
        let rules = SilverRules::load(&ContractsConfig::default()).expect("the shipped contracts");
        Self::try_open(&Lake::open(&storage).expect("a folder"), rules).await.expect("tables")
    }

    async fn try_open(lake: &Lake, rules: SilverRules) -> Result<Self, LakeError> {
        let properties = TableProperties {
            owner: "bench".into(),
            checkpoint_interval: 20,
            log_retention_hours: 168,
            deleted_files_hours: 168,
        };
        let table = |definition| lake.table(definition, &properties);
        Ok(Self {
            partition: Partition::new(0),
            bronze: TableRows::new()?,
            silver: SilverRows::new(&rules)?,
            rules,
            clocks: Clocks::new(EventTimeRules::default()),
            left_out: LeftOut::default(),
            reached: 0,
            bronze_events: Appender::new(table(&BronzeEvent::TABLE).await?, "raw_seq"),
            silver_events: Appender::new(table(&SilverEvent::TABLE).await?, "raw_seq"),
            order_lines: Appender::new(table(&SilverOrderLine::TABLE).await?, "raw_seq"),
            orders: OrderKeeper::new(table(&SilverOrder::TABLE).await?),
        })
    }

    /// Gathers the rows of a message of `RAW`.
    pub fn bronze(&mut self, message: &Encoded, raw_seq: u64) {
        let batch = RawBatch::decode(message, message.payload.clone()).expect("a batch");
        add_batch(&mut self.bronze, &batch, raw_seq);
    }

    /// Gathers the rows of a message of `ENRICHED`.
    pub fn silver(&mut self, message: &Encoded) {
        let batch = EnrichedBatch::decode(message, message.payload.clone()).expect("a batch");
        let read = SilverBatch::read(&batch);
        read.add(&mut self.silver, &mut self.clocks, &mut self.left_out, &self.rules).expect("no contract stops it");
        self.reached = long(batch.raw_seq);
    }

    /// Takes out what is gathered.
    pub fn parts(&mut self) -> MeasuredParts {
        let (partition, reaches) = (self.partition, self.reached);
        let part = |table, rows| TablePart { app: AppId::of(table, partition), reaches, rows };
        MeasuredParts {
            bronze_events: part(&BronzeEvent::TABLE, self.bronze.take().expect("rows")),
            silver_events: part(&SilverEvent::TABLE, self.silver.events.take().expect("rows")),
            order_lines: part(&SilverOrderLine::TABLE, self.silver.lines.take().expect("rows")),
            orders: part(&SilverOrder::TABLE, self.silver.orders.take().expect("rows")),
        }
    }

    /// Commits to `bronze.events`; answers how many rows are new.
    pub async fn commit_bronze(&mut self, parts: &MeasuredParts) -> usize {
        self.bronze_events.append(std::slice::from_ref(&parts.bronze_events)).await.expect("commits").rows
    }

    /// Commits to `silver.events`; answers how many rows are new.
    pub async fn commit_events(&mut self, parts: &MeasuredParts) -> usize {
        self.silver_events.append(std::slice::from_ref(&parts.silver_events)).await.expect("commits").rows
    }

    /// Commits to `silver.order_lines`; answers how many rows are new.
    pub async fn commit_lines(&mut self, parts: &MeasuredParts) -> usize {
        self.order_lines.append(std::slice::from_ref(&parts.order_lines)).await.expect("commits").rows
    }

    /// Commits to `silver.orders`; answers how many changes are new.
    pub async fn commit_orders(&mut self, parts: &MeasuredParts) -> usize {
        self.orders.apply(std::slice::from_ref(&parts.orders)).await.expect("commits").rows
    }

    /// Columns of a table's rows, as texts.
    pub async fn rows(folder: &Path, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let storage = StorageConfig { url: folder.display().to_string(), s3: S3Config::default() };
        testing::rows(&Lake::open(&storage).expect("a folder"), table, columns).await.expect("rows")
    }

    /// The time that event time has begun at, for who makes events.
    pub const BEGIN: Timestamp = Timestamp::saturating_from_millis(1_764_547_200_000);
}
