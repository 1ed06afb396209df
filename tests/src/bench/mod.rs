//! The benchmark: the suite as separate processes on servers that sync, under the
//! load generator that anybody can run (`tidemill bench`).

mod asking;
mod curves;
mod generator;
mod growing;
mod growth;
mod history;
mod lake;
mod lake_views;
mod latency;
mod machine;
mod nexmark;
mod overload;
mod patterns;
mod plot;
mod recommend;
mod relay;
mod replay;
mod report;
mod scale;
mod settings;
mod slack;
mod suite;
mod usage;
mod visits;

use std::path::{Path, PathBuf};

use tidemill_domain::{Clock, SystemClock, Timestamp};
use tokio::signal::unix::{SignalKind, signal};

pub use self::{
    asking::AnswerTimes,
    lake::{LakeFigures, lake},
    lake_views::{LakeViewsFigures, lake_views},
    latency::{LatencyFigures, latency},
    nexmark::{NexmarkFigures, nexmark},
    recommend::{RecommendFigures, RecommendLoad, recommend},
    replay::{ReplayFigures, replay},
};
pub use generator::Quantiles;
pub use growing::grow;
pub use growth::{Growth, GrowthPoint, RestartFigures};
pub use history::KeptRun;
pub use machine::Machine;
pub use overload::OverloadFigures;
pub use patterns::{PatternFigures, PatternLoad, PatternRun, ProbeTimes, Reprocessing, ReprocessingWay, patterns};
pub use report::Figures;
pub use suite::StoreKind;

use self::{
    generator::{Load, LoadGenerator, LoadReport},
    latency::TimedLoad,
    machine::rounded,
    relay::RelayReport,
    report::{JobFigures, float},
    scale::Scale,
    suite::{PartsUsage, Suite, SuiteFiles},
};
use crate::{
    error::Error,
    journal::Journal,
    local::{binaries::stage_programs, ports::Ports},
    service::Service,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Invoice lines in a minute of event time: about as many as in a busy minute of
/// Online Retail. The fewer there are, the more totals there are.
const LINES_PER_MINUTE: u64 = 30;
/// Events of the shop in a minute of event time.
const SHOP_PER_MINUTE: u64 = 10_000;
/// How far back event times begin: whatever the speed, none is in the future.
const PAST: i64 = 20 * 365 * DAY;
/// Events of the first load of each kind, which tells how many fill the time.
const FIRST: u64 = 5_000;
/// Loads of a kind at most: each has at most so many times the events of the one
/// before.
const LOADS: usize = 4;
const GROWTH: f64 = 16.0;
/// Orders a second that alert, where latencies are measured.
const ALERTS: u64 = 5;
/// Customers of the reference job.
const CUSTOMERS: u64 = 200_000;
/// What a run is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where services keep what they know.
    pub store: StoreKind,
    /// Seconds that each measurement is to last, by and large.
    pub seconds: u64,
    /// Folder of the run, on the disk that is to be measured; one under the
    /// system's folder of temporary files without it.
    pub folder: Option<PathBuf>,
    /// The history that the run is added to, where it is.
    pub keep: Option<PathBuf>,
    /// Whether the run's folder stays.
    pub keep_folder: bool,
    /// What is measured beside the services that every event goes through.
    pub with: Vec<Service>,
}

/// Holds a run.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn run(options: &Options) -> Result<Figures, Error> {
    held(options, async |bench| {
        let figures = bench.measure().await?;
        if let Some(file) = &options.keep {
            history::keep(file, SystemClock.now(), &figures)?;
            bench.journal.note(format_args!("kept in {}", file.display()));
        }
        Ok(figures)
    })
    .await
}

/// Does something in a folder of its own, which stays where that fails. Who ends the
/// program ends what it has started.
async fn held<T>(options: &Options, work: impl AsyncFnOnce(&Bench) -> Result<T, Error>) -> Result<T, Error> {
    tidemill_service::install_crypto();
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("tidemill-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let journal = Journal::new(&folder)?;
    let bench = Bench::new(options, folder.clone(), journal.clone())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::program("the signals of the system"))?;
    let result = tokio::select! {
        result = work(&bench) => result,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        _ = terminate.recv() => Err(Error::Interrupted),
    };
    journal.finish();
    if result.is_ok() && !options.keep_folder {
        std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    } else {
        journal.note(format_args!("logs of everything are in {}", folder.display()));
    }
    result
}

