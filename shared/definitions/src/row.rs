//! From an event to what it contributes to a metric.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;
use tidemill_domain::Amount;
use tidemill_events::{Enrichment, EventRef};

use crate::{Condition, Data, Field, MeasureKind, MetricDefinition, data::plain};

/// What a dimension without a value is called.
const UNKNOWN: &str = "Unknown";
/// The longest dimension value, in characters; the rest is cut off, so that a
/// hostile event cannot make large keys.
const MAX_DIMENSION: usize = 120;

/// What one row adds to one window: a value per measure, in the definition's
/// order; `None` where the measure does not count this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Values of the dimensions, in the definition's order.
    pub dimensions: Vec<String>,
    /// A value per measure.
    pub values: Vec<Option<RowValue>>,
}

/// What a row gives to a measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowValue {
    /// The row itself.
    One,
    /// An exact amount.
    Amount(Amount),
    /// A value to be counted once.
    Text(String),
}

/// One row: an event, or one item of it.
struct MetricRow<'e, 'a> {
    event: &'e EventRef<'a>,
    enrichment: &'e Enrichment,
    data: &'e Data<'a>,
    item: Option<Data<'a>>,
    index: usize,
}

impl<'a> MetricRow<'_, 'a> {
    fn text(&self, field: &Field) -> Option<Cow<'_, str>> {
        let facts = || self.enrichment.items.get(self.index);
        match field {
            Field::Data(path) => plain(self.data.at(path)?),
            Field::Item(path) => plain(self.item.as_ref()?.at(path)?),
            Field::Category => Some(facts()?.category.as_str().into()),
            Field::Product(name) => facts()?.product.get(name).map(|v| v.as_str().into()),
            Field::Customer(name) => self.enrichment.customer.get(name).map(|v| v.as_str().into()),
            Field::Region => Some(self.enrichment.region.as_str().into()),
            Field::Country => self.enrichment.country.as_deref().map(Cow::from),
            Field::IpCountry => self.enrichment.ip_country.as_deref().map(Cow::from),
            Field::Subject => self.event.subject.as_deref().map(Cow::from),
            Field::Source => Some(self.event.source.as_ref().into()),
            Field::Type => Some(self.event.kind.as_ref().into()),
            Field::Id => Some(self.event.id.as_ref().into()),
        }
    }

    fn amount(&self, field: &Field) -> Option<Amount> {
        self.text(field)?.parse().ok()
    }

    fn product(&self, fields: &[Field]) -> Option<Amount> {
        fields.iter().try_fold(Amount::from_int(1), |product, field| product.checked_mul(self.amount(field)?))
    }

    /// The values that a condition names, as JSON.
    fn variables(&self, condition: &Condition) -> BTreeMap<String, serde_json::Value> {
        let json = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let members = |data: &Data<'a>| {
            let members = data.members().map(|(name, raw)| (name.to_owned(), json(Some(raw)).unwrap_or_default()));
            serde_json::Value::Object(members.collect())
        };
        condition
            .variables()
            .iter()
            .filter_map(|name| {
                let value = match name.as_str() {
                    "data" => members(self.data),
                    "item" => members(self.item.as_ref()?),
                    "customer" => serde_json::to_value(&self.enrichment.customer).ok()?,
                    "product" => serde_json::to_value(&self.enrichment.items.get(self.index)?.product).ok()?,
                    other => self.text(&Field::parse(other).ok()?)?.into_owned().into(),
                };
                Some((name.clone(), value))
            })
            .collect()
    }

    /// A condition that cannot be evaluated (a member that is not there) does
    /// not hold.
    fn meets(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(|condition| condition.holds(&self.variables(condition)).unwrap_or(false))
    }

    fn contribution(&self, metric: &MetricDefinition) -> Option<Contribution> {
        if !self.meets(metric.condition.as_ref()) {
            return None;
        }
        let dimension = |field| match self.text(field) {
            Some(text) if !text.is_empty() => text.chars().take(MAX_DIMENSION).collect(),
            _ => UNKNOWN.to_owned(),
        };
        let values: Vec<_> = metric
            .measures
            .values()
            .map(|measure| {
                if !self.meets(measure.condition.as_ref()) {
                    return None;
                }
                match &measure.kind {
                    MeasureKind::Count => Some(RowValue::One),
                    MeasureKind::Sum(fields) => self.product(fields).map(RowValue::Amount),
                    MeasureKind::Min(field) | MeasureKind::Max(field) | MeasureKind::Average(field) => {
                        self.amount(field).map(RowValue::Amount)
                    }
                    MeasureKind::Quantile { field, .. } => self.amount(field).map(RowValue::Amount),
                    MeasureKind::Distinct { field, .. } => {
                        self.text(field).filter(|text| !text.is_empty()).map(|text| RowValue::Text(text.into_owned()))
                    }
                }
            })
            .collect();
        let dimensions = metric.dimensions.values().map(dimension).collect();
        Some(Contribution { dimensions, values })
    }
}

impl MetricDefinition {
    /// What an event contributes: one entry a row that counts. A function of
    /// the event alone, and total: what an event lacks does not count.
    pub fn contributions<'a>(
        &self,
        event: &EventRef<'a>,
        enrichment: &Enrichment,
        data: &Data<'a>,
    ) -> Vec<Contribution> {
        if !self.types.iter().any(|kind| *kind == event.kind) {
            return Vec::new();
        }
        let row = |index, item| MetricRow { event, enrichment, data, item, index };
        match &self.each {
            Some(Field::Data(path)) => {
                let items: Vec<Data<'a>> =
                    data.at(path).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
                let rows = items.into_iter().enumerate().map(|(index, item)| row(index, Some(item)));
                rows.filter_map(|row| row.contribution(self)).collect()
            }
            _ => row(0, None).contribution(self).into_iter().collect(),
        }
    }
}
