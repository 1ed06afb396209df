//! Online Retail: every invoice line of a UK online shop, December 2010 to
//! December 2011 (D. Chen, S. L. Sain, K. Guo 2012, doi 10.1057/dbm.2012.17;
//! UCI Machine Learning Repository, data sets 352 and, with another spelling
//! of the columns, 502).

mod error;
mod line;
mod send;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};
use tidemill_domain::Timestamp;
use tidemill_service::spreadsheet::cell;
use tokio::time::sleep;

use crate::{
    client::{Client, Series},
    progress,
};

pub use error::ImportError;
use error::PATIENCE;
pub use line::{BACKFILL, CURRENCY, SOURCE};
use line::{Columns, lines};
pub use send::Sending;

const DAY: i64 = 86_400_000;
const BOOKS_INTERVAL: Duration = Duration::from_millis(200);
/// The largest file that is read: the published ones have 95 MB.
const MAX_BYTES: u64 = 2 << 30;

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportSummary {
    /// Lines of the file, each sent as one event.
    pub sent: u64,
    /// Of them, counted in the totals now.
    pub counted: u64,
    /// Of them, known from an earlier import.
    pub duplicate: u64,
    /// Of them, of a time of which the suite keeps nothing any more.
    pub late: u64,
    /// Seconds from the first request to the last answer.
    pub send_seconds: f64,
    /// Seconds until the books balanced.
    pub seconds: f64,
    /// The file that was written.
    pub out: PathBuf,
}

/// The file's text, inflated where it is compressed. A file that is not UTF-8
/// is Latin-1, as one edition is.
fn read(path: &Path) -> Result<String, ImportError> {
    let failed = |e: std::io::Error| ImportError::File { path: path.into(), reason: e.to_string() };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|extension| extension == "zst") {
        let decoder = zstd::Decoder::new(file).map_err(failed)?;
        decoder.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}

/// Sends every line of the file, waits until each is accounted for, and writes
/// `out/daily_country.csv` from reporting's answers.
pub async fn import(file: &Path, out: &Path, client: &Client, sending: Sending) -> Result<ImportSummary, ImportError> {
    Invoices::read(file)?.import(out, client, sending).await
}

/// Makes the folder that results are written to.
pub(crate) fn make_folder(out: &Path) -> Result<(), ImportError> {
    std::fs::create_dir_all(out).map_err(|e| ImportError::File { path: out.into(), reason: e.to_string() })
}

/// A file of the data set that was read, and whose columns are known.
pub(crate) struct Invoices {
    text: String,
    columns: Columns,
}

impl Invoices {
    pub(crate) fn read(file: &Path) -> Result<Self, ImportError> {
        let text = read(file)?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let columns = lines(&text)
            .headers()
            .map_err(|e| e.to_string())
            .and_then(Columns::of)
            .map_err(|reason| ImportError::Line { line: 1, reason })?;
        Ok(Self { text, columns })
    }

    /// See [`import`].
    pub(crate) async fn import(
        &self,
        out: &Path,
        client: &Client,
        sending: Sending,
    ) -> Result<ImportSummary, ImportError> {
        make_folder(out)?;
        let target = out.join("daily_country.csv");
        let before = client.books().await?.of(SOURCE);
        let started = Instant::now();
        let sent = send::send(&self.text, self.columns, client, sending).await?;
        let send_seconds = started.elapsed().as_secs_f64();
        let after = settle(client, before.received + sent.lines).await?;
        let seconds = started.elapsed().as_secs_f64();
        write_daily(client, sent.first, sent.last, &target).await?;
        Ok(ImportSummary {
            sent: sent.lines,
            counted: after.counted - before.counted,
            duplicate: after.duplicate - before.duplicate,
            late: after.late - before.late,
            send_seconds,
            seconds,
            out: target,
        })
    }
}

/// Waits until at least `received` events of the source are accounted for.
async fn settle(client: &Client, received: u64) -> Result<crate::client::Outcomes, ImportError> {
    let bar = progress::bar("counting", received);
    let (mut best, mut since) = (0, Instant::now());
    loop {
        let books = client.books().await?.of(SOURCE);
        let done = books.counted + books.late + books.duplicate + books.dead_lettered;
        bar.set_position(done.min(received));
        if books.received >= received && books.in_flight == 0 {
            bar.finish();
            return Ok(books);
        }
        if done > best {
            (best, since) = (done, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            return Err(ImportError::Unbalanced { books: json!(books).to_string() });
        }
        sleep(BOOKS_INTERVAL).await;
    }
}

/// What a point's value is in the file: an amount without needless zeros.
struct Plain<'v>(&'v Value);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(amount) => f.write_str(amount),
            other => write!(f, "{other}"),
        }
    }
}

const MEASURES: [&str; 6] = ["lines", "invoices", "customers", "quantity", "net", "sales"];

async fn write_daily(client: &Client, first: Timestamp, last: Timestamp, target: &Path) -> Result<(), ImportError> {
    let from = first.floor_to(DAY);
    let to = last.floor_to(DAY).plus_millis(DAY);
    // Others may send invoice lines in other currencies.
    let path = format!(
        "/v1/metrics/daily_country/series?group_by=country&currency={CURRENCY}&resolution=window&from={from}&to={to}"
    );
    let series: Series = client.get(&path).await?;
    let mut rows: BTreeMap<(String, String), BTreeMap<String, Value>> = BTreeMap::new();
    for one in series.series {
        let country = one.dimensions.get("country").cloned().unwrap_or_default();
        for point in one.points {
            let date = point.start.split('T').next().unwrap_or_default().to_owned();
            rows.insert((date, country.clone()), point.values);
        }
    }
    let failed = |e: &dyn fmt::Display| ImportError::File { path: target.into(), reason: e.to_string() };
    let file = File::create(target).map_err(|e| failed(&e))?;
    let mut writer = csv::Writer::from_writer(BufWriter::new(file));
    writer.write_record(["date", "country"].iter().chain(&MEASURES)).map_err(|e| failed(&e))?;
    for ((date, country), values) in &rows {
        let measures = MEASURES.map(|name| Plain(values.get(name).unwrap_or(&Value::Null)).to_string());
        let record = [date.clone(), cell(country).into()].into_iter().chain(measures);
        writer.write_record(record).map_err(|e| failed(&e))?;
    }
    let mut file = writer.into_inner().map_err(|e| failed(&e))?;
    file.flush().map_err(|e| failed(&e))
}
