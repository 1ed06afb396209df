//! Files of sessions: a line is a session, an item and a time.

use std::{
    collections::HashMap,
    io::{BufRead, Read},
};

use tidemill_domain::Timestamp;

/// An event of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visited {
    /// The number of the item in the catalogue.
    pub item: u32,
    /// When.
    pub at: Timestamp,
}

/// A session: its events by time. It has at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// By time; those at the same time in the order of the file.
    pub events: Vec<Visited>,
}

impl Visit {
    /// When it ended.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.events.last().map_or(Timestamp::EPOCH, |event| event.at)
    }
}

/// Items by number, of all files of a run.
#[derive(Debug, Clone, Default)]
pub struct ItemNumbers {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl ItemNumbers {
    /// The number of an item; it gets one if it has none.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = u32::try_from(self.names.len()).expect("an item takes more than a byte of memory");
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What the columns are called, if not as usual.
#[derive(Debug, Clone, Default)]
pub struct SessionColumns {
    /// The session; else SessionId, session_id, sessionid or session, in any case.
    pub session: Option<String>,
    /// The item; else ItemId and its kin.
    pub item: Option<String>,
    /// The time; else Time, timestamp or ts.
    pub time: Option<String>,
}

/// A file that is no file of sessions.
#[derive(Debug, thiserror::Error)]
pub enum SessionFileError {
    /// It cannot be read.
    #[error("line {line}: {why}")]
    Unreadable {
        /// Where.
        line: u64,
        /// Why.
        why: String,
    },
    /// The header lacks a column.
    #[error(
        "line 1: no column for the {what}: the header has {header}; expected {expected}, or another by --{what}-column"
    )]
    Column {
        /// Which one.
        what: &'static str,
        /// What there is.
        header: String,
        /// What it may be called.
        expected: String,
    },
    /// The header has several columns that may be meant.
    #[error("line 1: {count} columns may be the {what}: rename all but one, or name it by --{what}-column")]
    Columns {
        /// Which one.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A value is missing or wrong.
    #[error("line {line}: {what} \"{value}\" {why}")]
    Value {
        /// Where.
        line: u64,
        /// Of which column.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It has no rows.
    #[error("there are no rows")]
    Empty,
}

/// The sessions of a file, by their ids: the order of its rows makes no difference.
#[derive(Debug, Clone, Default)]
pub struct SessionFile {
    /// The sessions.
    pub visits: Vec<Visit>,
}

impl SessionFile {
    /// Reads a file: tabs, commas or semicolons separate, whichever the header
    /// has most of. Times are seconds since 1970, whole or not, milliseconds if they are
    /// above 10^11, RFC 3339, or the like without a zone, such as `2010-12-01 08:26`: UTC.
    ///
    /// # Errors
    /// With the line, if something is wrong. Nothing is passed over.
    pub fn read(
        input: impl BufRead,
        columns: &SessionColumns,
        catalogue: &mut ItemNumbers,
    ) -> Result<Self, SessionFileError> {
        let (mut rows, places) = open(input, columns)?;
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut visits: Vec<(String, Visit)> = Vec::new();
        let mut row = csv::StringRecord::new();
        while rows.read_record(&mut row).map_err(unreadable)? {
            let line = row.position().map_or(0, csv::Position::line);
            let value = |place: usize, what| {
                let value = row.get(place).unwrap_or_default().trim();
                let missing = || SessionFileError::Value { line, what, value: String::new(), why: "is missing" };
                if value.is_empty() { Err(missing()) } else { Ok(value) }
            };
            let (session, item, time) = (value(places[0], "session")?, value(places[1], "item")?, places[2]);
            let time = value(time, "time")?;
            let at = read_time(time).ok_or_else(|| SessionFileError::Value {
                line,
                what: "time",
                value: time.chars().take(60).collect(),
                why: "is neither seconds since 1970 nor a time such as 2010-12-01T08:26:00Z or 2010-12-01 08:26",
            })?;
            let number = numbers.get(session).copied().unwrap_or_else(|| {
                numbers.insert(session.to_owned(), visits.len());
                visits.push((session.to_owned(), Visit::default()));
                visits.len() - 1
            });
            visits[number].1.events.push(Visited { item: catalogue.number(item), at });
        }
        visits.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut visits: Vec<Visit> = visits.into_iter().map(|(_, visit)| visit).collect();
        visits.iter_mut().for_each(|visit| visit.events.sort_by_key(|event| event.at));
        if visits.is_empty() { Err(SessionFileError::Empty) } else { Ok(Self { visits }) }
    }
}

/// The rows behind the header, and where session, item and time are.
fn open<R: BufRead>(
    mut input: R,
    columns: &SessionColumns,
) -> Result<(csv::Reader<impl Read + use<R>>, [usize; 3]), SessionFileError> {
    let mut header = String::new();
    let failed = |error: std::io::Error| SessionFileError::Unreadable { line: 1, why: error.to_string() };
    // A header is short: what goes on without a line's end is no text.
    (&mut input).take(65_536).read_line(&mut header).map_err(failed)?;
    if header.is_empty() {
        return Err(SessionFileError::Empty);
    }
    let count = |separator: char| header.chars().filter(|&c| c == separator).count();
    let separator = ['\t', ',', ';'].into_iter().rev().max_by_key(|&separator| count(separator)).unwrap_or('\t');
    let names: Vec<String> = header
        .trim_start_matches('\u{feff}')
        .split(separator)
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect();
    let places = [
        place(&names, "session", columns.session.as_deref(), &["sessionid", "session"])?,
        place(&names, "item", columns.item.as_deref(), &["itemid", "item"])?,
        place(&names, "time", columns.time.as_deref(), &["time", "timestamp", "ts"])?,
    ];
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator as u8).has_headers(false).quoting(separator != '\t');
    // Read again, so that lines are counted.
    let whole = std::io::Cursor::new(header.into_bytes()).chain(input);
    let mut rows = builder.from_reader(whole);
    rows.read_record(&mut csv::StringRecord::new()).map_err(unreadable)?;
    Ok((rows, places))
}

/// Where a column is.
fn place(
    header: &[String],
    what: &'static str,
    named: Option<&str>,
    usual: &[&str],
) -> Result<usize, SessionFileError> {
    let is = |name: &String| match named {
        Some(named) => name == named,
        None => usual.contains(&name.to_lowercase().replace(['_', '-', ' '], "").as_str()),
    };
    let places: Vec<usize> = (0..header.len()).filter(|&place| is(&header[place])).collect();
    match places[..] {
        [place] => Ok(place),
        [] => Err(SessionFileError::Column {
            what,
            header: header.join(", ").chars().take(200).collect(),
            expected: named.map_or_else(|| usual.join(" or "), str::to_owned),
        }),
        _ => Err(SessionFileError::Columns { what, count: places.len() }),
    }
}

fn unreadable(error: csv::Error) -> SessionFileError {
    let line = error.position().map_or(0, csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} columns, and the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    SessionFileError::Unreadable { line, why }
}

fn read_time(text: &str) -> Option<Timestamp> {
    let Ok(number) = text.parse::<f64>() else { return text.parse().ok().or_else(|| without_zone(text)) };
    let millis = if number > 1e11 { number } else { number * 1000.0 };
    #[allow(clippy::cast_possible_truncation, reason = "checked to be within a timestamp's range")]
    (0.0..2.5e14).contains(&millis).then(|| Timestamp::saturating_from_millis(millis.round() as i64))
}

/// A day and a time of day, with seconds or without.
fn without_zone(text: &str) -> Option<Timestamp> {
    let (day, time) = text.split_once([' ', 'T'])?;
    let seconds = if time.len() == "08:26".len() { ":00" } else { "" };
    format!("{day}T{time}{seconds}Z").parse().ok()
}

/// The sessions that ended within the last `days` days of the file are to be
/// predicted, from all before.
#[must_use]
pub fn split_last_days(dataset: SessionFile, days: u32) -> (SessionFile, SessionFile) {
    let newest = dataset.visits.iter().map(Visit::end).max().unwrap_or(Timestamp::EPOCH);
    let from = newest.plus_millis(-i64::from(days) * 86_400_000);
    let (test, train) = dataset.visits.into_iter().partition(|visit| visit.end() > from);
    (SessionFile { visits: train }, SessionFile { visits: test })
}
