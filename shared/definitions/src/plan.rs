//! Conditions that compare members with each other and with values, as most do.
//! They are decided without CEL, as it would decide them.

use std::{borrow::Cow, cmp::Ordering};

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, operators},
};
use tidemill_domain::Amount;

use crate::{Field, data::plain, numeric::NumericMembers};

/// A condition of comparisons.
#[derive(Debug)]
pub enum ComparisonPlan {
    /// Both hold.
    Both(Box<[ComparisonPlan; 2]>),
    /// One of them holds.
    Either(Box<[ComparisonPlan; 2]>),
    /// The values stand so to each other.
    Compare(Operand, Relation, Operand),
}

/// How two values stand to each other.
#[derive(Debug, Clone, Copy)]
pub enum Relation {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

/// What is compared.
#[derive(Debug)]
pub enum Operand {
    /// What the condition says.
    Value(Scalar<'static>),
    /// A text that is there is meant as a number, or not.
    Field(Field, bool),
    /// What is left of a field as a number, divided by a whole number.
    Remainder(Field, i64),
}

/// A value that has an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'v> {
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// A text.
    Text(Cow<'v, str>),
}

impl ComparisonPlan {
    /// The plan of a condition, if it compares and does nothing else.
    pub(crate) fn of(condition: &IdedExpr, numbers: &NumericMembers) -> Option<Self> {
        let Expr::Call(call) = &condition.expr else { return None };
        let [one, other] = call.args.as_slice() else { return None };
        let parts = || Some(Box::new([Self::of(one, numbers)?, Self::of(other, numbers)?]));
        match call.func_name.as_str() {
            operators::LOGICAL_AND => parts().map(Self::Both),
            operators::LOGICAL_OR => parts().map(Self::Either),
            name => {
                let relation = Relation::of(name)?;
                Some(Self::Compare(Operand::of(one, numbers)?, relation, Operand::of(other, numbers)?))
            }
        }
    }

    /// Whether the condition holds, where all that is compared is there and of one
    /// kind; `None` leaves it to CEL, which knows what then holds.
    pub(crate) fn decide<'v>(&self, read: &impl Fn(&Field, bool) -> Option<Scalar<'v>>) -> Option<bool> {
        match self {
            Self::Both(parts) => match parts[0].decide(read)? {
                true => parts[1].decide(read),
                false => Some(false),
            },
            Self::Either(parts) => match parts[0].decide(read)? {
                true => Some(true),
                false => parts[1].decide(read),
            },
            Self::Compare(one, relation, other) => Some(relation.holds(one.value(read)?.compare(&other.value(read)?)?)),
        }
    }
}

impl Relation {
    fn of(operator: &str) -> Option<Self> {
        Some(match operator {
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            operators::EQUALS => Self::Equal,
            operators::NOT_EQUALS => Self::Unequal,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
        }
    }
}

impl Operand {
    fn of(expression: &IdedExpr, numbers: &NumericMembers) -> Option<Self> {
        let is_number = |place: Option<&NumericMembers>| place.is_some_and(NumericMembers::is_number);
        match &expression.expr {
            Expr::Literal(LiteralValue::Int(value)) => Some(Self::Value(Scalar::Int(*value.inner()))),
            Expr::Literal(LiteralValue::Double(value)) => Some(Self::Value(Scalar::Float(*value.inner()))),
            Expr::Literal(LiteralValue::String(text)) => {
                Some(Self::Value(Scalar::Text(text.inner().to_owned().into())))
            }
            Expr::Ident(name) => Some(Self::Field(Field::parse(name).ok()?, is_number(numbers.member(name)))),
            Expr::Select(select) if !select.test => {
                let Expr::Ident(root) = &select.operand.expr else { return None };
                let member = numbers.member(root).and_then(|root| root.member(&select.field));
                Some(Self::Field(Field::parse(&format!("{root}.{}", select.field)).ok()?, is_number(member)))
            }
            Expr::Call(call) if call.func_name == operators::MODULO => match call.args.as_slice() {
                [one, other] => match (Self::of(one, numbers)?, Self::of(other, numbers)?) {
                    (Self::Field(field, _), Self::Value(Scalar::Int(divisor))) => Some(Self::Remainder(field, divisor)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    fn value<'v>(&self, read: &impl Fn(&Field, bool) -> Option<Scalar<'v>>) -> Option<Scalar<'v>> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Field(field, is_number) => read(field, *is_number),
            // CEL knows what a remainder of anything else is.
            Self::Remainder(field, divisor) => match read(field, true)? {
                Scalar::Int(value) => value.checked_rem(*divisor).map(Scalar::Int),
                Scalar::Float(_) | Scalar::Text(_) => None,
            },
        }
    }
}

impl<'v> Scalar<'v> {
    /// A text, which may be meant as a number.
    pub(crate) fn of_text(text: Cow<'v, str>, is_number: bool) -> Self {
        match is_number.then(|| Self::number(&text)).flatten() {
            Some(number) => number,
            None => Self::Text(text),
        }
    }

    /// A value as JSON has it; `None` of what has no order.
    pub(crate) fn of_json(json: &'v str, is_number: bool) -> Option<Self> {
        match json.as_bytes().first()? {
            b'"' => Some(Self::of_text(plain(json)?, is_number)),
            b'-' | b'0'..=b'9' => {
                let number: serde_json::Number = serde_json::from_str(json).ok()?;
                Some(number.as_i64().map_or(Self::Float(number.as_f64()?), Self::Int))
            }
            _ => None,
        }
    }

    /// The number in a text, read as a measure reads it.
    pub(crate) fn number(text: &str) -> Option<Self> {
        let amount: Amount = text.parse().ok()?;
        Some(amount.whole().map_or_else(|| Self::Float(amount.to_f64()), Self::Int))
    }

    /// Whole numbers compare with fractions as binary floats do.
    #[allow(clippy::cast_precision_loss, reason = "CEL compares them like this")]
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            (Self::Int(one), Self::Float(other)) => (*one as f64).partial_cmp(other),
            (Self::Float(one), Self::Int(other)) => one.partial_cmp(&(*other as f64)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}
