//! A shop that trades, for runs that disturb the suite meanwhile: what is sent
//! ([`dataset`], [`traffic`],
//! [`storefront`]), who sends it ([`till`]), what must come of it
//! ([`truth`]), and what did ([`reader`]).

pub(crate) mod dataset;
pub(crate) mod reader;
pub(crate) mod storefront;
pub(crate) mod till;
pub(crate) mod traffic;
pub(crate) mod truth;

use std::path::{Path, PathBuf};

use self::dataset::Row;
use crate::{error::Error, journal::Journal};

/// Online Retail beside the checkout, where it is.
pub fn shared_data_set() -> Option<PathBuf> {
    let file = crate::shared_data()?.join("online-retail/online_retail.csv.zst");
    Some(file).filter(|file| file.is_file())
}

/// The lines to send: the first `lines` of the data set, or `lines` made ones.
/// Where they are the whole data set, what they add up to is held against the
/// published truth first.
pub(crate) fn rows(
    data: Option<&Path>,
    lines: Option<usize>,
    seed: u64,
    generated: usize,
    journal: &Journal,
) -> Result<Vec<Row>, Error> {
    let Some(file) = data else {
        let count = lines.unwrap_or(generated);
        journal.note(format_args!("no data set: {count} lines are made"));
        return Ok(dataset::generate(seed, count));
    };
    let (rows, all) = dataset::read(file, lines.unwrap_or(usize::MAX))?;
    journal.note(format_args!("{} lines of {}", rows.len(), file.display()));
    let published = file.with_file_name("truth").join("per_day_country.csv");
    if all && published.is_file() {
        let difference = truth::compare(&truth::published(&published)?, &truth::of_rows(&rows)?);
        if difference.rows > 0 {
            let reason = format!("the lines are not those of the published truth: {:?}", difference.examples);
            return Err(Error::Data { line: 1, reason });
        }
        journal.note("the truth is the published one");
    }
    Ok(rows)
}
