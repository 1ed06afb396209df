//! An event as a row, once its rules have been asked.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidemill_contracts::{JudgedEvent, Verdict};
use tidemill_definitions::Data;
use tidemill_events::{Attributes, EnrichmentRef};
use tidemill_lake_tables::{Date, Rate, TableRows, tables::SilverEvent};

use super::{
    SilverRows, lines, orders,
    place::EventPlace,
    quarantine,
    read::ReadEvent,
    rules::{BrokenContract, SilverRules},
};

impl ReadEvent<'_> {
    /// Adds it to the rows that it belongs to.
    pub(crate) fn add(
        &self,
        rows: &mut SilverRows,
        place: EventPlace,
        rules: &SilverRules,
    ) -> Result<(), BrokenContract> {
        let event = &self.event;
        let unknown = EnrichmentRef::default();
        let enrichment = event.enriched.as_ref().unwrap_or(&unknown);
        let data = if rules.need_data(&event.kind) { Data::of(event.data) } else { Data::default() };
        let judged = JudgedEvent::new(event, enrichment, &data, place.received);
        match rules.judge.judge(&judged) {
            Verdict::Passes(warned) => {
                self.add_rows(rows, place, (rules, &judged, &data), rules.judge.names(warned).as_deref());
                Ok(())
            }
            Verdict::Quarantined(rule) => {
                quarantine::add(&mut rows.quarantine, (self.line, Some(event)), (rules, rule), place);
                Ok(())
            }
            Verdict::Stops(rule) => Err(BrokenContract::of(rules, rule, place)),
        }
    }

    /// Whether the rules let it pass.
    pub(crate) fn passes(&self, place: EventPlace, rules: &SilverRules) -> bool {
        self.judged(place, |judged, _| matches!(rules.judge.judge(judged), Verdict::Passes(_)))
    }

    /// Adds it though a rule may hold it back: that it leaves the quarantine is settled.
    pub(crate) fn release(&self, rows: &mut SilverRows, place: EventPlace, rules: &SilverRules) {
        self.judged(place, |judged, data| {
            let warnings = match rules.judge.judge(judged) {
                Verdict::Passes(warned) => rules.judge.names(warned),
                Verdict::Quarantined(rule) | Verdict::Stops(rule) => Some(rule.name().into()),
            };
            self.add_rows(rows, place, (rules, judged, data), warnings.as_deref());
        });
    }

    /// Its row of `silver.events` once more, as the rules of now have it; what its contract has found stays.
    pub(super) fn add_again(
        &self,
        rows: &mut TableRows<SilverEvent<'static>>,
        place: EventPlace,
        rules: &SilverRules,
        warnings: Option<&str>,
    ) {
        self.judged(place, |judged, data| self.add_event(rows, place, (rules, judged, data), warnings));
    }

    fn judged<T>(&self, place: EventPlace, then: impl FnOnce(&JudgedEvent<'_, '_>, &Data<'_>) -> T) -> T {
        let unknown = EnrichmentRef::default();
        let enrichment = self.event.enriched.as_ref().unwrap_or(&unknown);
        let data = Data::of(self.event.data);
        then(&JudgedEvent::new(&self.event, enrichment, &data, place.received), &data)
    }

    fn add_rows(
        &self,
        rows: &mut SilverRows,
        place: EventPlace,
        by: (&SilverRules, &JudgedEvent<'_, '_>, &Data<'_>),
        warnings: Option<&str>,
    ) {
        self.add_event(&mut rows.events, place, by, warnings);
        if let Some(enrichment) = &self.event.enriched {
            lines::add(&mut rows.lines, &self.event, enrichment, place);
            orders::add(&mut rows.orders, &self.event, enrichment, place);
        }
    }

    fn add_event(
        &self,
        rows: &mut TableRows<SilverEvent<'static>>,
        place: EventPlace,
        (rules, judged, members): (&SilverRules, &JudgedEvent<'_, '_>, &Data<'_>),
        warnings: Option<&str>,
    ) {
        let EventPlace { partition, raw_seq, index, received, late, redrive } = place;
        let event = &self.event;
        let unknown = EnrichmentRef::default();
        let enrichment = event.enriched.as_ref().unwrap_or(&unknown);
        let conversion = enrichment.conversion();
        let country = enrichment.country.as_deref();
        let data = event.data.map(RawValue::get);
        let told = rules.quality.contacts(&event.kind, data, country);
        let score = rules.quality.of_event(judged);
        let (profile, failed) = (profile(&enrichment.customer), rules.quality.event_parts(score.failed));
        let Date { year, month, .. } = event.time.into();
        let row = SilverEvent {
            partition,
            raw_seq,
            index,
            id: &event.id,
            source: &event.source,
            r#type: &event.kind,
            subject: event.subject.as_deref(),
            time: event.time,
            received,
            late,
            backfill: event.backfill.is_some(),
            customer: event.subject.as_deref(),
            country,
            region: Some(&*enrichment.region).filter(|region| !region.is_empty()),
            ip_country: enrichment.ip_country.as_deref(),
            currency: enrichment.currency.as_ref().map(|currency| currency.as_str()),
            base_currency: conversion.as_ref().map(|conversion| conversion.base.as_str()),
            rate: conversion.as_ref().and_then(|conversion| conversion.rate).and_then(Rate::read),
            data,
            enriched: self.enriched,
            quality_score: score.value,
            year,
            month,
            email: told.email.as_deref(),
            phone: told.phone.as_deref(),
            has_address: told.has_address,
            profile: profile.as_deref(),
            quality_failed: failed.as_deref(),
            warnings,
            redrive,
        };
        rows.push_with(&row, rules.columns.values(&event.kind, members));
    }
}

/// What reference data say of a customer, in the order of the names.
fn profile(attributes: &Attributes<'_>) -> Option<String> {
    attributes.iter().next()?;
    // Of a name that is there twice, the last one counts.
    serde_json::to_string(&attributes.iter().collect::<BTreeMap<_, _>>()).ok()
}
