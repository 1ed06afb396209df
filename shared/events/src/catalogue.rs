//! All messages.

use crate::{
    contract::{Contract, Described},
    dead_letter::DeadLetter,
    measured::MeasuredEvent,
    message::{AlertTransition, EnrichedBatch, LateBatch, MetricsUpdate, RawBatch},
    redrive::Redrive,
};

/// All messages, in the order of [`StreamName::ALL`](crate::StreamName::ALL).
pub const CONTRACTS: [Contract; 8] = [
    RawBatch::CONTRACT,
    EnrichedBatch::CONTRACT,
    MetricsUpdate::CONTRACT,
    AlertTransition::CONTRACT,
    LateBatch::CONTRACT,
    DeadLetter::CONTRACT,
    Redrive::CONTRACT,
    MeasuredEvent::CONTRACT,
];

#[cfg(test)]
mod tests;
