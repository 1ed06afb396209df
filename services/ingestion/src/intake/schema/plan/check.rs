//! The checks of a plan, made on a tree.

use jsonschema::Validator;
use serde_json::Value;

use super::literal::{Bound, Literal, Unsure};
use crate::intake::{
    schema::decimal::Decimal,
    tree::{JsonKind, JsonRef},
};

/// What a value must be.
#[derive(Debug, Default)]
pub(in crate::intake) struct SchemaPlan(pub(super) Vec<Check>);

/// One keyword, or some that go together.
#[derive(Debug)]
pub(super) enum Check {
    /// A schema that is `false`.
    Never,
    Types(Vec<JsonType>),
    Required(Vec<String>),
    Members(MemberPlans),
    Items(SchemaPlan),
    ItemCount(Range),
    /// In characters.
    Length(Range),
    Bound(Bound),
    OneOf(Vec<Literal>),
    /// By the validator of a schema that has a pattern alone: it has ways of its own to
    /// read one.
    Pattern(Box<Validator>),
    Decimal(Decimal),
    All(Vec<SchemaPlan>),
    Any(Vec<SchemaPlan>),
    ExactlyOne(Vec<SchemaPlan>),
    Not(SchemaPlan),
    If {
        condition: SchemaPlan,
        then: SchemaPlan,
        otherwise: SchemaPlan,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// `properties`, in an order in which a name is found fast, and what all other
/// members must be.
#[derive(Debug)]
pub(super) struct MemberPlans {
    known: Vec<(String, SchemaPlan)>,
    others: SchemaPlan,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl SchemaPlan {
    /// Whether a value is surely valid.
    pub(in crate::intake) fn accepts(&self, value: JsonRef<'_>) -> bool {
        self.holds(value).unwrap_or(false)
    }

    pub(super) fn holds(&self, value: JsonRef<'_>) -> Result<bool, Unsure> {
        all_hold(&self.0, |check| check.holds(value))
    }
}

impl Check {
    fn holds(&self, value: JsonRef<'_>) -> Result<bool, Unsure> {
        Ok(match self {
            Self::Never => false,
            Self::Types(types) => return has_type(types, value.kind()),
            Self::Required(names) => {
                value.kind() != JsonKind::Object || names.iter().all(|name| value.get(name).is_some())
            }
            Self::Members(members) => return members.hold(value),
            Self::Items(plan) if value.kind() == JsonKind::Array => {
                return all_hold(value.parts(), |item| plan.holds(item));
            }
            Self::ItemCount(range) if value.kind() == JsonKind::Array => range.holds(value.parts().count()),
            Self::Length(range) => value.text().is_none_or(|text| range.holds(length(&text))),
            Self::Bound(bound) if matches!(value.kind(), JsonKind::Integer | JsonKind::Fraction) => {
                bound.holds(value.raw())?
            }
            Self::OneOf(literals) => {
                let found = literals.iter().map(|literal| literal.is(value));
                return any_holds(found, |is| is);
            }
            Self::Pattern(validator) => value.text().is_none_or(|text| validator.is_valid(&Value::from(text))),
            Self::Decimal(decimal) => match value.kind() {
                JsonKind::Integer | JsonKind::Fraction => decimal.check_number(value.raw()).is_ok(),
                _ => value.text().is_some_and(|text| decimal.check_text(&text).is_ok()),
            },
            Self::All(plans) => return all_hold(plans, |plan| plan.holds(value)),
            Self::Any(plans) => return any_holds(plans, |plan| plan.holds(value)),
            Self::ExactlyOne(plans) => {
                let held = plans.iter().map(|plan| plan.holds(value)).collect::<Result<Vec<_>, _>>()?;
                held.into_iter().filter(|holds| *holds).count() == 1
            }
            Self::Not(plan) => !plan.holds(value)?,
            Self::If { condition, then, otherwise } => {
                let applies = if condition.holds(value)? { then } else { otherwise };
                return applies.holds(value);
            }
            // It is about values of another type.
            Self::Items(_) | Self::ItemCount(_) | Self::Bound(_) => true,
        })
    }
}

impl MemberPlans {
    pub(super) fn new(mut known: Vec<(String, SchemaPlan)>, others: SchemaPlan) -> Self {
        known.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
        Self { known, others }
    }

    fn hold(&self, value: JsonRef<'_>) -> Result<bool, Unsure> {
        if value.kind() != JsonKind::Object {
            return Ok(true);
        }
        all_hold(value.parts(), |member| {
            let found = self.known.binary_search_by(|(name, _)| order(name).cmp(&order(member.key())));
            found.map_or(&self.others, |at| &self.known[at].1).holds(member)
        })
    }
}

/// The length tells most names apart.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Range {
    pub(super) const ANY: Self = Self { least: 0, most: usize::MAX };

    fn holds(self, count: usize) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

fn has_type(types: &[JsonType], kind: JsonKind) -> Result<bool, Unsure> {
    let has = |wanted: JsonType| types.contains(&wanted);
    Ok(match kind {
        JsonKind::Null => has(JsonType::Null),
        JsonKind::Bool(_) => has(JsonType::Boolean),
        JsonKind::Integer => has(JsonType::Integer) || has(JsonType::Number),
        // `12.0` is an integer, and may identify something: then it goes to the log in
        // one spelling alone.
        JsonKind::Fraction if has(JsonType::Integer) => return Err(Unsure),
        JsonKind::Fraction => has(JsonType::Number),
        JsonKind::Text | JsonKind::EscapedText => has(JsonType::String),
        JsonKind::Array => has(JsonType::Array),
        JsonKind::Object => has(JsonType::Object),
    })
}

fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn all_hold<T>(of: impl IntoIterator<Item = T>, holds: impl Fn(T) -> Result<bool, Unsure>) -> Result<bool, Unsure> {
    for one in of {
        if !holds(one)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_holds<T>(of: impl IntoIterator<Item = T>, holds: impl Fn(T) -> Result<bool, Unsure>) -> Result<bool, Unsure> {
    for one in of {
        if holds(one)? {
            return Ok(true);
        }
    }
    Ok(false)
}
