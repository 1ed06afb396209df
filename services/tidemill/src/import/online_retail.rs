//! Online Retail: every invoice line of a UK online shop, December 2010 to
//! December 2011 (D. Chen, S. L. Sain, K. Guo 2012, doi 10.1057/dbm.2012.17;
//! UCI Machine Learning Repository, data sets 352 and, with another spelling
//! of the columns, 502).

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use tidemill_domain::{Amount, Timestamp};
use tidemill_service::spreadsheet::cell;
use tokio::time::sleep;

use crate::{
    client::{Client, ClientError, Series},
    progress,
};

/// CloudEvents `source` of the imported events.
pub const SOURCE: &str = "online-retail";
const DAY: i64 = 86_400_000;
/// How long the books may stand still before the import gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const BOOKS_INTERVAL: Duration = Duration::from_millis(200);
/// The largest file that is read: the published ones have 95 MB.
const MAX_BYTES: u64 = 2 << 30;

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Lines of the file, each sent as one event.
    pub sent: u64,
    /// Of them, counted in the totals now.
    pub counted: u64,
    /// Of them, known from an earlier import.
    pub duplicate: u64,
    /// Seconds from the first request to the last answer.
    pub send_seconds: f64,
    /// Seconds until the books balanced.
    pub seconds: f64,
    /// The file that was written.
    pub out: PathBuf,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is not what the data set's lines are.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number in the file, the header being 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The suite refused events.
    #[error("the suite refused {count} events, the first with {first}")]
    Refused {
        /// How many.
        count: u64,
        /// The first verdict.
        first: Value,
    },
    /// The suite could not be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Events are missing, and no more came for a minute.
    #[error("the books do not balance after {} s without progress: {books}", PATIENCE.as_secs())]
    Unbalanced {
        /// The books.
        books: String,
    },
}

/// Where each value is in a line.
#[derive(Debug, Clone, Copy)]
struct Columns {
    invoice: usize,
    stock_code: usize,
    description: usize,
    quantity: usize,
    date: usize,
    price: usize,
    customer: usize,
    country: usize,
}

impl Columns {
    /// Reads a header of either edition.
    fn of(header: &csv::StringRecord) -> Result<Self, String> {
        let find = |names: &[&str]| {
            let same = |column: &str| names.iter().any(|name| column.trim().eq_ignore_ascii_case(name));
            header.iter().position(same).ok_or_else(|| format!("the header has no column {}", names.join(" or ")))
        };
        Ok(Self {
            invoice: find(&["InvoiceNo", "Invoice"])?,
            stock_code: find(&["StockCode"])?,
            description: find(&["Description"])?,
            quantity: find(&["Quantity"])?,
            date: find(&["InvoiceDate"])?,
            price: find(&["UnitPrice", "Price"])?,
            customer: find(&["CustomerID", "Customer ID"])?,
            country: find(&["Country"])?,
        })
    }
}

/// The event of a line. Numbers keep the text that they have in the file.
#[derive(Serialize)]
struct Line<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    time: Timestamp,
    subject: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    invoice: &'a str,
    stock_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    quantity: Box<RawValue>,
    unit_price: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    country: &'a str,
}

/// Reads a date of either edition: `2010-12-01 08:26:00`, or `12/1/2010 8:26`
/// (month first). Times are wall-clock times of the shop, taken as UTC.
fn time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.trim().split_once([' ', 'T'])?;
    let number = |text: &str| text.parse::<u16>().ok();
    let (year, month, day) = if let Some((year, rest)) = date.split_once('-') {
        let (month, day) = rest.split_once('-')?;
        (number(year)?, number(month)?, number(day)?)
    } else {
        let (month, rest) = date.split_once('/')?;
        let (day, year) = rest.split_once('/')?;
        (number(year)?, number(month)?, number(day)?)
    };
    let mut clock = clock.splitn(3, ':');
    let (hour, minute) = (number(clock.next()?)?, number(clock.next()?)?);
    let second = clock.next().map_or(Some(0), number)?;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z").parse().ok()
}

/// A number's text as JSON, if it is one that JSON can write and that fits an
/// exact amount.
fn number(text: &str) -> Option<Box<RawValue>> {
    text.parse::<Amount>().ok()?;
    RawValue::from_string(text.to_owned()).ok()
}

