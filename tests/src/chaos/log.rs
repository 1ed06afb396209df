//! The log as it is in the end, read apart from the services.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tidemill_bus::Bus;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{EnrichedBatch, Message, RawBatch, event, topology};

use crate::error::Error;

/// A connection to the log.
pub(super) struct LogReader(Bus);

/// A partition of `ENRICHED`: when ingestion took each batch in, and its lines, by the
/// sequence of the batch in `RAW`.
pub(super) type EnrichedPartition = BTreeMap<u64, (Timestamp, Vec<u8>)>;

impl LogReader {
    /// Connects.
    pub(super) async fn connect(url: String) -> Result<Self, Error> {
        let config = tidemill_bus::Config { url, ..tidemill_bus::Config::default() };
        Bus::connect(&config, "chaos").await.map(Self).map_err(Error::program("NATS"))
    }

    /// All partitions.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        self.0.partitions().all().collect()
    }

    /// Every message of a subject, in its order.
    async fn each<M: Message>(
        &self,
        subject: &str,
        mut take: impl FnMut(u64, M) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = 1;
        while let Some((sequence, message)) =
            self.0.next_at::<M>(subject, next).await.map_err(Error::program("NATS"))?
        {
            take(sequence, message.map_err(Error::program("a message of the log"))?)?;
            next = sequence + 1;
        }
        Ok(())
    }

    /// Writes every line of `RAW` with its place into a file of CSV; answers how many
    /// there are.
    pub(super) async fn write_raw(&self, file: &Path) -> Result<u64, Error> {
        let mut csv = csv::Writer::from_path(file).map_err(Error::file(file))?;
        let mut count = 0;
        for partition in self.partitions() {
            self.each(&topology::raw(partition), |sequence, batch: RawBatch| {
                for (index, line) in event::lines(&batch.lines).enumerate() {
                    let place = [u64::from(partition.index()), sequence, u64::try_from(index).unwrap_or(u64::MAX)];
                    let fields = place.map(|number| number.to_string().into_bytes());
                    csv.write_record(fields.iter().map(Vec::as_slice).chain([line])).map_err(Error::file(file))?;
                    count += 1;
                }
                Ok(())
            })
            .await?;
        }
        csv.flush().map_err(Error::file(file))?;
        Ok(count)
    }

    /// A partition of `ENRICHED`. A batch that was published again is there once.
    pub(super) async fn enriched(&self, partition: Partition) -> Result<EnrichedPartition, Error> {
        let mut batches = EnrichedPartition::new();
        self.each(&topology::enriched(partition), |_, batch: EnrichedBatch| {
            batches.entry(batch.raw_seq).or_insert_with(|| (batch.ingested_at, batch.lines.to_vec()));
            Ok(())
        })
        .await?;
        let mut raw = BTreeSet::new();
        self.each(&topology::raw(partition), |sequence, _: RawBatch| {
            raw.insert(sequence);
            Ok(())
        })
        .await?;
        match batches.keys().copied().collect::<BTreeSet<u64>>() == raw {
            true => Ok(batches),
            false => Err(Error::Refused(format!("partition {partition}: ENRICHED has other batches than RAW"))),
        }
    }
}
