//! The commands for a running suite, as a person types them.

mod backfill;
mod bench;
mod changes;
mod check;
mod choose;
mod dlq;
mod import;
mod recommend;
mod replay;
mod terminal;
mod up;
