//! The row function: what each event contributes to a metric, told by the code that
//! tells it in the stream.

mod builder;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use deltalake::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        datatypes::{DataType, Int32Type},
    },
    datafusion::{
        common::Result,
        logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
    },
};
use tidemill_definitions::{Data, MetricDefinition};
use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use crate::columns::MetricColumns;
use builder::RowsBuilder;

/// The columns of `silver.events` that it takes, in their order.
pub(crate) const ARGUMENTS: [&str; 7] = ["partition", "id", "source", "type", "subject", "data", "enriched"];

/// `rows_of_<metric>(partition, id, source, type, subject, data, enriched)`: a list of
/// structs, one for each row of the event that counts.
#[derive(Debug)]
pub(crate) struct RowFunction {
    name: String,
    metric: Arc<MetricDefinition>,
    columns: MetricColumns,
    signature: Signature,
}

impl RowFunction {
    pub(crate) fn of(metric: &Arc<MetricDefinition>) -> ScalarUDF {
        let text = DataType::Utf8;
        let types = [DataType::Int32].into_iter().chain(std::iter::repeat_n(text, ARGUMENTS.len() - 1)).collect();
        ScalarUDF::from(Self {
            name: Self::name_for(metric),
            metric: Arc::clone(metric),
            columns: MetricColumns::of(metric),
            signature: Signature::exact(types, Volatility::Immutable),
        })
    }

    pub(crate) fn name_for(metric: &MetricDefinition) -> String {
        format!("rows_of_{}", metric.name)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.metric.version() == other.metric.version()
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.metric.version()).hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(builder::list_of(&self.columns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (partitions, texts) = (arrays[0].as_primitive::<Int32Type>(), &arrays[1..]);
        let texts = Texts(texts);
        let mut rows = RowsBuilder::new(&self.metric, &self.columns, partitions.len());
        let unknown = EnrichmentRef::default();
        for (place, partition) in partitions.values().iter().enumerate() {
            let event = texts.event(place);
            match texts.get(5, place).map(serde_json::from_str::<EnrichmentRef<'_>>) {
                // Aggregation sets such an event aside: it is in no total.
                Some(Err(_)) => {}
                enrichment => {
                    let enrichment = enrichment.and_then(std::result::Result::ok);
                    let enrichment = enrichment.as_ref().unwrap_or(&unknown);
                    let data = Data::of_member(texts.get(4, place));
                    self.metric.contribute(&event, enrichment, &data, |row| rows.add(&row, *partition));
                }
            }
            rows.end_event();
        }
        Ok(ColumnarValue::Array(rows.finish()?))
    }
}

/// Columns of texts.
struct Texts<'a>(&'a [ArrayRef]);

impl<'a> Texts<'a> {
    fn get(&self, column: usize, place: usize) -> Option<&'a str> {
        let texts: &'a StringArray = self.0[column].as_string();
        texts.is_valid(place).then(|| texts.value(place))
    }

    /// The event there; what its rows do not depend on is left out.
    fn event(&self, place: usize) -> EnrichedEventRef<'a> {
        let text = |column| self.get(column, place).unwrap_or_default().into();
        EnrichedEventRef {
            id: text(0),
            source: text(1),
            kind: text(2),
            subject: self.get(3, place).map(Into::into),
            time: Timestamp::EPOCH,
            partitionkey: None,
            traceparent: None,
            clientip: None,
            backfill: None,
            unread: None,
            redriven: None,
            data: None,
            enriched: None,
        }
    }
}
