//! All messages.

use crate::{
    contract::{Contract, Described},
    dead_letter::DeadLetter,
    message::{AlertTransition, EnrichedBatch, LateBatch, MetricsUpdate, RawBatch},
    redrive::Redrive,
};

/// All messages, in the order of [`StreamName::ALL`](crate::StreamName::ALL).
pub const CONTRACTS: [Contract; 7] = [
    RawBatch::CONTRACT,
    EnrichedBatch::CONTRACT,
    MetricsUpdate::CONTRACT,
    AlertTransition::CONTRACT,
    LateBatch::CONTRACT,
    DeadLetter::CONTRACT,
    Redrive::CONTRACT,
];

#[cfg(test)]
mod tests;
