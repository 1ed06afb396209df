//! What is computed from silver, and what answers questions.

use std::sync::Arc;

use tidemill_batch_views::{Customers, Gold, SqlEngine};
use tidemill_bus::Bus;
use tidemill_definitions::Metrics;
use tidemill_lake_tables::{Lake, LakeError, TableProperties};
use tidemill_service::{Context, StartError};

use crate::{
    batch::BatchViews,
    config::{BatchConfig, Config, QualityConfig},
    customers, gold,
    openlineage::OpenLineage,
    quality::{ContractChecks, QualityMeter},
    silver::SilverRules,
    sql::{SqlPlace, SqlProcesses},
    store::Store,
    telemetry::Telemetry,
};

/// Made once, when the service starts.
pub(crate) struct LakeViews {
    pub(crate) engine: Arc<SqlEngine>,
    pub(crate) gold: Arc<Gold>,
    /// Where old folders are.
    pub(crate) cold: Option<Lake>,
    /// What silver is made by.
    pub(crate) rules: Arc<SilverRules>,
    customers: Customers,
    properties: TableProperties,
    /// Files of the metrics: names and texts.
    definitions: Vec<(String, String)>,
}

impl LakeViews {
    /// Views over the tables of `lake`.
    ///
    /// # Errors
    /// Metrics cannot be read or computed in batch, or the settings of the other place are wrong.
    pub(crate) fn open(
        config: &Config,
        lake: &Lake,
        properties: &TableProperties,
        rules: &Arc<SilverRules>,
    ) -> Result<Self, StartError> {
        let definitions = Metrics::files(config.definitions.metrics.as_deref()).map_err(StartError::new)?;
        let metrics = Metrics::of_files(&definitions).map_err(StartError::new)?;
        let metrics: Vec<_> = metrics.iter().cloned().map(Arc::new).collect();
        let gold = Gold::of(&metrics).map_err(StartError::new)?.with_properties(properties.clone());
        let open = |storage| Ok(Lake::open(&storage)?.with_columns(rules.columns.more().clone()));
        let cold =
            config.lake.cold_storage().map(open).transpose().map_err(|error: LakeError| StartError::new(error))?;
        let engine = SqlEngine::new(lake.clone(), metrics, config.sql.limits()).map_err(StartError::new)?;
        Ok(Self {
            engine: Arc::new(engine.with_cold(cold.clone())),
            gold: Arc::new(gold),
            cold,
            rules: Arc::clone(rules),
            customers: Customers::new(rules.quality.clone()),
            properties: properties.clone(),
            definitions,
        })
    }

    /// What answers questions.
    pub(crate) fn processes(&self, config: &Config, lake: &Lake, name: &str) -> Result<SqlProcesses, StartError> {
        let place = SqlPlace::new(
            (lake, config.lake.storage()),
            self.cold.as_ref().zip(config.lake.cold_storage()),
            self.definitions.clone(),
        );
        SqlProcesses::new(config.sql_program.clone(), place, self.engine.clone(), name)
    }

    /// What measures how good the tables are.
    pub(crate) fn meter(
        &self,
        config: QualityConfig,
        lake: &Lake,
        store: &Store,
        bus: &Bus,
        checks: ContractChecks,
    ) -> QualityMeter {
        QualityMeter {
            config,
            engine: self.engine.clone(),
            gold: self.gold.clone(),
            lake: lake.clone(),
            properties: self.properties.clone(),
            store: store.clone(),
            bus: bus.clone(),
            checks: Arc::new(checks),
        }
    }

    /// What tells batch views.
    pub(crate) fn batch(&self, config: BatchConfig, context: &Context, store: &Store, bus: &Bus) -> BatchViews {
        BatchViews {
            context: context.clone(),
            engine: self.engine.clone(),
            store: store.clone(),
            bus: bus.clone(),
            config,
            definitions: self.definitions.clone(),
        }
    }

    /// Keeps what is computed up to silver, while that is this replica's work.
    pub(crate) fn keep<F>(self, config: &Config, context: &Context, is_ours: F, told: (Telemetry, OpenLineage))
    where
        F: Fn() -> bool + Clone + Send + Sync + 'static,
    {
        let Self { engine, gold, customers, properties, cold: _, rules: _, definitions: _ } = self;
        let every = config.gold.every();
        let (ours, lineage) = (is_ours.clone(), told.1.clone());
        let of_customers =
            customers::keep(context.clone(), customers, engine.clone(), properties, every, ours, lineage);
        context.spawn("customers", of_customers);
        context.spawn("gold", gold::keep(context.clone(), gold, engine, every, is_ours, told));
    }
}
