//! What a page that follows the numbers is told.
//!
//! Whoever looks is told of totals as they are heard of, before they are in the read
//! model: [`LiveWindows`] puts together what is stored and what was heard. Where nobody
//! listens, the read model is what clients are told of.

mod heard;
mod hub;
mod unsent;
mod windows;

pub(crate) use heard::HeardTotals;
pub(crate) use hub::Hub;
pub(crate) use unsent::News;
pub(crate) use windows::LiveWindows;
