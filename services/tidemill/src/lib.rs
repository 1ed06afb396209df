//! Tidemill on one machine: the command line, and the all-in-one that runs
//! every service in one process on real servers.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

pub mod arguments;
pub mod cli;
pub mod client;
pub mod demo;
pub mod import;
pub mod suite;

mod commands;
mod progress;
mod table;
pub mod when;
