//! What rules over events call the members of an event's data.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use tidemill_definitions::{DefinitionError, Field, from_yaml};

/// The names of a rule that has none of its own, where no file has others.
pub const BUILT_IN_AMOUNTS: &str = include_str!("../../definitions/shop.yaml");

/// Ways to find an amount; each is tried for every event.
const MAX_WAYS: usize = 16;

/// Exact amounts, by name.
pub(crate) type Amounts = BTreeMap<String, AmountDefinition>;
/// Lists, by name.
pub(crate) type Lists = BTreeMap<String, ListDefinition>;

/// The names that rules share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShopNames {
    pub(super) amounts: Amounts,
    pub(super) lists: Lists,
}

impl ShopNames {
    pub(super) fn built_in() -> Result<Self, DefinitionError> {
        from_yaml("shop.yaml", BUILT_IN_AMOUNTS)
    }

    /// Reads a file.
    pub(super) fn load(file: &Path) -> Result<Self, DefinitionError> {
        let name = file.display().to_string();
        let yaml =
            tidemill_definitions::read_text(file).map_err(|e| DefinitionError::new(&name, None, e.to_string()))?;
        from_yaml(&name, &yaml)
    }
}

/// Ways to find an amount: the first counts by which an event has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<AmountSum>")]
pub(crate) struct AmountDefinition(Vec<AmountSum>);

impl AmountDefinition {
    /// In their order.
    pub(crate) fn ways(&self) -> &[AmountSum] {
        &self.0
    }
}

impl TryFrom<Vec<AmountSum>> for AmountDefinition {
    type Error = &'static str;

    fn try_from(ways: Vec<AmountSum>) -> Result<Self, Self::Error> {
        match ways.len() {
            0 => Err("an amount needs at least one way to be found"),
            1..=MAX_WAYS => Ok(Self(ways)),
            _ => Err("an amount has at most 16 ways to be found"),
        }
    }
}

/// A product of members; over a list, the sum of its items' products.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "AmountSumText")]
pub(crate) struct AmountSum {
    /// The list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) each: Option<Field>,
    /// One to four members of the data, or of the item.
    pub(crate) sum: Vec<Field>,
    /// `currency`, if it is money in the event's currency: then rules compare it
    /// in the base currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) money: Option<Field>,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountSumText {
    each: Option<Field>,
    sum: Vec<Field>,
    money: Option<Field>,
}

impl TryFrom<AmountSumText> for AmountSum {
    type Error = String;

    fn try_from(AmountSumText { each, sum, money }: AmountSumText) -> Result<Self, String> {
        if each.as_ref().is_some_and(|field| !matches!(field, Field::Data(_))) {
            return Err("`each` names a list in data, for instance data.items".into());
        }
        if !(1..=4).contains(&sum.len()) {
            return Err("`sum` multiplies one to four fields".into());
        }
        let is_known = |field: &Field| match field {
            Field::Data(_) => true,
            Field::Item(_) => each.is_some(),
            _ => false,
        };
        if !sum.iter().all(is_known) {
            return Err("`sum` multiplies fields data.…, and with `each` also item.…".into());
        }
        if money.as_ref().is_some_and(|field| *field != Field::Currency) {
            return Err("`money` says where the currency is, which is `currency`: that of the event".into());
        }
        Ok(Self { each, sum, money })
    }
}

/// A place in an event's data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Field")]
#[serde(into = "Field")]
pub(crate) struct ListDefinition(Vec<String>);

impl ListDefinition {
    /// The path within the data.
    pub(crate) fn path(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Field> for ListDefinition {
    type Error = &'static str;

    fn try_from(field: Field) -> Result<Self, Self::Error> {
        match field {
            Field::Data(path) => Ok(Self(path)),
            _ => Err("a list stands in data, for instance data.items"),
        }
    }
}

impl From<ListDefinition> for Field {
    fn from(list: ListDefinition) -> Self {
        Self::Data(list.0)
    }
}
