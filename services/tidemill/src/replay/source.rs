//! Where a partition of a replay reads: the log, and bronze for what the log has forgotten.
//!
//! Bronze tells up to which sequence it has everything, and the log is read from the next one on. So
//! nothing lies between them, and nothing is in both.

use std::{collections::VecDeque, sync::Arc};

use tidemill_bus::{Bus, Delivery, Subscription};
use tidemill_domain::{Code, Partition};
use tidemill_events::{Durable, StreamName};
use tidemill_stage::{Disposition, Source, StageFailure};
use tokio_util::task::AbortOnDropHandle;

use super::{
    bronze::{BronzePageTold, BronzeReader},
    place::{ReadPlace, forgotten, overtaken},
};

/// Sequences of the first page, of the smallest and of the largest.
const SEQUENCES: (u64, u64, u64) = (1024, 64, 65_536);
/// A page of fewer bytes is followed by one of twice as many sequences.
const SMALL_PAGE: usize = 1 << 20;

/// A partition of the log, from a place on.
pub(super) struct ReplaySource {
    bus: Bus,
    bronze: Option<Arc<BronzeReader>>,
    partition: Partition,
    /// The name of its consumer of the log.
    reader: String,
    place: Arc<ReadPlace>,
    from: ReadFrom,
}

enum ReadFrom {
    /// It is yet to be looked who has what comes next.
    Nowhere,
    Log(Box<Subscription>),
    Bronze(BronzePages),
}

/// Pages of bronze: one is read while the next one is on its way.
struct BronzePages {
    reader: Arc<BronzeReader>,
    partition: Partition,
    /// Where the log began when it was looked last: up to there bronze is needed.
    until: u64,
    /// The next page, and behind which place it begins.
    coming: Option<(u64, AbortOnDropHandle<Result<BronzePageTold, StageFailure>>)>,
    /// What is here, and up to where it is whole.
    here: VecDeque<Delivery>,
    reaches: u64,
    sequences: u64,
}

impl ReplaySource {
    /// Reads on where `place` stands.
    pub(super) fn new(
        bus: &Bus,
        bronze: Option<Arc<BronzeReader>>,
        partition: Partition,
        reader: String,
        place: Arc<ReadPlace>,
    ) -> Self {
        Self { bus: bus.clone(), bronze, partition, reader, place, from: ReadFrom::Nowhere }
    }

    /// After an error: it is looked anew who has what comes behind what was handed out.
    pub(super) fn open_anew(&mut self) {
        self.from = ReadFrom::Nowhere;
    }

    /// Looks who has what comes next.
    async fn open(&mut self) -> Result<(), StageFailure> {
        let (first, _) = self.bus.extent(StreamName::Raw).await?;
        let whole_to = self.place.get().whole_to;
        if first <= whole_to + 1 {
            let durable = Durable::Enrichment(self.partition);
            let subscription = self.bus.follow_behind(durable, &self.reader, whole_to).await?;
            self.place.enter_log();
            self.from = ReadFrom::Log(Box::new(subscription));
            return Ok(());
        }
        let reader = self.bronze.clone().ok_or_else(|| forgotten(self.partition, whole_to + 1, first))?;
        self.place.leave_log();
        self.from = ReadFrom::Bronze(BronzePages {
            reader,
            partition: self.partition,
            until: first - 1,
            coming: None,
            here: VecDeque::new(),
            reaches: whole_to,
            sequences: SEQUENCES.0,
        });
        Ok(())
    }
}

impl Source for ReplaySource {
    type Error = StageFailure;

    async fn next_chunk(&mut self, most: usize) -> Result<Vec<Delivery>, StageFailure> {
        loop {
            match &mut self.from {
                ReadFrom::Nowhere => self.open().await?,
                ReadFrom::Log(subscription) => {
                    let chunk = tokio::select! {
                        chunk = subscription.next_chunk(most) => chunk?,
                        () = self.place.overtaken() => {
                            let (first, _) = self.bus.extent(StreamName::Raw).await?;
                            let standing = self.place.get();
                            // It may have been told of where it was before.
                            if standing.is_overtaken(first) {
                                return Err(overtaken(self.partition, standing, first));
                            }
                            continue;
                        }
                    };
                    if let Some(last) = chunk.last() {
                        self.place.read(last.sequence);
                    }
                    return Ok(chunk);
                }
                ReadFrom::Bronze(pages) => {
                    let chunk = pages.take(most, &self.place);
                    if !chunk.is_empty() {
                        return Ok(chunk);
                    }
                    if pages.reaches >= pages.until {
                        self.from = ReadFrom::Nowhere;
                    } else {
                        pages.turn(&self.place).await?;
                    }
                }
            }
        }
    }
}

impl BronzePages {
    /// Hands out what is here.
    fn take(&mut self, most: usize, place: &ReadPlace) -> Vec<Delivery> {
        let chunk: Vec<Delivery> = self.here.drain(..most.min(self.here.len())).collect();
        if let Some(last) = chunk.last() {
            let reaches = if self.here.is_empty() { self.reaches } else { last.sequence };
            place.read_bronze(Some(last.sequence), reaches);
        }
        chunk
    }

    /// Turns to the next page. The call can be given up while it waits.
    async fn turn(&mut self, place: &ReadPlace) -> Result<(), StageFailure> {
        self.fetch();
        let Some((behind, coming)) = &mut self.coming else { return Ok(()) };
        let behind = *behind;
        let page = coming.await;
        self.coming = None;
        let BronzePageTold { reaches, batches, bytes } = match page {
            Ok(page) => page?,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => return Err(tidemill_bus::Error::Ack(error.to_string()).into()),
            },
        };
        if reaches == behind {
            let told =
                format!("the lake has not written sequence {} of RAW yet, which the log has forgotten", behind + 1);
            return Err(StageFailure::new(Code::Unavailable, Disposition::Retry, told));
        }
        self.sequences = match reaches < behind + self.sequences {
            // More would not have fitted into a page.
            true => reaches - behind,
            false if bytes < SMALL_PAGE => self.sequences * 2,
            false => self.sequences,
        }
        .clamp(SEQUENCES.1, SEQUENCES.2);
        (self.reaches, self.here) = (reaches, batches.into());
        if self.here.is_empty() {
            place.read_bronze(None, reaches);
        }
        self.fetch();
        Ok(())
    }

    /// Asks for the next page, if it is needed and nobody has asked yet.
    fn fetch(&mut self) {
        if self.coming.is_some() || self.reaches >= self.until {
            return;
        }
        let (reader, partition, behind, sequences) =
            (self.reader.clone(), self.partition, self.reaches, self.sequences);
        let page = tokio::spawn(async move { reader.page(partition, behind, sequences).await });
        self.coming = Some((behind, AbortOnDropHandle::new(page)));
    }
}
