//! RecommenderSettings of the service.

use std::{num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_recommender::RecommenderSettings;
use tidemill_service::{AuthConfig, HttpConfig, ServiceConfig, StartError, TelemetryConfig};

#[cfg(test)]
mod tests;

/// With fewer products than a small shop has, rules that exclude would be forgotten at once.
const LEAST_ITEMS: u32 = 1_000;

/// The settings.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub(crate) http: HttpConfig,
    /// The message log.
    #[serde(default)]
    pub(crate) nats: tidemill_bus::Config,
    /// Its own database.
    pub(crate) store: tidemill_store::Config,
    /// Logs and traces.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// Who may ask, and who may have a customer forgotten.
    #[serde(default, skip_serializing)]
    pub(crate) auth: AuthConfig,
    /// What is learnt from.
    #[serde(default)]
    pub(crate) learning: LearningConfig,
    /// What may be recommended.
    #[serde(default)]
    pub(crate) rules: RecommendationRulesConfig,
    /// How the index learns and answers.
    #[serde(default)]
    pub(crate) index: RecommenderSettings,
    /// What is kept of customers and products.
    #[serde(default)]
    pub(crate) kept: KeptConfig,
    /// How good the index is, seen live: clicks are predicted before they are learnt.
    #[serde(default)]
    pub(crate) measure: MeasureConfig,
    /// What others are told of customers.
    #[serde(default)]
    pub(crate) profiles: ProfilesConfig,
}

/// Section `learning`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LearningConfig {
    /// YAML file that says which events are learnt from, and by which members, in place
    /// of the built-in one.
    pub(crate) definition: Option<PathBuf>,
}

/// Section `rules`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecommendationRulesConfig {
    /// YAML file of the rules, in place of the built-in one.
    pub(crate) file: Option<PathBuf>,
}

/// Section `kept`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeptConfig {
    /// Days after which a customer who does nothing, or a product that no event has,
    /// is forgotten.
    pub(crate) days: NonZeroU32,
    /// Products of which category and attributes are known in memory, at most: those that no
    /// event has told of for longest are forgotten, and that rules exclude them. At least 1,000.
    pub(crate) items: NonZeroU32,
}

impl Default for KeptConfig {
    fn default() -> Self {
        Self { days: NonZeroU32::MIN.saturating_add(399), items: NonZeroU32::MIN.saturating_add(199_999) }
    }
}

/// Section `measure`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MeasureConfig {
    /// Seconds of the log that one event of the type `recommendation.evaluated` tells of;
    /// 0: nothing is evaluated. At most 86,400.
    pub(crate) interval_seconds: u32,
    /// The share of the visitors whose clicks are predicted, 0 to 1.
    pub(crate) share: f64,
    /// Predictions of a replica in a second at most: what is more is learnt without.
    pub(crate) predictions_per_second: u32,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        Self { interval_seconds: 60, share: 1.0, predictions_per_second: 20 }
    }
}

/// Section `profiles`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProfilesConfig {
    /// Profiles that a replica publishes to `PROFILES` a second, at most; 0 for none. One
    /// that changes meanwhile is published once, as it is then.
    pub(crate) published_per_second: u32,
}

impl Default for ProfilesConfig {
    fn default() -> Self {
        Self { published_per_second: 200 }
    }
}

impl Config {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.measure.interval_seconds > 86_400 {
            return Err(StartError::new("measure.interval_seconds must be 86400 at most"));
        }
        if !(0.0..=1.0).contains(&self.measure.share) {
            return Err(StartError::new("measure.share must be 0 to 1"));
        }
        if self.kept.items.get() < LEAST_ITEMS {
            return Err(StartError::new(format!("kept.items must be {LEAST_ITEMS} at least")));
        }
        self.index.validate().map_err(|error| StartError::new(format!("index.{error}")))
    }
}

impl ServiceConfig for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }
}
