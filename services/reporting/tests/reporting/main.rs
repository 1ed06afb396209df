//! The service on a real NATS.

mod access;
mod distinct;
mod experiments;
mod foreign_log;
mod kept;
mod live;
mod money;
mod process;
mod questions;
mod rebuild;
mod redrive;
mod replicas;
mod rollups;
mod service;
mod shop;
mod truth;
