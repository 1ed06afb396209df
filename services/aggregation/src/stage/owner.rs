//! A partition as its owner has it: claimed in the store, its state in memory
//! as far as it is needed.

use std::sync::Arc;

use serde::Deserialize;
use tidemill_definitions::Metrics;
use tidemill_domain::{Code, Partition, SourceName, Timestamp};
use tidemill_events::{
    DeadLetter, EnrichedBatch, EnrichedEventRef, MetricsUpdate, StreamName, TraceParent, VersionCounting, event,
};
use tidemill_lateness::{Clocks, LeftOut, key_of};
use tidemill_service::Ceiling;
use tidemill_stage::Place;
use tidemill_store::refused;

use crate::{
    config::Windows,
    error::Error,
    fold::{
        books::{BooksKey, EventOutcomes},
        changes::PartitionChanges,
        parse::{Parsed, parse},
        state::PartitionState,
    },
    store::{Pages, PartitionClaim, Store, WantedWindow},
    telemetry,
};

/// How often readers are told what the versions of metrics have not counted: who
/// reads METRICS from its beginning must find it there.
const COUNTING_TOLD_EVERY: i64 = 3_600_000;

/// A claimed partition.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) claim: PartitionClaim,
    pub(crate) state: PartitionState,
    pub(crate) pages: Arc<Pages>,
    store: Store,
    metrics: Arc<Metrics>,
    windows: Arc<Windows>,
    /// Lines that are no events, or that the store refuses, to be published
    /// with the next changes.
    letters: Vec<DeadLetter>,
    /// What the versions of metrics have not counted, where that is anything.
    counting: Vec<VersionCounting>,
    /// When readers were told of it last.
    counting_told: Timestamp,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Its events have these outcomes.
    Applied(EventOutcomes),
    /// It was applied before.
    Repeated,
    /// One before it is missing.
    Early,
}

impl Owner {
    /// Claims a partition and reads its position.
    pub(crate) async fn open(
        store: Store,
        metrics: Arc<Metrics>,
        windows: Arc<Windows>,
        partition: Partition,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let claim = store.claim(partition).await?;
        let pages = store.pages(partition).await?.into();
        Self::under((claim, pages), store, metrics, windows, now).await
    }

    /// The partition as it stands in the store, claimed before.
    async fn under(
        (claim, pages): (PartitionClaim, Arc<Pages>),
        store: Store,
        metrics: Arc<Metrics>,
        windows: Arc<Windows>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut state = PartitionState::new(claim.partition, claim.floor, windows.clone());
        state.left_out = LeftOut::new(store.has_left_out(claim.partition).await?);
        state.clocks = Clocks::restore(windows.rules(), store.clocks(claim.partition).await?, now);
        Ok(Self {
            claim,
            state,
            pages,
            store,
            metrics,
            windows,
            letters: Vec::new(),
            counting: Vec::new(),
            counting_told: now,
        })
    }

    /// Notes which versions count from here on. `at_end` is the time, where nothing
    /// lies behind the floor.
    pub(crate) async fn take_up(&mut self, at_end: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
        let known = self.store.switch_versions(&self.claim, &self.metrics, at_end, now).await?;
        self.counting = known.into_iter().filter(|version| !version.uncounted.is_empty()).collect();
        Ok(())
    }

