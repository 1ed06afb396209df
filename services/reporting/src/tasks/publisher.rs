//! Sends what changed: not more often than the interval, however fast it
//! changes, less often while that takes long, and each cell with its merged,
//! absolute values.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tidemill_domain::{Currency, Timestamp};
use tidemill_stage::{Failure, LoadPace};
use tidemill_store::answered;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    books::BooksAnswer,
    catalogue::Metric,
    error::Error,
    query::{Base, BaseValues, DimensionGroup, Gaps, Grouping, Question, Rollup, Values},
    read_model::{MergedCellKey, VersionName},
    state::{Reporting, Truth},
    store::StoredCell,
    unit::StreamUnit,
};

/// Cells in one update; the newest windows go first, the rest follow.
const CELLS: usize = 2000;
/// Points in one event.
const POINTS: usize = 500;
/// Sources in one event; the others are at `/v1/books`.
const SOURCES: usize = 100;
const BOOKS_INTERVAL: Duration = Duration::from_secs(1);
const TRUTH_INTERVAL: Duration = Duration::from_secs(2);
const BASE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest rest between two updates that take long to make, unless the configured
/// interval is longer.
const SLOWEST: Duration = Duration::from_millis(250);
/// A window may close by the clock alone.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct MetricsEvent<'a> {
    metric: &'a str,
    version: &'a str,
    as_of: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// The currency of converted amounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_currency: Option<Currency>,
    points: &'a [LivePoint],
}

#[derive(Serialize)]
struct LivePoint {
    start: Timestamp,
    end: Timestamp,
    complete: bool,
    /// It was merged into another window, and has no values of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retracted: bool,
    dimensions: BTreeMap<String, String>,
    values: Values,
    #[serde(flatten)]
    in_base: BaseValues,
    #[serde(flatten)]
    gaps: Gaps,
}

/// What was sent last, and when.
#[derive(Default)]
struct LastSent {
    books: Option<Instant>,
    truth: Option<(Instant, Truth)>,
    bases: HashMap<VersionName, (Instant, Option<Currency>)>,
    kept: HashMap<VersionName, (Instant, Option<Timestamp>)>,
}

impl LastSent {
    /// The base currency of a metric's newest data, as it was within the last seconds.
    async fn base(&mut self, reporting: &Reporting, metric: &Metric) -> Result<Option<Currency>, Error> {
        let version = metric.version_name();
        if let Some((_, base)) = self.bases.get(&version).filter(|(at, _)| at.elapsed() < BASE_INTERVAL) {
            return Ok(*base);
        }
        let base = reporting.store.newest_base(metric).await?;
        self.bases.insert(version, (Instant::now(), base));
        Ok(base)
    }

    /// Since when totals of a metric are kept, as it was within the last seconds.
    async fn kept_since(&mut self, reporting: &Reporting, metric: &Metric) -> Result<Option<Timestamp>, Error> {
        let version = metric.version_name();
        if let Some((_, kept)) = self.kept.get(&version).filter(|(at, _)| at.elapsed() < BASE_INTERVAL) {
            return Ok(*kept);
        }
        let kept = reporting.store.kept_since(metric).await?;
        self.kept.insert(version, (Instant::now(), kept));
        Ok(kept)
    }
}

