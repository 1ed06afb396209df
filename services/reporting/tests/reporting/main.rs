//! The service on a real NATS.

mod live;
mod process;
mod service;
mod shop;
