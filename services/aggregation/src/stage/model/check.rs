//! What readers were told, against the truth.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidemill_definitions::Metrics;
use tidemill_events::{CellUpdate, MetricsUpdate, SourceBooks};
use tidemill_metrics_store::{FieldValue, Point};

use super::{
    truth::{Key, Known, Truth},
    world::World,
};
use crate::fold::{books::EventOutcomes, points::point};

fn key_of(cell: &CellUpdate) -> Key {
    let customer = cell.group.dimension("customer").unwrap_or_default().to_owned();
    (cell.metric().to_owned(), customer, cell.start.millis() / 1000)
}

/// What a reader makes of messages: the furthest word on each cell and book.
#[derive(Default)]
struct Reader {
    cells: BTreeMap<Key, (u64, CellUpdate)>,
    books: BTreeMap<(String, i64), (u64, EventOutcomes)>,
}

impl Reader {
    fn of<'a>(messages: impl IntoIterator<Item = &'a MetricsUpdate>) -> Self {
        let mut reader = Self::default();
        for update in messages {
            for cell in &update.cells {
                let known = reader.cells.entry(key_of(cell)).or_insert_with(|| (0, cell.clone()));
                if known.0 < update.raw_seq {
                    *known = (update.raw_seq, cell.clone());
                }
            }
            for books in &update.books {
                let key = (books.source.clone(), books.hour.millis() / 1000);
                let known = reader.books.entry(key).or_default();
                if known.0 < update.raw_seq {
                    *known = (update.raw_seq, outcomes(books));
                }
            }
        }
        reader
    }

    fn cells(&self) -> Known {
        let live = self.cells.iter().filter(|(_, (_, cell))| !cell.retracted);
        live.map(|(key, (_, cell))| (key.clone(), (cell.end.millis() / 1000, cell.totals.clone()))).collect()
    }

    fn books(&self) -> BTreeMap<(String, i64), EventOutcomes> {
        self.books.iter().map(|(key, (_, outcomes))| (key.clone(), *outcomes)).collect()
    }
}

fn outcomes(books: &SourceBooks) -> EventOutcomes {
    let SourceBooks { counted, late, duplicate, repeated, .. } = *books;
    EventOutcomes { counted, late, duplicate, repeated }
}

pub(super) fn check(world: &World, metrics: &Metrics, retention: bool) -> Result<(), TestCaseError> {
    let prefixes: BTreeMap<u64, Truth> = (1..=world.log.len())
        .map(|n| (world.log[n - 1].raw_seq, Truth::of(&world.log[..n], &world.events[..n], retention)))
        .collect();
    for update in &world.published {
        let Some(truth) = prefixes.get(&update.raw_seq) else {
            prop_assert!(update.cells.is_empty() && update.books.is_empty());
            continue;
        };
        for cell in &update.cells {
            let expected = truth.cells.get(&key_of(cell));
            let found = (!cell.retracted).then(|| (cell.end.millis() / 1000, cell.totals.clone()));
            prop_assert_eq!(found.as_ref(), expected, "{:?} at {}", key_of(cell), update.raw_seq);
        }
        for books in &update.books {
            let expected = truth.books[&(books.source.clone(), books.hour.millis() / 1000)];
            prop_assert_eq!(outcomes(books), expected, "at {}", update.raw_seq);
        }
    }
    let whole = prefixes.into_values().next_back().unwrap_or_default();
    for reader in [Reader::of(&world.stream), Reader::of(&world.published)] {
        prop_assert_eq!(reader.cells(), whole.cells.clone());
        prop_assert_eq!(reader.books(), whole.books.clone());
    }
    let late: BTreeMap<u64, u32> = world.late.iter().map(|(seq, late)| (*seq, late.count)).collect();
    prop_assert_eq!(late, whole.late);
    prop_assert_eq!(world.letters.len(), whole.letters);
    // The metrics store has the point of every live cell as it is in the end,
    // and nothing that adds to it. What is not kept any more cannot be written
    // again.
    if retention {
        return Ok(());
    }
    let reader = Reader::of(&world.published);
    for (_, cell) in reader.cells.values() {
        let expected = point(cell, world.partition, metrics).expect("a point");
        let tags = expected.tags.clone().into_iter().collect();
        let found = world.points.get(&(expected.measurement.clone(), tags, expected.time.millis()));
        if cell.retracted {
            let adds = |point: &Point| point.fields["retracted"] != FieldValue::Integer(1);
            prop_assert!(!found.is_some_and(adds), "{found:?}");
        } else {
            prop_assert_eq!(found, Some(&expected));
        }
    }
    Ok(())
}

/// The checkpoints have a point for every live cell, and no other.
pub(super) fn check_points(world: &World, metrics: &Metrics, points: Vec<Point>) -> Result<(), TestCaseError> {
    let partition = world.partition.to_string();
    let named = |point: &Point| (point.measurement.clone(), point.tags.clone(), point.time);
    let own = points.into_iter().filter(|point| point.tags["partition"] == partition);
    let own: BTreeMap<_, _> = own.map(|point| (named(&point), point)).collect();
    let reader = Reader::of(&world.published);
    let live = reader.cells.values().filter(|(_, cell)| !cell.retracted);
    let expected = live.map(|(_, cell)| point(cell, world.partition, metrics).expect("a point"));
    let expected: BTreeMap<_, _> = expected.map(|point| (named(&point), point)).collect();
    prop_assert_eq!(own, expected);
    Ok(())
}
