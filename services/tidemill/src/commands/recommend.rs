//! `tidemill recommend`

mod experiment;

use std::{
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use tidemill_recommender::evaluation::{
    EvaluationReport, ItemNumbers, SessionColumns, SessionFile, cases, evaluate, plot, split_last_days,
};

use super::ended::{Ended, WrongArguments};
use crate::{
    arguments::{EvaluateArguments, RecommendArguments, RecommendCommand, Split},
    index_file, progress, table,
};

pub(crate) async fn recommend(arguments: RecommendArguments) -> Ended {
    match arguments.command {
        RecommendCommand::Evaluate(evaluate) => run(&evaluate),
        RecommendCommand::Experiment(asked) => experiment::experiment(asked).await,
    }
}

fn run(arguments: &EvaluateArguments) -> Ended {
    let start = Instant::now();
    let split = arguments.split().map_err(WrongArguments)?;
    let settings = arguments.settings.as_deref().map(index_file::read).transpose()?.unwrap_or_default();
    arguments.plot.as_deref().map_or(Ok(()), can_be_written)?;
    let (catalogue, train, test) = read(arguments, &split)?;
    let total = cases(&test.visits);
    if total == 0 {
        return Err("there is nothing to predict: no test session has two events".into());
    }
    if train.visits.is_empty() {
        return Err("there is nothing to learn from: all sessions are within the last days".into());
    }
    // The index and three baselines predict each case.
    let bar = progress::bar("predicted", total * 4);
    let report = evaluate(&train.visits, &test.visits, &catalogue, &settings, || bar.inc(1))?;
    bar.finish_and_clear();
    let ended = tell(&report, arguments.json, start.elapsed().as_secs_f64())?;
    if let Some(path) = &arguments.plot {
        let file = arguments.test.as_deref().unwrap_or(&split.train).display().to_string();
        fs::write(path, plot(&report, &file)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ended)
}

/// Tells before a long run what can be told then.
fn can_be_written(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.is_dir(), path.is_dir()) {
        (true, false) => Ok(()),
        (_, true) => Err(format!("{}: is a folder", path.display())),
        (false, _) => Err(format!("{}: the folder is not there", path.display())),
    }
}

fn tell(report: &EvaluationReport, json: bool, seconds: f64) -> Ended {
    if json {
        say!("{}", serde_json::to_string(&report.object(seconds))?);
        return Ok(ExitCode::SUCCESS);
    }
    say!(
        "learnt {} events of {} sessions with {} items; predicted {} events of {} sessions in {seconds:.1} s",
        report.train_events,
        report.train_sessions,
        report.train_items,
        report.cases,
        report.sessions
    );
    let rows: Vec<[String; 7]> = report
        .models
        .iter()
        .map(|model| {
            let figures = &model.figures;
            [
                model.name.to_owned(),
                format!("{:.4}", figures.hit_rate),
                format!("{:.4}", figures.reciprocal_rank),
                format!("{:.4}", figures.gain),
                format!("{:.4}", figures.coverage),
                format!("{:.4}", figures.popularity),
                model.p90_micros.to_string(),
            ]
        })
        .collect();
    table::print(
        ["model", "HR@20", "MRR@20", "NDCG@20", "coverage", "popularity", "p90 µs"],
        [false, true, true, true, true, true, true],
        &rows,
    );
    Ok(ExitCode::SUCCESS)
}

/// What there is to learn, and to predict.
fn read(
    arguments: &EvaluateArguments,
    split: &Split,
) -> Result<(ItemNumbers, SessionFile, SessionFile), Box<dyn Error>> {
    let columns = SessionColumns {
        session: arguments.session_column.clone(),
        item: arguments.item_column.clone(),
        time: arguments.time_column.clone(),
    };
    let mut catalogue = ItemNumbers::default();
    let mut read = |path: &Path| {
        let spinner = progress::spinner("reading");
        let failed = |error: &dyn Error| format!("{}: {error}", path.display());
        let dataset = open(path)
            .map_err(|error| failed(&error))
            .and_then(|input| SessionFile::read(input, &columns, &mut catalogue).map_err(|error| failed(&error)));
        spinner.finish_and_clear();
        dataset
    };
    let train = read(&split.train)?;
    let (train, test) = match (&arguments.test, split.last_days) {
        (Some(test), _) => (train, read(test)?),
        (None, days) => split_last_days(train, days.unwrap_or(1)),
    };
    Ok((catalogue, train, test))
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        return Ok(Box::new(BufReader::new(zstd::Decoder::new(file)?)));
    }
    Ok(Box::new(BufReader::new(file)))
}
