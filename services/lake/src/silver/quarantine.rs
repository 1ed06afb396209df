//! What is held back, as rows.

use tidemill_contracts::Rule;
use tidemill_events::EnrichedEventRef;
use tidemill_lake_tables::{TableRows, tables::QuarantinedEvent};

use super::{place::EventPlace, rules::SilverRules};

/// Adds a line that a rule holds back, and the event in it if it is one.
pub(super) fn add(
    rows: &mut TableRows<QuarantinedEvent<'static>>,
    (line, event): (&[u8], Option<&EnrichedEventRef<'_>>),
    (rules, rule): (&SilverRules, &Rule),
    place: EventPlace,
) {
    let EventPlace { partition, raw_seq, index, received, late, redrive } = place;
    let contract = rules.judge.contract();
    rows.push(&QuarantinedEvent {
        partition,
        raw_seq,
        index,
        rule: rule.name(),
        contract: &contract.id,
        contract_version: &contract.version,
        pointer: rule.pointer(),
        id: event.map(|event| &*event.id),
        source: event.map(|event| &*event.source),
        r#type: event.map(|event| &*event.kind),
        time: event.map(|event| event.time),
        received,
        late,
        event: &String::from_utf8_lossy(line),
        redrive,
    });
}