/// Sends updates until shutdown.
pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let interval = Duration::from_millis(reporting.live.interval_millis);
    let mut pace = LoadPace::new(interval, interval.max(SLOWEST));
    let mut sent = LastSent::default();
    loop {
        tokio::select! {
            () = reporting.news.came() => {}
            () = sleep(CLOCK_INTERVAL) => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        let begun = Instant::now();
        if let Err(error) = publish(&reporting, &mut sent).await {
            tracing::warn!(code = error.code().as_str(), %error, "a live update could not be made");
        }
        pace.done(begun);
        tokio::select! {
            () = sleep_until(pace.until()) => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn publish(reporting: &Reporting, sent: &mut LastSent) -> Result<(), Error> {
    reporting.telemetry.clients(reporting.hub.clients());
    let truth = reporting.truth();
    let work = {
        let mut changes = reporting.news.changes();
        if !reporting.hub.is_watched() {
            // Nobody looks: a later reader fetches what it missed.
            if changes.is_waiting() || changes.overflowed || reporting.news.take_books() {
                reporting.hub.reset();
            }
            *changes = Default::default();
            return Ok(());
        }
        if changes.overflowed {
            *changes = Default::default();
            reporting.hub.reset();
        }
        if let Some(until) = truth.complete_until {
            changes.complete(until);
        }
        changes.take(CELLS)
    };
    for (metric, keys) in work {
        match answered(send_metric(reporting, sent, &metric, &keys, truth)).await {
            Ok(true) => {}
            Ok(false) => reporting.news.cells_changed(keys),
            Err(error) => {
                let mut changes = reporting.news.changes();
                keys.into_iter().for_each(|key| changes.changed(key));
                return Err(error);
            }
        }
    }
    if reporting.windows.is_large() {
        let stored = answered(reporting.store.reached(StreamUnit::Metrics)).await?;
        reporting.windows.shrink(stored.unwrap_or_default());
    }
    if sent.truth.is_none_or(|(at, told)| told != truth && at.elapsed() >= TRUTH_INTERVAL) {
        sent.truth = Some((Instant::now(), truth));
        reporting.hub.send("truth", &truth);
    }
    if sent.books.is_none_or(|at| at.elapsed() >= BOOKS_INTERVAL) && reporting.news.take_books() {
        sent.books = Some(Instant::now());
        let lines = answered(reporting.store.book_lines()).await.inspect_err(|_| reporting.news.books_changed())?;
        reporting.hub.send("books", &BooksAnswer::new(reporting.now(), lines, SOURCES));
    }
    Ok(())
}

/// Sends cells of a metric. Answers false where what was read of them is of no use any
/// more.
async fn send_metric(
    reporting: &Reporting,
    sent: &mut LastSent,
    name: &str,
    keys: &[MergedCellKey],
    truth: Truth,
) -> Result<bool, Error> {
    // Data that no definition names is kept, and not shown.
    let Ok(metric) = reporting.metric(name) else { return Ok(true) };
    let truth = if metric.generation().is_some() { reporting.truth_of(&metric).await? } else { truth };
    // Of a window that is kept no longer, all that is known is what was heard just now.
    let kept = sent.kept_since(reporting, &metric).await?;
    let is_told = |key: &&MergedCellKey| *key.version == metric.version && kept.is_none_or(|kept| key.start >= kept);
    let keys: Vec<&MergedCellKey> = keys.iter().filter(is_told).collect();
    let question = Question::of_every_dimension(&metric);
    let newest = sent.base(reporting, &metric).await?;
    let grouping = Grouping::new(&metric, &question, Rollup::Windows, usize::MAX, usize::MAX);
    let mut grouping = grouping.in_base(newest);
    let mut open = Vec::new();
    let mut left: BTreeSet<&MergedCellKey> = keys.iter().copied().collect();
    let take = |cell: StoredCell<'_>, key: &MergedCellKey| {
        if left.remove(key) && !truth.is_complete(cell.end) {
            open.push((cell.end, key.clone()));
        }
        grouping.add(cell)
    };
    if !each_total(reporting, &metric, &keys, take).await? {
        return Ok(false);
    }
    open.into_iter().for_each(|(end, key)| reporting.news.changes().sent_open(end, key));
    let groups = grouping.finish();
    let base = Base::of(newest, &groups, false);
    let mut points = points(&metric, groups, base, truth);
    points.extend(left.into_iter().filter_map(retracted));
    let Truth { as_of, watermark, .. } = truth;
    for points in points.chunks(POINTS) {
        let base_currency = base.currency;
        let event = MetricsEvent { metric: name, version: &metric.version, as_of, watermark, base_currency, points };
        reporting.hub.send("metrics", &event);
    }
    Ok(true)
}

/// Calls `take` with all totals of these cells. Answers false where what was read is of no
/// use any more.
async fn each_total(
    reporting: &Reporting,
    metric: &Metric,
    keys: &[&MergedCellKey],
    mut take: impl FnMut(StoredCell<'_>, &MergedCellKey) -> Result<(), Error>,
) -> Result<bool, Error> {
    let version = metric.version_name();
    let starts: BTreeSet<Timestamp> = keys.iter().map(|key| key.start).collect();
    let heard = metric.generation().is_none().then(|| reporting.windows.missing(&version, &starts)).flatten();
    let Some(missing) = heard else {
        // Nobody listens: what is stored is what there is.
        let wanted: HashMap<(Timestamp, &str), &MergedCellKey> =
            keys.iter().map(|key| ((key.start, &*key.dimensions), *key)).collect();
        let take = |cell: StoredCell<'_>| match wanted.get(&(cell.start, cell.dimensions)) {
            Some(key) => take(cell, key),
            None => Ok(()),
        };
        reporting.store.each_cell_at(metric, &starts, take).await?;
        return Ok(true);
    };
    let stored = match missing.starts.is_empty() {
        true => BTreeMap::new(),
        false => reporting.store.window_states(&version, &missing.starts).await?,
    };
    if !reporting.windows.add_stored(&version, missing, stored) {
        return Ok(false);
    }
    reporting.windows.each_total(&version, keys, take)?;
    Ok(true)
}

/// The point of a cell that has changed and is gone.
fn retracted(key: &MergedCellKey) -> Option<LivePoint> {
    let dimensions = serde_json::from_str(&key.dimensions).ok()?;
    let (start, end) = (key.start, key.start);
    let (values, in_base, gaps) = (Values::new(), BaseValues::default(), Gaps::default());
    Some(LivePoint { start, end, complete: false, retracted: true, dimensions, values, in_base, gaps })
}

fn points(metric: &Metric, groups: Vec<DimensionGroup>, base: Base, truth: Truth) -> Vec<LivePoint> {
    let of_group = |group: DimensionGroup| {
        let dimensions = group.dimensions;
        group.sums.into_iter().map(move |sum| (dimensions.clone(), sum))
    };
    groups
        .into_iter()
        .flat_map(of_group)
        .map(|(dimensions, sum)| LivePoint {
            start: sum.start,
            end: sum.end,
            complete: truth.is_complete(sum.end),
            retracted: false,
            dimensions,
            values: sum.values(metric, base),
            in_base: sum.in_base(metric, base),
            gaps: sum.gaps(metric),
        })
        .collect()
}
