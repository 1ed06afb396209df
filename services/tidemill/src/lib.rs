//! Tidemill on one machine: the command line, and the all-in-one that runs
//! every service in one process on real servers.

#[macro_use]
mod out;

pub mod arguments;
pub mod bench;
pub mod choose;
pub mod cli;
pub mod client;
pub mod demo;
pub mod import;
pub mod profile;
pub mod replay;
pub mod shop_file;
pub mod suite;

mod commands;
mod failure;
mod index_file;
mod progress;
mod service_file;
mod table;
pub mod when;
