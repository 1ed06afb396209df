//! The events of the numbers: what each contributes, and its line in bronze.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidemill_definitions::{Contribution, Data, MetricDefinition, RowValue};
use tidemill_domain::Timestamp;
use tidemill_events::{EnrichedEventRef, EnrichmentRef};

use super::{CellLineage, EventLineage, EventPosition, RowLineage, places::text, tracer::Tracer};
use crate::SqlError;

/// Rows of an event that are told.
const MOST_ROWS: usize = 100;

impl Tracer {
    /// The next events, and behind which to go on.
    pub(super) async fn events(
        &self,
        numbers: &[CellLineage],
        within: &str,
    ) -> Result<(Vec<EventLineage>, Option<EventPosition>), SqlError> {
        let mut places = self.places(numbers, within).await?;
        let has_more = places.len() > self.question.limit;
        places.truncate(self.question.limit);
        let next = places.last().copied().filter(|_| has_more);
        let mut told = Vec::new();
        if places.is_empty() {
            return Ok((told, next));
        }
        let silver = self.at(&places, "silver.events", &SILVER_COLUMNS).await?;
        let bronze = match self.has_bronze() {
            true => self.at(&places, "bronze.events", &["event"]).await?,
            false => BTreeMap::new(),
        };
        for position in places {
            let Some(event) = silver.get(&position) else { continue };
            let line = bronze.get(&position).and_then(|row| text(row, "event"));
            told.push(self.event(position, event, line));
        }
        Ok((told, next))
    }

    /// One position more than are told.
    async fn places(&self, numbers: &[CellLineage], within: &str) -> Result<Vec<EventPosition>, SqlError> {
        let behind = self.question.after.as_ref().map_or_else(|| "TRUE".into(), EventPosition::before);
        let sql = format!(
            "{} SELECT DISTINCT \"partition\", \"#raw_seq\" AS \"raw_seq\", \"#index\" AS \"index\" FROM \"placed\" \
             WHERE {} AND {behind} ORDER BY 1, 2, 3 LIMIT {}",
            self.rows_within(numbers, within),
            self.asked.rows(numbers),
            self.question.limit + 1
        );
        Ok(self.ask(&sql).await?.iter().map(EventPosition::of).collect())
    }

    /// Rows of a table at these positions.
    async fn at(
        &self,
        places: &[EventPosition],
        table: &str,
        columns: &[&str],
    ) -> Result<BTreeMap<EventPosition, Map<String, Value>>, SqlError> {
        let values = places.iter().map(EventPosition::values).collect::<Vec<_>>().join(", ");
        let columns = columns.iter().map(|column| format!(", t.\"{column}\"")).collect::<String>();
        let sequences = || places.iter().map(|place| place.raw_seq);
        let (first, last) = (sequences().min().unwrap_or_default(), sequences().max().unwrap_or_default());
        let sql = format!(
            "SELECT t.\"partition\", t.\"raw_seq\", t.\"index\"{columns} FROM {table} t \
             JOIN (VALUES {values}) AS p(\"partition\", \"raw_seq\", \"index\") ON t.\"partition\" = p.\"partition\" \
             AND t.\"raw_seq\" = p.\"raw_seq\" AND t.\"index\" = p.\"index\" WHERE t.\"raw_seq\" BETWEEN {first} AND {last}"
        );
        Ok(self.ask(&sql).await?.into_iter().map(|row| (EventPosition::of(&row), row)).collect())
    }

    fn event(&self, position: EventPosition, silver: &Map<String, Value>, line: Option<String>) -> EventLineage {
        let column = |name| text(silver, name).unwrap_or_default();
        let metric = self.asked.plan().metric();
        let mut rows = contributed(metric, silver);
        rows.retain(|row| {
            let is_asked = |(name, value)| row.dimensions.get(name) == Some(value);
            self.asked.filters().iter().map(|filter| (&filter.name, &filter.value)).all(is_asked)
        });
        let rows_total = rows.len();
        rows.truncate(MOST_ROWS);
        EventLineage {
            position,
            id: column("id"),
            source: column("source"),
            kind: column("type"),
            subject: text(silver, "subject"),
            time: column("time"),
            received: column("received"),
            rows_total,
            rows,
            event: line,
        }
    }
}

const SILVER_COLUMNS: [&str; 8] = ["id", "source", "type", "subject", "time", "received", "data", "enriched"];

/// The rows of an event, told by the code that tells them in the stream.
fn contributed(metric: &MetricDefinition, silver: &Map<String, Value>) -> Vec<RowLineage> {
    let column = |name: &str| silver.get(name).and_then(Value::as_str);
    let needed = |name: &str| column(name).unwrap_or_default().into();
    let event = EnrichedEventRef {
        id: needed("id"),
        source: needed("source"),
        kind: needed("type"),
        subject: column("subject").map(Into::into),
        time: Timestamp::EPOCH,
        partitionkey: None,
        traceparent: None,
        clientip: None,
        backfill: None,
        unread: None,
        redriven: None,
        data: None,
        enriched: None,
    };
    let enrichment = column("enriched").map_or_else(|| Ok(EnrichmentRef::default()), serde_json::from_str);
    let Ok(enrichment) = enrichment else { return Vec::new() };
    let mut rows = Vec::new();
    metric.contribute(&event, &enrichment, &Data::of_member(column("data")), |row| rows.push(told(metric, &row)));
    rows
}

fn told(metric: &MetricDefinition, row: &Contribution<'_>) -> RowLineage {
    let dimensions = metric.dimensions.keys().zip(&row.dimensions);
    let mut told = RowLineage {
        dimensions: dimensions.map(|(name, value)| (name.clone(), value.to_string())).collect(),
        values: Map::new(),
        converted: BTreeMap::new(),
        unread: Vec::new(),
    };
    for (measure, value) in metric.measures.keys().zip(&row.values) {
        if let Some(value) = value {
            told.add(measure, value);
        }
    }
    told
}

impl RowLineage {
    fn add(&mut self, measure: &str, value: &RowValue<'_>) {
        let told = match value {
            RowValue::One => Value::from(1),
            RowValue::Amount(read) => read.amount.to_string().into(),
            RowValue::Money(read, base) => {
                let converted = base.map(|base| base.converted.unwrap_or(*read).amount.to_string());
                self.converted.extend(converted.map(|converted| (measure.to_owned(), converted)));
                read.amount.to_string().into()
            }
            RowValue::Text(text) => text.as_ref().into(),
            RowValue::Unread => {
                self.unread.push(measure.to_owned());
                Value::Null
            }
            RowValue::Partly(value) => {
                self.unread.push(measure.to_owned());
                return self.add(measure, value);
            }
        };
        self.values.insert(measure.to_owned(), told);
    }
}
