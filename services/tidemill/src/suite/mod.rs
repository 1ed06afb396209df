//! The all-in-one: every service in one process, on a real nats-server, with
//! SQLite stores and a built-in metrics store.

mod collector;
mod ending;
mod folder;
mod following;
mod jaeger;
mod keys;
mod lake;
mod local;
mod member;
mod options;
mod replay;
mod services;
mod settings;
mod watched;

pub use jaeger::Jaeger;
pub use keys::KeyVariables;
pub use local::TRACED_SERVICES;
pub(crate) use local::{Extras, Whereabouts, url, with_suite};
pub use options::{DefinitionFiles, Options};
pub(crate) use replay::{generation_stores, nats_url, replay_settings};
pub use services::Suite;
