//! What follows from an error.

use tidemill_bus::Error as BusError;
use tidemill_domain::Code;

/// What a stage does after an error. Every service means the same by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may pass. The unit is opened afresh after a while, from its last
    /// checkpoint; its messages come again, and no others are held up.
    Retry,
    /// The data will never be taken: the message, or the part of it that is
    /// to blame, becomes a dead letter, and the rest goes on.
    DeadLetter,
    /// The unit stands where it is until an operator has looked and started
    /// the service anew. Other units go on.
    Halt,
    /// The unit's work is over, in order.
    End,
    /// A fault that would do harm elsewhere too: the service ends.
    Fail,
}

/// An error that a stage can act upon.
pub trait Failure: std::error::Error + From<BusError> + Send + 'static {
    /// Its stable code.
    fn code(&self) -> Code;
    /// What follows from it.
    fn disposition(&self) -> Disposition;
}
