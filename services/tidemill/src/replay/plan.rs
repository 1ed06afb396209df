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
    error::ReplayError,
    planned::{PlanComparison, PlannedMetric, PlannedRule},
    settings::ReplaySettings,
};

/// Batches of which the events are counted, to know about how many there are.
const SAMPLED: u64 = 48;
/// Events that two cores replay in a second, about.
const A_SECOND: u64 = 150_000;

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayStart {
    /// With the first batch that the log has.
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
    /// Events in them, about.
    pub events: u64,
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

impl ReplayPlan {
    /// Makes a plan.
    pub(super) async fn make(
        bus: &Bus,
        settings: &ReplaySettings,
        request: &ReplayRequest<'_>,
        rate: u64,
    ) -> Result<Self, ReplayError> {
        let log = bus.extent(StreamName::Raw).await?;
        let (behind, begins_at) = start(bus, log, request.from).await?;
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
            behind,
            reference: request.reference,
            definitions: definition_texts(texts),
        };
        let begins = PlannedStart { log, begins_at };
        Self::of(bus, settings, (request.name.clone(), inputs, definition_texts(rules)), begins, rate).await
    }

    /// What a generation that was begun is counted by.
    pub(super) async fn of_record(
        bus: &Bus,
        settings: &ReplaySettings,
        record: &GenerationRecord,
        from: ReplayStart,
    ) -> Result<Self, ReplayError> {
        let log = bus.extent(StreamName::Raw).await?;
        let (behind, begins_at) = start(bus, log, from).await?;
        let own = (!record.rules.is_empty()).then(|| record.rules.clone());
        let live = || rule_files(settings.alert.as_ref(), None).map(definition_texts);
        let rules = own.map_or_else(live, Ok).map_err(StartError::new)?;
        let inputs = GenerationInputs { behind, ..record.inputs.clone() };
        Self::of(bus, settings, (record.name.clone(), inputs, rules), PlannedStart { log, begins_at }, 0).await
    }

    async fn of(
        bus: &Bus,
        settings: &ReplaySettings,
        (generation, inputs, rule_files): (GenerationName, GenerationInputs, Vec<DefinitionText>),
        PlannedStart { log, begins_at }: PlannedStart,
        rate: u64,
    ) -> Result<Self, ReplayError> {
        let (behind, alert) = (inputs.behind, settings.alert.as_ref());
        let metrics = Metrics::of_files(&file_texts(&inputs.definitions)).map_err(StartError::new)?;
        let live = Metrics::load(settings.aggregation.definitions.metrics.as_deref()).map_err(StartError::new)?;
        let rules = rules_of(&file_texts(&rule_files), alert, &metrics).map_err(StartError::new)?;
        let live_files = tidemill_alert::replay::rule_files(alert, None).map_err(StartError::new)?;
        let live_rules = rules_of(&live_files, alert, &live).map_err(StartError::new)?;
        let (live_rules, rules) = (live_rules.names(), rules.names());
        let (live, new) = ((&live, &live_rules[..]), (&metrics, &rules[..]));
        let compared = PlanComparison { live, new, reference: inputs.reference, behind };
        let events = events(bus, behind.max(log.0 - 1), log.1).await?;
        let a_second = if rate == 0 { A_SECOND } else { rate.min(A_SECOND) };
        Ok(Self {
            generation,
            log,
            behind,
            batches: log.1.saturating_sub(behind.max(log.0 - 1)),
            events,
            seconds: events.div_ceil(a_second),
            metrics: compared.metrics(),
            rules: compared.rules(),
            inputs,
            rule_files,
            begins_at,
        })
    }
}

/// Where a planned replay begins: the log as it is, and when the last batch that is not
/// counted came in.
struct PlannedStart {
    log: (u64, u64),
    begins_at: Timestamp,
}

fn definition_texts(files: Vec<(String, String)>) -> Vec<DefinitionText> {
    files.into_iter().map(|(file, text)| DefinitionText { file, text }).collect()
}

/// Names and texts of files.
pub(super) fn file_texts(files: &[DefinitionText]) -> Vec<(String, String)> {
    files.iter().map(|of| (of.file.clone(), of.text.clone())).collect()
}

/// The batch behind which a replay begins, and when that came in.
async fn start(bus: &Bus, log: (u64, u64), from: ReplayStart) -> Result<(u64, Timestamp), ReplayError> {
    let (first, last) = log;
    let behind = match from {
        ReplayStart::First => first - 1,
        ReplayStart::Sequence(wanted) if wanted < first => return Err(ReplayError::LogForgotten { wanted, first }),
        ReplayStart::Sequence(wanted) => wanted - 1,
        ReplayStart::Time(time) => {
            let found = first_at(bus, first, last, time).await?;
            if found == first && first > 1 && taken_in(bus, first, last).await?.is_some_and(|at| time < at) {
                return Err(ReplayError::LogForgotten { wanted: first - 1, first });
            }
            found - 1
        }
    };
    let at = match taken_in(bus, behind.max(1), last).await? {
        Some(at) => at,
        None => Timestamp::EPOCH,
    };
    Ok((behind, at))
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

/// About how many events the batches behind one have, by some of them.
async fn events(bus: &Bus, behind: u64, last: u64) -> Result<u64, ReplayError> {
    let batches = last.saturating_sub(behind);
    let (mut sampled, mut events) = (0_u64, 0_u64);
    for n in 0..SAMPLED.min(batches) {
        let sequence = behind + 1 + n * batches / SAMPLED.min(batches);
        match bus.message_at::<RawBatch>(sequence).await {
            Ok(Some(Stored { message, .. })) => {
                sampled += 1;
                events += u64::from(message.count());
            }
            Ok(None) | Err(tidemill_bus::Error::Decode(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((events * batches).checked_div(sampled).unwrap_or_default())
}
