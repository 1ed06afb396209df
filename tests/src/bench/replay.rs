//! A replay of the log: how fast it is alone, what it takes from the live suite, and how soon a cutover is seen.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;
use tidemill_domain::{Clock, SystemClock};
use tokio::{
    process::{Child, Command},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Bench, LINES_PER_MINUTE, MINUTE, Options,
    generator::{Load, LoadReport, Quantiles},
    held,
    latency::TimedLoad,
    machine::{Machine, rounded},
    reference_job,
    report::float,
    scale::Scale,
    settings::REFERENCE_JOB,
    shop_load,
    suite::Suite,
    usage, whole,
};
use crate::{error::Error, journal::Journal, local::ports::Ports, service::Service};

/// Events of the shop that the suite counts before it is measured, of a time long ago.
const WARM_UP: u64 = 50_000;
/// How much less of a busy processor the replay gets beside live events, as nice(1) has it: about what a Job that requests
/// little gets beside pods that request more.
const NICE: u8 = 10;
/// Until reporting has read all of a generation.
const WAIT: u32 = 600;
const SEEN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayFigures {
    /// `sqlite` or `postgres`; generations are in SQLite.
    pub store: String,
    /// Events of the log that are replayed while nothing else goes on.
    pub events: u64,
    /// From the start of `tidemill replay start --once` to its end.
    pub seconds: f64,
    /// Events by that.
    pub events_per_s: f64,
    /// Processor seconds meanwhile for a million events, by part.
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// From the order of a cutover until an answer is the generation's, and of the rollback until one is not.
    pub cutover_ms: f64,
    /// Likewise.
    pub rollback_ms: f64,
    /// Live events a second, in requests of a thousand, for what follows.
    pub live_rate: u64,
    /// From when an event was to be sent until the live stream showed it, without a replay.
    pub visible_before_ms: Option<Quantiles>,
    /// The same while one replay follows another.
    pub visible_meanwhile_ms: Option<Quantiles>,
    /// By how many times the 99th percentile is greater.
    pub p99_ratio: Option<f64>,
    /// Events a second of the replays that ended meanwhile; null where none did.
    pub events_per_s_beside: Option<f64>,
    /// Whether the books balanced.
    pub balanced: bool,
    /// Whether all live totals were right, and each generation equal to them in every cell.
    pub equals_truth: bool,
    /// What the machine could do.
    pub machine: Machine,
}

/// Measures it: a replay of so many events alone, then replays beside live ones.
///
/// # Errors
/// Where the run could not be held to its end.
pub async fn replay(options: &Options, events: u64, live_rate: u64) -> Result<ReplayFigures, Error> {
    held(options, async |bench| bench.replay(events, live_rate).await).await
}

/// A replay that ran to its end.
struct Replayed {
    seconds: f64,
    cpu_s: BTreeMap<String, f64>,
}

