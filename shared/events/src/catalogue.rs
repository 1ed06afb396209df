//! All messages.

use crate::{
    contract::{Contract, Described},
    dead_letter::DeadLetter,
    measured::MeasuredEvent,
    message::{AlertTransition, EnrichedBatch, GenerationUpdate, LateBatch, MetricsUpdate, ProfileUpdate, RawBatch},
    redrive::Redrive,
};

/// All messages, in the order of [`StreamName::ALL`](crate::StreamName::ALL).
pub const CONTRACTS: [Contract; 10] = [
    RawBatch::CONTRACT,
    EnrichedBatch::CONTRACT,
    MetricsUpdate::CONTRACT,
    AlertTransition::CONTRACT,
    LateBatch::CONTRACT,
    DeadLetter::CONTRACT,
    Redrive::CONTRACT,
    MeasuredEvent::CONTRACT,
    ProfileUpdate::CONTRACT,
    GenerationUpdate::CONTRACT,
];

#[cfg(test)]
mod tests;
