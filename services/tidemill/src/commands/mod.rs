//! The commands that are small.

mod alert;
mod books;
mod check;
mod choose;
mod dlq;
mod drift;
mod ended;
mod import;
mod init;
mod keys;
mod lake;
mod lineage;
mod nats;
mod recommend;
mod replay;
mod sql;
mod up;

pub(crate) use alert::alert;
pub(crate) use books::books;
pub(crate) use check::check;
pub(crate) use choose::choose;
pub(crate) use dlq::dlq;
pub(crate) use drift::drift;
pub(crate) use ended::{balanced, failed};
pub(crate) use import::import;
pub(crate) use init::init;
pub(crate) use keys::keys;
pub(crate) use lake::lake;
pub(crate) use lineage::lineage;
pub(crate) use nats::nats;
pub(crate) use recommend::recommend;
pub(crate) use replay::replay;
pub(crate) use sql::sql;
pub(crate) use up::up;
