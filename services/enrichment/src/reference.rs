//! Reference data: versioned, joined as of an event's time, and cached.
//!
//! A change gets the next version, and is valid from a time on that lies a few
//! seconds ahead, so that every replica knows it when the time comes. A
//! [`Snapshot`] is of one version: what it answers is a function of that
//! version and the event alone.

mod cache;
mod change;
mod claim;
mod files;
mod history;
mod kind;
mod product;
mod record;
mod snapshot;
mod table;

pub(crate) use cache::{FileNotices, Reference};
pub(crate) use change::{RecordChange, RecordVerdict, decide};
pub(crate) use claim::{CustomerClaim, claimed, claimed_from};
pub(crate) use files::{ReferenceFile, read_files, record_name};
pub(crate) use history::Profile;
pub(crate) use kind::RecordKind;
pub(crate) use product::ProductFacts;
pub(crate) use record::{Record, RecordAttributes, RecordFields};
pub(crate) use snapshot::Snapshot;
pub(crate) use table::Ids;
