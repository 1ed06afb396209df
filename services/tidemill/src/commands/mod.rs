//! The commands that are small.

mod books;
mod check;
mod dlq;
mod ended;
mod import;
mod init;
mod keys;
mod recommend;
mod up;

pub(crate) use books::books;
pub(crate) use check::check;
pub(crate) use dlq::dlq;
pub(crate) use ended::{balanced, failed};
pub(crate) use import::import;
pub(crate) use init::init;
pub(crate) use keys::keys;
pub(crate) use recommend::recommend;
pub(crate) use up::up;
