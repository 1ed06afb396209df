//! The all-in-one: every service in one process, on a real nats-server, with
//! SQLite stores and a built-in metrics store.

mod folder;
mod jaeger;
mod local;
mod options;
mod services;
mod settings;

pub use jaeger::Jaeger;
pub(crate) use local::url;
pub use local::{Extras, LocalSuite, TRACED_SERVICES, told_to_end};
pub use options::Options;
pub use services::Suite;
