//! Servers and services as processes of this machine: what the chaos run
//! disturbs, and what the benchmark measures.

pub(crate) mod binaries;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod signal;
