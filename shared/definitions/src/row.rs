//! From an event to what it contributes to a metric.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tidemill_domain::{Amount, BaseAmount, Currency, Factor, ReadAmount};
use tidemill_events::{Conversion, Enrichment, EventRef, ItemFacts, LineFacts};

use crate::{
    CURRENCY, Condition, Data, Field, LineField, MeasureDefinition, MeasureKind, MetricDefinition, OrderField,
    data::plain,
};

/// What a dimension without a value is called.
const UNKNOWN: &str = "Unknown";
/// The longest dimension value, in characters, so that a hostile event cannot
/// make large keys.
const MAX_DIMENSION: usize = 120;
/// Hexadecimal digits of the hash at the end of a value that is cut.
const HASH_DIGITS: usize = 16;

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
    /// An amount, exact but where it had to be rounded.
    Amount(ReadAmount),
    /// Money: the amount, and what it is in the base currency, where that is known.
    Money(ReadAmount, Option<BaseAmount>),
    /// A value to be counted once.
    Text(String),
    /// Nothing, though the measure counts the row: its value is not there, is no
    /// number or too large.
    Unread,
    /// This, and it is not all: a line of the order could not be read.
    Partly(Box<RowValue>),
}

/// A value of a dimension as totals are split by it. What is longer than 120
/// characters is cut and ends with a hash of the whole, so that two values are
/// never taken for one.
pub fn dimension_value(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_DIMENSION || text.chars().nth(MAX_DIMENSION).is_none() {
        return text.into();
    }
    let hash = Sha256::digest(text.as_bytes());
    let kept: String = text.chars().take(MAX_DIMENSION - HASH_DIGITS - 1).collect();
    let digits = hash.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}"));
    format!("{kept}…{}", digits.collect::<String>()).into()
}

/// One row: an event, or one item of it.
struct MetricRow<'e, 'a> {
    event: &'e EventRef<'a>,
    enrichment: &'e Enrichment,
    data: &'e Data<'a>,
    item: Option<Data<'a>>,
    line: Option<&'e LineFacts>,
    index: usize,
}

/// What a field gives to a product.
enum RowFactor<'e> {
    Written(Cow<'e, str>),
    Exact(Amount),
}

impl RowFactor<'_> {
    fn as_factor(&self) -> Factor<'_> {
        match self {
            Self::Written(text) => Factor::Written(text),
            Self::Exact(amount) => Factor::Exact(*amount),
        }
    }
}

/// The currency of a row's amounts, and how they are converted.
struct RowMoney<'e> {
    currency: Option<Currency>,
    conversion: Option<Conversion<'e>>,
}

impl RowMoney<'_> {
    fn name(&self) -> &str {
        self.currency.as_ref().map_or(UNKNOWN, Currency::as_str)
    }

    /// The product in the base currency: rounded once, with the rate in it.
    fn in_base(&self, factors: &[RowFactor<'_>]) -> Option<BaseAmount> {
        let Conversion { base, rate } = self.conversion?;
        let converted = match rate {
            None => None,
            Some(rate) => {
                let factors = factors.iter().map(RowFactor::as_factor).chain([Factor::Written(rate)]);
                Some(Amount::product_of(factors).ok()?)
            }
        };
        Some(BaseAmount { base, converted })
    }
}

