//! The commands for a running suite, as a person types them.

mod check;
mod dlq;
mod terminal;
