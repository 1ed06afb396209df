//! Takes a batch apart: what each event adds to which totals. A function of the
//! batch and the definitions alone.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use bytes::Bytes;
use tidemill_definitions::{Contribution, Data, MetricDefinition, Metrics, Window};
use tidemill_domain::{Timestamp, text::has_control};
use tidemill_events::{EnrichedBatch, EnrichedEventRef, EnrichmentRef, TraceParent, event};
use tidemill_lateness::{EventName, MetEvent, perhaps_left_out};

use super::{
    books::BooksKey,
    cell::{CellId, CellKey, GroupId},
    session::TimeSpan,
};

pub(crate) const HOUR: i64 = 3_600_000;

/// A batch, taken apart and ready to be applied.
pub(crate) struct Parsed<'b> {
    pub(crate) raw_seq: u64,
    pub(crate) ingested_at: Timestamp,
    pub(crate) events: Vec<EventAdditions<'b>>,
    /// Lines that are no events; enrichment writes none.
    pub(crate) unreadable: Vec<Bytes>,
}

/// An event: what it adds where.
pub(crate) struct EventAdditions<'b> {
    pub(crate) source: Cow<'b, str>,
    pub(crate) time: Timestamp,
    pub(crate) duplicate: bool,
    /// Whether it is one by its business key.
    pub(crate) repeated: bool,
    /// Its name, if it may tell once more what was left out before: a duplicate that
    /// comes as history or is about the same as another event is counted then.
    pub(crate) again: Option<EventName>,
    /// Its sender marked it as history.
    pub(crate) is_backfill: bool,
    /// The request that sent it again, from a dead letter.
    pub(crate) redriven: Option<Cow<'b, str>>,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) rows: Vec<Addition<'b>>,
    /// As it stands in the batch.
    pub(crate) line: &'b [u8],
}

impl EventAdditions<'_> {
    /// What of it decides what becomes of it.
    pub(crate) fn met(&self) -> MetEvent<'_> {
        MetEvent {
            source: &self.source,
            time: self.time,
            is_backfill: self.is_backfill,
            duplicate: self.duplicate,
            repeated: self.repeated,
            again: self.again,
        }
    }
}

/// What one row adds, and to which windows.
pub(crate) struct Addition<'b> {
    pub(crate) metric: &'b MetricDefinition,
    pub(crate) destinations: Destinations,
    pub(crate) contribution: Contribution<'b>,
}

/// Where a row belongs: nearly all belong to one place.
#[derive(Debug)]
pub(crate) enum Destinations {
    One(Destination),
    Several(Vec<Destination>),
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Destination {
    /// Into the window that starts then.
    Window { start: Timestamp, cell: CellId },
    /// Into a session of the group: the events before it decide which.
    Session { group: GroupId, time: Timestamp, gap_millis: i64 },
}

/// Takes a batch apart.
pub(crate) fn parse<'b>(batch: &'b EnrichedBatch, metrics: &'b Metrics) -> Parsed<'b> {
    let unknown = EnrichmentRef::default();
    let mut parsed =
        Parsed { raw_seq: batch.raw_seq, ingested_at: batch.ingested_at, events: Vec::new(), unreadable: Vec::new() };
    for line in event::lines(&batch.lines) {
        // A source is a key in the store, so it has to be the name that it was
        // when it came in.
        let event = EnrichedEventRef::read(line).ok().filter(|event| !has_control(&event.source));
        let Some(event) = event else {
            parsed.unreadable.push(batch.lines.slice_ref(line));
            continue;
        };
        let enrichment = event.enriched.as_ref().unwrap_or(&unknown);
        let again = perhaps_left_out(&event, enrichment);
        let rows = match enrichment.duplicate && again.is_none() {
            true => Vec::new(),
            false => rows(batch, metrics, &event, enrichment),
        };
        let (duplicate, repeated) = (enrichment.duplicate, enrichment.repeated);
        let trace = event.traceparent.as_deref().and_then(|t| t.parse().ok()).filter(|t: &TraceParent| t.is_sampled());
        parsed.events.push(EventAdditions {
            source: event.source,
            time: event.time,
            duplicate,
            repeated,
            again,
            is_backfill: event.backfill.is_some(),
            redriven: event.redriven,
            trace,
            rows,
            line,
        });
    }
    parsed
}

/// What an event adds where.
fn rows<'b>(
    batch: &EnrichedBatch,
    metrics: &'b Metrics,
    event: &EnrichedEventRef<'b>,
    enrichment: &EnrichmentRef<'b>,
) -> Vec<Addition<'b>> {
    let metrics = metrics.of_type(&event.kind);
    let mut rows = Vec::with_capacity(metrics.len());
    if metrics.len() > 0 {
        let data = Data::of(event.data);
        for metric in metrics {
            metric.contribute(event, enrichment, &data, |contribution| {
                let destinations = Destinations::of(batch, metric, event.time, &contribution);
                rows.push(Addition { metric, destinations, contribution });
            });
        }
    }
    rows
}

