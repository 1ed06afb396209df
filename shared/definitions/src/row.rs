//! From an event to what it contributes to a metric.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tidemill_domain::Amount;
use tidemill_events::{Enrichment, EventRef};

use crate::{Condition, Field, MeasureKind, MetricDefinition};

/// What a dimension without a value is called.
const UNKNOWN: &str = "Unknown";
/// The longest dimension value, in characters; the rest is cut off, so that a
/// hostile event cannot make large keys.
const MAX_DIMENSION: usize = 120;

/// An event's data, one level deep: members stay text, so that a number keeps
/// its exact spelling.
#[derive(Debug, Default)]
pub struct Data<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Data<'a> {
    /// Reads a JSON object; anything else has no members.
    pub fn of(raw: Option<&'a RawValue>) -> Self {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The member with this name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// The member at the end of a path.
    fn at(&self, path: &[String]) -> Option<&'a RawValue> {
        let (first, rest) = path.split_first()?;
        let mut value = self.get(first)?;
        for name in rest {
            value = Data::of(Some(value)).get(name)?;
        }
        Some(value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Data<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Data<'de>, M::Error> {
                #[derive(Deserialize)]
                struct Key<'k>(#[serde(borrow)] Cow<'k, str>);
                let mut members = Vec::with_capacity(8);
                while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Data(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A JSON value as plain text: a string without its quotes, a number or
/// boolean as it is written; `None` for null, objects and arrays.
fn plain(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => {
            #[derive(Deserialize)]
            struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
            serde_json::from_str(raw.get()).ok().map(|Text(text)| text)
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().into()),
    }
}

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
struct Row<'e, 'a> {
    event: &'e EventRef<'a>,
    enrichment: &'e Enrichment,
    data: &'e Data<'a>,
    item: Option<Data<'a>>,
    index: usize,
}

impl<'a> Row<'_, 'a> {
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
            let members = data.0.iter().map(|(name, raw)| (name.to_string(), json(Some(raw)).unwrap_or_default()));
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
        let row = |index, item| Row { event, enrichment, data, item, index };
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

#[cfg(test)]
mod tests {
    use tidemill_events::ItemFacts;

    use super::*;
    use crate::Metrics;

    fn contributions(metric: &str, line: &str, enrichment: &Enrichment) -> Vec<Contribution> {
        let metrics = Metrics::load(None).expect("the defaults load");
        let event: EventRef<'_> = serde_json::from_str(line).expect("an event");
        metrics.get(metric).expect(metric).contributions(&event, enrichment, &Data::of(event.data))
    }

    fn amount(text: &str) -> Option<RowValue> {
        Some(RowValue::Amount(text.parse().expect(text)))
    }

    #[test]
    fn an_order_is_a_row_per_item() {
        let facts = |category: &str| ItemFacts { category: category.into(), product: BTreeMap::new() };
        let enrichment = Enrichment {
            region: "Europe".into(),
            items: vec![facts("books"), facts("games")],
            ..Enrichment::default()
        };
        let rows = contributions(
            "sales_metrics",
            r#"{"id":"1","source":"s","type":"order.placed","time":"2026-01-01T00:00:00Z","subject":"c1",
                "data":{"order_id":"o1","items":[{"product_id":"a","quantity":2,"unit_price":"1.005"},
                {"product_id":"b","quantity":3,"unit_price":0.1}]}}"#,
            &enrichment,
        );
        let text = |text: &str| Some(RowValue::Text(text.into()));
        // Measures in the order of their names: customers, orders, quantity, revenue.
        let row = |category: &str, quantity, revenue| Contribution {
            dimensions: vec![category.into(), "Europe".into()],
            values: vec![text("c1"), text("o1"), amount(quantity), amount(revenue)],
        };
        assert_eq!(rows, [row("books", "2", "2.01"), row("games", "3", "0.3")]);
    }

    #[test]
    fn a_measure_counts_only_the_rows_that_it_wants() {
        let line = |quantity: &str, price: &str| {
            format!(
                r#"{{"id":"1","source":"s","type":"invoice.line","time":"2010-12-01T08:26:00Z",
                "data":{{"invoice":"536365","quantity":{quantity},"unit_price":{price},"country":"EIRE"}}}}"#
            )
        };
        let row = |quantity, price| {
            let mut rows = contributions("daily_country", &line(quantity, price), &Enrichment::default());
            assert_eq!(rows.len(), 1);
            rows.remove(0)
        };
        // Measures: customers, invoices, lines, net, quantity, sales.
        assert_eq!(row("6", "2.55").values[5], amount("15.3"));
        for (quantity, price) in [("-6", "2.55"), ("6", "0"), ("6", "0.0"), ("6", "-1.5")] {
            assert_eq!(row(quantity, price).values[5], None, "{quantity} x {price}");
            assert_eq!(row(quantity, price).values[2], Some(RowValue::One));
        }
        assert_eq!(row("6", "2.55").values[0], None, "no customer is not a customer");
        assert_eq!(row("6", "2.55").dimensions, ["EIRE"]);
    }

    #[test]
    fn other_types_contribute_nothing() {
        let line = r#"{"id":"1","source":"s","type":"cart.item_added","time":"2026-01-01T00:00:00Z","data":{}}"#;
        assert!(contributions("sales_metrics", line, &Enrichment::default()).is_empty());
        assert_eq!(contributions("conversion", line, &Enrichment::default()).len(), 1);
    }
}
