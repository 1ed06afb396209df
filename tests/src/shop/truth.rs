//! What the totals must be, computed apart from the suite: from the lines
//! themselves, in integers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use super::dataset::Row;
use crate::error::Error;

/// Figures in millionths.
const MICROS: i128 = 1_000_000;
const DECIMALS: usize = 6;

/// Names of the figures, as metric `daily_country` has them.
const FIGURES: [&str; 6] = ["lines", "invoices", "customers", "quantity", "net", "sales"];
/// And as the published truth has them.
const PUBLISHED: [&str; 6] = ["lines", "invoices", "customers", "qty", "net", "sales"];

/// Day and country.
pub(crate) type Key = (String, String);
/// In the order of `FIGURES`, in millionths.
pub(crate) type Figures = [i128; 6];
/// Figures by day and country.
pub(crate) type Daily = BTreeMap<Key, Figures>;

/// A decimal number in millionths; `None` for what is no such number.
pub(crate) fn micros(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > DECIMALS || !plain(whole) || !plain(fraction) {
        return None;
    }
    let value = whole.parse::<i128>().ok()? * MICROS + format!("{fraction:0<6}").parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

/// The figures of these lines by day and country.
pub(crate) fn of_rows<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Result<Daily, Error> {
    #[derive(Default)]
    struct Sum<'r> {
        figures: Figures,
        invoices: BTreeSet<&'r str>,
        customers: BTreeSet<&'r str>,
    }
    let mut sums: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for (n, row) in rows.into_iter().enumerate() {
        let wrong = |what: &str| Error::Data { line: n + 2, reason: format!("{what} in {row:?}") };
        let quantity = micros(&row.quantity).ok_or_else(|| wrong("quantity"))?;
        let price = micros(&row.price).ok_or_else(|| wrong("price"))?;
        let product = quantity * price;
        if product % MICROS != 0 {
            return Err(wrong("more than six decimals"));
        }
        let amount = product / MICROS;
        let day = row.date.get(..10).ok_or_else(|| wrong("date"))?;
        let sum = sums.entry((day, &row.country)).or_default();
        sum.invoices.insert(&row.invoice);
        sum.customers.extend(Some(row.customer.as_str()).filter(|customer| !customer.is_empty()));
        let sold = if quantity > 0 && price > 0 { amount } else { 0 };
        for (figure, plus) in sum.figures.iter_mut().zip([MICROS, 0, 0, quantity, amount, sold]) {
            *figure += plus;
        }
    }
    let count = |n: usize| i128::try_from(n).unwrap_or_default() * MICROS;
    Ok(sums
        .into_iter()
        .map(|((day, country), sum)| {
            let [lines, _, _, quantity, net, sales] = sum.figures;
            let figures = [lines, count(sum.invoices.len()), count(sum.customers.len()), quantity, net, sales];
            ((day.to_owned(), country.to_owned()), figures)
        })
        .collect())
}

/// The published figures: `per_day_country.csv`.
pub(crate) fn published(path: &Path) -> Result<Daily, Error> {
    let mut reader = csv::Reader::from_path(path).map_err(Error::file(path))?;
    let header = reader.headers().map_err(Error::file(path))?.clone();
    let place = |name: &str| {
        let missing = || Error::Data { line: 1, reason: format!("no column {name} in {}", path.display()) };
        header.iter().position(|column| column == name).ok_or_else(missing)
    };
    let (day, country) = (place("d")?, place("country")?);
    let mut columns = [0; 6];
    for (column, name) in columns.iter_mut().zip(PUBLISHED) {
        *column = place(name)?;
    }
    let mut daily = Daily::new();
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(Error::file(path))?;
        let mut figures = Figures::default();
        for (figure, column) in figures.iter_mut().zip(columns) {
            let wrong = || Error::Data { line: n + 2, reason: format!("{} is no number", &record[column]) };
            *figure = micros(&record[column]).ok_or_else(wrong)?;
        }
        daily.insert((record[day].to_owned(), record[country].to_owned()), figures);
    }
    Ok(daily)
}

/// A window's figures from reporting's answer; what is missing or no number is
/// named.
pub(crate) fn of_answer(values: &BTreeMap<String, Value>) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for (figure, name) in figures.iter_mut().zip(FIGURES) {
        *figure = figure_of(values, name)?;
    }
    Ok(figures)
}

/// One figure of an answer, in millionths.
pub(crate) fn figure_of(values: &BTreeMap<String, Value>, name: &str) -> Result<i128, String> {
    let value = values.get(name).ok_or_else(|| format!("no {name}"))?;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    micros(&text).ok_or_else(|| format!("{name} is {text}"))
}

/// How totals differ from the truth.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Lines that are missing.
    pub(crate) lost: u64,
    /// Lines that are there too often.
    pub(crate) double: u64,
    /// Rows that differ in anything.
    pub(crate) rows: usize,
    /// Some of them, in words.
    pub(crate) examples: Vec<String>,
}

/// Compares totals with the truth.
pub(crate) fn compare(truth: &Daily, ours: &Daily) -> Difference {
    let mut difference = Difference::default();
    let keys: BTreeSet<&Key> = truth.keys().chain(ours.keys()).collect();
    for key in keys {
        let nothing = Figures::default();
        let (should, is) = (truth.get(key).unwrap_or(&nothing), ours.get(key).unwrap_or(&nothing));
        if should == is {
            continue;
        }
        let lines = |figures: &Figures| u64::try_from(figures[0] / MICROS).unwrap_or_default();
        difference.lost += lines(should).saturating_sub(lines(is));
        difference.double += lines(is).saturating_sub(lines(should));
        difference.rows += 1;
        if difference.examples.len() < 5 {
            difference.examples.push(format!("{key:?}: {FIGURES:?} in millionths should be {should:?}, are {is:?}"));
        }
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_none() {
        assert_eq!(micros("-80995"), Some(-80_995_000_000));
        assert_eq!(micros("0.001"), Some(1_000));
        assert_eq!(micros("-0.5"), Some(-500_000));
        for wrong in ["", "-", "1e3", "1.0000001", "1,5", ".5", "+1"] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_and_what_is_double_do_not_cancel_out() {
        let key = |day: &str| (day.to_owned(), "EIRE".to_owned());
        let of = |n: i128| [n * MICROS, 0, 0, 0, 0, 0];
        let truth = Daily::from([(key("1"), of(5)), (key("2"), of(5))]);
        let ours = Daily::from([(key("1"), of(4)), (key("2"), of(6))]);
        let found = compare(&truth, &ours);
        assert_eq!((found.lost, found.double, found.rows), (1, 1, 2));
        assert_eq!(compare(&truth, &truth.clone()), Difference::default());
    }
}
