//! `tidemill replay`

mod backfill;
mod differences;
mod orders;
mod start;

use std::process::ExitCode;

use serde_json::json;
use tidemill_aggregation::replay::{GenerationRecord, GenerationStore, WantedState};
use tidemill_domain::{Clock as _, SystemClock, Timestamp};

pub(super) use self::start::{because, patience, reference, start_of};
use super::ended::Ended;
use crate::{
    arguments::{ReplayArguments, ReplayCommand, ReplayPlace, ReplayStatus, ReplaySuite},
    replay::{ReplayError, ReplaySettings, generation, stores_at},
    shop_file::ShopFile,
    suite,
};

pub(crate) async fn replay(ReplayArguments { command }: ReplayArguments) -> Ended {
    match command {
        ReplayCommand::Backfill(arguments) => backfill::backfill(arguments).await,
        ReplayCommand::Start(arguments) => start::start(arguments).await,
        ReplayCommand::Status(arguments) => status(arguments).await,
        ReplayCommand::Pause(place) => want(&place, WantedState::Paused, None).await,
        ReplayCommand::Resume(resume) => want(&resume.place, WantedState::Running, resume.rate).await,
        ReplayCommand::Cancel(place) => want(&place, WantedState::Cancelled, None).await,
        ReplayCommand::Diff(arguments) => Ok(differences::differences(arguments).await),
        ReplayCommand::Cutover(order) => orders::order("cutover", order.order, order.warm_hours).await,
        ReplayCommand::Rollback(order) => orders::order("rollback", order, None).await,
        ReplayCommand::Retire(order) => orders::order("retire", order, None).await,
    }
}

impl ReplaySuite {
    /// What a replay has to know of the suite.
    pub(super) fn settings(&self) -> Result<ReplaySettings, Box<dyn std::error::Error>> {
        if let (Some(enrichment), Some(aggregation), Some(stores)) =
            (&self.enrichment_settings, &self.aggregation_settings, &self.stores)
        {
            return Ok(ReplaySettings::of_files(enrichment, aggregation, self.alert_settings.as_deref(), stores)?);
        }
        let settings = self.shop_file()?;
        let folder = data(&settings)?;
        let nats =
            suite::nats_url(&folder).ok_or_else(|| ReplayError::NoSuite { folder: folder.display().to_string() });
        let settings = suite::replay_settings(&settings, &folder, &nats?)?;
        Ok(match &self.stores {
            Some(url) => ReplaySettings { stores: stores_at(url), ..settings },
            None => settings,
        })
    }

    /// Where generations are kept. Nobody need run.
    fn stores(&self) -> Result<tidemill_store::Config, Box<dyn std::error::Error>> {
        match &self.stores {
            Some(url) => Ok(stores_at(url)),
            None => Ok(suite::generation_stores(&data(&self.shop_file()?)?)?),
        }
    }

    fn shop_file(&self) -> Result<ShopFile, Box<dyn std::error::Error>> {
        let file = ShopFile::find(self.config.as_deref());
        let mut settings = file.as_deref().map(ShopFile::read).transpose()?.unwrap_or_default();
        if self.data.is_some() {
            settings.data.clone_from(&self.data);
        }
        Ok(settings)
    }
}

/// The folder of the all-in-one.
fn data(settings: &ShopFile) -> Result<std::path::PathBuf, &'static str> {
    settings.data.clone().ok_or(
        "say where the suite is: --data DIR of `tidemill up`, or --enrichment-settings, --aggregation-settings and \
         --stores of services that run by themselves",
    )
}

async fn stored(place: &ReplayPlace) -> Result<(GenerationStore, GenerationRecord), Box<dyn std::error::Error>> {
    Ok(generation(&place.suite.stores()?, &place.name).await?)
}

async fn want(place: &ReplayPlace, wanted: WantedState, rate: Option<u64>) -> Ended {
    let (store, record) = stored(place).await?;
    if record.wanted == WantedState::Cancelled {
        return Err(ReplayError::Cancelled { name: place.name.clone() }.into());
    }
    store.want(wanted, rate).await?;
    say!("generation {}: {}", place.name, wanted.as_str());
    Ok(ExitCode::SUCCESS)
}

