//! What a page that follows the numbers is told.

mod hub;
mod unsent;

pub(crate) use hub::Hub;
pub(crate) use unsent::News;
