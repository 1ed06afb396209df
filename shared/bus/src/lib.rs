//! The bus: NATS JetStream behind types.
//!
//! This is the only crate that knows async-nats. Services publish
//! [`Message`](tidemill_events::Message)s and read [`Delivery`]s through
//! [`Durable`](tidemill_events::Durable) consumers; streams and subjects come
//! from [`tidemill_events::topology`].

mod acks;
mod config;
mod connection;
mod consumer;
mod error;
mod leases;
mod members;
mod place;
mod requests;
mod topology;

pub use acks::Acks;
pub use config::Config;
pub use connection::{Bus, Headers, Published, Stored, Usage};
pub use consumer::{Delivery, Progress, Subscription};
pub use error::Error;
pub use leases::Change;
pub use members::Member;
pub use requests::Request;
pub use topology::{MEMBER_TTL, TopologyPart};
