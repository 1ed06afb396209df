//! What a run tells of itself.

use serde::{Deserialize, Serialize};
use tidemill_batch_views::RebuiltTable;
use tidemill_domain::Timestamp;
use utoipa::ToSchema;

use super::RebuildOrder;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RebuildPhase {
    /// Under way.
    Running,
    /// All of it is done.
    Done,
    /// It was told to end, or its replica was. Tables that are told are done, others as they were.
    Stopped,
    /// It cannot go on; likewise.
    Failed,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RebuildState {
    pub(crate) id: String,
    pub(crate) order: RebuildOrder,
    pub(crate) phase: RebuildPhase,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What is made now.
    pub(crate) stage: String,
    /// How many files or tables of that are done.
    pub(crate) done: u64,
    /// Of how many.
    pub(crate) total: u64,
    /// Tables that are done.
    pub(crate) tables: Vec<RebuiltTable>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) began_at: Timestamp,
}

impl RebuildState {
    pub(super) fn begun(id: String, order: RebuildOrder, began_at: Timestamp) -> Self {
        let (phase, stage) = (RebuildPhase::Running, String::new());
        Self { id, order, phase, reason: None, stage, done: 0, total: 0, tables: Vec::new(), began_at }
    }

    pub(super) fn written(&self) -> String {
        // A struct of texts and numbers can be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn read(told: &str) -> Option<Self> {
        serde_json::from_str(told).ok()
    }

    /// The same, if nobody runs it any more.
    pub(super) fn lost(self) -> Self {
        match self.phase {
            RebuildPhase::Running => {
                let reason = Some("its replica has ended; begin it again".into());
                Self { phase: RebuildPhase::Failed, reason, ..self }
            }
            RebuildPhase::Done | RebuildPhase::Stopped | RebuildPhase::Failed => self,
        }
    }
}
