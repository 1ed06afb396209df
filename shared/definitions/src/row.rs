//! From an event to what it contributes to a metric.

mod event;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tidemill_domain::{Amount, BaseAmount, Currency, Factor, ReadAmount};
use tidemill_events::{Conversion, EnrichedEventRef, EnrichmentRef, LineFacts};

pub use self::event::EventRow;
use crate::{
    CURRENCY, Condition, Data, Field, LineField, MeasureDefinition, MeasureKind, MetricDefinition, OrderField,
    data::plain, measure::MAX_FACTORS, plan::Scalar,
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
pub struct Contribution<'a> {
    /// Values of the dimensions, in the definition's order.
    pub dimensions: Vec<Cow<'a, str>>,
    /// A value per measure.
    pub values: Vec<Option<RowValue<'a>>>,
}

/// What a row gives to a measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowValue<'a> {
    /// The row itself.
    One,
    /// An amount, exact but where it had to be rounded.
    Amount(ReadAmount),
    /// Money: the amount, and what it is in the base currency, where that is known.
    Money(ReadAmount, Option<BaseAmount>),
    /// A value to be counted once.
    Text(Cow<'a, str>),
    /// Nothing, though the measure counts the row: its value is not there, is no
    /// number or too large.
    Unread,
    /// This, and it is not all: a line of the order could not be read.
    Partly(Box<RowValue<'a>>),
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

/// What a row's dimension is split by, of what stands in its field.
fn dimension(text: Option<Cow<'_, str>>) -> Cow<'_, str> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return UNKNOWN.into() };
    let cut = match dimension_value(&text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(cut) => Some(cut.into()),
    };
    cut.unwrap_or(text)
}

/// One row: an event, or one item of it. `'a` is the life of the event's line.
struct MetricRow<'e, 'a> {
    event: &'e EnrichedEventRef<'a>,
    enrichment: &'e EnrichmentRef<'a>,
    data: &'e Data<'a>,
    item: Option<Data<'a>>,
    line: Option<&'e LineFacts>,
    index: usize,
}

/// What a field gives to a product.
enum RowFactor<'a> {
    Written(Cow<'a, str>),
    Exact(Amount),
}

/// What the fields of a product give.
type RowFactors<'a> = [Option<RowFactor<'a>>; MAX_FACTORS];

fn factors<'f>(factors: &'f RowFactors<'_>) -> impl Iterator<Item = Factor<'f>> {
    factors.iter().flatten().map(RowFactor::as_factor)
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
    fn in_base(&self, product: &RowFactors<'_>) -> Option<BaseAmount> {
        let Conversion { base, rate } = self.conversion?;
        let converted = match rate {
            None => None,
            Some(rate) => Some(Amount::product_of(factors(product).chain([Factor::Written(rate)])).ok()?),
        };
        Some(BaseAmount { base, converted })
    }
}

