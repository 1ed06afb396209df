//! A session of DataFusion that knows our functions and the metrics.

use std::sync::Arc;

use deltalake::{
    datafusion::{
        execution::{SessionStateBuilder, runtime_env::RuntimeEnv},
        prelude::{SessionConfig, SessionContext},
    },
    delta_datafusion::planner::DeltaPlanner,
};
use tidemill_definitions::MetricDefinition;

use crate::{amounts, rows::RowFunction, sketches};

/// The catalog that the layers are schemas of.
pub(crate) const CATALOG: &str = "lake";

/// A session over a runtime.
pub(crate) fn session(runtime: Arc<RuntimeEnv>) -> SessionContext {
    let mut config =
        SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema(CATALOG, "gold");
    // Our functions take texts as they are in memory, not views of them.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        // What is written into a table goes through nodes of Delta.
        .with_query_planner(DeltaPlanner::new());
    SessionContext::new_with_state(state.build())
}

/// Makes the functions of plans known.
pub(crate) fn register(context: &SessionContext, metrics: &[Arc<MetricDefinition>]) {
    amounts::functions().into_iter().for_each(|function| context.register_udf(function));
    sketches::aggregates().into_iter().for_each(|aggregate| context.register_udaf(aggregate));
    metrics.iter().map(RowFunction::of).for_each(|function| context.register_udf(function));
}