impl Bench {
    async fn replay(&self, events: u64, live_rate: u64) -> Result<ReplayFigures, Error> {
        let machine = Machine::measure(&self.folder)?;
        let (catalogue, mut ports) = (self.folder.join("products.csv"), Ports::new());
        self.generator.write_catalogue(&catalogue).await?;
        let suite = self.suite("replay", &catalogue, Scale::default(), &mut ports).await?;
        let job = Load { events, ..reference_job() };
        let sent = self.generator.run(&suite, &job).await?;
        self.told("the reference job", &sent);

        let replays = Replays { program: self.programs.join("tidemill"), suite: &suite, journal: &self.journal };
        let alone = replays.run("alone").await?;
        self.journal.note(format_args!(
            "replayed in {:.2} s, {:.0} events/s",
            alone.seconds,
            float(sent.sent) / alone.seconds
        ));
        let mut is_equal = replays.equals_live("alone").await?;
        let cutover = replays.switch(&["cutover", "--name=alone"], Some("alone")).await?;
        let rollback = replays.switch(&["rollback", "--name=alone"], None).await?;

        // Behind the event times of the job: earlier ones would be late.
        let minutes = i64::try_from(events / LINES_PER_MINUTE + 2).unwrap_or_default();
        let begin = job.begin.map(|begin| begin.plus_millis(minutes * MINUTE));
        let warm = self.generator.run(&suite, &Load { begin, ..shop_load(WARM_UP) }).await?;
        self.told("the shop", &warm);
        let seconds = whole(self.seconds);
        let before = self.timed(&suite, live_rate, seconds).await?;
        next_minute().await;
        let (meanwhile, beside) = self.live_beside(&replays, live_rate).await?;
        for name in &beside.names {
            is_equal &= replays.equals_live(name).await?;
        }
        suite.stop().await?;

        let p99 = |timed: &TimedLoad| Some(timed.load.visible_ms?.p99);
        let loads: [&LoadReport; 4] = [&sent, &warm, &before.load, &meanwhile.load];
        let in_log: u64 = loads[..3].iter().map(|load| load.sent).sum();
        let million = float(sent.sent) / 1e6;
        Ok(ReplayFigures {
            store: self.store.name().into(),
            events: sent.sent,
            seconds: rounded(alone.seconds),
            events_per_s: rounded(float(sent.sent) / alone.seconds),
            cpu_s_per_million: alone.cpu_s.into_iter().map(|(part, cpu)| (part, rounded(cpu / million))).collect(),
            cutover_ms: rounded(cutover.as_secs_f64() * 1e3),
            rollback_ms: rounded(rollback.as_secs_f64() * 1e3),
            live_rate,
            visible_before_ms: before.load.visible_ms,
            visible_meanwhile_ms: meanwhile.load.visible_ms,
            p99_ratio: p99(&meanwhile).zip(p99(&before)).map(|(meanwhile, before)| rounded(meanwhile / before)),
            events_per_s_beside: beside.seconds_each().map(|seconds| rounded(float(in_log) / seconds)),
            balanced: loads.iter().all(|load| load.balanced),
            equals_truth: is_equal && loads.iter().all(|load| load.equals_truth),
            machine,
        })
    }

    /// Live events, while one replay follows another.
    async fn live_beside(&self, replays: &Replays<'_>, rate: u64) -> Result<(TimedLoad, Beside), Error> {
        let ended = CancellationToken::new();
        let live = async {
            let timed = self.timed(replays.suite, rate, whole(self.seconds)).await;
            ended.cancel();
            timed
        };
        let (timed, beside) = tokio::join!(live, replays.one_behind_the_other(&ended));
        let (timed, beside) = (timed?, beside?);
        self.journal.note(format_args!("{} replays ended meanwhile", beside.names.len()));
        Ok((timed, beside))
    }
}

/// Waits for a minute in which no event is yet: totals of others cannot be told from those of a load.
async fn next_minute() {
    let into = SystemClock.now().millis().rem_euclid(MINUTE);
    sleep(Duration::from_millis((MINUTE - into).unsigned_abs())).await;
}

/// Replays that ended beside live events.
#[derive(Debug, Default)]
struct Beside {
    names: Vec<String>,
    seconds: f64,
}

impl Beside {
    #[allow(clippy::cast_precision_loss, reason = "they are few")]
    fn seconds_each(&self) -> Option<f64> {
        (!self.names.is_empty()).then(|| self.seconds / self.names.len() as f64)
    }
}

/// Replays of a suite's log, as its users order them.
struct Replays<'a> {
    program: PathBuf,
    suite: &'a Suite,
    journal: &'a Journal,
}

