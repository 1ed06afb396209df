//! How the variants of an experiment of recommendations compare.

mod proportion;

use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_totals::Value;
use utoipa::ToSchema;

use self::proportion::{Proportion, ProportionInterval};
use crate::query::TotalsAnswer;

/// The metric that has what was shown and clicked.
pub(crate) const METRIC: &str = "recommendation_metrics";
/// The variant that others are compared with, where it is there and none is named.
const CONTROL: &str = "control";

/// What is known of an experiment.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ExperimentReport {
    experiment: String,
    /// Up to when all that was received is counted, as far as that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Whether nothing is outstanding but corrections.
    complete: bool,
    /// By name.
    variants: Vec<VariantFigures>,
    /// The variant that the others are compared with: as asked, else `control`, else the first;
    /// `null` where nothing was shown of the one that was asked for.
    control: Option<String>,
    /// The others, by name.
    differences: Vec<VariantDifference>,
}

/// What was shown and clicked of one variant.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct VariantFigures {
    variant: String,
    /// Products that were shown, each time.
    impressions: u64,
    clicks: u64,
    /// Clicks by impressions; `null` where nothing was shown, or more was clicked than shown.
    click_through: Option<f64>,
    /// In which it lies with 95 % confidence (Wilson).
    interval: Option<ProportionInterval>,
}

/// How much higher a variant's click-through is than that of the control.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct VariantDifference {
    variant: String,
    /// The variant's less the control's.
    difference: f64,
    /// In which it lies with 95 % confidence (Newcombe).
    interval: ProportionInterval,
    /// Whether 0 lies outside of the interval.
    significant: bool,
}

impl ExperimentReport {
    /// Of the totals of an experiment, by variant.
    pub(crate) fn of(experiment: String, asked: Option<String>, totals: &TotalsAnswer) -> Self {
        let counts: Vec<(String, u64, u64)> = totals
            .rows
            .iter()
            .map(|row| {
                let count = |measure: &str| match row.values.get(measure) {
                    Some(Value::Count(count)) => *count,
                    _ => 0,
                };
                let variant = row.dimensions.get("variant").cloned().unwrap_or_default();
                (variant, count("impressions"), count("clicks"))
            })
            .collect();
        let first = || counts.iter().map(|(variant, ..)| variant.clone()).min();
        let is_there = |name: &String| counts.iter().any(|(variant, ..)| variant == name);
        let control = asked.or_else(|| Some(CONTROL.to_owned()).filter(is_there)).or_else(first).filter(is_there);
        let of_control = counts.iter().find(|(variant, ..)| Some(variant) == control.as_ref());
        let of_control = of_control.and_then(|(_, shown, clicked)| Proportion::new(*clicked, *shown));
        let mut variants = Vec::with_capacity(counts.len());
        let mut differences = Vec::new();
        for (variant, impressions, clicks) in counts {
            let proportion = Proportion::new(clicks, impressions);
            if let Some((own, other)) = proportion.zip(of_control).filter(|_| Some(&variant) != control.as_ref()) {
                differences.push(VariantDifference::new(variant.clone(), own, other));
            }
            variants.push(VariantFigures {
                variant,
                impressions,
                clicks,
                click_through: proportion.map(Proportion::value),
                interval: proportion.map(Proportion::interval),
            });
        }
        variants.sort_by(|a, b| a.variant.cmp(&b.variant));
        differences.sort_by(|a, b| a.variant.cmp(&b.variant));
        let (as_of, complete) = (totals.head.as_of, totals.head.complete);
        Self { experiment, as_of, complete, variants, control, differences }
    }
}

impl VariantDifference {
    fn new(variant: String, own: Proportion, control: Proportion) -> Self {
        let interval = own.difference_interval(control);
        let significant = interval.low > 0.0 || interval.high < 0.0;
        Self { variant, difference: own.value() - control.value(), interval, significant }
    }
}
