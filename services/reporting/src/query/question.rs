//! What is asked of a metric.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
};

use serde::Deserialize;
use tidemill_definitions::{CURRENCY, dimension_value};
use tidemill_domain::{Currency, Timestamp};
use tidemill_service::FieldError;
use utoipa::IntoParams;

use super::{
    resolution::{Resolution, Rollup},
    top::Top,
};
use crate::{
    calendar::{AskedBound, Zone},
    catalogue::{Catalogue, MeasureShape, Metric},
    error::Error,
    parameters::{self, wrong},
    range,
};

#[cfg(test)]
mod tests;

/// The parameters that every question knows; a dimension's name is one too.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuestionParameters {
    /// Windows that start at or after it: an RFC 3339 time, or a date for the
    /// first instant of that day in `zone`. Windows that lie side by side have to
    /// begin or end there: the answer is never one to another range.
    #[param(value_type = Option<String>)]
    from: Option<AskedBound>,
    /// Windows that start before it: a time, or a date, likewise.
    #[param(value_type = Option<String>)]
    to: Option<AskedBound>,
    /// Whose days are meant: a name of the IANA database, such as
    /// `Europe/Berlin`. Without it, the setting `calendar.zone`.
    #[param(value_type = Option<String>)]
    zone: Option<Zone>,
    /// Of series alone.
    #[param(ignore)]
    resolution: Option<Resolution>,
    /// Dimensions to split by, separated by commas.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    group_by: Vec<String>,
    /// Whether amounts are told in the shop's base currency, all currencies in
    /// one total. Otherwise rows are split by `currency`, whether it is grouped
    /// by or not: amounts of two currencies are never added.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    convert: bool,
    /// Only the rows with the largest values of `top_by`: so many of the totals, or of
    /// each point of a series. Rows that are equal to the last of them are told too.
    /// Measures of money are compared within each currency.
    #[param(value_type = Option<u16>, minimum = 1)]
    top: Option<NonZeroU16>,
    /// The measure by which `top` rows are the largest.
    top_by: Option<String>,
    /// Another version than the one served.
    version: Option<String>,
    /// As this generation counts it, served or not; `live` for the live totals.
    generation: Option<String>,
    /// `json` or `csv`.
    #[param(value_type = Option<String>, pattern = "^(json|csv)$")]
    format: Option<AnswerFormat>,
    /// Whether CSV begins with a byte order mark, without which a spreadsheet may
    /// take its letters for others.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    bom: bool,
}

impl QuestionParameters {
    /// The version asked for, which says what dimensions there are; and what is
    /// wrong with the question whatever they are.
    pub(super) fn version(
        view: QuestionView,
        default: Zone,
        pairs: &[(String, String)],
    ) -> (WantedVersion, Vec<FieldError>) {
        let (asked, errors) = Self::read(view, default, pairs, |_, _, _| Ok(()));
        let wanted = match (asked.version, asked.generation) {
            // It is told as wrong.
            (Some(_), Some(_)) => WantedVersion::Served,
            (Some(version), None) => WantedVersion::Version(version),
            (None, Some(live)) if live == LIVE => WantedVersion::Generation(None),
            (None, Some(generation)) => WantedVersion::Generation(Some(generation)),
            (None, None) => WantedVersion::Served,
        };
        (wanted, errors)
    }

    fn zone(&self, default: Zone) -> Zone {
        self.zone.unwrap_or(default)
    }

    /// Reads them; what is none of them goes to `other`.
    fn read(
        view: QuestionView,
        default: Zone,
        pairs: &[(String, String)],
        other: impl FnMut(&str, &str, &[&str]) -> Result<(), String>,
    ) -> (Self, Vec<FieldError>) {
        let (asked, mut errors) = parameters::read::<Self>(pairs, other);
        let zone = asked.zone(default);
        if let (Some(from), Some(to)) = (asked.from, asked.to)
            && from.instant(zone) > to.instant(zone)
        {
            errors.push(wrong("to", "must not be before from"));
        }
        if asked.version.is_some() && asked.generation.is_some() {
            errors.push(wrong("generation", "goes without a version: a version is of one generation"));
        }
        if view == QuestionView::Totals && asked.resolution.is_some() {
            errors.push(wrong("resolution", "is of series: totals are all windows in one"));
        }
        (asked, errors)
    }
}