impl Destinations {
    fn of(batch: &EnrichedBatch, metric: &MetricDefinition, time: Timestamp, row: &Contribution<'_>) -> Self {
        let values = &row.dimensions;
        let window = |start| Destination::Window { start, cell: CellKey::id(batch.partition, metric, start, values) };
        match metric.window {
            Window::Session { gap_millis } => {
                // A session has to end within the range of times.
                let latest = Timestamp::saturating_from_millis(i64::MAX).plus_millis(-gap_millis);
                let group = CellKey::group(batch.partition, metric, values);
                Self::One(Destination::Session { group, time: time.min(latest), gap_millis })
            }
            Window::Tumbling { size_millis } => Self::One(window(time.floor_to(size_millis))),
            Window::Sliding { .. } => Self::Several(metric.window.starts(time).map(window).collect()),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Destination> {
        match self {
            Self::One(destination) => std::slice::from_ref(destination),
            Self::Several(destinations) => destinations,
        }
        .iter()
    }
}

impl<'b> Parsed<'b> {
    /// The duplicates that are counted if they were left out before.
    pub(crate) fn again(&self) -> impl Iterator<Item = EventName> {
        self.events.iter().filter_map(|event| event.again)
    }

    /// Works out what those add that were left out before; the others stay
    /// duplicates.
    pub(crate) fn count_again(
        &mut self,
        batch: &EnrichedBatch,
        metrics: &'b Metrics,
        is_left_out: impl Fn(&EventName) -> bool,
    ) {
        for addition in self.events.iter_mut().filter(|event| event.again.is_some()) {
            addition.again = addition.again.filter(|key| is_left_out(key));
            if addition.again.is_some()
                && let Ok(event) = EnrichedEventRef::read(addition.line)
            {
                let unknown = EnrichmentRef::default();
                addition.rows = rows(batch, metrics, &event, event.enriched.as_ref().unwrap_or(&unknown));
            }
        }
    }
}

impl Parsed<'_> {
    fn destinations(&self) -> impl Iterator<Item = (&MetricDefinition, Destination)> {
        let rows = self.events.iter().flat_map(|event| &event.rows);
        rows.flat_map(|row| row.destinations.iter().map(|destination| (row.metric, *destination)))
    }

    /// The windows that the batch may change: of which metric, since when, and which.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (&MetricDefinition, Timestamp, CellId)> {
        self.destinations().filter_map(|(metric, destination)| match destination {
            Destination::Window { start, cell } => Some((metric, start, cell)),
            Destination::Session { .. } => None,
        })
    }

    /// The groups whose sessions it may change, and where.
    pub(crate) fn groups(&self) -> HashMap<GroupId, TimeSpan> {
        let mut groups: HashMap<GroupId, TimeSpan> = HashMap::new();
        for (_, destination) in self.destinations() {
            if let Destination::Session { group, time, gap_millis } = destination {
                let span = TimeSpan::of(time, gap_millis);
                groups.entry(group).and_modify(|known| *known = known.hull(span)).or_insert(span);
            }
        }
        groups
    }

    /// The books that it changes.
    pub(crate) fn books(&self) -> BTreeSet<BooksKey> {
        let hour = self.ingested_at.floor_to(HOUR);
        let sources: BTreeSet<&str> = self.events.iter().map(|event| &*event.source).collect();
        sources.into_iter().map(|source| (source.to_owned(), hour)).collect()
    }

    /// The traces of the sampled events.
    pub(crate) fn sampled(&self) -> impl Iterator<Item = TraceParent> {
        self.events.iter().filter_map(|event| event.trace)
    }
}
