//! The four architectures, measured: one workload through the stream alone, through batch and
//! speed, through the layers alone, and through everything.

mod answers;
mod figures;
mod page;
mod picture;
mod probes;
mod reprocessing;
mod tables;
mod views;
mod workload;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tidemill::{
    client::{Client, Keys},
    profile::{ProfilePart, SuiteProfile},
};

pub use figures::{PatternFigures, PatternRun};
pub use probes::ProbeTimes;
pub use reprocessing::{Reprocessing, ReprocessingWay};

use self::{answers::PatternAnswers, workload::PatternWork};
use super::{
    Bench, Options, held,
    machine::{Machine, rounded},
    nexmark::settle,
    report::float,
    scale::Scale,
    settings,
    suite::{PartsUsage, Suite, SuiteFiles},
    usage::folder_bytes,
};
use crate::{error::Error, journal::Journal, local::ports::Ports, shop};

/// Until all tables have everything, and answers all views.
const SETTLED: Duration = Duration::from_secs(1_800);
const POLL: Duration = Duration::from_secs(1);
/// Lines that are made where there is no data set.
const MADE: usize = 100_000;
const SEED: u64 = 1;
/// Senders at once.
const SENDERS: usize = 8;

/// What is run, and through what.
#[derive(Debug, Clone)]
pub struct PatternLoad {
    /// Online Retail; made lines of the same kind without it.
    pub data: Option<PathBuf>,
    /// So many lines of it; all without.
    pub lines: Option<usize>,
    /// How often each line is sent, as another line: a run for each.
    pub times: Vec<u32>,
    /// The profiles, in the order of their runs.
    pub profiles: Vec<SuiteProfile>,
    /// Events that are timed one by one.
    pub probes: u32,
    /// Seconds between two computations of gold.
    pub gold_seconds: u32,
}

/// Measures them, and keeps figures and picture in `keep`, where that is given, and the table in
/// the page about them.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn patterns(options: &Options, load: &PatternLoad, keep: Option<&Path>) -> Result<PatternRun, Error> {
    held(options, async |bench| {
        let run = bench.patterns(load).await?;
        if let Some(file) = keep {
            figures::keep(file, &run)?;
        }
        Ok(run)
    })
    .await
}

impl Bench {
    async fn patterns(&self, load: &PatternLoad) -> Result<PatternRun, Error> {
        let machine = Machine::measure(&self.folder)?;
        let rows = shop::rows(load.data.as_deref(), load.lines, SEED, MADE, &self.journal)?;
        let (catalogue, mut ports) = (self.folder.join("products.csv"), Ports::new());
        self.generator.write_catalogue(&catalogue).await?;
        let mut patterns = Vec::new();
        for times in load.times.iter().copied() {
            let work = PatternWork::new(&rows, times)?;
            for profile in load.profiles.iter().copied() {
                let figures = self.pattern(profile, &work, load, &catalogue, &mut ports).await?;
                self.journal.note(figures.told());
                patterns.push(figures);
            }
        }
        let workload = if load.data.is_some() { "online-retail" } else { "made" };
        Ok(PatternRun { workload: workload.into(), store: self.store.name().into(), machine, patterns })
    }

    /// A suite of its own, which goes afterwards with all that it has stored.
    async fn pattern(
        &self,
        profile: SuiteProfile,
        work: &PatternWork<'_>,
        load: &PatternLoad,
        catalogue: &Path,
        ports: &mut Ports,
    ) -> Result<PatternFigures, Error> {
        let folder = self.folder.join(format!("{}-{}", profile.name(), work.times()));
        let gold_seconds = Some(load.gold_seconds);
        let scale = Scale { profile: Some(profile), gold_seconds, ..Scale::default() };
        let (metrics, rules) = (folder.join("metrics"), folder.join("rules"));
        settings::write_metrics_with(&metrics, settings::DAILY_COUNTRY)?;
        scale.write_rules(&rules)?;
        let files = SuiteFiles { metrics, rules, reference: vec![catalogue.to_owned()], schemas: None, shop: None };
        let suite = Suite::start(folder.clone(), &self.programs, &files, self.store, scale, ports).await?;
        let figures =
            MeasuredPattern { profile, suite: &suite, work, journal: &self.journal }.measure(self, load).await;
        suite.stop().await?;
        if figures.is_ok() {
            std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        figures
    }
}

/// A pattern that runs.
struct MeasuredPattern<'m> {
    profile: SuiteProfile,
    suite: &'m Suite,
    work: &'m PatternWork<'m>,
    journal: &'m Journal,
}