/// What the live totals are called among generations.
const LIVE: &str = "live";

/// Which version of a metric is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WantedVersion {
    /// The one that is served.
    Served,
    /// This one.
    Version(String),
    /// That of a generation, or the live one.
    Generation(Option<String>),
}

impl WantedVersion {
    /// The metric in the version that is meant.
    pub(super) fn find<'c>(&self, catalogue: &'c Catalogue, metric: &str) -> Result<&'c Metric, Error> {
        match self {
            Self::Served => catalogue.find(metric, None),
            Self::Version(version) => catalogue.find(metric, Some(version)),
            Self::Generation(generation) => catalogue.find_of(metric, generation.as_deref()),
        }
    }
}

/// Which way a metric is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuestionView {
    /// Window by window.
    Series,
    /// All windows in one.
    Totals,
}

impl QuestionView {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Totals => "totals",
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnswerFormat {
    Json,
    Csv,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Windows that start at or after it.
    pub(crate) from: Option<Timestamp>,
    /// Windows that start before it.
    pub(crate) to: Option<Timestamp>,
    /// Whose days are meant.
    pub(crate) zone: Zone,
    /// Whether the question itself says so.
    pub(crate) is_zone_named: bool,
    /// How finely a series is told; as it suits where the question does not say.
    pub(crate) resolution: Option<Resolution>,
    /// Dimensions that the answer is split by.
    pub(crate) group_by: Vec<String>,
    /// Values that a dimension may have, by dimension.
    pub(crate) filters: BTreeMap<String, BTreeSet<String>>,
    /// Whether amounts are told in the base currency.
    pub(crate) convert: bool,
    /// Which rows are told; all without it.
    pub(crate) top: Option<Top>,
    pub(crate) format: Option<AnswerFormat>,
    /// Whether CSV begins with a byte order mark.
    pub(crate) bom: bool,
}

impl Question {
    /// Everything, split by every dimension.
    pub(crate) fn of_every_dimension(metric: &Metric) -> Self {
        let group_by = metric.dimensions.clone();
        let (zone, resolution) = (Zone::UTC, Some(Resolution::Window));
        let filters = BTreeMap::new();
        Self {
            from: None,
            to: None,
            zone,
            is_zone_named: true,
            resolution,
            group_by,
            filters,
            convert: false,
            top: None,
            format: None,
            bom: false,
        }
    }

    /// Reads the parameters of a question about `metric`; all errors at once.
    pub(crate) fn parse(
        metric: &Metric,
        view: QuestionView,
        default: Zone,
        pairs: &[(String, String)],
    ) -> Result<Self, Error> {
        let mut filters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let filter = |name: &str, value: &str, declared: &[&str]| {
            if !metric.dimensions.iter().any(|dimension| dimension == name) {
                let known = declared.join(", ");
                return Err(format!("is not known; there are {known} and {}", listed(&metric.dimensions)));
            }
            let code = value.parse::<Currency>().ok().filter(|_| name == CURRENCY && metric.has_money());
            let value = code.map_or_else(|| dimension_value(value).into_owned(), |code| code.to_string());
            filters.entry(name.to_owned()).or_default().insert(value);
            Ok(())
        };
        let (asked, mut errors) = QuestionParameters::read(view, default, pairs, filter);
        let zone = asked.zone(default);
        let is_zone_named = asked.zone.is_some();
        let QuestionParameters {
            from,
            to,
            zone: _,
            resolution,
            group_by,
            convert,
            top,
            top_by,
            version: _,
            generation: _,
            format,
            bom,
        } = asked;
        let [from, to] = [from, to].map(|bound| bound.map(|bound| bound.instant(zone)));
        let mut group_by: Vec<String> = group_by.iter().flat_map(|list| names(list)).collect();
        errors.extend(faults(metric, &group_by));
        let top = Top::asked(metric, view == QuestionView::Series, top, top_by).unwrap_or_else(|wrong| {
            errors.push(wrong);
            None
        });
        if convert && !metric.has_money() {
            errors.push(wrong("convert", "is of metrics with money: no measure of this one is"));
        }
        if metric.has_money() && !convert && !group_by.iter().any(|name| name == CURRENCY) {
            group_by.push(CURRENCY.to_owned());
        }
        errors
            .extend(resolution.and_then(|resolution| too_fine(metric, resolution)).map(|why| wrong("resolution", why)));
        if !errors.is_empty() {
            return Err(Error::Parameters(errors));
        }
        if resolution.is_some_and(|asked| asked != Resolution::Window) && !metric.has_disjoint_windows() {
            return Err(Error::Overlapping(metric.name.clone()));
        }
        if let Some(millis) = metric.tile_millis() {
            range::check(&format!("metric {}", metric.name), millis, from, to)?;
        }
        Ok(Self { from, to, zone, is_zone_named, resolution, group_by, filters, convert, top, format, bom })
    }

