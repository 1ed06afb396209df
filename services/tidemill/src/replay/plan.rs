//! What a replay is going to do, before it does it.

use std::path::Path;

use serde::Serialize;
use tidemill_aggregation::replay::GenerationRecord;
use tidemill_alert::replay::{rule_files, rules_of};
use tidemill_bus::{Bus, Stored};
use tidemill_definitions::Metrics;
use tidemill_domain::{GenerationName, Timestamp};
use tidemill_events::{DefinitionText, GenerationInputs, RawBatch, ReferenceMode, StreamName};
use tidemill_service::StartError;

use super::{
    bronze::{BronzeReader, BronzeStart, LakePatience},
    counted::LogEvents,
    error::ReplayError,
    planned::{PlanComparison, PlannedMetric, PlannedRule},
    settings::ReplaySettings,
};

/// Events that two cores replay in a second, about.
const A_SECOND: u64 = 100_000;

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayStart {
    /// With the first batch that the log has; where a lake is named, with the first one behind which nothing is
    /// missing in bronze and in the log.
    First,
    /// With this sequence of `RAW`.
    Sequence(u64),
    /// With the first batch that was taken in then or later.
    Time(Timestamp),
}

/// What is asked of a replay.
#[derive(Debug, Clone)]
pub struct ReplayRequest<'r> {
    /// The generation's name.
    pub name: GenerationName,
    /// Where it begins.
    pub from: ReplayStart,
    /// Folder with the definitions of metrics; those of the live aggregation without it.
    pub definitions: Option<&'r Path>,
    /// Folder with the rules that are tried out; those of the live alert service without it.
    pub rules: Option<&'r Path>,
    /// What of the reference data events are joined with.
    pub reference: ReferenceMode,
    /// The time.
    pub now: Timestamp,
}

/// What a replay is going to do.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayPlan {
    /// The generation.
    pub generation: GenerationName,
    /// The first and the last batch that the log has now.
    pub log: (u64, u64),
    /// Batches up to this one are not counted.
    pub behind: u64,
    /// Batches to count.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Whether they were counted one by one, or only the first ones of a long log.
    pub events_are_exact: bool,
    /// Those of them that the log has forgotten, and a lake tells.
    pub bronze: PlannedBronze,
    /// Seconds that it takes, about.
    pub seconds: u64,
    /// What becomes of each metric.
    pub metrics: Vec<PlannedMetric>,
    /// What becomes of each rule.
    pub rules: Vec<PlannedRule>,
    #[serde(skip)]
    pub(super) inputs: GenerationInputs,
    /// The rules, as their files have them.
    #[serde(skip)]
    pub(super) rule_files: Vec<DefinitionText>,
    /// When the last batch that is not counted came in, or the first that is.
    #[serde(skip)]
    pub(super) begins_at: Timestamp,
}

/// What of a replay comes from bronze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PlannedBronze {
    /// Batches.
    pub batches: u64,
    /// Events in them, all counted.
    pub events: u64,
}

/// Where a replay reads, and how long it waits for the lake.
pub(super) type ReplayLog<'l> = (&'l Bus, Option<(&'l BronzeReader, LakePatience<'l>)>);

impl ReplayPlan {
    /// How many events it counts, for who reads.
    pub(crate) fn events_told(&self) -> String {
        self.told(self.events)
    }

    /// So many of them, which are no more exact than all.
    pub(crate) fn told(&self, events: u64) -> String {
        if self.events_are_exact { events.to_string() } else { format!("about {events}") }
    }

    /// Makes a plan.
    pub(super) async fn make(
        (bus, bronze): ReplayLog<'_>,
        settings: &ReplaySettings,
        request: &ReplayRequest<'_>,
        rate: u64,
    ) -> Result<Self, ReplayError> {
        let log = bus.extent(StreamName::Raw).await?;
        let begins = start((bus, bronze), log, request.from).await?;
        let live_folder = settings.aggregation.definitions.metrics.as_deref();
        let texts = Metrics::files(request.definitions.or(live_folder)).map_err(StartError::new)?;
        let mut rules = rule_files(settings.alert.as_ref(), request.rules).map_err(StartError::new)?;
        if request.rules.is_none() {
            // Those of the suite may look at metrics that the generation has not.
            let metrics = Metrics::of_files(&texts).map_err(StartError::new)?;
            rules.retain(|rule| rules_of(std::slice::from_ref(rule), settings.alert.as_ref(), &metrics).is_ok());
        }
        let inputs = GenerationInputs {
            begun_at: request.now,
            release: env!("CARGO_PKG_VERSION").into(),
            behind: begins.behind,
            reference: request.reference,
            definitions: definition_texts(texts),
        };
        Self::of(bus, settings, (request.name.clone(), inputs, definition_texts(rules)), begins, rate).await
    }

    /// What a generation that was begun is counted by.
    pub(super) async fn of_record(
        (bus, bronze): ReplayLog<'_>,
        settings: &ReplaySettings,
        record: &GenerationRecord,
        from: ReplayStart,
    ) -> Result<Self, ReplayError> {
        let log = bus.extent(StreamName::Raw).await?;
        let begins = start((bus, bronze), log, from).await?;
        let own = (!record.rules.is_empty()).then(|| record.rules.clone());
        let live = || rule_files(settings.alert.as_ref(), None).map(definition_texts);
        let rules = own.map_or_else(live, Ok).map_err(StartError::new)?;
        let inputs = GenerationInputs { behind: begins.behind, ..record.inputs.clone() };
        Self::of(bus, settings, (record.name.clone(), inputs, rules), begins, 0).await
    }

