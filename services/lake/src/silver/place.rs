//! Where a row stands.

/// Where a row stands in the log.
#[derive(Clone, Copy)]
pub(super) struct EventPlace {
    pub(super) partition: i32,
    pub(super) raw_seq: i64,
    pub(super) index: i32,
    pub(super) late: bool,
}