    /// The batch without the events that the store refuses, which become dead
    /// letters. Everything before the batch has to be in the store.
    pub(crate) async fn without_refused(
        &mut self,
        batch: &EnrichedBatch,
        ceiling: &mut Ceiling,
        now: Timestamp,
    ) -> Result<EnrichedBatch, Error> {
        let lines: Vec<&[u8]> = event::lines(&batch.lines).collect();
        let with = |places: &[usize]| -> EnrichedBatch {
            let lines = places.iter().flat_map(|place| [lines[*place], b"\n"]).collect::<Vec<_>>().concat();
            EnrichedBatch {
                count: u32::try_from(places.len()).unwrap_or(u32::MAX),
                lines: lines.into(),
                ..batch.clone()
            }
        };
        let trial = |places: Vec<usize>| {
            let some = with(&places);
            let owner = &*self;
            async move { owner.try_out(&some, now).await }
        };
        let refused = refused(lines.len(), trial, Error::is_refusal).await?;
        if refused.is_empty() {
            return Ok(batch.clone());
        }
        ceiling.admit(refused.len() as u64, refused.len() as u64)?;
        for place in &refused {
            let line = batch.lines.slice_ref(lines[*place]);
            if let Ok(event) = EnrichedEventRef::read(&line) {
                self.state.left_out.note(key_of(&event), batch.ingested_at, batch.raw_seq);
            }
            let letter = dead_letter(batch, *place, line, now);
            tracing::error!(partition = %batch.partition, raw_seq = batch.raw_seq, place, "the store refuses an event");
            self.letters.push(DeadLetter {
                id: format!("aggregation-{}-refused-{place}", batch.raw_seq),
                code: Code::StoreRefused.as_str().into(),
                reason: "the database will never hold what the event adds".into(),
                ..letter
            });
        }
        let kept: Vec<usize> = (0..lines.len()).filter(|place| !refused.contains(place)).collect();
        Ok(with(&kept))
    }

    /// Whether the store would hold what a batch changes. Nothing is written,
    /// and this owner's state stays as it is.
    async fn try_out(&self, batch: &EnrichedBatch, now: Timestamp) -> Result<(), Error> {
        let claim = PartitionClaim { floor: self.state.floor, ..self.claim };
        let (store, metrics, windows) = (self.store.clone(), self.metrics.clone(), self.windows.clone());
        let mut scratch = Self::under((claim, self.pages.clone()), store, metrics, windows, now).await?;
        let metrics = self.metrics.clone();
        let mut parsed = parse(batch, &metrics);
        scratch.load_left_out(batch, &mut parsed, &metrics).await?;
        scratch.load(&parsed).await?;
        scratch.state.apply(parsed, now);
        self.store.try_checkpoint(&scratch.take_changes(now), &self.claim, &self.pages).await
    }

    /// Whether a batch is the next one of the log.
    pub(crate) fn is_next(&self, batch: &EnrichedBatch) -> bool {
        self.place(batch) == Place::Next
    }

    fn place(&self, batch: &EnrichedBatch) -> Place {
        Place::of(self.state.floor, batch.raw_prev, batch.raw_seq)
    }

    /// Applies a batch, if it is the next one of the log.
    pub(crate) async fn take(
        &mut self,
        batch: &EnrichedBatch,
        ceiling: &mut Ceiling,
        now: Timestamp,
    ) -> Result<Taken, Error> {
        match self.place(batch) {
            Place::Next => {}
            Place::Repeated => return Ok(Taken::Repeated),
            Place::Early => return Ok(Taken::Early),
        }
        let metrics = self.metrics.clone();
        let mut parsed = parse(batch, &metrics);
        // Before anything is given up.
        let dead = parsed.unreadable.len();
        ceiling.admit((parsed.events.len() + dead) as u64, dead as u64)?;
        self.load_left_out(batch, &mut parsed, &metrics).await?;
        self.load(&parsed).await?;
        let lines = parsed.unreadable.iter().enumerate();
        self.letters.extend(lines.map(|(index, line)| dead_letter(batch, index, line.clone(), now)));
        let span = telemetry::batch_span(batch);
        let sampled: Vec<TraceParent> = parsed.sampled().collect();
        let spans: Vec<_> = sampled.iter().map(|event| telemetry::event_span(*event, batch, &span)).collect();
        let outcomes = span.in_scope(|| self.state.apply(parsed, now));
        drop(spans);
        Ok(Taken::Applied(outcomes))
    }

    /// The log begins behind `raw_seq`: nothing up to there is in it any more.
    pub(crate) fn start_behind(&mut self, raw_seq: u64) {
        self.state.start_behind(raw_seq);
    }

