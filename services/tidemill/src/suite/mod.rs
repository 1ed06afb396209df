//! The all-in-one: every service in one process, on a real nats-server, with
//! SQLite stores and a built-in metrics store.

mod collector;
mod ending;
mod folder;
mod jaeger;
mod local;
mod options;
mod services;
mod settings;

pub use jaeger::Jaeger;
pub use local::TRACED_SERVICES;
pub(crate) use local::{Extras, Whereabouts, url, with_suite};
pub use options::Options;
pub use services::Suite;