    /// Whether a distinct count adds up here: each dimension that its values repeat
    /// over is grouped by, or has one value.
    pub(super) fn holds(&self, measure: &MeasureShape) -> bool {
        let is_one = |name: &String| {
            self.group_by.contains(name) || self.filters.get(name).is_some_and(|allowed| allowed.len() == 1)
        };
        measure.repeats_over.as_ref().is_some_and(|names| names.iter().all(is_one))
    }

    /// The same question to another metric, if that has all dimensions of it.
    pub(super) fn to_another(&self, metric: &Metric) -> Option<Self> {
        let named = self.group_by.iter().chain(self.filters.keys());
        named.into_iter().all(|name| metric.dimensions.contains(name)).then(|| self.clone())
    }

    /// How windows may be put together, the finest way first. Where no resolution
    /// is named, it follows from what there is between the first window and the
    /// last, and a coarser one takes over where an answer would be too large.
    pub(crate) fn rollups(
        &self,
        metric: &Metric,
        view: QuestionView,
        extent: Option<(Timestamp, Timestamp)>,
    ) -> Vec<Rollup> {
        let Self { from, to, zone, .. } = *self;
        let rollup = |resolution, zone| match resolution {
            Resolution::Window => Rollup::Windows,
            _ => Rollup::Periods { resolution, zone, from, to },
        };
        match (view, self.resolution) {
            (QuestionView::Totals, _) => vec![Rollup::Whole],
            (QuestionView::Series, Some(resolution)) => vec![rollup(resolution, zone)],
            (QuestionView::Series, None) => {
                // Days of UTC are better than none, where the zone is but a setting.
                let zones = |resolution: Resolution| {
                    let spare = !self.is_zone_named && resolution >= Resolution::Day && zone != Zone::UTC;
                    [Some(zone), spare.then_some(Zone::UTC)].into_iter().flatten().map(move |zone| (resolution, zone))
                };
                let fitting = Resolution::fitting(metric, self.span(metric, extent));
                fitting.into_iter().flat_map(zones).map(|(resolution, zone)| rollup(resolution, zone)).collect()
            }
        }
    }

    /// Milliseconds between the first window and the end of the last, within the bounds.
    fn span(&self, metric: &Metric, extent: Option<(Timestamp, Timestamp)>) -> i64 {
        let Some((first, last)) = extent else { return 0 };
        let end = last.plus_millis(metric.window.seconds.saturating_mul(1000));
        let begin = self.from.map_or(first, |from| from.max(first));
        self.to.map_or(end, |to| to.min(end)).millis().saturating_sub(begin.millis())
    }
}

/// Why a resolution cannot be made of a metric's windows, whatever the zone.
fn too_fine(metric: &Metric, resolution: Resolution) -> Option<String> {
    let window = metric.tile_millis().filter(|_| !resolution.is_made_of(metric))?;
    Some(format!("is not made of whole windows of the metric, which are {} long", range::length(window)))
}

/// What is wrong with the dimensions grouped by.
fn faults(metric: &Metric, group_by: &[String]) -> Vec<FieldError> {
    let fault = |(at, name): (usize, &String)| {
        if !metric.dimensions.contains(name) {
            Some(format!("{name:?} is no dimension; there are {}", listed(&metric.dimensions)))
        } else if group_by[..at].contains(name) {
            Some(format!("names {name:?} twice"))
        } else {
            None
        }
    };
    group_by.iter().enumerate().filter_map(fault).map(|why| wrong("group_by", why)).collect()
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no dimensions".into() } else { names.join(", ") }
}