impl Replays<'_> {
    /// Counts the log into a generation, until it has caught up.
    async fn run(&self, name: &str) -> Result<Replayed, Error> {
        let (before, own) = (self.suite.usage().await?, usage::of_ended_children()?);
        let begun = Instant::now();
        self.ended(&mut self.start(name, 0)?).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let mut cpu_s = self.suite.usage().await?.cores_since(&before, 1.0);
        cpu_s.insert("replay".into(), usage::of_ended_children()? - own);
        cpu_s.insert("total".into(), cpu_s.values().sum());
        Ok(Replayed { seconds, cpu_s })
    }

    /// One after another, until that is enough; the last one is killed.
    async fn one_behind_the_other(&self, enough: &CancellationToken) -> Result<Beside, Error> {
        let mut beside = Beside::default();
        loop {
            let name = format!("beside_{}", beside.names.len());
            let (mut child, begun) = (self.start(&name, NICE)?, Instant::now());
            tokio::select! {
                () = enough.cancelled() => {
                    child.kill().await.map_err(Error::program("tidemill replay"))?;
                    return Ok(beside);
                }
                ended = self.ended(&mut child) => ended?,
            }
            beside.seconds += begun.elapsed().as_secs_f64();
            beside.names.push(name);
        }
    }

    fn start(&self, name: &str, nice: u8) -> Result<Child, Error> {
        let stores = self.suite.folder().join("generations").join(name);
        std::fs::create_dir_all(&stores).map_err(Error::file(&stores))?;
        let settings = |of| self.suite.settings_of(of).display().to_string();
        let mut command = Command::new("nice");
        command.arg("-n").arg(nice.to_string()).arg(&self.program).args(["replay", "start", "--once"]).args([
            format!("--name={name}"),
            format!("--enrichment-settings={}", settings(Service::Enrichment)),
            format!("--aggregation-settings={}", settings(Service::Aggregation)),
            format!("--stores=sqlite://{}", stores.display()),
        ]);
        let log = self.suite.folder().join("logs").join(format!("replay-{name}.log"));
        let output = std::fs::File::create(&log).map_err(Error::file(&log))?;
        let errors = output.try_clone().map_err(Error::file(&log))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true);
        command.spawn().map_err(Error::program("tidemill replay"))
    }

    async fn ended(&self, child: &mut Child) -> Result<(), Error> {
        let status = child.wait().await.map_err(Error::program("tidemill replay"))?;
        match status.success() {
            true => Ok(()),
            false => Err(self.failed(format!("{status}; see {}", self.suite.folder().join("logs").display()))),
        }
    }

    /// Whether every cell of a generation is the live one.
    async fn equals_live(&self, name: &str) -> Result<bool, Error> {
        let (name, wait) = (format!("--name={name}"), format!("--wait={WAIT}"));
        let output = self.call(&["diff", &name, &wait]).await?;
        let is_equal = output.status.success();
        if !is_equal {
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            self.journal.note(format_args!("{name} differs from the live totals: {told}"));
        }
        Ok(is_equal)
    }

    /// Orders who answers; how long it took until an answer was of that generation, or a live one.
    async fn switch(&self, order: &[&str], to: Option<&str>) -> Result<Duration, Error> {
        let begun = Instant::now();
        let order = self.call(order);
        let seen = async {
            while begun.elapsed() < SEEN {
                if self.generation().await?.as_deref() == to {
                    return Ok(begun.elapsed());
                }
                sleep(POLL).await;
            }
            Err(Error::Deadline { what: format!("{to:?} answers"), deadline: SEEN, last: "another one does".into() })
        };
        let (output, seen) = tokio::join!(order, seen);
        let output = output?;
        match output.status.success() {
            true => seen,
            false => Err(self.failed(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// Whose totals an answer has; `None` of the live ones.
    async fn generation(&self) -> Result<Option<String>, Error> {
        let told = |error: reqwest::Error| Error::Program { program: "reporting".into(), reason: error.to_string() };
        let url = format!("http://{}/v1/metrics/{REFERENCE_JOB}/totals", self.suite.reporting()?);
        let answer = reqwest::get(url).await.and_then(reqwest::Response::error_for_status).map_err(told)?;
        let answer: Value = answer.json().await.map_err(told)?;
        Ok(answer["generation"].as_str().map(String::from))
    }

    async fn call(&self, arguments: &[&str]) -> Result<std::process::Output, Error> {
        let mut command = Command::new(&self.program);
        command.arg("replay").args(arguments).arg(format!("--reporting-url=http://{}", self.suite.reporting()?));
        command.stdin(Stdio::null()).env("USER", "bench").kill_on_drop(true);
        command.output().await.map_err(Error::program("tidemill replay"))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Program { program: "tidemill replay".into(), reason }
    }
}
