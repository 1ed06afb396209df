//! What travels between services.
//!
//! - [`event`]: one CloudEvent, as a line of a batch;
//! - [`Message`]: the messages, each a type with its subject and headers;
//! - [`DeadLetter`]: events that were given up, and [`Redrive`], their way back;
//! - [`MeasuredEvent`]: what a service of the suite tells, on its way into the log;
//! - [`bodies`]: the bodies of several events in one dead letter;
//! - [`personal`]: which members of an event are about a person;
//! - [`contract`]: what each message says of itself, for other languages;
//! - [`topology`]: streams, subjects and durable consumers. No other module
//!   of the project spells one of their names;
//! - [`TraceParent`]: W3C trace context as text.

pub mod bodies;
pub mod contract;
pub mod event;
pub mod personal;
pub mod topology;

mod borrowed;
mod catalogue;
mod codec;
mod dead_letter;
mod enriched;
mod item;
mod lines;
mod measured;
mod message;
mod order;
mod quality;
mod redrive;
mod trace;

pub use bodies::Body;
pub use catalogue::CONTRACTS;
pub use codec::{DecodeError, Encoded, HeaderSource};
pub use contract::{Contract, Described};
pub use dead_letter::{DeadLetter, Events};
pub use enriched::{Attributes, EnrichedEventRef, EnrichmentRef, ItemRef, QualityFlags};
pub use event::{Conversion, Enrichment, EventRef, QualityFlag};
pub use item::ItemFacts;
pub use measured::{MeasuredEvent, is_own_source};
pub use message::{
    AlertState, AlertTransition, BatchView, BatchViewEnd, CellGroup, CellMetric, CellUpdate, DefinitionText,
    EnrichedBatch, EventTypes, GenerationInputs, GenerationUpdate, LateBatch, LogPosition, Message, MetricsUpdate,
    PartitionReach, ProfileItem, ProfileName, ProfileUpdate, PublishedProfile, RawBatch, RedrivenOutcomes,
    ReferenceMode, SourceBooks, UncountedSpan, VersionCounting, WindowSpan,
};
pub use order::{LineFacts, OrderFacts};
pub use quality::{MeasuredFigure, QualityMeasured};
pub use redrive::Redrive;
pub use topology::{Durable, StreamName};
pub use trace::TraceParent;
