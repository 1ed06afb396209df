//! How replicas share the work.

use std::fmt;

use tidemill_domain::{Partition, PartitionCount};
use tidemill_events::Durable;

/// A part of the log that one replica reads at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LakeUnit {
    /// A partition of `RAW`.
    Bronze(Partition),
    /// A partition of `ENRICHED`.
    Silver(Partition),
    /// `DLQ`.
    Rejected,
    /// What keeps tables quick to read.
    Upkeep,
}

impl LakeUnit {
    /// All of them.
    pub(crate) fn all(partitions: PartitionCount) -> Vec<Self> {
        let each = partitions.all().flat_map(|partition| [Self::Bronze(partition), Self::Silver(partition)]);
        each.chain([Self::Rejected, Self::Upkeep]).collect()
    }

    /// The consumer that it reads by, if it reads.
    pub(crate) const fn durable(self) -> Option<Durable> {
        match self {
            Self::Bronze(partition) => Some(Durable::LakeBronze(partition)),
            Self::Silver(partition) => Some(Durable::LakeSilver(partition)),
            Self::Rejected => Some(Durable::LakeRejected),
            Self::Upkeep => None,
        }
    }
}

impl fmt::Display for LakeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bronze(partition) => write!(f, "bronze-{partition}"),
            Self::Silver(partition) => write!(f, "silver-{partition}"),
            Self::Rejected => f.write_str("rejected"),
            Self::Upkeep => f.write_str("upkeep"),
        }
    }
}
