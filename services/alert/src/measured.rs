//! For benches: what a batch costs the rules over events.

use std::sync::Arc;

use tidemill_definitions::Metrics;
use tidemill_domain::Timestamp;
use tidemill_events::{Encoded, EnrichedBatch};

use crate::{
    evaluate::event::EventRules,
    rules::Rules,
    state::{Saved, StepChanges},
};

/// A rule over events.
pub struct MeasuredRules(EventRules);

impl MeasuredRules {
    /// The rule of a file's text.
    ///
    /// # Panics
    /// When it is no rule.
    #[allow(clippy::expect_used, reason = "a bench that cannot begin ends")]
    pub fn new(rule: &str) -> Self {
        let mut rules = Rules::default();
        let metrics = Metrics::load(None).expect("are built in");
        rules.add("rule.yaml", rule, &metrics).expect("is a rule");
        Self(EventRules::new(rules.event, &Saved::default(), Arc::default()))
    }

    /// Reads a batch and evaluates it; answers how many alerts fire.
    ///
    /// # Panics
    /// When it is no batch.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on ends")]
    pub fn apply(&self, message: &Encoded) -> usize {
        let batch = EnrichedBatch::decode_if(message, message.payload.clone(), |types| self.0.are_about(types));
        let mut changes = StepChanges::default();
        self.0.apply(&batch.expect("a batch"), Timestamp::EPOCH, &mut changes);
        changes.alerts.len()
    }
}
