//! What is asked of a metric.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tidemill_domain::Timestamp;
use tidemill_service::FieldError;
use utoipa::IntoParams;

use crate::{
    catalogue::Metric,
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
    /// Windows that start at or after it (RFC 3339). Windows that lie side by
    /// side have to begin or end there: the answer is never one to another range.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Windows that start before it (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Dimensions to split by, separated by commas.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    group_by: Vec<String>,
    /// Another version than the one served.
    version: Option<String>,
    /// `json` or `csv`.
    #[param(value_type = Option<String>, pattern = "^(json|csv)$")]
    format: Option<AnswerFormat>,
}

impl QuestionParameters {
    /// The version asked for, which says what dimensions there are; and what is
    /// wrong with the question whatever they are.
    pub(super) fn version(pairs: &[(String, String)]) -> (Option<String>, Vec<FieldError>) {
        let (asked, errors) = Self::read(pairs, |_, _, _| Ok(()));
        (asked.version, errors)
    }

    /// Reads them; what is none of them goes to `other`.
    fn read(
        pairs: &[(String, String)],
        other: impl FnMut(&str, &str, &[&str]) -> Result<(), String>,
    ) -> (Self, Vec<FieldError>) {
        let (asked, mut errors) = parameters::read::<Self>(pairs, other);
        if let (Some(from), Some(to)) = (asked.from, asked.to)
            && from > to
        {
            errors.push(wrong("to", "must not be before from"));
        }
        (asked, errors)
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
    /// Dimensions that the answer is split by.
    pub(crate) group_by: Vec<String>,
    /// Values that a dimension may have, by dimension.
    pub(crate) filters: BTreeMap<String, BTreeSet<String>>,
    pub(crate) format: Option<AnswerFormat>,
}

impl Question {
    /// Everything, split by every dimension.
    pub(crate) fn of_every_dimension(metric: &Metric) -> Self {
        let group_by = metric.dimensions.clone();
        Self { from: None, to: None, group_by, filters: BTreeMap::new(), format: None }
    }

    /// Reads the parameters of a question about `metric`; all errors at once.
    pub(crate) fn parse(metric: &Metric, pairs: &[(String, String)]) -> Result<Self, Error> {
        let mut filters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let filter = |name: &str, value: &str, declared: &[&str]| {
            if !metric.dimensions.iter().any(|dimension| dimension == name) {
                let known = declared.join(", ");
                return Err(format!("is not known; there are {known} and {}", listed(&metric.dimensions)));
            }
            filters.entry(name.to_owned()).or_default().insert(value.to_owned());
            Ok(())
        };
        let (asked, mut errors) = QuestionParameters::read(pairs, filter);
        let QuestionParameters { from, to, group_by, version: _, format } = asked;
        let group_by: Vec<String> = group_by.iter().flat_map(|list| names(list)).collect();
        errors.extend(faults(metric, &group_by));
        if !errors.is_empty() {
            return Err(Error::Parameters(errors));
        }
        if let Some(millis) = metric.tile_millis() {
            range::check(&format!("metric {}", metric.name), millis, from, to)?;
        }
        Ok(Self { from, to, group_by, filters, format })
    }
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
