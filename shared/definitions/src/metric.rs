//! Metric definitions.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};
use tidemill_events::{CellGroup, CellMetric};
use tidemill_totals::{MeasureTotal, Totals};

use crate::{Condition, DefinitionError, Field, MeasureDefinition, Window, condition, from_yaml, version_of};

const MAX_DIMENSIONS: usize = 8;
const MAX_MEASURES: usize = 32;
/// Parameters of questions. A dimension's name is one too, which filters by it.
const PARAMETERS: [&str; 11] =
    ["from", "to", "zone", "resolution", "group_by", "version", "format", "convert", "bom", "top", "top_by"];
/// The dimension that totals of money have beside those of the definition.
pub const CURRENCY: &str = "currency";
/// Fields that a session's point has beside its measures.
const SESSION_FIELDS: [&str; 2] = ["end_millis", "retracted"];

/// A metric: what is counted, in which windows, split by what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// Its name: lower case, digits and `_`.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// What it tells, for people. Not part of its version.
    #[serde(default, skip_serializing)]
    pub description: String,
    /// The event types that it looks at.
    pub types: Vec<String>,
    /// A list in the event's data: each item becomes a row. Without it the
    /// event is the row.
    #[serde(default)]
    pub each: Option<Field>,
    /// Which rows count; all, without it.
    #[serde(default, rename = "where")]
    pub condition: Option<Condition>,
    /// The windows.
    pub window: Window,
    /// Values that the totals are split by. The order of names decides the
    /// order of dimensions. With measures of money, [`CURRENCY`] is one of them.
    #[serde(default)]
    pub dimensions: BTreeMap<String, Field>,
    /// What is totalled, by name.
    pub measures: BTreeMap<String, MeasureDefinition>,
    #[serde(skip)]
    cells: Arc<CellMetric>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(de::Error::custom)?;
    Ok(name)
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("`{name}` is not a name: 1 to 64 of a-z, 0-9 and _"))
    }
}

