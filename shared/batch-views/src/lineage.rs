//! From a number of gold back to the events that it is made of.
//!
//! The rows are told and added up again by the code that made the number, over silver
//! as far as the table of gold has it: so both have to be equal, and where they are not,
//! one of the two was changed by something else.

mod answer;
mod cells;
mod error;
mod events;
mod left_out;
mod places;
mod question;
mod tracer;

use std::sync::Arc;

pub use self::{
    answer::{
        CellLineage, EventLineage, EventPosition, EventSummary, LeftOutEvents, LeftOutReason, Lineage, LogReach,
        RowLineage, TableLineage,
    },
    error::LineageError,
    question::LineageQuestion,
};
use crate::{Gold, SqlEngine};
use tracer::Tracer;

impl Gold {
    /// What a number is made of.
    ///
    /// # Errors
    /// It is not there, or what it is made of cannot be read within the limits of a
    /// question.
    pub async fn lineage(&self, engine: &Arc<SqlEngine>, question: LineageQuestion) -> Result<Lineage, LineageError> {
        let Some(plan) = self.plan(&question.metric) else {
            let known = self.names().collect::<Vec<_>>().join(", ");
            return Err(LineageError::UnknownMetric { name: question.metric, known });
        };
        let filters = question.filters(plan)?;
        let (metrics, plan, of) = (self.metrics().collect::<Vec<_>>(), plan.clone(), Arc::clone(engine));
        let trace = async move {
            match Tracer::open(&of, plan, &metrics, question, filters).await {
                Ok(tracer) => Ok(tracer.trace().await),
                Err(error) => Ok(Err(error)),
            }
        };
        engine.limited(trace).await?
    }
}
