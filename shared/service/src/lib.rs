//! What every service process shares: configuration, boot and shutdown,
//! health, telemetry and the conventions of HTTP.
//!
//! A service is a library with a [`Service`]; its binary hands that to [`main`].
//! The all-in-one starts several in one process, each with a [`Context`] of its
//! own.

pub mod access;
pub mod clients;
pub mod config;
pub mod guard;
pub mod parameters;
pub mod server;
pub mod spreadsheet;
pub mod telemetry;
pub mod trace;

mod address;
mod breaker;
mod ceiling;
mod conditions;
mod connections;
mod context;
mod contract;
mod descriptors;
mod exchanged;
mod guest;
mod health;
mod printable;
mod probe;
mod problem;
mod process;
mod registry;
mod rejected;
mod standstill;
mod streams;

pub use access::{Access, Admitted, AuthConfig, Caller, Needs, Role, Routes};
pub use breaker::{Attempt, Breaker};
pub use ceiling::{Ceiling, CeilingConfig, CeilingReached};
pub use conditions::{Conditions, HeldCondition};
pub use config::{DefinitionsConfig, HttpConfig};
pub use context::{Context, Handle, Sharing, StartError, Starting};
pub use descriptors::raise_limit;
pub use exchanged::Exchanged;
pub use health::Health;
pub use printable::{Printable, acts};
pub use problem::{FieldError, Problem};
pub use process::{Service, ServiceConfig, install_crypto, main};
pub use registry::Registry;
pub use rejected::{LISTED, MoreRejected, Unlisted};
pub use server::Server;
pub use standstill::Standstill;
pub use telemetry::TelemetryConfig;