impl MetricDefinition {
    /// Reads one from YAML.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let mut definition: Self = from_yaml(file, text)?;
        definition.check().map_err(|(place, reason)| {
            // A condition over several lines stands there in another way.
            let place = if text.contains(place) { place } else { "where:" };
            DefinitionError::at(file, text, place, reason)
        })?;
        let version = version_of(&definition);
        if let Some(money) = definition.money().cloned() {
            definition.dimensions.insert(CURRENCY.into(), money);
        }
        let dimensions = definition.dimensions.keys().cloned().collect();
        definition.cells = Arc::new(CellMetric { name: definition.name.clone(), version, dimensions });
        Ok(definition)
    }

    /// What is wrong with it as a whole: where it stands in the text, and why.
    fn check(&self) -> Result<(), (&str, String)> {
        let metric = &self.name;
        if self.types.is_empty() {
            return Err(("types:", format!("metric `{metric}` names no event types")));
        }
        if self.dimensions.len() > MAX_DIMENSIONS {
            return Err(("dimensions:", format!("metric `{metric}` has more than {MAX_DIMENSIONS} dimensions")));
        }
        if self.measures.is_empty() || self.measures.len() > MAX_MEASURES {
            return Err(("measures:", format!("metric `{metric}` needs 1 to {MAX_MEASURES} measures")));
        }
        if self.each.as_ref().is_some_and(|field| !matches!(field, Field::Data(_) | Field::Lines)) {
            let reason =
                format!("metric `{metric}`: `each` is `lines`, or names a list in data, for instance data.items");
            return Err(("each:", reason));
        }
        self.check_fields()?;
        if matches!(self.window, Window::Session { .. })
            && let Some(taken) = SESSION_FIELDS.iter().find(|name| self.measures.contains_key(**name))
        {
            let reason = format!("metric `{metric}`: in a session metric `{taken}` is not free as a measure's name");
            return Err((*taken, reason));
        }
        if let Some(taken) = PARAMETERS.iter().find(|name| self.dimensions.contains_key(**name)) {
            let reason = format!(
                "metric `{metric}`: `{taken}` is not free as a dimension's name: a question has a parameter of that name"
            );
            return Err((*taken, reason));
        }
        self.check_money()?;
        self.check_repeats()?;
        let mut names = self.dimensions.keys().chain(self.measures.keys());
        names.try_for_each(|name| check_name(name).map_err(|reason| (name.as_str(), reason)))?;
        let of_measures = self.measures.values().filter_map(|measure| measure.condition.as_ref());
        self.condition.iter().chain(of_measures).try_for_each(|condition| self.check_variables(condition))
    }

    /// A line is there only where each line is a row.
    fn check_fields(&self) -> Result<(), (&str, String)> {
        let of_measures = self
            .measures
            .iter()
            .flat_map(|(name, measure)| measure.kind.fields().iter().map(move |field| (name.as_str(), field)));
        let of_dimensions = self.dimensions.iter().map(|(name, field)| (name.as_str(), field));
        let is_wrong = |field: &Field| match field {
            Field::Lines => true,
            Field::Line(_) => self.each != Some(Field::Lines),
            _ => false,
        };
        match of_dimensions.chain(of_measures).find(|(_, field)| is_wrong(field)) {
            None => Ok(()),
            Some((name, field)) => {
                let place = if *field == Field::Lines { "lines" } else { "line." };
                Err((place, format!("metric `{}`: `{name}`: `line.x` goes with `each: lines`", self.name)))
            }
        }
    }

    /// Totals are split by one currency, and nothing else is called that.
    fn check_money(&self) -> Result<(), (&str, String)> {
        let metric = &self.name;
        let Some(money) = self.money() else { return Ok(()) };
        if self.measures.values().filter_map(|measure| measure.money.as_ref()).any(|other| other != money) {
            let reason = format!(
                "metric `{metric}`: its measures of money have their currency in several places; \
                 totals are split by one: make a metric for each"
            );
            return Err(("money:", reason));
        }
        if self.dimensions.get(CURRENCY).is_some_and(|field| field != money) {
            let reason = format!(
                "metric `{metric}`: `{CURRENCY}` is not free as a dimension's name: totals of money are split by \
                 their currency, which is called that"
            );
            return Err((CURRENCY, reason));
        }
        Ok(())
    }

    /// Values repeat over dimensions that there are.
    fn check_repeats(&self) -> Result<(), (&str, String)> {
        let is_dimension =
            |name: &str| self.dimensions.contains_key(name) || name == CURRENCY && self.money().is_some();
        let repeats = self.measures.iter().flat_map(|(name, measure)| {
            let over = measure.repeats_over.iter().flatten();
            over.map(move |dimension| (name, dimension))
        });
        match repeats.into_iter().find(|(_, dimension)| !is_dimension(dimension)) {
            None => Ok(()),
            Some((name, dimension)) => {
                let reason = format!(
                    "metric `{}`: `{name}` repeats over `{dimension}`, which is none of its dimensions",
                    self.name
                );
                Err(("repeats_over:", reason))
            }
        }
    }

    /// Where the currency of its measures of money is, if it has any.
    pub fn money(&self) -> Option<&Field> {
        self.measures.values().find_map(|measure| measure.money.as_ref())
    }

    /// A name that nothing has would be null in every row, and the condition wrong
    /// without a word.
    fn check_variables<'c>(&self, condition: &'c Condition) -> Result<(), (&'c str, String)> {
        let is_known = |name: &str| match name {
            "item" => matches!(self.each, Some(Field::Data(_))),
            "line" => self.each == Some(Field::Lines),
            _ => condition::is_of_event(name),
        };
        match condition.variables().iter().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => Err((
                condition.text(),
                format!(
                    "`{name}` is not known here; known are data, item (with `each: data.…`), line (with \
                     `each: lines`), {}",
                    condition::OF_EVENT
                ),
            )),
        }
    }

    /// The totals of no rows, but for the states of some measures: as tests make up
    /// totals.
    pub fn totals<M: Into<MeasureTotal>>(&self, states: impl IntoIterator<Item = (&'static str, M)>) -> Totals {
        let mut given: BTreeMap<_, _> = states.into_iter().map(|(name, state)| (name, state.into())).collect();
        let state = |(name, measure): (&String, &MeasureDefinition)| {
            given.remove(name.as_str()).unwrap_or_else(|| measure.kind.nothing().into())
        };
        Totals(self.measures.iter().map(state).collect())
    }

    /// Its version: the hash of what it means.
    pub fn version(&self) -> &str {
        &self.cells.version
    }

    /// How its cells name it.
    pub fn cell_metric(&self) -> &Arc<CellMetric> {
        &self.cells
    }

    /// The cells with these values, one for each dimension in the order of their
    /// names.
    pub fn cell_group<V: AsRef<str>>(&self, values: impl IntoIterator<Item = V>) -> CellGroup {
        let values = values.into_iter().map(|value| value.as_ref().into()).collect();
        CellGroup { metric: Arc::clone(&self.cells), values }
    }
}
