//! What an evaluation found.

use serde::Serialize;

use super::figures::ModelFigures;

/// The figures of all models.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationReport {
    /// Predicted events.
    pub cases: u64,
    /// Sessions with at least one of these.
    pub sessions: u64,
    /// Sessions that were learnt from.
    pub train_sessions: u64,
    /// Events that were learnt from.
    pub train_events: u64,
    /// Items of these.
    pub train_items: u64,
    /// The index first, then what it must be better than.
    pub models: Vec<ModelReport>,
}

/// One model of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelReport {
    /// Its name.
    pub name: &'static str,
    /// How good it was.
    pub figures: ModelFigures,
    /// What the slowest tenth of its predictions took at least, in microseconds.
    pub p90_micros: u64,
}

/// The figures as a JSON object.
#[derive(Serialize)]
struct FiguresObject {
    #[serde(rename = "hr@20")]
    hit_rate: f64,
    #[serde(rename = "mrr@20")]
    reciprocal_rank: f64,
    #[serde(rename = "ndcg@20")]
    gain: f64,
    #[serde(rename = "coverage@20")]
    coverage: f64,
    #[serde(rename = "popularity@20")]
    popularity: f64,
    p90_micros: u64,
}

#[derive(Serialize)]
struct BaselineObject {
    name: &'static str,
    #[serde(flatten)]
    figures: FiguresObject,
}

#[derive(Serialize)]
struct ReportObject {
    protocol: &'static str,
    #[serde(flatten)]
    figures: FiguresObject,
    cases: u64,
    sessions: u64,
    train_sessions: u64,
    train_events: u64,
    train_items: u64,
    seconds: f64,
    baselines: Vec<BaselineObject>,
}

impl ModelReport {
    fn object(&self) -> FiguresObject {
        let ModelFigures { hit_rate, reciprocal_rank, gain, coverage, popularity } = self.figures;
        FiguresObject { hit_rate, reciprocal_rank, gain, coverage, popularity, p90_micros: self.p90_micros }
    }
}

impl EvaluationReport {
    /// As one JSON object: the figures of the index at its top, those of the
    /// others in `baselines`. `seconds` is how long the run took.
    #[must_use]
    pub fn object(&self, seconds: f64) -> Option<impl Serialize + use<>> {
        let (index, others) = self.models.split_first()?;
        Some(ReportObject {
            protocol: "session-rec",
            figures: index.object(),
            cases: self.cases,
            sessions: self.sessions,
            train_sessions: self.train_sessions,
            train_events: self.train_events,
            train_items: self.train_items,
            seconds,
            baselines: others
                .iter()
                .map(|model| BaselineObject { name: model.name, figures: model.object() })
                .collect(),
        })
    }
}
