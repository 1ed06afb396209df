//! What events contribute, in the words of other engines.
//!
//! Amounts are in their own currency, and a number that is written as a text is read
//! by the engine's own rules: whoever wants what we read takes gold.

use tidemill_definitions::{Field, MeasureDefinition, MeasureKind, OrderField};

use super::{
    MetricPlan, PlanError, Scope,
    fields::{FieldSql, Fields, PART, json_path},
};
use crate::{
    SqlDialect,
    columns::{Beside, MeasureColumns},
};

/// What makes an event's row one of an order.
const POSITION: [&str; 3] = ["partition", "raw_seq", "index"];

impl MetricPlan {
    /// A query of the rows that count, as [`rows`](Self::rows) of our own engine.
    pub(super) fn rows_elsewhere(&self, dialect: SqlDialect, scope: &Scope) -> Result<String, PlanError> {
        let fields = Fields { dialect, metric: &self.metric };
        let mut columns = vec![dialect.name("partition"), dialect.name("time")];
        for (field, name) in self.metric.dimensions.values().zip(&self.columns.dimensions) {
            let value = match fields.of(field)? {
                // Engines write a decimal in other ways than we do.
                FieldSql::Amount(_) => return Err(PlanError::Field(format!("{field:?} as a dimension"))),
                FieldSql::Text(text) | FieldSql::Written(text) => dialect.dimension(&text),
            };
            columns.push(format!("{value} AS {}", dialect.name(name)));
        }
        for (measure, of) in self.metric.measures.values().zip(&self.columns.measures) {
            columns.extend(measure_columns(&fields, measure, of)?);
        }
        let which = match &self.metric.condition {
            None => String::new(),
            Some(condition) => format!(" AND {}", fields.condition(condition)?),
        };
        let source = self.source(&fields)?;
        let condition = self.condition(dialect, scope);
        Ok(format!("SELECT {}\n  FROM {source}\n  WHERE {condition}{which}", columns.join(",\n    ")))
    }

    /// The table that has a row where the metric has one.
    fn source(&self, fields: &Fields<'_>) -> Result<String, PlanError> {
        match &self.metric.each {
            Some(Field::Lines) => Ok("silver.order_lines".into()),
            Some(Field::Data(path)) => self.items(fields, &json_path(path)?),
            _ if self.needs_order() => Ok(self.with_order(fields.dialect)),
            _ => Ok("silver.events".into()),
        }
    }

    /// A row for each item of a list.
    fn items(&self, fields: &Fields<'_>, path: &str) -> Result<String, PlanError> {
        if self.needs_order() {
            return Err(PlanError::Field("order.x beside items".into()));
        }
        let dialect = fields.dialect;
        let (data, at, length) = (dialect.name("data"), dialect.name("at"), dialect.name("length"));
        let place = format!("'{path}[' || {} || ']'", dialect.whole_text(&at));
        Ok(format!(
            "(SELECT *, {} AS {} FROM (SELECT *, {} AS {at} FROM (SELECT *, {} AS {length} FROM silver.events) \
             counted WHERE {length} > 0) placed) items",
            dialect.json_value_at(&data, &place),
            dialect.name("item_text"),
            dialect.each_below(&length),
            dialect.json_length(&data, path),
        ))
    }

    fn needs_order(&self) -> bool {
        let measured = self.metric.measures.values().flat_map(|measure| measure.kind.fields());
        let mut all = self.metric.dimensions.values().chain(measured);
        all.any(|field| matches!(field, Field::Order(OrderField::Sum(_))))
    }

    /// Events with the sums of their lines.
    fn with_order(&self, dialect: SqlDialect) -> String {
        let position = POSITION.map(|name| dialect.name(name));
        let names = ["quantity", "gross", "discount", "revenue", "refund", "cancelled", "net"];
        let sums =
            names.map(|name| format!("sum({}) AS {}", dialect.name(name), dialect.name(&format!("order_{name}"))));
        let on = position.iter().map(|name| format!("e.{name} = o.{name}")).collect::<Vec<_>>().join(" AND ");
        let first = dialect.name(names[0]);
        let part = format!("max(CASE WHEN {first} IS NULL THEN 1 ELSE 0 END) AS {}", dialect.name(PART));
        let own = names.map(|name| format!("o.{}", dialect.name(&format!("order_{name}"))));
        format!(
            "(SELECT e.*, {}, o.{} FROM silver.events e LEFT JOIN (SELECT {keys}, {}, {part} FROM silver.order_lines \
             GROUP BY {keys}) o ON {on}) orders",
            own.join(", "),
            dialect.name(PART),
            sums.join(", "),
            keys = position.join(", "),
        )
    }
}

/// What a row gives to a measure.
fn measure_columns(
    fields: &Fields<'_>,
    measure: &MeasureDefinition,
    of: &MeasureColumns,
) -> Result<Vec<String>, PlanError> {
    let name = |column: &str| fields.dialect.name(column);
    let condition = measure.condition.as_ref().map(|condition| fields.condition(condition)).transpose()?;
    let where_it_counts = |value: String| match &condition {
        None => value,
        Some(condition) => format!("CASE WHEN {condition} THEN {value} END"),
    };
    let value = match &measure.kind {
        MeasureKind::Count => "1".into(),
        MeasureKind::Distinct { field, .. } => format!("NULLIF({}, '')", fields.of(field)?.text()),
        kind => {
            let amounts = kind.fields().iter().map(|field| Ok(fields.of(field)?.amount()));
            let amounts: Vec<String> = amounts.collect::<Result<_, PlanError>>()?;
            fields.dialect.product(&amounts)
        }
    };
    let mut columns = vec![format!("{} AS {}", where_it_counts(value.clone()), name(&of.value))];
    let unread = match &of.beside {
        Beside::Nothing => return Ok(columns),
        Beside::Unread(unread) => unread,
        Beside::Amount(beside) => &beside.unread,
    };
    let is_sum = measure.kind.fields().iter().any(|field| matches!(field, Field::Order(OrderField::Sum(_))));
    let part = if is_sum { format!(" OR {} = 1", name(PART)) } else { String::new() };
    let is_unread = where_it_counts(format!("CASE WHEN {value} IS NULL{part} THEN 1 ELSE 0 END"));
    columns.push(format!("coalesce({is_unread}, 0) AS {}", name(unread)));
    Ok(columns)
}
