//! Totals of which the stream and a batch view say something else.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::{Value as Json, json};
use tidemill_domain::{Partition, Timestamp};
use tidemill_totals::{Totals, Value};
use utoipa::ToSchema;

use super::source::LandedView;
use crate::{catalogue::Metric, read_model::CellState};

/// A cell's dimensions and a partition.
pub(crate) type CellInPartition = (Arc<str>, Partition);

/// A cell of a partition that both know otherwise, at one place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellDrift {
    /// First instant of the window.
    pub(crate) start: Timestamp,
    /// First instant after it.
    pub(crate) end: Timestamp,
    /// The dimensions' canonical JSON.
    pub(crate) dimensions: Arc<str>,
    pub(crate) partition: Partition,
    /// The `RAW` sequence at which they were compared.
    pub(crate) raw_seq: u64,
    /// What the stream has, if anything.
    pub(crate) speed: Option<Totals>,
    /// What the view has, if anything.
    pub(crate) batch: Option<Totals>,
}

impl CellDrift {
    /// Of a total that a view tells.
    pub(super) fn of(start: Timestamp, place: &CellInPartition, batch: &CellState, speed: Option<Totals>) -> Self {
        let (dimensions, partition) = place.clone();
        let CellState { end, raw_seq, ref totals, .. } = *batch;
        Self { start, end, dimensions, partition, raw_seq, speed, batch: Some(totals.clone()) }
    }

    /// Of a total of the stream, which is still there although a view reaches so far.
    pub(super) fn left(
        start: Timestamp,
        place: &CellInPartition,
        speed: &CellState,
        batch: Option<&CellState>,
        reach: u64,
    ) -> Self {
        let (dimensions, partition) = place.clone();
        let (speed, end) = ((!speed.retracted).then(|| speed.totals.clone()), speed.end);
        let raw_seq = batch.map_or(reach, |batch| batch.raw_seq);
        Self { start, end, dimensions, partition, raw_seq, speed, batch: batch.map(|batch| batch.totals.clone()) }
    }
}

/// How the stream and the batch views of the lake differ.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DriftAnswer {
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) as_of: Timestamp,
    /// Whether no cell differs.
    pub(crate) equal: bool,
    /// Each metric that has a batch view.
    pub(crate) metrics: Vec<DriftMetric>,
    /// Cells that differ, the earliest windows first.
    pub(crate) cells: Vec<DriftCell>,
}

/// What was compared of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DriftMetric {
    /// Its name.
    pub(crate) metric: String,
    /// The definition's version.
    pub(crate) version: String,
    /// The newest batch view that was told to its end.
    pub(crate) view: u64,
    /// When it was computed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) computed_at: Timestamp,
    /// It has windows that start then or later.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    /// Totals of it that were compared with the stream's.
    pub(crate) compared: u64,
    /// Cells that differ, in any view.
    pub(crate) differ: u64,
}

impl DriftMetric {
    pub(crate) fn of(view: LandedView, differ: u64) -> Self {
        let LandedView { metric, version, number, since, computed_at, compared, .. } = view;
        Self { metric, version, view: number, computed_at, since, compared, differ }
    }
}

/// A cell that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DriftCell {
    /// The metric's name.
    pub(crate) metric: String,
    /// The definition's version.
    pub(crate) version: String,
    /// First instant of the window.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) start: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) end: Timestamp,
    /// Values of the dimensions.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// The partition of the log.
    #[schema(value_type = u16)]
    pub(crate) partition: Partition,
    /// The `RAW` sequence at which both were compared.
    pub(crate) raw_seq: u64,
    /// The stream's values by measure, which answer; none where it has no such cell.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) speed: BTreeMap<String, Value>,
    /// The batch view's.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) batch: BTreeMap<String, Value>,
    /// Speed less batch, of measures that differ: amounts as strings, counts as numbers. 0
    /// where the values are the same, and their rows are not.
    pub(crate) difference: BTreeMap<String, Json>,
}

/// A differing cell of a metric, as people are told of it.
pub(crate) fn told(metric: &Metric, drift: &CellDrift) -> DriftCell {
    let values = |totals: &Option<Totals>| -> BTreeMap<String, Value> {
        let totals = totals.iter().flat_map(|totals| &totals.0);
        metric.measures.iter().zip(totals).map(|(measure, total)| (measure.name.clone(), total.value())).collect()
    };
    let (speed, batch) = (values(&drift.speed), values(&drift.batch));
    let of = |side: &BTreeMap<String, Value>, name: &str| side.get(name).cloned().unwrap_or(Value::None);
    let total = |side: &Option<Totals>, at: usize| side.as_ref().and_then(|totals| totals.0.get(at)).cloned();
    let differs = |at: usize| match (total(&drift.speed, at), total(&drift.batch, at)) {
        (Some(one), Some(other)) => !Totals(vec![one]).comes_to_the_same(&Totals(vec![other])),
        (one, other) => one.is_some() || other.is_some(),
    };
    let measures = metric.measures.iter().enumerate().filter(|(at, _)| differs(*at));
    let difference = measures.map(|(_, measure)| {
        let name = &measure.name;
        (name.clone(), less(&of(&speed, name), &of(&batch, name)))
    });
    DriftCell {
        metric: metric.name.clone(),
        version: metric.version.clone(),
        start: drift.start,
        end: drift.end,
        dimensions: serde_json::from_str(&drift.dimensions).unwrap_or_default(),
        partition: drift.partition,
        raw_seq: drift.raw_seq,
        difference: difference.collect(),
        speed,
        batch,
    }
}

/// By how much the first is more than the second; of counts and amounts exactly.
pub(crate) fn less(one: &Value, other: &Value) -> Json {
    match (one, other) {
        (Value::Count(one), Value::Count(other)) => json!(one.cast_signed() - other.cast_signed()),
        (Value::None, Value::Count(other)) => json!(-other.cast_signed()),
        (Value::Count(one), Value::None) => json!(one),
        (Value::Amount(one), Value::Amount(other)) => json!((*one - *other).to_string()),
        (Value::None, Value::Amount(other)) => json!((-*other).to_string()),
        (Value::Amount(one), Value::None) => json!(one.to_string()),
        _ => json!(one.to_f64().unwrap_or_default() - other.to_f64().unwrap_or_default()),
    }
}
