//! A generation beside the run: its replay is killed again and again, and cutovers to it and
//! back are ordered and left. Afterwards it equals the live totals, and so does what is
//! answered from it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::suite::Suite;
use crate::{
    error::Error,
    local::binaries::{is_there, stage_programs},
    service::Service,
};

const PROGRAM: &str = "tidemill";
const NAME: &str = "again";
/// How long a replay lives before it is killed, and how long it is dead, in milliseconds.
const LIFE: std::ops::Range<u64> = 200..6_000;
const DEATH: std::ops::Range<u64> = 10..800;
/// For how many milliseconds the answer to an order is waited for.
const PATIENCE: std::ops::Range<u64> = 1..1_500;
/// How long the generation may take to equal the live totals.
const SETTLED: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_secs(1);

/// The generation beside a run, if its program is there.
pub(super) struct Replays<'s> {
    suite: &'s Suite,
    program: PathBuf,
}

/// How often it was killed, and how many orders were given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Disturbances {
    deaths: u64,
    orders: u64,
}

impl<'s> Replays<'s> {
    /// For a run with this suite; `None` where the program is not built.
    pub(super) fn of(suite: &'s Suite) -> Result<Option<Self>, Error> {
        if !is_there(Path::new(PROGRAM)) {
            suite.journal.note("SKIPPED the replay: tidemill is not built: cargo build --package tidemill");
            return Ok(None);
        }
        let folder = suite.folder().join("bin");
        stage_programs(&folder, &[PROGRAM.into()])?;
        Ok(Some(Self { suite, program: folder.join(PROGRAM) }))
    }

    /// Starts the replay, or has it go on. It dies with what is answered.
    fn start(&self) -> Result<Child, Error> {
        let of = |service: Service| self.suite.folder().join("config").join(format!("{service}-1.toml"));
        let log = self.suite.folder().join("logs").join("replay.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).map_err(Error::file(&log))?;
        let both = file.try_clone().map_err(Error::file(&log))?;
        Command::new(&self.program)
            .args(["replay", "start", "--name", NAME])
            .arg("--enrichment-settings")
            .arg(of(Service::Enrichment))
            .arg("--aggregation-settings")
            .arg(of(Service::Aggregation))
            .arg("--stores")
            .arg(format!("sqlite://{}", self.suite.folder().join("generations").display()))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::program(PROGRAM))
    }

    /// Kills the replay again and again, and orders cutovers and rollbacks, some of which
    /// nobody waits for. For ever: `told` says how often.
    pub(super) async fn disturb(&self, seed: u64, told: &mut Disturbances) -> Result<Infallible, Error> {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5265_706c_6179);
        loop {
            let mut replay = self.start()?;
            let until = Instant::now() + Duration::from_millis(random.random_range(LIFE));
            while Instant::now() < until {
                let act = if random.random_bool(0.6) { "cutover" } else { "rollback" };
                let wait = Duration::from_millis(random.random_range(PATIENCE));
                let door = self.suite.addresses(Service::Reporting).choose(&mut random).copied();
                // Whoever does not wait has not heard whether it was done.
                let _ = tokio::time::timeout(wait, self.order(door, act)).await;
                told.orders += 1;
                sleep(wait / 4).await;
            }
            // It may have ended by itself, of what happens to its servers.
            let _ = replay.kill().await;
            told.deaths += 1;
            sleep(Duration::from_millis(random.random_range(DEATH))).await;
        }
    }

    /// Orders something of a replica; its answer's status.
    async fn order(&self, door: Option<SocketAddr>, act: &str) -> Option<StatusCode> {
        let door = door?;
        let url = format!("http://{door}/v1/generations/{NAME}/{act}");
        let asked = json!({"by": "chaos", "reason": "to see what comes of it"});
        let client = &self.suite.http;
        let answer = client.post(url).json(&asked).timeout(SETTLED).send().await;
        answer.ok().map(|answer| answer.status())
    }

    async fn ordered(&self, act: &str) {
        let until = Instant::now() + SETTLED;
        loop {
            for door in self.suite.addresses(Service::Reporting) {
                match self.order(Some(door), act).await {
                    Some(status) if status.is_success() => return,
                    // Nobody has heard of the generation: nothing is answered by it.
                    Some(StatusCode::NOT_FOUND) if act == "rollback" => return,
                    _ => {}
                }
            }
            if Instant::now() > until {
                return self.suite.journal.problem(format_args!("{act} of generation {NAME} is refused"));
            }
            sleep(POLL).await;
        }
    }

    /// Has the live totals answer.
    pub(super) async fn roll_back(&self, told: Disturbances) {
        let Disturbances { deaths, orders } = told;
        self.suite.journal.note(format_args!("the replay was killed {deaths} times, amid {orders} orders"));
        self.ordered("rollback").await;
    }

    /// Lets the replay catch up, compares the generation with the live totals, and has it
    /// answer. The replay goes on for as long as what is answered is kept.
    pub(super) async fn settle(&self) -> Result<Child, Error> {
        let replay = self.start()?;
        let begun = Instant::now();
        let wrong = loop {
            let wrong = self.differences().await;
            match &wrong {
                Some(text) if begun.elapsed() < SETTLED => {
                    self.suite.journal.message(format!("the generation: {text}"));
                    sleep(POLL).await;
                }
                _ => break wrong,
            }
        };
        match wrong {
            Some(text) => self.suite.journal.problem(format_args!("the generation: {text}")),
            None => self.suite.journal.note("the generation equals the live totals, cell for cell"),
        }
        self.ordered("cutover").await;
        Ok(replay)
    }

    /// How the generation differs from the live totals.
    async fn differences(&self) -> Option<String> {
        let door = *self.suite.addresses(Service::Reporting).first()?;
        let url = format!("http://{door}/v1/generations/{NAME}/differences?limit=1");
        let answer = match self.suite.http.get(url).timeout(SETTLED).send().await {
            Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
            Err(error) => return Some(error.to_string()),
        };
        let metrics = answer["metrics"].as_array().cloned().unwrap_or_default();
        let count = |of: &Value, kind: &str| of[kind].as_u64().unwrap_or_default();
        let is_counted = metrics.iter().any(|of| of["metric"] == "daily_country" && count(of, "equal") > 0);
        if answer["equal"] == true && is_counted {
            return None;
        }
        let kinds = ["changed", "only_live", "only_generation", "open"];
        let differing = metrics.iter().find(|of| kinds.iter().any(|kind| count(of, kind) > 0));
        Some(differing.map_or_else(|| answer.to_string(), ToString::to_string).chars().take(600).collect())
    }
}