/// A process that counts a generation says so twice a second. Clocks of two machines may differ a little.
const SILENT: i64 = 15_000;

/// Whether a process counts it, as far as can be told.
fn is_counted(record: &GenerationRecord, now: Timestamp) -> bool {
    let is_recent = |at: Timestamp| (now.millis() - at.millis()).abs() < SILENT;
    !record.progress.has_ended && record.progress.at.is_some_and(is_recent)
}

async fn status(ReplayStatus { place, json }: ReplayStatus) -> Ended {
    let (_, record) = stored(&place).await?;
    let is_counted = is_counted(&record, SystemClock.now());
    let GenerationRecord { name, inputs, rules: _, wanted, rate, progress } = &record;
    if json {
        let told = json!({
            "generation": name, "wanted": wanted, "rate": rate, "progress": progress, "behind": inputs.behind,
            "reference": inputs.reference, "begun_at": inputs.begun_at, "release": inputs.release,
            "has_process": is_counted,
        });
        say!("{told}");
        return Ok(ExitCode::SUCCESS);
    }
    let a_second = (progress.events * 1000).checked_div(progress.millis).unwrap_or_default();
    say!("generation  {name}, begun {} by release {}", inputs.begun_at, inputs.release);
    say!(
        "wanted      {}{}",
        wanted.as_str(),
        if *rate > 0 { format!(", {rate} events/s at most") } else { String::new() }
    );
    say!("process     {}", process(*wanted, is_counted));
    let caught_up = if progress.has_caught_up { "it has caught up" } else { "it has not caught up yet" };
    let furthest = progress.reached.values().max().copied().unwrap_or_default();
    match furthest > progress.read_to {
        true => say!(
            "counted     all up to sequence {} of RAW, some partitions up to {furthest}; {caught_up}",
            progress.read_to
        ),
        false => say!("counted     all up to sequence {} of RAW; {caught_up}", progress.read_to),
    }
    match progress.at {
        Some(at) => say!("last run    {} events, {a_second}/s; told {at}", progress.events),
        None => say!("last run    none yet"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether somebody does what is wanted.
const fn process(wanted: WantedState, is_counted: bool) -> &'static str {
    match (wanted, is_counted) {
        (WantedState::Cancelled, true) => "runs, and is about to end",
        (_, true) => "runs",
        (WantedState::Cancelled, false) => "none",
        (WantedState::Running, false) => "none: `tidemill replay start` has it go on",
        (WantedState::Paused, false) => "none: `tidemill replay resume` and `start` have it go on",
    }
}

#[cfg(test)]
mod tests {
    use tidemill_aggregation::replay::GenerationProgress;
    use tidemill_events::{GenerationInputs, ReferenceMode};

    use super::*;

    #[test]
    fn a_process_counts_that_has_said_so_lately() {
        let at = Timestamp::saturating_from_millis;
        let counted = |told: Option<i64>, has_ended: bool, now: i64| {
            let progress = GenerationProgress { at: told.map(at), has_ended, ..GenerationProgress::default() };
            let inputs = GenerationInputs {
                begun_at: at(0),
                release: String::new(),
                behind: 0,
                reference: ReferenceMode::AsOf,
                definitions: Vec::new(),
            };
            let (name, wanted) = ("v2".parse().expect("a name"), WantedState::Running);
            let record = GenerationRecord { name, inputs, rules: Vec::new(), wanted, rate: 0, progress };
            is_counted(&record, at(now))
        };
        assert!(counted(Some(20_000), false, 21_000));
        assert!(counted(Some(20_000), false, 19_000), "clocks differ a little");
        assert!(!counted(Some(20_000), true, 21_000), "it has said that it ends");
        assert!(!counted(Some(20_000), false, 40_000), "it was killed");
        assert!(!counted(None, false, 40_000));
        assert!(process(WantedState::Running, false).contains("replay start"));
    }
}
