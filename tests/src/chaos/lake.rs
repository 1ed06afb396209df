//! What the lake has come to, as DuckDB reads its tables.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    time::{Instant, sleep},
};

use super::{log::LogReader, suite::Suite};
use crate::{
    error::Error,
    shop::{
        reader::Reading,
        traffic::{Expected, Sender},
        truth::{self, Daily},
    },
};

/// The program that knows DuckDB and its extension (`scripts/provision test`).
const PYTHON: &str = "duckdb-python";
/// How long the tables may take to have everything.
const SETTLED: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_secs(3);

/// What the tables are compared with, apart from the lake.
pub(super) struct LakeTruth<'t> {
    /// Every line of `RAW`, as a file.
    raw: PathBuf,
    /// Source and id of every event that was accepted, as a file.
    accepted: PathBuf,
    expected: &'t Expected,
    reading: &'t Reading,
}

/// What DuckDB found.
#[derive(Debug, Deserialize)]
struct Found {
    raw: u64,
    bronze: u64,
    /// Lines that `RAW` has and bronze has not, and the other way round.
    bronze_differs: [u64; 2],
    rejected: u64,
    silver: u64,
    /// The same of accepted events and silver.
    silver_differs: [u64; 2],
    late: u64,
    countries: Vec<Vec<Option<String>>>,
    orders: Option<String>,
    revenue: Option<String>,
}

/// Whether DuckDB is there to read tables.
pub(super) fn can_be_read() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(PYTHON).is_file())
}

/// Waits until the tables have everything, and tells what they have not. Answers how many
/// events bronze has.
pub(super) async fn check(suite: &Suite, truth: &LakeTruth<'_>) -> Result<u64, Error> {
    let begun = Instant::now();
    loop {
        let asked = ask(&suite.lake(), truth).await;
        let (wrong, rows) = match &asked {
            Ok(found) => (truth.differences(found), found.bronze),
            // A table may not be there yet.
            Err(error) => (vec![error.to_string()], 0),
        };
        if wrong.is_empty() || begun.elapsed() > SETTLED {
            for text in &wrong {
                suite.journal.problem(format_args!("the lake: {text}"));
            }
            return Ok(rows);
        }
        suite.journal.message(format!("the lake: {}", wrong[0]));
        sleep(POLL).await;
    }
}

impl<'t> LakeTruth<'t> {
    /// Writes the files: of the log, and of what `senders` have sent.
    pub(super) async fn write(
        folder: &Path,
        log: &LogReader,
        senders: &[Sender],
        expected: &'t Expected,
        reading: &'t Reading,
    ) -> Result<Self, Error> {
        let (raw, file) = (folder.join("raw.csv"), folder.join("accepted.csv"));
        log.write_raw(&raw).await?;
        let mut csv = csv::Writer::from_path(&file).map_err(Error::file(&file))?;
        for (sender, event) in senders.iter().flat_map(|sender| sender.events.iter().map(move |event| (sender, event)))
        {
            if event.is_valid() {
                let json: Value = serde_json::from_str(&event.json).map_err(Error::file(&file))?;
                csv.write_record([&sender.source, json["id"].as_str().unwrap_or_default()])
                    .map_err(Error::file(&file))?;
            }
        }
        csv.flush().map_err(Error::file(&file))?;
        Ok(Self { raw, accepted: file, expected, reading })
    }

    fn differences(&self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut differs = |what: &str, of: [u64; 2], rows: (u64, u64)| {
            if of != [0, 0] {
                wrong.push(format!("{what} lacks {} and has {} too many; rows {rows:?}", of[0], of[1]));
            }
        };
        differs("bronze.events", found.bronze_differs, (found.raw, found.bronze));
        differs("silver.events", found.silver_differs, (found.silver, found.silver));
        let books = &self.reading.books.totals;
        let mut same = |what: &str, should: u64, is: u64| {
            if should != is {
                wrong.push(format!("{what}: {should}, and {is} in the lake"));
            }
        };
        same("rejected bodies", books.rejected, found.rejected);
        same("late events", books.late, found.late);
        let difference = match countries(&found.countries) {
            Ok(daily) => truth::compare(&self.expected.daily, &daily),
            Err(why) => {
                wrong.push(format!("gold.daily_country: {why}"));
                return wrong;
            }
        };
        if difference.rows > 0 {
            wrong.push(format!("gold.daily_country differs in {} rows: {:?}", difference.rows, difference.examples));
        }
        let number = |text: &Option<String>| truth::micros(text.as_deref().unwrap_or_default());
        let sales = (number(&found.orders), number(&found.revenue));
        let should = (Some(i128::from(self.expected.orders) * 1_000_000), Some(self.expected.revenue));
        if sales != should {
            wrong.push(format!("gold.daily_sales: orders and revenue should be {should:?}, are {sales:?}"));
        }
        wrong
    }
}

/// Rows of `gold.daily_country` as the truth has them.
fn countries(rows: &[Vec<Option<String>>]) -> Result<Daily, String> {
    const FIGURES: [&str; 6] = ["lines", "invoices", "customers", "quantity", "net", "sales"];
    let mut daily = Daily::new();
    for row in rows {
        let text = |place: usize| row.get(place).cloned().flatten().unwrap_or_default();
        let figure = |(n, name): (usize, &str)| (name.to_owned(), Value::from(text(n + 2)));
        let values: BTreeMap<String, Value> = FIGURES.into_iter().enumerate().map(figure).collect();
        if daily.insert((text(0), text(1)), truth::of_answer(&values)?).is_some() {
            return Err(format!("{}, {} is there twice", text(0), text(1)));
        }
    }
    Ok(daily)
}

async fn ask(root: &Path, truth: &LakeTruth<'_>) -> Result<Found, Error> {
    let question = json!({"root": root, "raw": truth.raw, "accepted": truth.accepted}).to_string();
    let mut child = Command::new(PYTHON)
        .args(["-c", include_str!("read_lake.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::program(PYTHON))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(question.as_bytes()).await.map_err(Error::program(PYTHON))?;
    }
    let output = child.wait_with_output().await.map_err(Error::program(PYTHON))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(Error::program(PYTHON)(told.lines().last().unwrap_or("it failed")));
    }
    serde_json::from_slice(&output.stdout).map_err(Error::program(PYTHON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_gold_is_read_as_the_truth_has_it_and_only_once() {
        let row = |texts: [&str; 8]| texts.map(|text| Some(text.to_owned())).to_vec();
        let one = row(["2011-01-01", "EIRE", "2", "1", "0", "-3", "1.25", "0"]);
        let daily = countries(std::slice::from_ref(&one)).expect("a row");
        let key = ("2011-01-01".to_owned(), "EIRE".to_owned());
        assert_eq!(daily[&key], [2_000_000, 1_000_000, 0, -3_000_000, 1_250_000, 0]);
        assert!(countries(&[one.clone(), one]).is_err());
    }
}
