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

/// An error of another crate, as far as a stage acts upon it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StageFailure {
    code: Code,
    disposition: Disposition,
    message: String,
}

impl StageFailure {
    /// What is to be told of an error.
    pub fn of(error: &impl Failure) -> Self {
        Self { code: error.code(), disposition: error.disposition(), message: error.to_string() }
    }

    /// An error of this kind, in words.
    pub fn new(code: Code, disposition: Disposition, message: impl Into<String>) -> Self {
        Self { code, disposition, message: message.into() }
    }
}

impl From<BusError> for StageFailure {
    fn from(error: BusError) -> Self {
        let disposition = if error.is_transient() { Disposition::Retry } else { Disposition::Fail };
        Self { code: error.code(), disposition, message: error.to_string() }
    }
}

impl Failure for StageFailure {
    fn code(&self) -> Code {
        self.code
    }

    fn disposition(&self) -> Disposition {
        self.disposition
    }
}

/// An error that a stage can act upon.
pub trait Failure: std::error::Error + From<BusError> + Send + 'static {
    /// Its stable code.
    fn code(&self) -> Code;
    /// What follows from it.
    fn disposition(&self) -> Disposition;
}
