//! The invoice lines that are sent: Online Retail's, or made ones with the
//! same dirt where the data set is not at hand.

use std::{fs::File, io::Read, path::Path};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::error::Error;

/// The largest file that is read: the published one has 45 MB.
const MAX_BYTES: u64 = 1 << 30;
const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];
const COUNTRIES: [&str; 8] =
    ["United Kingdom", "EIRE", "Germany", "France", "RSA", "Channel Islands", "C\u{f4}te, \"d'Or\"", "Unspecified"];

/// An invoice line, as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Begins with C for cancellations.
    pub(crate) invoice: String,
    /// The product.
    pub(crate) stock_code: String,
    /// Empty for some.
    pub(crate) description: String,
    /// A decimal number.
    pub(crate) quantity: String,
    /// `2010-12-01 08:26:00`.
    pub(crate) date: String,
    /// A decimal number.
    pub(crate) price: String,
    /// Empty for some; without the `.0` that spreadsheets left.
    pub(crate) customer: String,
    /// The country, as it is spelt there.
    pub(crate) country: String,
}

impl Row {
    /// What the line's events are partitioned by: an invoice has one customer,
    /// or none.
    pub(crate) fn subject(&self) -> &str {
        if self.customer.is_empty() { &self.invoice } else { &self.customer }
    }

    /// Its event as JSON. Numbers keep the text that they have in the file.
    pub(crate) fn event(&self, source: &str, id: &str) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let optional = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!(r#","{name}":{}"#, text(value)),
        };
        format!(
            r#"{{"specversion":"1.0","id":{},"source":{},"type":"invoice.line","time":"{}Z","subject":{},"data":{{"invoice":{},"stock_code":{}{},"quantity":{},"unit_price":{}{},"country":{}}}}}"#,
            text(id),
            text(source),
            self.date.replacen(' ', "T", 1),
            text(self.subject()),
            text(&self.invoice),
            text(&self.stock_code),
            optional("description", &self.description),
            self.quantity,
            self.price,
            optional("customer_id", &self.customer),
            text(&self.country),
        )
    }
}

/// Reads the first `limit` lines of Online Retail (CSV, or CSV compressed with
/// zstd), and says whether those are all.
pub(crate) fn read(path: &Path, limit: usize) -> Result<(Vec<Row>, bool), Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let text: Box<dyn Read> = match path.extension().is_some_and(|extension| extension == "zst") {
        true => Box::new(zstd::Decoder::new(file).map_err(Error::file(path))?),
        false => Box::new(file),
    };
    let mut reader = csv::Reader::from_reader(text.take(MAX_BYTES));
    let header = reader.headers().map_err(Error::file(path))?.clone();
    let mut places = [0; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|column| column == name);
        *place = found.ok_or_else(|| Error::Data { line: 1, reason: format!("no column {name}") })?;
    }
    let mut rows = Vec::new();
    for (n, record) in reader.records().enumerate() {
        if n == limit {
            return Ok((rows, false));
        }
        let record = record.map_err(|e| Error::Data { line: n + 2, reason: e.to_string() })?;
        let field = |column: usize| record.get(places[column]).unwrap_or_default().trim().to_owned();
        let customer = field(6);
        rows.push(Row {
            invoice: field(0),
            stock_code: field(1),
            description: field(2),
            quantity: field(3),
            date: field(4),
            price: field(5),
            customer: customer.strip_suffix(".0").map(str::to_owned).unwrap_or(customer),
            country: field(7),
        });
    }
    Ok((rows, true))
}

/// Makes `count` lines that a seed means: in order of time, with cancellations,
/// gaps, corrections, prices of up to three decimals and full duplicates.
pub(crate) fn generate(seed: u64, count: usize) -> Vec<Row> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x0da7_a5e7);
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    let (mut invoice, mut minute) = (536_365_u32, 8 * 60 + 26_u32);
    while rows.len() < count {
        invoice += 1;
        minute += rng.random_range(0..40);
        let number = rng.random_range(12_346..13_500_u32);
        let customer = if rng.random_bool(0.25) { String::new() } else { number.to_string() };
        // A customer stays where he is.
        let country = COUNTRIES[usize::try_from(number % 30).map_or(0, |n| n.saturating_sub(22))];
        let cancelled = rng.random_bool(0.02);
        for _ in 0..rng.random_range(1..40_u32).min(u32::try_from(count - rows.len()).unwrap_or(u32::MAX)) {
            if rng.random_bool(0.01)
                && let Some(same) = rows.last().filter(|row| row.invoice.ends_with(&invoice.to_string()))
            {
                rows.push(same.clone());
                continue;
            }
            let quantity: i32 = rng.random_range(1..50);
            let price = match rng.random_range(0..20) {
                0 => "0.0".to_owned(),
                1 => format!("0.{:03}", rng.random_range(1..1000)),
                2 => format!("-{}.{:02}", rng.random_range(1..9), rng.random_range(0..100)),
                _ => format!("{}.{}", rng.random_range(0..30), rng.random_range(0..100)),
            };
            rows.push(Row {
                invoice: format!("{}{invoice}", if cancelled { "C" } else { "" }),
                stock_code: format!("{}{}", rng.random_range(20_000..24_000), ["", "A", "b"][rng.random_range(0..3)]),
                description: if rng.random_bool(0.01) { String::new() } else { "HOLDER, \"T-LIGHT\"".into() },
                quantity: if cancelled { -quantity } else { quantity }.to_string(),
                date: date(minute),
                price,
                customer: customer.clone(),
                country: country.to_owned(),
            });
        }
    }
    rows
}

/// So many minutes after the year 2011 began, for up to ten years of 336 days.
fn date(minute: u32) -> String {
    let (hour, day) = (minute / 60, minute / 1440);
    let (month, year) = (day / 28, 2011 + day / 336);
    format!("{year}-{:02}-{:02} {:02}:{:02}:00", month % 12 + 1, day % 28 + 1, hour % 24, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_lines_are_in_order_and_their_events_are_json() {
        let rows = generate(3, 5_000);
        assert_eq!(rows.len(), 5_000);
        assert_eq!(rows, generate(3, 5_000));
        assert!(rows.is_sorted_by(|a, b| a.date <= b.date));
        for row in &rows {
            let event: serde_json::Value = serde_json::from_str(&row.event("till-1", "l-1")).expect("JSON");
            assert_eq!(event["data"]["country"], row.country.as_str());
            assert_eq!(event["subject"], row.subject());
        }
        assert!(rows.iter().any(|row| row.customer.is_empty()) && rows.iter().any(|row| row.country == COUNTRIES[6]));
    }
}