    /// Finds out which duplicates of a batch were left out before.
    async fn load_left_out<'b>(
        &mut self,
        batch: &EnrichedBatch,
        parsed: &mut Parsed<'b>,
        metrics: &'b Metrics,
    ) -> Result<(), Error> {
        let left_out = &mut self.state.left_out;
        let unknown = left_out.unknown(parsed.again());
        if !unknown.is_empty() {
            let known = self.store.left_out(self.claim.partition, &unknown).await?;
            self.store.check(&self.claim).await?;
            known.into_iter().for_each(|(key, since)| left_out.insert(key, since));
        }
        parsed.count_again(batch, metrics, |key| left_out.has(key, batch.ingested_at));
        Ok(())
    }

    /// Reads whatever a batch changes and is not in memory.
    async fn load(&mut self, batch: &Parsed<'_>) -> Result<(), Error> {
        let state = &mut self.state;
        let windows = batch.windows().filter(|(_, _, id)| !state.cells.contains_key(id));
        let windows = windows.map(|(metric, start, id)| WantedWindow { metric, start, id });
        let mut windows: Vec<_> = windows.collect();
        windows.sort_unstable_by_key(|window| window.id);
        windows.dedup_by_key(|window| window.id);
        let windows = self.pages.possible(windows);
        let mut sessions = Vec::new();
        let groups = state.sessions.missing(&batch.groups());
        if let Some((groups, span)) = &groups {
            let stored = self.store.sessions(groups, *span).await?;
            sessions.extend(stored.into_iter().filter(|id| !state.is_known(id)));
        }
        let books: Vec<BooksKey> = batch.books().into_iter().filter(|key| !state.books.contains_key(key)).collect();
        if windows.is_empty() && books.is_empty() && groups.is_none() {
            return Ok(());
        }
        let partition = self.claim.partition;
        let mut cells = self.store.windows(&self.pages, partition, &windows).await?;
        cells.extend(self.store.cells(&sessions).await?);
        let books = self.store.books(partition, &books).await?;
        // Had somebody else become the owner, this could be further than the
        // state that it is to be added to.
        self.store.check(&self.claim).await?;
        if let Some((groups, span)) = groups {
            state.sessions.now_knows(&groups, span);
        }
        for (id, cell) in cells {
            state.insert(id, cell);
        }
        state.books.extend(books);
        Ok(())
    }

    /// Whether anything is to be published and checkpointed.
    pub(crate) fn has_changed(&self) -> bool {
        self.state.has_changed()
    }

    /// What is to be published and checkpointed next.
    pub(crate) fn take_changes(&mut self, now: Timestamp) -> PartitionChanges {
        let is_due = now >= self.counting_told.plus_millis(COUNTING_TOLD_EVERY);
        self.counting_told = if is_due { now } else { self.counting_told };
        let counting = if is_due { self.counting.clone() } else { Vec::new() };
        PartitionChanges { letters: std::mem::take(&mut self.letters), counting, ..self.state.take_changes(now) }
    }

    /// A message with the partition's position, and no totals.
    pub(crate) fn position(&self, now: Timestamp) -> MetricsUpdate {
        let (watermark, idle) = self.state.watermark(now);
        MetricsUpdate {
            partition: self.claim.partition,
            raw_seq: self.state.floor,
            raw_prev: self.state.floor,
            part: 0,
            as_of: now,
            watermark,
            idle,
            cells: Vec::new(),
            books: Vec::new(),
            redriven: Vec::new(),
            counting: self.counting.clone(),
            trace: None,
        }
    }
}

/// A line that is no event: it goes its own way, and the rest of its batch
/// goes on.
fn dead_letter(batch: &EnrichedBatch, index: usize, line: bytes::Bytes, now: Timestamp) -> DeadLetter {
    #[derive(Deserialize)]
    struct SourceOnly {
        source: String,
    }
    let claimed = serde_json::from_slice::<SourceOnly>(&line);
    let id = format!("aggregation-{}-{index}", batch.raw_seq);
    DeadLetter {
        stream: Some(StreamName::Raw.to_string()),
        sequence: Some(batch.raw_seq),
        first_failed_at: now,
        source: claimed.map_or_else(|_| SourceName::UNKNOWN.into(), |claimed| claimed.source),
        ..DeadLetter::new("aggregation", id, Code::MalformedEvent.as_str(), "not an enriched CloudEvent".into())
    }
    .about(line)
}
