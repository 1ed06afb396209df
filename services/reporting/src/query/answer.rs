//! Answers to questions about a metric.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tidemill_domain::{Currency, GenerationName, Timestamp};
use tidemill_stage::Failure;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::{
    adding::add_up,
    advice,
    grouping::{Base, BaseValues, DimensionGroup, Gaps, Grouping, Sum, Values, approximate},
    question::{AnswerFormat, Question, QuestionParameters, QuestionView},
    ranking::keep_largest,
    resolution::{Resolution, Rollup},
    top::Top,
    totalled,
};
use crate::{
    batch::{AnswerParts, AnswerSource},
    calendar::Zone,
    catalogue::{Catalogue, Metric},
    counting::Counting,
    error::Error,
    state::{Reporting, Truth},
};

/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every answer about a metric begins with: what it is, and how far it is true.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Head {
    /// The metric's name.
    pub(crate) metric: String,
    /// The definition's version.
    pub(crate) version: String,
    /// The generation that the totals are of, where it is not the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<String>,
    /// As asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// As asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// Whose days are meant.
    #[schema(value_type = String)]
    pub(crate) zone: Zone,
    /// As asked; and `currency`, by which amounts are always split unless they
    /// are converted.
    pub(crate) group_by: Vec<String>,
    /// The currency of converted amounts: the base currency of the metric's newest
    /// data; `null` where none is converted. Of metrics with money alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    pub(crate) base_currency: Option<Option<Currency>>,
    /// Whether the amounts in `values` are in the base currency.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) convert: bool,
    /// Which rows are told, where not all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top: Option<Top>,
    /// Up to when all that was received is counted, as far as that is known: it
    /// goes on with the clock while nothing comes, and never goes back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) as_of: Option<Timestamp>,
    /// Event time up to which every live source is known. It never goes back: what
    /// a source that wakes up brings for an earlier window corrects it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) watermark: Option<Timestamp>,
    /// Whether nothing is outstanding that could still change it, but
    /// corrections by late events.
    pub(crate) complete: bool,
    /// What of the time that was asked for the version has not counted: a value
    /// that is low or missing for it says nothing of the shop.
    #[serde(flatten)]
    pub(crate) counting: Counting,
    /// Windows that start before it are kept no longer, and are in no value: where some of
    /// them were asked for. The lake has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) kept_since: Option<Timestamp>,
    /// Where the numbers come from.
    pub(crate) source: AnswerSource,
    /// What they are made of, where there is a batch view of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<AnswerParts>,
    /// Measures that are not exact here: sketches, and counts of distinct
    /// values that were added up although they may share values, and whose total
    /// no other metric has. CSV names them in its last column.
    pub(crate) approximate: Vec<String>,
}

/// Values over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct SeriesAnswer {
    /// What they are of.
    #[serde(flatten)]
    pub(crate) head: Head,
    /// What a point is of.
    pub(crate) resolution: Resolution,
    /// One for each combination of the dimensions grouped by.
    pub(crate) series: Vec<MetricSeries>,
}

/// One line over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Series)]
pub(crate) struct MetricSeries {
    /// Values of the dimensions grouped by.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// The windows or periods with data, earliest first. The first and the last
    /// period end at the bounds that were asked for.
    pub(crate) points: Vec<SeriesPoint>,
}

/// One window, or one period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Point)]
pub(crate) struct SeriesPoint {
    /// Its first instant.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) start: Timestamp,
    /// The first instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) end: Timestamp,
    /// Whether nothing is outstanding but corrections.
    pub(crate) complete: bool,
    /// Amounts are strings, counts numbers, `null` where there is no value.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) values: Values,
    /// The amounts among them in the base currency.
    #[serde(flatten)]
    pub(crate) in_base: BaseValues,
    /// What is not in them as it was.
    #[serde(flatten)]
    pub(crate) gaps: Gaps,
}

/// Values over all windows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TotalsAnswer {
    /// What they are of.
    #[serde(flatten)]
    pub(crate) head: Head,
    /// One for each combination of the dimensions grouped by.
    pub(crate) rows: Vec<TotalsRow>,
}

