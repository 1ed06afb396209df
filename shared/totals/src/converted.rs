//! Money in the base currency.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Currency;

use crate::{Measure, Value};

/// The rows of a measure of money in the base currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Converted {
    /// The base currency.
    pub base: Currency,
    /// How many rows there are.
    pub rows: u64,
    /// The state of their amounts in the base currency, of the measure's kind.
    /// Without it all rows are in the base currency, and the measure's own state
    /// is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Measure")]
    pub state: Option<Measure>,
}

impl Converted {
    /// The state in the base currency; `own` is that of the measure.
    pub(crate) fn state<'t>(&'t self, own: &'t Measure) -> &'t Measure {
        self.state.as_ref().unwrap_or(own)
    }

    /// As it stands where the measure has other rows too: apart from its state.
    pub(crate) fn apart(&self, own: &Measure) -> Self {
        Self { state: Some(self.state(own).clone()), ..*self }
    }
}

/// Money in one base currency.
#[derive(Debug, Clone, PartialEq)]
pub struct InBase {
    /// What the rows come to whose value in it is known; nothing where there are
    /// rows and none is known.
    pub value: Value,
    /// The other rows.
    pub unconverted: u64,
}
