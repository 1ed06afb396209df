//! Segments of customers by value: one file for all who tell them.

use serde::Deserialize;
use tidemill_domain::Amount;

use crate::{DefinitionError, from_yaml};

const BUILT_IN: (&str, &str) = ("customer_segments.yaml", include_str!("../segments/customer_segments.yaml"));

/// Segments of customers by what their orders come to in the shop's base currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerSegments {
    segments: Vec<CustomerSegment>,
    otherwise: String,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerSegment {
    /// What it is called.
    pub name: String,
    /// In the base currency.
    pub above: Amount,
}

impl CustomerSegments {
    /// Those that come without a word.
    ///
    /// # Errors
    /// They are wrong.
    pub fn built_in() -> Result<Self, DefinitionError> {
        from_yaml(BUILT_IN.0, BUILT_IN.1)
    }

    /// The segment of a value: the first one that it is above.
    pub fn of(&self, value: Amount) -> &str {
        self.segments.iter().find(|segment| value > segment.above).map_or(&self.otherwise, |segment| &segment.name)
    }

    /// All with a bound, in their order.
    pub fn bounded(&self) -> &[CustomerSegment] {
        &self.segments
    }

    /// The segment of a value that is above no bound.
    pub fn otherwise(&self) -> &str {
        &self.otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_segment_that_it_is_above() {
        let segments = CustomerSegments::built_in().expect("they are right");
        let of = |value: &str| segments.of(value.parse().expect("an amount")).to_owned();
        assert_eq!(of("10000.01"), "VIP");
        assert_eq!(of("10000"), "Premium");
        assert_eq!(of("1000.01"), "Regular");
        assert_eq!((of("1000"), of("-5")), ("Occasional".into(), "Occasional".into()));
    }
}
