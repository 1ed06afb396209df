//! Transitions of alerts.

use tidemill_events::AlertTransition;
use tracing::Span;

use super::recipe::{Recipe, report_span};
use crate::{
    error::Error,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

pub(super) struct AlertsRecipe;

impl Recipe for AlertsRecipe {
    const UNIT: StreamUnit = StreamUnit::Alerts;
    type Message = AlertTransition;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, AlertTransition)>,
    ) -> Result<Folded<()>, Error> {
        let span = |transition: &AlertTransition| report_span(transition.trace, Self::UNIT.durable(), 0);
        let _spans: Vec<Span> = messages.iter().filter_map(|(_, transition)| span(transition)).collect();
        let Folded::Done(alerts) = reporting.store.fold_alerts(range, &messages).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.seen.alerts_to(range.last);
        reporting.alerts_folded(&alerts);
        Ok(Folded::Done(()))
    }
}