impl MeasuredPattern<'_> {
    async fn measure(&self, bench: &Bench, load: &PatternLoad) -> Result<PatternFigures, Error> {
        let (before, begun) = (self.suite.usage().await?, Instant::now());
        let client = self.client()?;
        self.work.send(&client, SENDERS).await?;
        let sent_s = begun.elapsed().as_secs_f64();
        let (live_s, tables_s) = tokio::try_join!(self.live(&client, begun), self.tables(begun))?;
        let after = self.suite.usage().await?;
        let disk = after.disk + folder_bytes(&self.suite.lake());

        let answers = PatternAnswers { profile: self.profile, suite: self.suite, client: &client };
        // Where answers are merged, they are to be right with the views in them.
        if self.profile.merges() {
            views::are_merged(&client).await?;
        }
        let exact = answers.are_exact(self.work, self.journal).await?;
        let visible_ms = probes::measure(&answers, load).await?;
        let events = self.work.events();
        // What is made once more is held against what is there, and nothing of that is on its way.
        self.settled(&client, events + u64::from(load.probes)).await?;
        let reprocessing = reprocessing::measure(&answers, &bench.programs, self.journal).await?;
        let cpu_s = taken(&before, &after);
        let cpu_s_total = cpu_s.values().sum::<f64>();
        Ok(PatternFigures {
            pattern: self.profile,
            times: self.work.times(),
            events,
            event_bytes: rounded(float(self.work.bytes()) / float(events)),
            sent_s: rounded(sent_s),
            live_s: live_s.map(rounded),
            tables_s: tables_s.map(rounded),
            visible_ms,
            cpu_s_per_million: rounded(cpu_s_total * 1e6 / float(events)),
            cpu_s,
            peak_rss_mb: after.parts.iter().map(|(part, usage)| ((*part).into(), megabytes(usage.peak_rss))).collect(),
            disk_mb: megabytes(disk.saturating_sub(before.disk)),
            disk_bytes_per_event: rounded(float(disk.saturating_sub(before.disk)) / float(events)),
            reprocessing,
            exact,
        })
    }

    /// Waits until all that the pattern answers has so many events.
    async fn settled(&self, client: &Client, events: u64) -> Result<(), Error> {
        if self.profile.has(ProfilePart::Reporting) {
            settle(client, events).await?;
        }
        if self.profile.has(ProfilePart::Lake) {
            tables::have(self.suite, events).await?;
        }
        match self.profile.merges() {
            true => views::are_merged(client).await,
            false => Ok(()),
        }
    }

    fn client(&self) -> Result<Client, Error> {
        let url = |address| format!("http://{address}").parse().map_err(Error::program("an address"));
        let reporting = match self.profile.has(ProfilePart::Reporting) {
            true => self.suite.reporting()?,
            // Nobody asks it anything but to take events in.
            false => self.suite.ingestion,
        };
        Ok(Client::new(url(self.suite.ingestion)?, url(reporting)?, Keys::default()))
    }

    /// Seconds until the books balance, where there are any.
    async fn live(&self, client: &Client, begun: Instant) -> Result<Option<f64>, Error> {
        if !self.profile.has(ProfilePart::Reporting) {
            return Ok(None);
        }
        settle(client, self.work.events()).await?;
        Ok(Some(begun.elapsed().as_secs_f64()))
    }

    /// Seconds until gold has all events, where there is any.
    async fn tables(&self, begun: Instant) -> Result<Option<f64>, Error> {
        if !self.profile.has(ProfilePart::Lake) {
            return Ok(None);
        }
        tables::have(self.suite, self.work.events()).await?;
        Ok(Some(begun.elapsed().as_secs_f64()))
    }
}

/// Processor seconds of each part between two moments.
fn taken(before: &PartsUsage, after: &PartsUsage) -> std::collections::BTreeMap<String, f64> {
    let parts = before.parts.iter().zip(&after.parts);
    parts.map(|((part, then), (_, now))| ((*part).to_owned(), rounded(now.cpu_s - then.cpu_s))).collect()
}

fn megabytes(bytes: u64) -> f64 {
    rounded(float(bytes) / f64::from(1 << 20))
}
