//! The service on a real NATS.

mod access;
mod live;
mod process;
mod redrive;
mod replicas;
mod service;
mod shop;
