//! Conditions in SQL, for other engines.
//!
//! Logic of three values does what CEL does here: what lacks a member does not hold,
//! and an `or` whose other side holds does.

use tidemill_definitions::{ComparisonPlan, Condition, Field, Operand, OrderField, Relation, Scalar};

use super::{
    PlanError,
    fields::{FieldSql, Fields},
};

/// One side of a comparison.
enum Side {
    Number(String),
    /// A variable that is not there is null, and is not what it is compared with.
    Text {
        sql: String,
        is_variable: bool,
    },
}

impl Fields<'_> {
    /// A condition; one that does more than compare is refused.
    pub(super) fn condition(&self, condition: &Condition) -> Result<String, PlanError> {
        let refused = || PlanError::Condition(condition.text().to_owned());
        self.comparisons(condition.comparisons().ok_or_else(refused)?).ok_or_else(refused)
    }

    fn comparisons(&self, plan: &ComparisonPlan) -> Option<String> {
        match plan {
            ComparisonPlan::Both(parts) => {
                Some(format!("({} AND {})", self.comparisons(&parts[0])?, self.comparisons(&parts[1])?))
            }
            ComparisonPlan::Either(parts) => {
                Some(format!("({} OR {})", self.comparisons(&parts[0])?, self.comparisons(&parts[1])?))
            }
            ComparisonPlan::Compare(one, relation, other) => self.compare(one, *relation, other),
        }
    }

    fn compare(&self, one: &Operand, relation: Relation, other: &Operand) -> Option<String> {
        let sign = match relation {
            Relation::Less => "<",
            Relation::LessOrEqual => "<=",
            Relation::Greater => ">",
            Relation::GreaterOrEqual => ">=",
            Relation::Equal => "=",
            Relation::Unequal => "<>",
        };
        match (self.side(one)?, self.side(other)?) {
            (Side::Number(one), Side::Number(other)) => Some(format!("{one} {sign} {other}")),
            (Side::Text { sql: one, is_variable: a }, Side::Text { sql: other, is_variable: b }) => {
                let differ = matches!(relation, Relation::Unequal) && (a || b);
                Some(if differ { self.dialect.is_distinct(&one, &other) } else { format!("{one} {sign} {other}") })
            }
            (Side::Number(_), Side::Text { .. }) | (Side::Text { .. }, Side::Number(_)) => None,
        }
    }

    fn side(&self, operand: &Operand) -> Option<Side> {
        match operand {
            Operand::Value(Scalar::Int(value)) => Some(Side::Number(value.to_string())),
            Operand::Value(Scalar::Float(value)) => Some(Side::Number(format!("CAST('{value}' AS DOUBLE)"))),
            Operand::Value(Scalar::Text(text)) => Some(Side::Text { sql: self.dialect.text(text), is_variable: false }),
            // Of a sum that lacks a line nothing holds, which is not told beside it.
            Operand::Field(Field::Order(OrderField::Sum(_)), _) => None,
            // A text is cast to a whole number by rounding there, and has no remainder here.
            Operand::Remainder(..) => None,
            Operand::Field(field, is_number) => {
                let found = self.of(field).ok()?;
                match (is_number, found) {
                    (true, FieldSql::Written(sql)) => Some(Side::Number(format!("TRY_CAST({sql} AS DOUBLE)"))),
                    (true, FieldSql::Amount(sql)) => Some(Side::Number(format!("CAST({sql} AS DOUBLE)"))),
                    (false, FieldSql::Text(sql) | FieldSql::Written(sql)) => {
                        Some(Side::Text { sql, is_variable: is_variable(field) })
                    }
                    (true, FieldSql::Text(_)) | (false, FieldSql::Amount(_)) => None,
                }
            }
        }
    }
}

/// Whether a field is a name of its own, and no member.
const fn is_variable(field: &Field) -> bool {
    !matches!(
        field,
        Field::Data(_) | Field::Item(_) | Field::Line(_) | Field::Order(_) | Field::Product(_) | Field::Customer(_)
    )
}
