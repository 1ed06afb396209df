//! `tidemill replay`

mod backfill;
mod differences;
mod orders;
mod start;

use std::process::ExitCode;

use serde_json::json;
use tidemill_aggregation::replay::{GenerationRecord, GenerationStore, WantedState};

pub(super) use self::start::{because, reference, start_of};
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

async fn status(ReplayStatus { place, json }: ReplayStatus) -> Ended {
    let (_, record) = stored(&place).await?;
    let GenerationRecord { name, inputs, rules: _, wanted, rate, progress } = &record;
    if json {
        let told = json!({
            "generation": name, "wanted": wanted, "rate": rate, "progress": progress, "behind": inputs.behind,
            "reference": inputs.reference, "begun_at": inputs.begun_at, "release": inputs.release,
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
    let caught_up = if progress.has_caught_up { "it has caught up" } else { "it has not caught up yet" };
    say!("counted     all up to sequence {} of RAW; {caught_up}", progress.read_to);
    match progress.at {
        Some(at) => say!("last run    {} events, {a_second}/s; told {at}", progress.events),
        None => say!("last run    none yet"),
    }
    Ok(ExitCode::SUCCESS)
}
