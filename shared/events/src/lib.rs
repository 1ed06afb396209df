//! What travels between services.
//!
//! - [`event`]: one CloudEvent, as a line of a batch;
//! - [`message`]: the messages, each a type with its subject and headers;
//! - [`dead_letter`]: events that were given up, and their way back;
//! - [`bodies`]: the bodies of several events in one dead letter;
//! - [`personal`]: which members of an event are about a person;
//! - [`contract`]: what each message says of itself, for other languages;
//! - [`topology`]: streams, subjects and durable consumers. No other module
//!   of the project spells one of their names;
//! - [`trace`]: W3C trace context as text.

pub mod bodies;
pub mod contract;
pub mod dead_letter;
pub mod event;
pub mod message;
pub mod personal;
pub mod topology;
pub mod trace;

mod codec;

pub use bodies::Body;
pub use codec::{DecodeError, Encoded, HeaderSource};
pub use contract::{Contract, Described};
pub use dead_letter::{DeadLetter, Events, Redrive};
pub use event::{Enrichment, EventRef, ItemFacts, QualityFlag};
pub use message::{
    AlertState, AlertTransition, CellUpdate, EnrichedBatch, LateBatch, Message, MetricsUpdate, RawBatch, SourceBooks,
};
pub use topology::{Durable, StreamName};
pub use trace::TraceParent;
