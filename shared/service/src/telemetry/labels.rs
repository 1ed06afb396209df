//! Labels that the metrics of several services have.

use prometheus_client::encoding::EncodeLabelSet;
use tidemill_domain::{Code, Partition};

/// `code`: why something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    code: &'static str,
}

impl CodeLabel {
    /// The label of a code.
    pub const fn of(code: Code) -> Self {
        Self { code: code.as_str() }
    }
}

/// `outcome`: what became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// One of a few words, which the metric's help names.
    pub outcome: &'static str,
}

/// `partition`: its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    partition: u16,
}

impl PartitionLabel {
    /// The label of a partition.
    pub const fn of(partition: Partition) -> Self {
        Self { partition: partition.index() }
    }
}