    async fn of(
        bus: &Bus,
        settings: &ReplaySettings,
        (generation, inputs, rule_files): (GenerationName, GenerationInputs, Vec<DefinitionText>),
        PlannedStart { log, behind, begins_at, bronze }: PlannedStart,
        rate: u64,
    ) -> Result<Self, ReplayError> {
        let alert = settings.alert.as_ref();
        let metrics = Metrics::of_files(&file_texts(&inputs.definitions)).map_err(StartError::new)?;
        let live = Metrics::load(settings.aggregation.definitions.metrics.as_deref()).map_err(StartError::new)?;
        let rules = rules_of(&file_texts(&rule_files), alert, &metrics).map_err(StartError::new)?;
        let live_files = tidemill_alert::replay::rule_files(alert, None).map_err(StartError::new)?;
        let live_rules = rules_of(&live_files, alert, &live).map_err(StartError::new)?;
        let (live_rules, rules) = (live_rules.names(), rules.names());
        let (live, new) = ((&live, &live_rules[..]), (&metrics, &rules[..]));
        let compared = PlanComparison { live, new, reference: inputs.reference, behind };
        let in_log = behind.max(log.0 - 1);
        let in_raw = LogEvents::count(bus, (in_log, log.1)).await?;
        let events = bronze.events + in_raw.events;
        let a_second = if rate == 0 { A_SECOND } else { rate.min(A_SECOND) };
        Ok(Self {
            generation,
            log,
            behind,
            batches: bronze.batches + log.1.saturating_sub(in_log),
            events,
            events_are_exact: in_raw.is_exact,
            bronze,
            seconds: events.div_ceil(a_second),
            metrics: compared.metrics(),
            rules: compared.rules(),
            inputs,
            rule_files,
            begins_at,
        })
    }
}

/// Where a planned replay begins.
struct PlannedStart {
    /// The log as it is.
    log: (u64, u64),
    /// Batches up to this one are not counted.
    behind: u64,
    /// When the last batch that is not counted came in, or the first that is.
    begins_at: Timestamp,
    bronze: PlannedBronze,
}

fn definition_texts(files: Vec<(String, String)>) -> Vec<DefinitionText> {
    files.into_iter().map(|(file, text)| DefinitionText { file, text }).collect()
}

/// Names and texts of files.
pub(super) fn file_texts(files: &[DefinitionText]) -> Vec<(String, String)> {
    files.iter().map(|of| (of.file.clone(), of.text.clone())).collect()
}

/// Where a replay begins: in the log, or before it where a lake was named.
async fn start((bus, bronze): ReplayLog<'_>, log: (u64, u64), from: ReplayStart) -> Result<PlannedStart, ReplayError> {
    let (first, last) = log;
    // What the log does not have, by its first sequence or by a time.
    let before = match from {
        ReplayStart::First if first > 1 && bronze.is_some() => Some((1, BronzeStart::Sequence(1))),
        ReplayStart::First => None,
        ReplayStart::Sequence(wanted) => (wanted < first).then_some((wanted, BronzeStart::Sequence(wanted))),
        ReplayStart::Time(time) => {
            let first_at = taken_in(bus, first, last).await?;
            let is_before = first > 1 && first_at.map_or(bronze.is_some(), |at| time < at);
            is_before.then_some((first - 1, BronzeStart::Time(time)))
        }
    };
    if let Some((wanted, start)) = before {
        let bronze = bronze.ok_or(ReplayError::LogForgotten { wanted, first })?;
        return before_log(bronze, log, start, from == ReplayStart::First).await;
    }
    let behind = match from {
        ReplayStart::First => first - 1,
        ReplayStart::Sequence(wanted) => wanted - 1,
        ReplayStart::Time(time) => first_at(bus, first, last, time).await? - 1,
    };
    let begins_at = taken_in(bus, behind.max(1), last).await?.unwrap_or(Timestamp::EPOCH);
    Ok(PlannedStart { log, behind, begins_at, bronze: PlannedBronze::default() })
}

/// A start that the log has forgotten. `is_any` takes the first one behind which nothing is missing.
async fn before_log(
    (bronze, patience): (&BronzeReader, LakePatience<'_>),
    log: (u64, u64),
    start: BronzeStart,
    is_any: bool,
) -> Result<PlannedStart, ReplayError> {
    let mut told = bronze.log(start, log.0, patience).await?;
    // The last part comes first. What may still come is waited for.
    if let Some(lost) = told.missing.iter().find(|missing| !missing.pending).copied() {
        if !is_any {
            return Err(ReplayError::BronzeGap { from: lost.from, to: lost.to });
        }
        told = bronze.log(BronzeStart::Sequence(lost.to + 1), log.0, patience).await?;
    }
    let bronze = PlannedBronze { batches: told.batches, events: told.events };
    let begins_at = told.begins_at.unwrap_or(Timestamp::EPOCH);
    Ok(PlannedStart { log, behind: told.first.saturating_sub(1), begins_at, bronze })
}

/// When the first batch at or behind a sequence was taken in.
async fn taken_in(bus: &Bus, mut sequence: u64, last: u64) -> Result<Option<Timestamp>, ReplayError> {
    while sequence <= last {
        match bus.message_at::<RawBatch>(sequence).await {
            Ok(Some(Stored { message, .. })) => return Ok(Some(message.ingested_at)),
            // One that is no batch, or gone.
            Ok(None) | Err(tidemill_bus::Error::Decode(_)) => sequence += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The first batch that was taken in at a time or later, by halves.
async fn first_at(bus: &Bus, first: u64, last: u64, time: Timestamp) -> Result<u64, ReplayError> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match taken_in(bus, middle, last).await? {
            Some(at) if at < time => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
