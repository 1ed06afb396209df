//! A line of the file, and the event that is made of it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use tidemill_domain::{Amount, Timestamp};
use uuid::{Uuid, uuid};

/// CloudEvents `source` of the imported events.
pub const SOURCE: &str = "online-retail";
/// The name of the history that they are: the same for each of the data set's
/// files, which overlap.
pub const BACKFILL: &str = "import/online-retail";
/// What its prices are in, whatever the suite's base currency is.
pub const CURRENCY: &str = "GBP";
/// The namespace of the lines' ids. Another one would make every line new.
const LINES: Uuid = uuid!("0d1c9cb7-55a5-5f0e-9d0c-1d5b5c3c4d5e");

/// Where each value is in a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
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
    pub(super) fn of(header: &csv::StringRecord) -> Result<Self, String> {
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

/// The lines of a file.
pub(super) fn lines(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes())
}

/// The event of a line. Numbers keep the text that they have in the file.
#[derive(Serialize)]
struct InvoiceLine<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    time: Timestamp,
    subject: &'a str,
    data: InvoiceData<'a>,
}

#[derive(Serialize)]
struct InvoiceData<'a> {
    invoice: &'a str,
    stock_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    quantity: Box<RawValue>,
    unit_price: Box<RawValue>,
    currency: &'static str,
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

/// Names the lines of one file. A line is named by what it says, so that it is
/// known again in the same file, in the other edition, and in a file that
/// overlaps with it; and not by its place, which lines of other files have too.
#[derive(Default)]
pub(super) struct LineIds {
    /// How often each was met. An invoice may have a line twice, and both count.
    met: HashMap<Uuid, u32>,
}

impl LineIds {
    fn next(&mut self, time: Timestamp, data: &InvoiceData<'_>) -> Result<String, String> {
        // As amounts: an edition may write 2.5 for 2.50.
        let exact = |number: &RawValue| number.get().parse::<Amount>().map_err(|e| e.to_string());
        let (quantity, price) = (exact(&data.quantity)?, exact(&data.unit_price)?);
        let said =
            (time, data.invoice, data.stock_code, data.description, quantity, price, data.customer_id, data.country);
        let said = serde_json::to_vec(&said).map_err(|e| e.to_string())?;
        let line = Uuid::new_v5(&LINES, &said);
        let met = self.met.entry(line).or_default();
        *met += 1;
        Ok(format!("{line}-{met}"))
    }
}

/// The line's event as JSON.
pub(super) fn event(
    record: &csv::StringRecord,
    columns: Columns,
    ids: &mut LineIds,
) -> Result<(Timestamp, Vec<u8>), String> {
    let field = |index: usize| record.get(index).unwrap_or_default().trim();
    let given = |index: usize| Some(field(index)).filter(|text| !text.is_empty());
    let invoice = given(columns.invoice).ok_or("no invoice number")?;
    // Spreadsheets made the customer's number a float.
    let customer = given(columns.customer).map(|id| id.strip_suffix(".0").unwrap_or(id));
    let time = time(field(columns.date)).ok_or_else(|| format!("`{}` is no date", field(columns.date)))?;
    let amount = |index| number(field(index)).ok_or_else(|| format!("`{}` is no number", field(index)));
    // The subject is the partition key. A line without a customer goes by its
    // invoice; no invoice has both kinds, or two customers.
    let subject = customer.unwrap_or(invoice);
    let data = InvoiceData {
        invoice,
        stock_code: given(columns.stock_code).ok_or("no stock code")?,
        description: given(columns.description),
        quantity: amount(columns.quantity)?,
        unit_price: amount(columns.price)?,
        currency: CURRENCY,
        customer_id: customer,
        country: given(columns.country).ok_or("no country")?,
    };
    let id = ids.next(time, &data)?;
    let line = InvoiceLine { specversion: "1.0", id, source: SOURCE, kind: "invoice.line", time, subject, data };
    let mut json = serde_json::to_vec(&line).map_err(|e| e.to_string())?;
    json.push(b'\n');
    Ok((time, json))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn parsed(header: &str, line: &str) -> Result<Value, String> {
        let text = format!("{header}\n{line}\n");
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let columns = Columns::of(reader.headers().expect("a header"))?;
        let record = reader.records().next().expect("a line").expect("CSV");
        event(&record, columns, &mut LineIds::default()).map(|(_, json)| serde_json::from_slice(&json).expect("JSON"))
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
        assert_eq!(first["data"]["currency"], "GBP", "also in a suite that counts in another");
        assert_eq!(first["time"], "2010-12-01T08:26:00Z");
        assert_eq!(first["data"]["description"], "HOLDER, \"T\"");
    }

    #[test]
    fn a_line_is_known_by_what_it_says_and_by_how_often_it_was_said() {
        let header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country";
        let ids = |lines: &[&str]| {
            let text = format!("{header}\n{}\n", lines.join("\n"));
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let columns = Columns::of(reader.headers().expect("a header")).expect("columns");
            let mut ids = LineIds::default();
            let id = |record: csv::StringRecord| {
                let (_, json) = event(&record, columns, &mut ids).expect("an event");
                let event: Value = serde_json::from_slice(&json).expect("JSON");
                event["id"].as_str().expect("an id").to_owned()
            };
            reader.records().map(|record| record.expect("CSV")).map(id).collect::<Vec<_>>()
        };
        let (a, b) = ("1,a,x,1,2009-12-01 08:00:00,1,7,UK", "1,b,y,1,2009-12-01 08:00:00,1,7,UK");
        let first = ids(&[a, b, a]);
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "a line may be there twice");
        assert_eq!(ids(&[a, b, a]), first, "it is repeated");
        let written_otherwise = ["1,a,x,1,12/1/2009 8:00,1.0,7.0,UK", "1,b,y,1,12/1/2009 8:00,1.00,7,UK", a];
        assert_eq!(ids(&written_otherwise), first);
        // A file that begins with the end of another, as the years of the data set do.
        let second = ids(&[b, a, "2,a,x,1,2010-12-01 08:00:00,1,7,UK"]);
        assert_eq!(second[..2], [first[1].clone(), first[0].clone()]);
        assert!(!first.contains(&second[2]));
        let similar = ["1,a,x,2,2009-12-01 08:00:00,1,7,UK", "1,a,x,1,2009-12-01 08:01:00,1,7,UK"];
        let priced = ["1,a,x,1,2009-12-01 08:00:00,1.5,7,UK", "1,a,x,1,2009-12-01 08:00:00,1,8,UK"];
        let others = ids(&[similar, priced].concat());
        assert!(others.iter().all(|id| !first.contains(id)), "{others:?}");
    }

    #[test]
    fn numbers_keep_their_digits_and_gaps_stay_gaps() {
        let header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
        let mut reader = csv::ReaderBuilder::new().from_reader(header.as_bytes());
        let columns = Columns::of(reader.headers().expect("a header")).expect("columns");
        let record =
            csv::StringRecord::from(vec!["A563185", "B", "", "-1", "2011-08-12 14:50:00", "0.001", "", "EIRE"]);
        let (_, json) = event(&record, columns, &mut LineIds::default()).expect("an event");
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