impl<'a> MetricRow<'_, 'a> {
    fn category(&self) -> Option<Cow<'a, str>> {
        match self.line.and_then(|line| line.facts.as_ref()) {
            Some(facts) => Some(facts.category.clone().into()),
            None => Some(self.enrichment.items.get(self.index)?.category.clone()),
        }
    }

    fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.line.and_then(|line| line.facts.as_ref()) {
            Some(facts) => facts.product.get(name).cloned().map(Cow::from),
            None => self.enrichment.items.get(self.index)?.product.get(name).cloned(),
        }
    }

    /// All attributes of its product.
    fn attributes(&self) -> Option<serde_json::Value> {
        match self.line.and_then(|line| line.facts.as_ref()) {
            Some(facts) => serde_json::to_value(&facts.product).ok(),
            None => Some(object(self.enrichment.items.get(self.index)?.product.iter())),
        }
    }

    fn text(&self, field: &Field) -> Option<Cow<'a, str>> {
        match field {
            Field::Data(path) => plain(self.data.at(path)?),
            Field::Item(path) => plain(self.item.as_ref()?.at(path)?),
            Field::Line(field) => Some(field.of(self.line?)?.into_owned().into()),
            Field::Order(field) => Some(field.of(self.enrichment)?.into_owned().into()),
            Field::Lines => None,
            Field::Category => self.category(),
            Field::Product(name) => self.attribute(name),
            Field::Customer(name) => self.enrichment.customer.get(name).cloned(),
            Field::Region => Some(self.enrichment.region.clone()),
            Field::Country => self.enrichment.country.clone(),
            Field::IpCountry => self.enrichment.ip_country.clone(),
            Field::Currency => self.enrichment.currency.map(|currency| currency.as_str().to_owned().into()),
            Field::Subject => self.event.subject.clone(),
            Field::Source => Some(self.event.source.clone()),
            Field::Type => Some(self.event.kind.clone()),
            Field::Id => Some(self.event.id.clone()),
        }
    }

    /// What a field gives to a product. What enrichment worked out is exact; what
    /// the event says is read.
    fn factor(&self, field: &Field) -> Option<RowFactor<'a>> {
        match field {
            Field::Line(field) => field.amount(self.line?).map(RowFactor::Exact),
            Field::Order(field) => field.amount(self.enrichment).map(RowFactor::Exact),
            other => self.text(other).map(RowFactor::Written),
        }
    }

    /// The product of these fields.
    fn amount(&self, fields: &[Field], money: Option<&RowMoney<'_>>) -> RowValue<'a> {
        let mut product = [const { None }; MAX_FACTORS];
        for (field, factor) in fields.iter().zip(&mut product) {
            *factor = self.factor(field);
            if factor.is_none() {
                return RowValue::Unread;
            }
        }
        let was_rounded = self.line.is_some_and(|line| line.rounded);
        let read = Amount::product_of(factors(&product));
        let value = match (read, money) {
            (Err(_), _) => return RowValue::Unread,
            (Ok(read), money) => {
                let amount = ReadAmount { rounded: read.rounded || was_rounded, ..read };
                money.map_or(RowValue::Amount(amount), |money| RowValue::Money(amount, money.in_base(&product)))
            }
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
        let members = |variable, data: &Data<'a>| {
            let needed = data.members().filter(|(name, _)| condition.needs(variable, name));
            let members = needed.map(|(name, json)| (name.to_owned(), serde_json::from_str(json).unwrap_or_default()));
            serde_json::Value::Object(members.collect())
        };
        condition
            .variables()
            .iter()
            .filter_map(|name| {
                let value = match name.as_str() {
                    "data" => members("data", self.data),
                    "item" => members("item", self.item.as_ref()?),
                    "customer" => object(self.enrichment.customer.iter()),
                    "product" => self.attributes()?,
                    "line" => LineField::all_of(self.line?),
                    "order" => OrderField::all_of(self.enrichment)?,
                    other => self.text(&Field::parse(other).ok()?)?.into_owned().into(),
                };
                Some((name.clone(), value))
            })
            .collect()
    }

    /// A field as a condition compares it; of a name that is there twice, the last one
    /// counts.
    fn scalar(&self, field: &Field, is_number: bool) -> Option<Scalar<'a>> {
        let member = |data: &Data<'a>, path: &[String]| match path {
            [name] => Scalar::of_json(data.last(name)?, is_number),
            _ => None,
        };
        match field {
            Field::Data(path) => member(self.data, path),
            Field::Item(path) => member(self.item.as_ref()?, path),
            other => Some(Scalar::of_text(self.text(other)?, is_number)),
        }
    }

    /// A condition that cannot be evaluated (a member that is not there) does
    /// not hold.
    fn meets(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(|condition| {
            condition
                .decide(&|field, is_number| self.scalar(field, is_number))
                .unwrap_or_else(|| condition.holds(&self.variables(condition)).unwrap_or(false))
        })
    }

    fn value(&self, measure: &MeasureDefinition, money: Option<&RowMoney<'_>>) -> RowValue<'a> {
        let money = money.filter(|_| measure.money.is_some());
        match &measure.kind {
            MeasureKind::Count => RowValue::One,
            MeasureKind::Sum(fields) => self.amount(fields, money),
            MeasureKind::Min(field)
            | MeasureKind::Max(field)
            | MeasureKind::Average(field)
            | MeasureKind::Quantile { field, .. } => self.amount(std::slice::from_ref(field), money),
            MeasureKind::Distinct { field, .. } => match self.text(field) {
                Some(text) if !text.is_empty() => RowValue::Text(text),
                _ => RowValue::Unread,
            },
        }
    }

    fn contribution(&self, metric: &MetricDefinition) -> Option<Contribution<'a>> {
        if !self.meets(metric.condition.as_ref()) {
            return None;
        }
        let money = metric.money().map(|field| self.money(field));
        let dimensions = metric.dimensions.iter().map(|(name, field)| match &money {
            Some(money) if name == CURRENCY => money.name().to_owned().into(),
            _ => dimension(self.text(field)),
        });
        let counts = |measure: &MeasureDefinition| self.meets(measure.condition.as_ref());
        let value = |measure| counts(measure).then(|| self.value(measure, money.as_ref()));
        Some(Contribution { dimensions: dimensions.collect(), values: metric.measures.values().map(value).collect() })
    }
}

fn object<'m>(members: impl Iterator<Item = (&'m str, &'m str)>) -> serde_json::Value {
    serde_json::Value::Object(members.map(|(name, value)| (name.to_owned(), value.into())).collect())
}

impl MetricDefinition {
    /// Tells what an event contributes, once for each row that counts. A function of
    /// the event alone, and total: what an event lacks does not count.
    ///
    /// `enrichment` is that of the event.
    pub fn contribute<'a>(
        &self,
        event: &EnrichedEventRef<'a>,
        enrichment: &EnrichmentRef<'a>,
        data: &Data<'a>,
        mut tell: impl FnMut(Contribution<'a>),
    ) {
        if !self.types.iter().any(|kind| *kind == event.kind) {
            return;
        }
        let mut add = |index, item, line| {
            let row = MetricRow { event, enrichment, data, item, line, index };
            row.contribution(self).into_iter().for_each(&mut tell);
        };
        match &self.each {
            Some(Field::Lines) => {
                enrichment.lines.iter().enumerate().for_each(|(index, line)| add(index, None, Some(line)));
            }
            Some(Field::Data(path)) => {
                let items: Option<Vec<&'a RawValue>> = data.at(path).and_then(|list| serde_json::from_str(list).ok());
                let items = items.unwrap_or_default().into_iter().enumerate();
                items.for_each(|(index, item)| add(index, Some(Data::of(Some(item))), None));
            }
            _ => add(0, None, None),
        }
    }
}
