//! What is wrong with a file.

use tidemill_definitions::DefinitionError;
use tidemill_domain::Code;

/// A contract, or the rules of quality, cannot be used. It says the file, the line and
/// why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {fault}")]
pub struct ContractError {
    code: Code,
    fault: DefinitionError,
}

impl ContractError {
    /// At the first line that holds `place`.
    pub(crate) fn at(file: &str, text: &str, place: &str, reason: impl Into<String>) -> Self {
        DefinitionError::at(file, text, place, reason).into()
    }

    /// Its stable code.
    pub const fn code(&self) -> Code {
        self.code
    }
}

impl From<DefinitionError> for ContractError {
    fn from(fault: DefinitionError) -> Self {
        Self { code: Code::InvalidContract, fault }
    }
}