/// One total.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TotalsRow {
    /// Values of the dimensions grouped by.
    pub(crate) dimensions: BTreeMap<String, String>,
    /// Amounts are strings, counts numbers, `null` where there is no value.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) values: Values,
    /// The amounts among them in the base currency.
    #[serde(flatten)]
    pub(crate) in_base: BaseValues,
    /// What is not in them as it was.
    #[serde(flatten)]
    pub(crate) gaps: Gaps,
}

/// What was found, before it has a format.
pub(crate) struct Answered {
    pub(crate) metric: Metric,
    pub(crate) format: Option<AnswerFormat>,
    /// Whether CSV begins with a byte order mark.
    pub(crate) bom: bool,
    head: Head,
    resolution: Resolution,
    groups: Vec<DimensionGroup>,
    base: Base,
    truth: Truth,
}

impl Answered {
    pub(crate) fn is_csv(&self) -> bool {
        self.format == Some(AnswerFormat::Csv)
    }

    pub(crate) fn series(self) -> SeriesAnswer {
        let Self { metric, head, resolution, groups, base, truth, .. } = self;
        let point = |sum: Sum| SeriesPoint {
            start: sum.start,
            end: sum.end,
            complete: truth.is_complete(sum.end),
            values: sum.values(&metric, base),
            in_base: sum.in_base(&metric, base),
            gaps: sum.gaps(&metric),
        };
        let series = groups.into_iter().map(|group| MetricSeries {
            dimensions: group.dimensions,
            points: group.sums.into_iter().map(point).collect(),
        });
        SeriesAnswer { head, resolution, series: series.collect() }
    }

    pub(crate) fn totals(self) -> TotalsAnswer {
        let Self { metric, head, groups, base, .. } = self;
        let of_group =
            |DimensionGroup { dimensions, sums }| sums.into_iter().map(move |sum: Sum| (dimensions.clone(), sum));
        let rows = groups.into_iter().flat_map(of_group);
        let rows = rows.map(|(dimensions, sum)| TotalsRow {
            dimensions,
            values: sum.values(&metric, base),
            in_base: sum.in_base(&metric, base),
            gaps: sum.gaps(&metric),
        });
        TotalsAnswer { head, rows: rows.collect() }
    }
}

/// Answers a question about the metric of this name.
pub(crate) async fn ask(
    reporting: &Reporting,
    view: QuestionView,
    name: &str,
    pairs: &[(String, String)],
) -> Result<Answered, Error> {
    let begun = Instant::now();
    let answered = answer(reporting, view, name, pairs).await;
    let outcome = answered.as_ref().map_or_else(|error| error.code().as_str(), |_| "ok");
    reporting.telemetry.answered(view.as_str(), outcome, begun.elapsed().as_secs_f64());
    answered
}

