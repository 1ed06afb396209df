//! A schema as a plan: the checks that it asks for, made on the tree of an event
//! without a value of its own.
//!
//! A plan knows the keywords of the built-in schemas, and those that are as simple.
//! A schema with any other has none. What a plan does not find valid goes to the
//! validator of `jsonschema`, which alone says what is wrong. So all that matters is
//! that nothing is valid here and not there.

mod compile;
mod literal;

use jsonschema::Validator;
use serde_json::Value;

use self::literal::{Bound, Literal};
use super::decimal::Decimal;
use crate::intake::tree::{Json, Kind};

/// What a value must be.
#[derive(Debug, Default)]
pub(super) struct Plan(Vec<Check>);

/// One keyword, or some that go together.
#[derive(Debug)]
enum Check {
    /// A schema that is `false`.
    Never,
    Types(Vec<JsonType>),
    Required(Vec<String>),
    Members(MemberPlans),
    Items(Plan),
    ItemCount(Range),
    /// In characters.
    Length(Range),
    Bound(Bound),
    OneOf(Vec<Literal>),
    /// By the validator of a schema that has a pattern alone: it has ways of its own to
    /// read one.
    Pattern(Box<Validator>),
    Decimal(Decimal),
    All(Vec<Plan>),
    Any(Vec<Plan>),
    ExactlyOne(Vec<Plan>),
    Not(Plan),
    If {
        condition: Plan,
        then: Plan,
        otherwise: Plan,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonType {
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
struct MemberPlans {
    known: Vec<(String, Plan)>,
    others: Plan,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    least: usize,
    most: usize,
}

/// The plan cannot tell.
#[derive(Debug)]
pub(super) struct Unsure;

impl Plan {
    /// The plan of a schema, where each of its keywords has one.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        compile::plan(schema)
    }

    /// Whether a value is surely valid.
    pub(super) fn accepts(&self, value: Json<'_>) -> bool {
        self.holds(value).unwrap_or(false)
    }

    fn holds(&self, value: Json<'_>) -> Result<bool, Unsure> {
        all_hold(&self.0, |check| check.holds(value))
    }
}

impl Check {
    fn holds(&self, value: Json<'_>) -> Result<bool, Unsure> {
        Ok(match self {
            Self::Never => false,
            Self::Types(types) => return has_type(types, value.kind()),
            Self::Required(names) => value.kind() != Kind::Object || names.iter().all(|name| value.get(name).is_some()),
            Self::Members(members) => return members.hold(value),
            Self::Items(plan) if value.kind() == Kind::Array => {
                return all_hold(value.parts(), |item| plan.holds(item));
            }
            Self::ItemCount(range) if value.kind() == Kind::Array => range.holds(value.parts().count()),
            Self::Length(range) => value.text().is_none_or(|text| range.holds(length(&text))),
            Self::Bound(bound) if matches!(value.kind(), Kind::Integer | Kind::Fraction) => bound.holds(value.raw())?,
            Self::OneOf(literals) => {
                let found = literals.iter().map(|literal| literal.is(value));
                return any_holds(found, |is| is);
            }
            Self::Pattern(validator) => value.text().is_none_or(|text| validator.is_valid(&Value::from(text))),
            Self::Decimal(decimal) => match value.kind() {
                Kind::Integer | Kind::Fraction => decimal.check_number(value.raw()).is_ok(),
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
    fn new(mut known: Vec<(String, Plan)>, others: Plan) -> Self {
        known.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
        Self { known, others }
    }

    fn hold(&self, value: Json<'_>) -> Result<bool, Unsure> {
        if value.kind() != Kind::Object {
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
    const ANY: Self = Self { least: 0, most: usize::MAX };

    fn holds(self, count: usize) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

fn has_type(types: &[JsonType], kind: Kind) -> Result<bool, Unsure> {
    let has = |wanted: JsonType| types.contains(&wanted);
    Ok(match kind {
        Kind::Null => has(JsonType::Null),
        Kind::Bool(_) => has(JsonType::Boolean),
        Kind::Integer => has(JsonType::Integer) || has(JsonType::Number),
        // `12.0` is an integer, and may identify something: then it goes to the log in
        // one spelling alone.
        Kind::Fraction if has(JsonType::Integer) => return Err(Unsure),
        Kind::Fraction => has(JsonType::Number),
        Kind::Text | Kind::EscapedText => has(JsonType::String),
        Kind::Array => has(JsonType::Array),
        Kind::Object => has(JsonType::Object),
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

#[cfg(test)]
mod tests;
