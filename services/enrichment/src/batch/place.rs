//! The place of a batch.

/// Where a batch has its place in the log, and in `ENRICHED`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchPlace {
    pub(crate) raw_seq: u64,
    /// The batch before it in the partition.
    pub(crate) raw_prev: u64,
    /// For a batch that was published before: why it is once more. The server
    /// takes the same reason for the same message.
    pub(crate) remade: Option<u64>,
}
