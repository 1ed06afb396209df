//! What can be wrong with a number.

/// Why a text is not an [`Amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    Malformed,
    /// Beyond plus or minus 10^15.
    #[error("beyond plus or minus 10^15")]
    TooLarge,
}