/// Draws the picture of a history anew.
///
/// # Errors
/// Where the history cannot be read.
pub fn draw(history: &Path) -> Result<(), Error> {
    history::draw(history)
}

struct Bench {
    store: StoreKind,
    seconds: f64,
    folder: PathBuf,
    programs: PathBuf,
    generator: LoadGenerator,
    journal: Journal,
}

/// A load that lasted, and what each part had taken before it and behind it.
struct Sustained {
    load: LoadReport,
    before: PartsUsage,
    after: PartsUsage,
}

/// What the shop came to.
struct ShopFigures {
    batched: LoadReport,
    single: Sustained,
    latency: TimedLoad,
}

impl Bench {
    fn new(options: &Options, folder: PathBuf, journal: Journal) -> Result<Self, Error> {
        let programs = folder.join("bin");
        let names = Service::CHAIN.map(|service| PathBuf::from(service.binary()));
        let others = options.with.iter().map(|service| PathBuf::from(service.binary()));
        let tools = ["tidemill", "jetstream-relay"].map(PathBuf::from);
        stage_programs(&programs, &names.into_iter().chain(others).chain(tools).collect::<Vec<_>>())?;
        let generator = LoadGenerator { program: programs.join("tidemill") };
        Ok(Self { store: options.store, seconds: float(options.seconds), folder, programs, generator, journal })
    }

    async fn measure(&self) -> Result<Figures, Error> {
        let machine = Machine::measure(&self.folder)?;
        self.journal.note(format_args!(
            "{} cores of {}; the fixed calculation takes {} s, an fsync {} ms; load {}",
            machine.cores, machine.cpu, machine.calibration_s, machine.fsync_ms, machine.load
        ));
        let catalogue = self.folder.join("products.csv");
        self.generator.write_catalogue(&catalogue).await?;
        let mut ports = Ports::new();

        let program = self.programs.join("jetstream-relay");
        let alone = relay::measure(&self.folder.join("relay"), &program, &self.generator).await?;
        self.journal.note(format_args!("JetStream alone relays {:.0} events/s", alone.events_per_s));

        let suite = self.suite("job", &catalogue, Scale::default(), &mut ports).await?;
        let job = self.sustained("the reference job", &suite, reference_job()).await?;
        suite.stop().await?;
        let suite = self.suite("shop", &catalogue, Scale::default(), &mut ports).await?;
        let shop = self.shop(&suite).await?;
        suite.stop().await?;
        let suite = self.suite("overload", &catalogue, overload::scale(), &mut ports).await?;
        let overload = self.overload(&suite, job.load.events_per_s).await?;
        suite.stop().await?;
        let figures = self.figures(machine, &alone, &job, &shop);
        Ok(Figures { overload: Some(overload), ..figures })
    }

    async fn suite(&self, name: &str, catalogue: &Path, scale: Scale, ports: &mut Ports) -> Result<Suite, Error> {
        let folder = self.folder.join(name);
        let files = SuiteFiles::of_shop(&folder, catalogue, scale)?;
        Suite::start(folder, &self.programs, &files, self.store, scale, ports).await
    }
}

/// Invoice lines by minute, category and country, as fast as it goes.
fn reference_job() -> Load {
    Load {
        shape: "invoice-lines",
        metric: settings::REFERENCE_JOB,
        events: FIRST,
        batch: 1_000,
        connections: 8,
        rate: None,
        per_minute: Some(LINES_PER_MINUTE),
        begin: Some(SystemClock.now().plus_millis(-PAST)),
        alert_every: 0,
        customers: CUSTOMERS,
        padding: 0,
    }
}

/// Events of the shop, as fast as it goes.
fn shop_load(events: u64) -> Load {
    let (shape, metric, per_minute) = ("shop", "order_metrics", Some(SHOP_PER_MINUTE));
    Load { shape, metric, events, per_minute, ..reference_job() }
}

