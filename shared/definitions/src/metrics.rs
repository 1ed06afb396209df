//! All metrics of a shop.

mod totals;

#[cfg(test)]
mod recommended;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path};

use crate::{DefinitionError, MetricDefinition, read_folder};

/// The metrics that are kept.
#[derive(Debug, Clone)]
pub struct Metrics {
    all: Vec<MetricDefinition>,
    /// By event type, the places of those that look at it.
    by_type: HashMap<String, Vec<usize>>,
}

/// What a shop gets without a word: file name and text.
const DEFAULTS: [(&str, &str); 8] = [
    ("conversion.yaml", include_str!("../metrics/conversion.yaml")),
    ("daily_country.yaml", include_str!("../metrics/daily_country.yaml")),
    ("daily_sales.yaml", include_str!("../metrics/daily_sales.yaml")),
    ("order_metrics.yaml", include_str!("../metrics/order_metrics.yaml")),
    ("product_views.yaml", include_str!("../metrics/product_views.yaml")),
    ("recommendation_metrics.yaml", include_str!("../metrics/recommendation_metrics.yaml")),
    ("recommended_sales.yaml", include_str!("../metrics/recommended_sales.yaml")),
    ("sales_metrics.yaml", include_str!("../metrics/sales_metrics.yaml")),
];

/// What a shop has whichever metrics it has: what `tidemill check` looks at, and what the
/// suite's services measure.
const OWN: [(&str, &str); 2] = [
    ("recommendation_quality.yaml", include_str!("../metrics/recommendation_quality.yaml")),
    ("tidemill_check.yaml", include_str!("../metrics/tidemill_check.yaml")),
];

impl Metrics {
    /// What a shop gets that has no folder of its own: file names and texts.
    pub fn built_in() -> &'static [(&'static str, &'static str)] {
        &DEFAULTS
    }

    /// Reads every definition of a folder, or the defaults without one. The suite's own
    /// come on top.
    pub fn load(folder: Option<&Path>) -> Result<Self, DefinitionError> {
        Self::of_files(&Self::files(folder)?)
    }

    /// The files of a folder, or the defaults without one: names and texts.
    pub fn files(folder: Option<&Path>) -> Result<Vec<(String, String)>, DefinitionError> {
        let Some(folder) = folder else {
            return Ok(DEFAULTS.map(|(file, text)| (file.to_owned(), text.to_owned())).to_vec());
        };
        let files = read_folder(folder)?;
        if files.is_empty() {
            let folder = folder.display().to_string();
            return Err(DefinitionError::new(&folder, None, "holds no metric definitions (*.yaml)"));
        }
        Ok(files)
    }

    /// The definitions of these [files](Self::files). The suite's own come on top.
    pub fn of_files(files: &[(String, String)]) -> Result<Self, DefinitionError> {
        let mut metrics: Vec<MetricDefinition> = Vec::with_capacity(files.len());
        for (file, text) in files {
            let definition = MetricDefinition::parse(file, text)?;
            if metrics.iter().any(|known| known.name == definition.name) {
                let reason = format!("metric `{}` is defined twice", definition.name);
                return Err(DefinitionError::at(file, text, "name:", reason));
            }
            metrics.push(definition);
        }
        for ((file, text), metric) in files.iter().zip(&metrics) {
            totals::check(file, text, metric, &metrics)?;
        }
        for (file, text) in OWN {
            let own = MetricDefinition::parse(file, text)?;
            if metrics.iter().all(|metric| metric.name != own.name) {
                metrics.push(own);
            }
        }
        Ok(Self::of(metrics))
    }

    fn of(all: Vec<MetricDefinition>) -> Self {
        let mut by_type: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, metric) in all.iter().enumerate() {
            for kind in &metric.types {
                let places = by_type.entry(kind.clone()).or_default();
                // A type may be named twice.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Self { all, by_type }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MetricDefinition> {
        self.all.iter()
    }

    /// Those that look at events of a type, in the same order.
    pub fn of_type(&self, kind: &str) -> impl ExactSizeIterator<Item = &MetricDefinition> {
        self.by_type.get(kind).map(Vec::as_slice).unwrap_or_default().iter().map(|place| &self.all[*place])
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&MetricDefinition> {
        self.iter().find(|metric| metric.name == name)
    }
}