/// The line's event as JSON. `n` counts lines from 1: it is the event's id, so
/// that a line sent again is known again.
fn event(record: &csv::StringRecord, columns: Columns, n: u64) -> Result<(Timestamp, Vec<u8>), String> {
    let field = |index: usize| record.get(index).unwrap_or_default().trim();
    let given = |index: usize| Some(field(index)).filter(|text| !text.is_empty());
    let invoice = given(columns.invoice).ok_or("no invoice number")?;
    // Spreadsheets made the customer's number a float.
    let customer = given(columns.customer).map(|id| id.strip_suffix(".0").unwrap_or(id));
    let time = time(field(columns.date)).ok_or_else(|| format!("`{}` is no date", field(columns.date)))?;
    let amount = |index| number(field(index)).ok_or_else(|| format!("`{}` is no number", field(index)));
    let line = Line {
        specversion: "1.0",
        id: format!("line-{n:06}"),
        source: SOURCE,
        kind: "invoice.line",
        time,
        // The subject is the partition key. A line without a customer goes by
        // its invoice; no invoice has both kinds, or two customers.
        subject: customer.unwrap_or(invoice),
        data: Data {
            invoice,
            stock_code: given(columns.stock_code).ok_or("no stock code")?,
            description: given(columns.description),
            quantity: amount(columns.quantity)?,
            unit_price: amount(columns.price)?,
            customer_id: customer,
            country: given(columns.country).ok_or("no country")?,
        },
    };
    let mut json = serde_json::to_vec(&line).map_err(|e| e.to_string())?;
    json.push(b'\n');
    Ok((time, json))
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
pub async fn import(file: &Path, out: &Path, client: &Client, batch: usize) -> Result<Summary, ImportError> {
    let target = out.join("daily_country.csv");
    std::fs::create_dir_all(out).map_err(|e| ImportError::File { path: out.into(), reason: e.to_string() })?;
    let text = read(file)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let before = client.books().await?.of(SOURCE);
    let started = Instant::now();
    let sent = send(text, client, batch).await?;
    let send_seconds = started.elapsed().as_secs_f64();
    let after = settle(client, before.received + sent.lines).await?;
    let seconds = started.elapsed().as_secs_f64();
    write_daily(client, sent.first, sent.last, &target).await?;
    Ok(Summary {
        sent: sent.lines,
        counted: after.counted - before.counted,
        duplicate: after.duplicate - before.duplicate,
        send_seconds,
        seconds,
        out: target,
    })
}

struct Sent {
    lines: u64,
    first: Timestamp,
    last: Timestamp,
}

/// One request after the other: the file is in order of time, and what order
/// the events have in the log decides which of them are late.
async fn send(text: &str, client: &Client, batch: usize) -> Result<Sent, ImportError> {
    let total = text.bytes().filter(|b| *b == b'\n').count().saturating_sub(1) as u64;
    let bar = progress::bar("sending", total);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let columns = reader
        .headers()
        .map_err(|e| e.to_string())
        .and_then(Columns::of)
        .map_err(|reason| ImportError::Line { line: 1, reason })?;
    let (mut body, mut in_body, mut lines) = (Vec::new(), 0, 0);
    let (mut first, mut last): (Option<Timestamp>, Option<Timestamp>) = (None, None);
    for record in reader.records() {
        lines += 1;
        let wrong = |reason: String| ImportError::Line { line: lines + 1, reason };
        let record = record.map_err(|e| wrong(e.to_string()))?;
        let (time, json) = event(&record, columns, lines).map_err(wrong)?;
        first = Some(first.map_or(time, |known| known.min(time)));
        last = Some(last.map_or(time, |known| known.max(time)));
        body.extend_from_slice(&json);
        in_body += 1;
        if in_body == batch {
            post(client, std::mem::take(&mut body).into(), &mut in_body, &bar).await?;
        }
    }
    if in_body > 0 {
        post(client, body.into(), &mut in_body, &bar).await?;
    }
    bar.finish();
    match (first, last) {
        (Some(first), Some(last)) => Ok(Sent { lines, first, last }),
        _ => Err(ImportError::Line { line: 2, reason: "there are no lines".into() }),
    }
}

async fn post(client: &Client, body: Bytes, events: &mut usize, bar: &ProgressBar) -> Result<(), ImportError> {
    let verdict = client.send(body, true, None).await?;
    if let Some(first) = verdict.rejected.first() {
        return Err(ImportError::Refused { count: verdict.rejected_total, first: first.clone() });
    }
    bar.inc(std::mem::take(events) as u64);
    Ok(())
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
    let path = format!("/v1/metrics/daily_country/series?group_by=country&from={from}&to={to}");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(header: &str, line: &str) -> Result<Value, String> {
        let text = format!("{header}\n{line}\n");
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let columns = Columns::of(reader.headers().expect("a header"))?;
        let record = reader.records().next().expect("a line").expect("CSV");
        event(&record, columns, 7).map(|(_, json)| serde_json::from_slice(&json).expect("JSON"))
    }

    #[test]
    fn both_editions_give_the_same_event() {
        let first = parsed(
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            r#"536365,85123A,"HOLDER, ""T""",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"#,
        )
        .expect("first edition");
        let second = parsed(
            "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
            r#"536365,85123A,"HOLDER, ""T""",6,12/1/2010 8:26,2.55,17850,United Kingdom"#,
        )
        .expect("second edition");
        assert_eq!(first, second);
        assert_eq!(first["subject"], "17850");
        assert_eq!(first["time"], "2010-12-01T08:26:00Z");
        assert_eq!(first["data"]["description"], "HOLDER, \"T\"");
        assert_eq!(first["id"], "line-000007");
    }

    #[test]
    fn numbers_keep_their_digits_and_gaps_stay_gaps() {
        let header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
        let mut reader = csv::ReaderBuilder::new().from_reader(header.as_bytes());
        let columns = Columns::of(reader.headers().expect("a header")).expect("columns");
        let record =
            csv::StringRecord::from(vec!["A563185", "B", "", "-1", "2011-08-12 14:50:00", "0.001", "", "EIRE"]);
        let (_, json) = event(&record, columns, 1).expect("an event");
        let text = String::from_utf8(json).expect("UTF-8");
        assert!(text.contains(r#""unit_price":0.001,"#) && text.contains(r#""quantity":-1,"#), "{text}");
        assert!(!text.contains("customer_id") && !text.contains("description"), "{text}");
        assert!(text.contains(r#""subject":"A563185""#), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
        let error = |line: &str| parsed(header, line).expect_err(line);
        assert!(error("1,a,b,x,2010-12-01 08:26:00,1,1,UK").contains("`x` is no number"));
        assert!(error("1,a,b,1,yesterday,1,1,UK").contains("is no date"));
        assert!(parsed("a,b", "1,2").expect_err("no columns").contains("InvoiceNo or Invoice"));
    }
}
