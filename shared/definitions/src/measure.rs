//! Measures of a metric.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;
use tidemill_totals::{Distinct, Measure, QuantileSketch};

use crate::{Condition, Field, TotalPlace};

/// The most fields that a sum multiplies.
pub(crate) const MAX_FACTORS: usize = 4;

/// One measure of a metric.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "MeasureText")]
pub struct MeasureDefinition {
    /// How it totals.
    pub kind: MeasureKind,
    /// Where the currency of its amounts is, if they are money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Field>,
    /// Of a distinct count: the dimensions over which a value may repeat. It adds
    /// up exactly over all others, and over windows. Without it, a value may
    /// repeat over everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats_over: Option<BTreeSet<String>>,
    /// Where the count is found over the dimensions that values repeat over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<TotalPlace>,
    /// Which of the metric's rows it counts; all, without it.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// How a measure totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// The number of rows.
    Count,
    /// The exact sum of the product of these fields.
    Sum(Vec<Field>),
    /// The smallest.
    Min(Field),
    /// The largest.
    Max(Field),
    /// The mean.
    Average(Field),
    /// The number of distinct values. `within_partition`: the author's word
    /// that a value occurs in one partition only, since it is the partition
    /// key or follows from it; such counts are exact at any size and add up.
    Distinct {
        /// The field whose values are counted.
        field: Field,
        /// See above.
        within_partition: bool,
    },
    /// A quantile, in thousandths.
    Quantile {
        /// The field whose values are ranked.
        field: Field,
        /// 950 is p95.
        per_mille: u16,
    },
}

impl MeasureKind {
    /// The state of no rows.
    pub fn nothing(&self) -> Measure {
        match self {
            Self::Count => Measure::Count(0),
            Self::Sum(_) => Measure::Sum(Amount::ZERO),
            Self::Min(_) => Measure::Min(None),
            Self::Max(_) => Measure::Max(None),
            Self::Average(_) => Measure::Average { sum: Amount::ZERO, count: 0 },
            Self::Distinct { within_partition: true, .. } => Measure::DistinctKeyed(0),
            Self::Distinct { within_partition: false, .. } => Measure::DistinctSketch(Distinct::default()),
            Self::Quantile { per_mille, .. } => {
                Measure::Quantile { per_mille: *per_mille, sketch: QuantileSketch::default() }
            }
        }
    }

    /// The fields that it takes.
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Count => &[],
            Self::Sum(fields) => fields,
            Self::Min(field)
            | Self::Max(field)
            | Self::Average(field)
            | Self::Distinct { field, .. }
            | Self::Quantile { field, .. } => std::slice::from_ref(field),
        }
    }

    /// Whether it counts rows.
    pub const fn is_count(&self) -> bool {
        matches!(self, Self::Count)
    }

    /// The kind's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Average(_) => "average",
            Self::Distinct { .. } => "distinct",
            Self::Quantile { .. } => "quantile",
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn fields(self) -> Result<Vec<Field>, String> {
        match self {
            Self::One(field) => Ok(vec![Field::parse(&field)?]),
            Self::More(fields) => fields.iter().map(|field| Field::parse(field)).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Within {
    Partition,
}

/// A measure as it is written: one of these members, and what goes with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureText {
    count: Option<String>,
    sum: Option<OneOrMore>,
    min: Option<Field>,
    max: Option<Field>,
    average: Option<Field>,
    distinct: Option<Field>,
    within: Option<Within>,
    quantile: Option<Field>,
    at: Option<f64>,
    money: Option<Field>,
    repeats_over: Option<BTreeSet<String>>,
    total: Option<TotalPlace>,
    #[serde(rename = "where")]
    condition: Option<Condition>,
}

impl TryFrom<MeasureText> for MeasureDefinition {
    type Error = String;

    fn try_from(text: MeasureText) -> Result<Self, String> {
        let mut kinds = Vec::new();
        match text.count.as_deref() {
            Some("rows") => kinds.push(MeasureKind::Count),
            Some(other) => return Err(format!("`count: {other}`: only `count: rows` is known")),
            None => {}
        }
        match text.sum.map(OneOrMore::fields).transpose()? {
            Some(fields) if (1..=MAX_FACTORS).contains(&fields.len()) => kinds.push(MeasureKind::Sum(fields)),
            Some(_) => return Err("`sum` multiplies one to four fields".into()),
            None => {}
        }
        kinds.extend(text.min.map(MeasureKind::Min));
        kinds.extend(text.max.map(MeasureKind::Max));
        kinds.extend(text.average.map(MeasureKind::Average));
        let within_partition = text.within.is_some();
        if within_partition && text.distinct.is_none() {
            return Err("`within` goes with `distinct`".into());
        }
        kinds.extend(text.distinct.map(|field| MeasureKind::Distinct { field, within_partition }));
        match (text.quantile, text.at) {
            (Some(field), Some(at)) if at > 0.0 && at < 1.0 => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
                kinds.push(MeasureKind::Quantile { field, per_mille: (at * 1000.0).round() as u16 });
            }
            (None, None) => {}
            _ => return Err("`quantile: FIELD` and `at: 0.95` (between 0 and 1) go together".into()),
        }
        match <[MeasureKind; 1]>::try_from(kinds) {
            Ok([kind]) => {
                check_money(text.money.as_ref(), &kind)?;
                check_repeats(text.repeats_over.is_some(), text.total.is_some(), &kind)?;
                let MeasureText { money, repeats_over, total, condition, .. } = text;
                Ok(Self { kind, money, repeats_over, total, condition })
            }
            Err(_) => Err("a measure is one of count, sum, min, max, average, distinct and quantile".into()),
        }
    }
}

fn check_money(field: Option<&Field>, kind: &MeasureKind) -> Result<(), String> {
    match (field, kind) {
        (None, _)
        | (
            Some(Field::Currency | Field::Data(_)),
            MeasureKind::Sum(_) | MeasureKind::Min(_) | MeasureKind::Max(_) | MeasureKind::Average(_),
        ) => Ok(()),
        (Some(Field::Currency | Field::Data(_)), _) => {
            Err(format!("`money` goes with sum, min, max and average, not with {}", kind.name()))
        }
        (Some(_), _) => Err("`money` says where the currency is: `currency`, or a member of the data as data.…".into()),
    }
}

/// Only counts by partition are added up, so only they need to say what repeats.
fn check_repeats(repeats: bool, total: bool, kind: &MeasureKind) -> Result<(), String> {
    match kind {
        MeasureKind::Distinct { within_partition: true, .. } if repeats || !total => Ok(()),
        MeasureKind::Distinct { within_partition: true, .. } => Err("`total` goes with `repeats_over`".into()),
        _ if repeats || total => {
            Err("`repeats_over` and `total` go with `distinct` and `within: partition`: nothing else is added up"
                .into())
        }
        _ => Ok(()),
    }
}
