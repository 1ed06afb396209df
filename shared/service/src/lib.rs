//! What every service process shares: configuration, boot and shutdown,
//! health, telemetry and the conventions of HTTP.
//!
//! A service is a library with a `start(config, context)` function; its binary
//! hands that to [`main`]. The all-in-one starts several in one process, each
//! with a [`Context`] of its own.

pub mod access;
pub mod breaker;
pub mod ceiling;
pub mod clients;
pub mod conditions;
pub mod config;
pub mod guard;
pub mod health;
pub mod problem;
pub mod rejected;
pub mod server;
pub mod spreadsheet;
pub mod standstill;
pub mod telemetry;
pub mod trace;

mod address;
mod connections;
mod context;
mod contract;
mod descriptors;
mod printable;
mod probe;
mod process;

pub use access::{Access, AuthConfig, Caller, Needs, Role, Routes};
pub use breaker::{Attempt, Breaker};
pub use ceiling::{Ceiling, CeilingConfig, CeilingReached};
pub use conditions::{Condition, Conditions};
pub use config::HttpConfig;
pub use context::{Context, Registry, Sharing, StartError, Starting};
pub use descriptors::raise_limit;
pub use health::Health;
pub use printable::{Printable, acts};
pub use problem::{FieldError, Problem};
pub use process::{ServiceConfig, install_crypto, main};
pub use rejected::{LISTED, MoreRejected, Unlisted};
pub use server::Server;
pub use standstill::Standstill;
pub use telemetry::TelemetryConfig;