impl Bench {
    async fn shop(&self, suite: &Suite) -> Result<ShopFigures, Error> {
        let batched = shop_load(FIRST);
        let batched_report = self.sustained("the shop", suite, batched.clone()).await?.load;
        let begin = Some(SystemClock.now().plus_millis(-PAST / 2));
        let single = Load { batch: 1, connections: 64, begin, ..batched.clone() };
        let single = self.sustained("one event a request", suite, single).await?;

        // Half of what it can sustain; in step with the clock.
        let rate = whole(batched_report.events_per_s / 2.0).max(1);
        let latency = self.timed(suite, rate, whole(self.seconds)).await?;
        Ok(ShopFigures { batched: batched_report, single, latency })
    }

    /// A load that lasts for about the time of a measurement.
    async fn sustained(&self, what: &str, suite: &Suite, load: Load) -> Result<Sustained, Error> {
        self.sustained_as(what, suite, load, |load| load).await
    }

    /// The same, each of its loads made into another one.
    async fn sustained_as(
        &self,
        what: &str,
        suite: &Suite,
        mut load: Load,
        of: impl Fn(Load) -> Load,
    ) -> Result<Sustained, Error> {
        let mut done = 0;
        loop {
            let sent = of(load.clone());
            let before = suite.usage().await?;
            let report = self.generator.run(suite, &sent).await?;
            let after = suite.usage().await?;
            self.told(what, &report);
            done += 1;
            if report.seconds >= self.seconds / 2.0 || done == LOADS {
                return Ok(Sustained { load: report, before, after });
            }
            // Behind the event times of the load before.
            let span = i64::try_from(sent.events / sent.per_minute.unwrap_or(1).max(1)).unwrap_or_default();
            load.begin = load.begin.map(|begin: Timestamp| begin.plus_millis((span + 2) * MINUTE));
            let growth = (self.seconds / report.seconds.max(0.01)).min(GROWTH);
            load.events = whole(float(load.events) * growth);
        }
    }

    fn told(&self, what: &str, load: &LoadReport) {
        self.journal.note(format_args!(
            "{what}: {} events in {:.1} s, {:.0} events/s; balanced {}, equals the truth {}",
            load.sent, load.seconds, load.events_per_s, load.balanced, load.equals_truth
        ));
    }

    fn figures(&self, machine: Machine, alone: &RelayReport, job: &Sustained, shop: &ShopFigures) -> Figures {
        let JobFigures { cpu_s_per_million, peak_rss_mb, disk_bytes_per_event, event_bytes, nats_per_request } =
            JobFigures::of(&job.load, &job.before, &job.after);
        let single = JobFigures::of(&shop.single.load, &shop.single.before, &shop.single.after);
        let loads = [&job.load, &shop.batched, &shop.single.load, &shop.latency.load];
        Figures {
            store: self.store.name().into(),
            batched_events_per_s: job.load.events_per_s,
            single_events_per_s: shop.single.load.events_per_s,
            jetstream_ratio: rounded(job.load.events_per_s / alone.events_per_s),
            visible_ms: shop.latency.load.visible_ms,
            slack_ms: shop.latency.slack,
            cpu_s_per_million,
            peak_rss_mb,
            disk_bytes_per_event,
            balanced: loads.iter().all(|load| load.balanced),
            equals_truth: loads.iter().all(|load| load.equals_truth),
            jetstream_events_per_s: alone.events_per_s,
            jetstream_cpu_s_per_million: alone.cpu_s_per_million,
            shop_events_per_s: shop.batched.events_per_s,
            single_cpu_s_per_million: single.cpu_s_per_million,
            single_acknowledged_per_s: shop.single.load.acknowledged_per_s,
            single_accepted_ms: shop.single.load.accepted_ms,
            latency_rate: shop.latency.load.rate.unwrap_or_default(),
            event_bytes,
            nats_in_per_request: nats_per_request.0,
            nats_out_per_request: nats_per_request.1,
            overload: None,
            machine,
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates and times are not negative")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
