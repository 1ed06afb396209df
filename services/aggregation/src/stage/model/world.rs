//! Where the owners of one partition meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{EnrichedBatch, Enrichment, LateBatch, MetricsUpdate, event};
use tidemill_metrics_store::Point;

use super::case::{Case, DAY, Kind, Placed, Sale};

const FAR: i64 = 4_102_444_800;
const LOG_START: i64 = 1_000_000_000;

pub(super) struct World {
    pub(super) partition: Partition,
    pub(super) log: Vec<EnrichedBatch>,
    /// The events of each batch.
    pub(super) events: Vec<Vec<Placed>>,
    /// Batches acknowledged, from the first.
    pub(super) acknowledged: usize,
    /// Who has the lease.
    pub(super) owner: u32,
    pub(super) stream: Vec<MetricsUpdate>,
    /// Everything that ever stood in the stream.
    pub(super) published: Vec<MetricsUpdate>,
    pub(super) points: BTreeMap<PointKey, Point>,
    pub(super) late: BTreeMap<u64, LateBatch>,
    pub(super) letters: BTreeSet<String>,
}

pub(super) type Shared = Arc<Mutex<World>>;
/// What a point is overwritten by: measurement, tags and time.
pub(super) type PointKey = (String, Vec<(String, String)>, i64);

pub(super) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(Placed { sale, time, id }: &Placed) -> Vec<u8> {
    let Sale { source, customer, price, kind, .. } = sale;
    if *kind == Kind::NotAnEvent {
        return b"{\"source\": 7}\n".to_vec();
    }
    let time = Timestamp::saturating_from_millis(time * 1000);
    let backfill = if matches!(kind, Kind::Backfill | Kind::Again) { r#""backfill":"of old","# } else { "" };
    let plain = format!(
        r#"{{"id":"{id}","source":"s{source}",{backfill}"type":"sale","time":"{time}","data":{{"customer":"c{customer}","price":{price}}}}}"#
    );
    let mut out = Vec::new();
    let repeated = *kind == Kind::Repeated;
    let duplicate = repeated || matches!(kind, Kind::Duplicate | Kind::Again);
    let enrichment = Enrichment { duplicate, repeated, ..Enrichment::default() };
    event::splice_enrichment(plain.as_bytes(), &enrichment, &mut out).expect("splices");
    out
}

/// Makes the last event one that was there before; of the late ones, if it can be.
fn come_again(placed: &mut [Placed]) {
    let Some((last, before)) = placed.split_last_mut() else { return };
    let choice = last.sale.jitter.unsigned_abs() as usize;
    let events: Vec<_> = before.iter().filter(|one| matches!(one.sale.kind, Kind::Plain | Kind::Again)).collect();
    let late: Vec<_> = events.iter().copied().filter(|one| one.sale.jitter < -500).collect();
    let some = if late.is_empty() { events } else { late };
    match some.get(choice.checked_rem(some.len()).unwrap_or_default()) {
        Some(first) => *last = Placed { sale: Sale { kind: Kind::Again, ..first.sale }, ..**first },
        None => last.sale.kind = Kind::Duplicate,
    }
}

impl World {
    pub(super) fn new(case: &Case, partition: Partition) -> Self {
        let (mut now, mut placed) = (10_000, Vec::new());
        for sale in &case.sales {
            now += if sale.kind == Kind::Jump { 2 * DAY } else { 15 };
            let time = if sale.kind == Kind::Future { FAR } else { now + sale.jitter };
            placed.push(Placed { sale: *sale, time, id: placed.len() });
            if sale.kind == Kind::Again {
                come_again(&mut placed);
            }
        }
        let (mut log, mut events, mut rest) = (Vec::new(), Vec::new(), &placed[..]);
        let (mut seq, mut log_time) = (0, LOG_START);
        for cut in case.cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            log_time += 5 * DAY * head.iter().filter(|placed| placed.sale.kind == Kind::Jump).count() as i64;
            log.push(EnrichedBatch {
                partition,
                raw_seq: seq + 3,
                raw_prev: seq,
                remade: None,
                ingested_at: Timestamp::saturating_from_millis(log_time * 1000),
                refdata: 0,
                count: head.len() as u32,
                types: None,
                lines: head.iter().flat_map(line).collect::<Vec<u8>>().into(),
                trace: None,
            });
            events.push(head.to_vec());
            seq += 3;
        }
        Self {
            partition,
            log,
            events,
            acknowledged: 0,
            owner: 0,
            stream: Vec::new(),
            published: Vec::new(),
            points: BTreeMap::new(),
            late: BTreeMap::new(),
            letters: BTreeSet::new(),
        }
    }

    /// Loses the last messages, as far as they are of less than seven days of
    /// the log: that long what they say stays in the store in any case.
    pub(super) fn lose_tail(&mut self, messages: usize) {
        let log_time = |update: &MetricsUpdate| {
            let batch = self.log.iter().find(|batch| batch.raw_seq == update.raw_seq);
            batch.map_or(i64::MAX, |batch| batch.ingested_at.millis() / 1000)
        };
        let newest = self.published.iter().map(log_time).max().unwrap_or_default();
        let last = self.stream.iter().rev().take(messages);
        let lost = last.take_while(|update| log_time(update) > newest - 7 * DAY);
        let left = self.stream.len() - lost.count();
        self.stream.truncate(left);
    }
}
