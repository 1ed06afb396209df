//! Rules as data: what a file may say, and what is checked when it is read.

pub(crate) mod amounts;
pub(crate) mod case;
pub(crate) mod event;
mod file;
mod meta;
pub(crate) mod metric;
mod period;
pub(crate) mod quality;
mod scalar;
mod template;

use std::{path::Path, sync::Arc};

use tidemill_definitions::{DefinitionError, Metrics, from_yaml, read_folder};

use self::{amounts::ShopNames, event::EventRule, file::RuleFile, meta::On, metric::MetricRule, quality::QualityRule};
use crate::config::RulesConfig;

pub(crate) use self::template::figure;
pub use self::{amounts::BUILT_IN_AMOUNTS, meta::RuleMeta};

/// The rules of a shop that has none of its own: file name and text.
const DEFAULTS: [(&str, &str); 5] = [
    ("fraud_detection.yaml", include_str!("../rules/fraud_detection.yaml")),
    ("lake_behind.yaml", include_str!("../rules/lake_behind.yaml")),
    ("lake_quality.yaml", include_str!("../rules/lake_quality.yaml")),
    ("recommendation_quality.yaml", include_str!("../rules/recommendation_quality.yaml")),
    ("revenue_spike.yaml", include_str!("../rules/revenue_spike.yaml")),
];

/// The rules that are evaluated.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The names that they share; the built-in ones without any.
    names: Option<ShopNames>,
    /// Those over window totals.
    pub(crate) metric: Vec<Arc<MetricRule>>,
    /// Those over single events.
    pub(crate) event: Vec<Arc<EventRule>>,
    /// Those over figures of the lake.
    pub(crate) quality: Vec<Arc<QualityRule>>,
}

/// What decides how the rest of a file is read.
#[derive(serde::Deserialize)]
struct RuleKind {
    on: On,
}

impl Rules {
    /// The rules of a shop that has none of its own: file name and text.
    pub fn built_in() -> &'static [(&'static str, &'static str)] {
        &DEFAULTS
    }

    /// Reads every rule of a folder (`*.yaml`, `*.yml`, one a file), or the
    /// defaults without one.
    pub(crate) fn load(config: &RulesConfig, metrics: &Metrics) -> Result<Self, DefinitionError> {
        Self::of_files(&Self::files(config.folder.as_deref())?, config.amounts.as_deref(), metrics)
    }

    /// The files of a folder, or the defaults without one: names and texts.
    pub(crate) fn files(folder: Option<&Path>) -> Result<Vec<(String, String)>, DefinitionError> {
        match folder {
            None => Ok(DEFAULTS.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()),
            Some(folder) => read_folder(folder),
        }
    }

    /// Reads the rules of some files; `amounts` names what they share.
    pub(crate) fn of_files(
        files: &[(String, String)],
        amounts: Option<&Path>,
        metrics: &Metrics,
    ) -> Result<Self, DefinitionError> {
        let names = amounts.map(ShopNames::load).transpose()?;
        let mut rules = Self { names, ..Self::default() };
        files.iter().try_for_each(|(file, text)| rules.add(file, text, metrics))?;
        Ok(rules)
    }

    /// Reads one rule from YAML.
    ///
    /// # Errors
    /// The rule is wrong, or its name is taken: the error names file and line.
    pub fn add(&mut self, file: &str, text: &str, metrics: &Metrics) -> Result<(), DefinitionError> {
        let source = RuleFile { file, text };
        let kind: RuleKind = from_yaml(file, text)?;
        let name = match kind.on {
            On::Metric => {
                let rule = MetricRule::read(&source, metrics)?;
                self.metric.push(Arc::new(rule));
                &self.metric[self.metric.len() - 1].meta.rule
            }
            On::Event => {
                let rule = EventRule::read(&source, self.names.as_ref())?;
                self.event.push(Arc::new(rule));
                &self.event[self.event.len() - 1].meta.rule
            }
            On::Quality => {
                let rule = QualityRule::read(&source)?;
                self.quality.push(Arc::new(rule));
                &self.quality[self.quality.len() - 1].meta.rule
            }
        };
        if self.metas().filter(|meta| meta.rule == *name).count() > 1 {
            return Err(source.wrong("rule:", format!("rule `{name}` is defined twice")));
        }
        Ok(())
    }

    /// What all rules have in common.
    pub fn metas(&self) -> impl Iterator<Item = &RuleMeta> {
        let quality = self.quality.iter().map(|rule| &rule.meta);
        self.metric.iter().map(|rule| &rule.meta).chain(self.event.iter().map(|rule| &rule.meta)).chain(quality)
    }
}

#[cfg(test)]
mod tests;
