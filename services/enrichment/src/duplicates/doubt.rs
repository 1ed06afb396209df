//! Keys that may have been seen before, and where that is told.

use super::EventKey;

/// The name of a block within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BlockName {
    /// Of a run: its number among all.
    Run(u64),
    /// Of a segment: the segment's name, and its number there.
    Segment(u64, u32),
}

/// A key that a block may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) key: EventKey,
    pub(crate) block: BlockName,
}