async fn answer(
    reporting: &Reporting,
    view: QuestionView,
    name: &str,
    pairs: &[(String, String)],
) -> Result<Answered, Error> {
    let zone = reporting.calendar.zone;
    let (wanted, errors) = QuestionParameters::version(view, zone, pairs);
    // All that the answer tells is of this moment: a cutover comes before it, or after it.
    let catalogue = reporting.served_now().await?;
    let metric = wanted.find(&catalogue, name).map_err(|error| error.beside(errors))?.clone();
    let elsewhere = |error| advice::beside(error, reporting, &metric, view, pairs);
    let question = Question::parse(&metric, view, zone, pairs).map_err(elsewhere)?;
    if view == QuestionView::Totals && !metric.has_disjoint_windows() {
        return Err(Error::Overlapping(metric.name));
    }
    let place = timeout(PATIENCE, reporting.readers.acquire()).await;
    let _place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
    // Taken first: what is read after it is true at least as far.
    let now = reporting.now();
    let truth = reporting.truth_of(&metric).await?;
    let newest = reporting.store.newest_base(&metric).await?;
    let gathered = gather_kept((reporting, &catalogue), &metric, &question, view, newest).await.map_err(elsewhere)?;
    let (kept_since, GatheredAnswer { rollup, mut groups, source }) = gathered;
    let is_of_batch = metric.generation() == Some(GenerationName::BATCH);
    let source = if is_of_batch { AnswerSource::Batch } else { source };
    let parts = reporting.parts_of(&metric).await?;
    let counting = reporting.store.counting(&metric.name, &metric.version).await?.since(question.from);
    let approximate = approximate(&metric, &question, &groups);
    let to = question.to.unwrap_or(Timestamp::saturating_from_millis(i64::MAX));
    let read_until = to.min(truth.as_of.map_or(now, |as_of| as_of.min(now)));
    let is_complete = truth.is_complete(read_until)
        && groups.iter().flat_map(|group| &group.sums).all(|sum| truth.is_complete(sum.end));
    let Question { from, to, zone, group_by, format, bom, convert, top, .. } = question;
    let base = Base::of(newest, &groups, convert);
    if let Some(top) = &top {
        keep_largest(&mut groups, &metric, top, base, rollup);
    }
    let zone = rollup.zone().unwrap_or(zone);
    let head = Head {
        metric: metric.name.clone(),
        version: metric.version.clone(),
        generation: metric.generation().map(str::to_owned),
        from,
        to,
        zone,
        group_by,
        base_currency: metric.has_money().then_some(base.currency),
        convert,
        top,
        as_of: truth.as_of,
        watermark: truth.watermark,
        complete: is_complete,
        counting,
        kept_since,
        source,
        parts,
        approximate,
    };
    Ok(Answered { metric, format, bom, head, resolution: rollup.resolution(), groups, base, truth })
}

/// What was added up.
struct GatheredAnswer {
    rollup: Rollup,
    groups: Vec<DimensionGroup>,
    source: AnswerSource,
}

/// Adds up what a question is about, and counts that other metrics have; tells since when totals are kept, where
/// earlier ones were asked for.
async fn gather_kept(
    (reporting, catalogue): (&Reporting, &Catalogue),
    metric: &Metric,
    question: &Question,
    view: QuestionView,
    base: Option<Currency>,
) -> Result<(Option<Timestamp>, GatheredAnswer), Error> {
    loop {
        let kept = reporting.store.kept_since(metric).await?;
        let mut gathered = gather(reporting, metric, question, view, base).await?;
        let GatheredAnswer { rollup, ref mut groups, .. } = gathered;
        totalled::complete((reporting, catalogue), metric, question, rollup, groups).await?;
        // What was given up meanwhile is in it, or is not.
        if reporting.store.kept_since(metric).await? == kept {
            return Ok((kept.filter(|since| question.from.is_none_or(|from| from < *since)), gathered));
        }
    }
}

/// Adds up what a question is about, in the finest way that it allows.
async fn gather(
    reporting: &Reporting,
    metric: &Metric,
    question: &Question,
    view: QuestionView,
    base: Option<Currency>,
) -> Result<GatheredAnswer, Error> {
    let is_free = view == QuestionView::Series && question.resolution.is_none();
    let extent = if is_free { reporting.store.extent(metric).await? } else { None };
    let from = question.from.unwrap_or(Timestamp::saturating_from_millis(i64::MIN));
    let to = question.to.unwrap_or(Timestamp::saturating_from_millis(i64::MAX));
    let limits = &reporting.limits;
    let mut rollups = question.rollups(metric, view, extent).into_iter().peekable();
    loop {
        // There is always one; the last that fails returns.
        let rollup = rollups.next().unwrap_or(Rollup::Whole);
        let mut grouping = Grouping::new(metric, question, rollup, limits.points, limits.cells).in_base(base);
        let shop = reporting.calendar.zone;
        match add_up(&reporting.store, metric, shop, (from, to), rollup, &mut grouping).await {
            Err(error) if error.is_of_resolution() && rollups.peek().is_some() => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let source = grouping.source();
                return Ok(GatheredAnswer { rollup, groups: grouping.finish(), source });
            }
        }
    }
}