impl<'a> MetricRow<'_, 'a> {
    /// What is known of the row's product.
    fn facts(&self) -> Option<&ItemFacts> {
        let of_line = self.line.and_then(|line| line.facts.as_ref());
        of_line.or_else(|| self.enrichment.items.get(self.index))
    }

    fn text(&self, field: &Field) -> Option<Cow<'_, str>> {
        match field {
            Field::Data(path) => plain(self.data.at(path)?),
            Field::Item(path) => plain(self.item.as_ref()?.at(path)?),
            Field::Line(field) => field.of(self.line?),
            Field::Order(field) => field.of(self.enrichment),
            Field::Lines => None,
            Field::Category => Some(self.facts()?.category.as_str().into()),
            Field::Product(name) => self.facts()?.product.get(name).map(|v| v.as_str().into()),
            Field::Customer(name) => self.enrichment.customer.get(name).map(|v| v.as_str().into()),
            Field::Region => Some(self.enrichment.region.as_str().into()),
            Field::Country => self.enrichment.country.as_deref().map(Cow::from),
            Field::IpCountry => self.enrichment.ip_country.as_deref().map(Cow::from),
            Field::Currency => self.enrichment.currency.as_ref().map(|currency| currency.as_str().into()),
            Field::Subject => self.event.subject.as_deref().map(Cow::from),
            Field::Source => Some(self.event.source.as_ref().into()),
            Field::Type => Some(self.event.kind.as_ref().into()),
            Field::Id => Some(self.event.id.as_ref().into()),
        }
    }

    /// What a field gives to a product. What enrichment worked out is exact; what
    /// the event says is read.
    fn factor(&self, field: &Field) -> Option<RowFactor<'_>> {
        match field {
            Field::Line(field) => field.amount(self.line?).map(RowFactor::Exact),
            Field::Order(field) => field.amount(self.enrichment).map(RowFactor::Exact),
            other => self.text(other).map(RowFactor::Written),
        }
    }

    /// The product of these fields.
    fn amount(&self, fields: &[Field], money: Option<&RowMoney<'_>>) -> RowValue {
        let factors: Option<Vec<_>> = fields.iter().map(|field| self.factor(field)).collect();
        let Some(factors) = factors else { return RowValue::Unread };
        let was_rounded = self.line.is_some_and(|line| line.rounded);
        let product = Amount::product_of(factors.iter().map(RowFactor::as_factor));
        let product = product.map(|read| ReadAmount { rounded: read.rounded || was_rounded, ..read });
        let value = match (product, money) {
            (Err(_), _) => return RowValue::Unread,
            (Ok(amount), None) => RowValue::Amount(amount),
            (Ok(amount), Some(money)) => RowValue::Money(amount, money.in_base(&factors)),
        };
        let is_part = |field: &Field| matches!(field, Field::Order(field) if field.is_part(self.enrichment));
        if fields.iter().any(is_part) { RowValue::Partly(Box::new(value)) } else { value }
    }

    /// The currency of its amounts, which stands in this field. The rate is that
    /// of the event's currency, so another one has none.
    fn money(&self, field: &Field) -> RowMoney<'_> {
        let currency = match field {
            Field::Currency => self.enrichment.currency,
            other => self.text(other).and_then(|text| text.trim().parse().ok()),
        };
        let conversion =
            self.enrichment.conversion().filter(|_| currency.is_some() && currency == self.enrichment.currency);
        RowMoney { currency, conversion }
    }

    /// The values that a condition names, as JSON.
    fn variables(&self, condition: &Condition) -> BTreeMap<String, serde_json::Value> {
        let json = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let members = |variable, data: &Data<'a>| {
            let needed = data.members().filter(|(name, _)| condition.needs(variable, name));
            let members = needed.map(|(name, raw)| (name.to_owned(), json(Some(raw)).unwrap_or_default()));
            serde_json::Value::Object(members.collect())
        };
        condition
            .variables()
            .iter()
            .filter_map(|name| {
                let value = match name.as_str() {
                    "data" => members("data", self.data),
                    "item" => members("item", self.item.as_ref()?),
                    "customer" => serde_json::to_value(&self.enrichment.customer).ok()?,
                    "product" => serde_json::to_value(&self.facts()?.product).ok()?,
                    "line" => LineField::all_of(self.line?),
                    "order" => OrderField::all_of(self.enrichment)?,
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
        let money = metric.money().map(|field| self.money(field));
        let dimension = |(name, field): (&String, &Field)| match (&money, self.text(field)) {
            (Some(money), _) if name == CURRENCY => money.name().to_owned(),
            (_, Some(text)) if !text.is_empty() => dimension_value(&text).into_owned(),
            _ => UNKNOWN.to_owned(),
        };
        let amount = |measure: &MeasureDefinition, fields| {
            self.amount(fields, money.as_ref().filter(|_| measure.money.is_some()))
        };
        let values: Vec<_> = metric
            .measures
            .values()
            .map(|measure| {
                self.meets(measure.condition.as_ref()).then(|| match &measure.kind {
                    MeasureKind::Count => RowValue::One,
                    MeasureKind::Sum(fields) => amount(measure, fields),
                    MeasureKind::Min(field)
                    | MeasureKind::Max(field)
                    | MeasureKind::Average(field)
                    | MeasureKind::Quantile { field, .. } => amount(measure, std::slice::from_ref(field)),
                    MeasureKind::Distinct { field, .. } => match self.text(field) {
                        Some(text) if !text.is_empty() => RowValue::Text(text.into_owned()),
                        _ => RowValue::Unread,
                    },
                })
            })
            .collect();
        let dimensions = metric.dimensions.iter().map(dimension).collect();
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
        let row = |index, item, line| MetricRow { event, enrichment, data, item, line, index };
        match &self.each {
            Some(Field::Lines) => {
                let rows = enrichment.lines.iter().enumerate().map(|(index, line)| row(index, None, Some(line)));
                rows.filter_map(|row| row.contribution(self)).collect()
            }
            Some(Field::Data(path)) => {
                let items: Vec<&'a RawValue> =
                    data.at(path).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
                let rows =
                    items.into_iter().enumerate().map(|(index, item)| row(index, Some(Data::of(Some(item))), None));
                rows.filter_map(|row| row.contribution(self)).collect()
            }
            _ => row(0, None, None).contribution(self).into_iter().collect(),
        }
    }
}
