//! All numbers made once more, as one does after a definition has changed: by the way that a
//! pattern has for it.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tidemill::profile::SuiteProfile;
use tokio::process::Command;

use super::{
    super::{machine::rounded, usage},
    answers::PatternAnswers,
    views::{self, ToldDrift},
};
use crate::{error::Error, journal::Journal, service::Service};

/// Seconds until reporting has read all of a generation.
const WAIT: u32 = 600;

/// What it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reprocessing {
    /// `replay` of the log, `refresh` of batch views, or `rebuild` of gold.
    pub way: ReprocessingWay,
    /// From the order until all numbers are there, the comparison left out.
    pub seconds: f64,
    /// Processor seconds of all parts meanwhile.
    pub cpu_s: f64,
    /// Whether all numbers are as they were.
    pub equal: bool,
}

/// How numbers are made once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReprocessingWay {
    /// The log is counted into a generation (`tidemill replay`).
    Replay,
    /// Batch views are computed from silver, and told (`tidemill lake refresh --whole`).
    Refresh,
    /// Gold is computed from silver (`tidemill lake rebuild gold`).
    Rebuild,
}

impl ReprocessingWay {
    /// Where there are tables, they are what the past is made from, and answers where these are merged from them; a
    /// suite that acts has to replay, since what acts reads live totals.
    const fn of(profile: SuiteProfile) -> Self {
        match profile {
            SuiteProfile::Medallion | SuiteProfile::MedallionStreaming => Self::Rebuild,
            SuiteProfile::Lambda => Self::Refresh,
            SuiteProfile::Kappa | SuiteProfile::Full => Self::Replay,
        }
    }
}

/// Makes all numbers once more.
pub(super) async fn measure(
    answers: &PatternAnswers<'_>,
    programs: &Path,
    journal: &Journal,
) -> Result<Reprocessing, Error> {
    let way = ReprocessingWay::of(answers.profile);
    let program = programs.join("tidemill");
    let before = answers.all().await?;
    let (cpu, begun) = (taken(answers).await?, Instant::now());
    let drift = match way {
        ReprocessingWay::Replay => replay(&program, answers).await.map(|()| None)?,
        ReprocessingWay::Refresh => Some(refresh(&program, answers).await?),
        ReprocessingWay::Rebuild => rebuild(&program, answers).await.map(|()| None)?,
    };
    let (seconds, cpu_s) = (begun.elapsed().as_secs_f64(), taken(answers).await? - cpu);
    let equal = match way {
        ReprocessingWay::Replay => difference(&program, answers).await?.success(),
        ReprocessingWay::Refresh | ReprocessingWay::Rebuild => {
            answers.all().await? == before && drift.is_none_or(|drift| drift.is_equal())
        }
    };
    if !equal {
        journal.problem(format_args!("{}: what was made once more is not what was", answers.profile.name()));
    }
    Ok(Reprocessing { way, seconds: rounded(seconds), cpu_s: rounded(cpu_s), equal })
}

/// Processor seconds of all parts so far, and of this process's children that have ended.
async fn taken(answers: &PatternAnswers<'_>) -> Result<f64, Error> {
    let own = usage::of_ended_children()?;
    Ok(answers.suite.usage().await?.parts.iter().map(|(_, usage)| usage.cpu_s).sum::<f64>() + own)
}

async fn replay(program: &Path, answers: &PatternAnswers<'_>) -> Result<(), Error> {
    let stores = answers.suite.folder().join("generation");
    std::fs::create_dir_all(&stores).map_err(Error::file(&stores))?;
    let settings = |of| answers.suite.settings_of(of).display().to_string();
    let arguments = [
        "replay".to_owned(),
        "start".into(),
        "--name=again".into(),
        "--once".into(),
        format!("--enrichment-settings={}", settings(Service::Enrichment)),
        format!("--aggregation-settings={}", settings(Service::Aggregation)),
        format!("--stores=sqlite://{}", stores.display()),
    ];
    done(call(program, &arguments, answers, "replay.log").await?, "tidemill replay start")
}

/// Until reporting has the new views: then they answer.
async fn refresh(program: &Path, answers: &PatternAnswers<'_>) -> Result<ToldDrift, Error> {
    let before = ToldDrift::ask(answers.client).await?;
    let arguments = ["lake".to_owned(), "refresh".into(), "--whole".into(), lake(answers)?];
    done(call(program, &arguments, answers, "refresh.log").await?, "tidemill lake refresh")?;
    views::have_come(answers.client, &before).await
}

async fn rebuild(program: &Path, answers: &PatternAnswers<'_>) -> Result<(), Error> {
    let arguments = ["lake".to_owned(), "rebuild".into(), "gold".into(), lake(answers)?];
    done(call(program, &arguments, answers, "rebuild.log").await?, "tidemill lake rebuild")
}

fn lake(answers: &PatternAnswers<'_>) -> Result<String, Error> {
    Ok(format!("--lake-url=http://{}", answers.suite.address(Service::Lake)?))
}

fn done(status: ExitStatus, program: &str) -> Result<(), Error> {
    let failed = || Error::Refused(format!("{program}: {status}; its log is with those of the suite"));
    if status.success() { Ok(()) } else { Err(failed()) }
}

async fn difference(program: &Path, answers: &PatternAnswers<'_>) -> Result<ExitStatus, Error> {
    let reporting = format!("--reporting-url=http://{}", answers.suite.reporting()?);
    let arguments = ["replay".to_owned(), "diff".into(), "--name=again".into(), format!("--wait={WAIT}"), reporting];
    call(program, &arguments, answers, "diff.log").await
}

/// Runs `tidemill`; what it says is in the suite's logs.
async fn call(
    program: &Path,
    arguments: &[String],
    answers: &PatternAnswers<'_>,
    log: &str,
) -> Result<ExitStatus, Error> {
    let log = answers.suite.folder().join("logs").join(log);
    let output = std::fs::File::create(&log).map_err(Error::file(&log))?;
    let errors = output.try_clone().map_err(Error::file(&log))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true);
    command.status().await.map_err(Error::program("tidemill"))
}
