//! Data sets that people know, sent through the suite as events.

pub mod online_retail;
