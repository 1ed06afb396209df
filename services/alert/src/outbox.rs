//! The outbox: what consumers recorded goes out from here, to ALERTS and to
//! Slack. Both tasks go by the store alone, so a crash between a record and
//! its effect only delays the effect.
//!
//! The outbox needs no epoch. It only marks what has happened. A mark is true
//! also if its writer has lost the lease, and a second one changes nothing. What can happen twice are its effects. ALERTS drops the
//! second copy of a transition by its message id for two minutes, and readers
//! go by id and state. Slack has no such thing: a message is sent again where
//! Slack has accepted it and the outbox dies before that is recorded, or is
//! stopped (SIGSTOP, a frozen machine) between its last look at the lease and
//! the call, for longer than it takes another replica to take over.

mod budget;
mod notify;
mod publish;
mod run;
mod slack;
mod tenure;

pub(crate) use self::{run::run, slack::Webhook};
