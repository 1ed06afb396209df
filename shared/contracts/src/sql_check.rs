//! Rules of type `sql`: a question whose number has to be within a bound.

use yaml_serde::Value;

use crate::{odcs::WrittenRule, rule::RuleSeverity};

/// Bytes of a question at most.
const MOST_BYTES: usize = 16 * 1024;

/// A question to the tables, in SQL. Its answer is one number.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlCheck {
    /// Its name, which no other rule of its contract has.
    pub name: String,
    /// `warn`, or `fail`: of rules of this kind that only says whether the table is bad.
    pub severity: RuleSeverity,
    /// The question.
    pub query: String,
    /// Where the number has to be.
    pub bound: CheckBound,
}

/// Where a number has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CheckBound {
    /// It is this one.
    Is(f64),
    /// It is another one.
    IsNot(f64),
    /// Above.
    Above(f64),
    /// There or above.
    AtLeast(f64),
    /// Below.
    Below(f64),
    /// There or below.
    AtMost(f64),
    /// From the one to the other.
    Within(f64, f64),
    /// Not from the one to the other.
    Outside(f64, f64),
}

impl CheckBound {
    /// Whether a number is there.
    pub fn holds(self, number: f64) -> bool {
        match self {
            Self::Is(bound) => number == bound,
            Self::IsNot(bound) => number != bound,
            Self::Above(bound) => number > bound,
            Self::AtLeast(bound) => number >= bound,
            Self::Below(bound) => number < bound,
            Self::AtMost(bound) => number <= bound,
            Self::Within(least, most) => number >= least && number <= most,
            Self::Outside(least, most) => number < least || number > most,
        }
    }

    /// The number that it is measured by: of two the one that is nearer.
    pub fn threshold(self, number: f64) -> f64 {
        match self {
            Self::Is(bound)
            | Self::IsNot(bound)
            | Self::Above(bound)
            | Self::AtLeast(bound)
            | Self::Below(bound)
            | Self::AtMost(bound) => bound,
            Self::Within(least, most) | Self::Outside(least, most) => {
                if (number - least).abs() <= (number - most).abs() { least } else { most }
            }
        }
    }
}

impl WrittenRule {
    /// Whether it is a question in SQL.
    pub(crate) fn is_sql(&self) -> bool {
        self.kind.as_deref() == Some("sql")
    }

    /// The question; the error says what is missing.
    pub(crate) fn sql_check(&self, name: String) -> Result<SqlCheck, String> {
        let query = self.query.clone().ok_or("`query` is missing")?;
        if query.len() > MOST_BYTES {
            return Err(format!("a query is at most {MOST_BYTES} bytes long"));
        }
        if query.contains("${") {
            return Err("write the table and its columns by their names: nothing is put in for `${…}`".into());
        }
        let severity = match self.severity.as_deref() {
            None => RuleSeverity::Fail,
            Some(text) => match text.parse()? {
                RuleSeverity::Quarantine => return Err("a rule of type sql holds no rows back: warn or fail".into()),
                severity => severity,
            },
        };
        Ok(SqlCheck { name, severity, query, bound: self.bound()? })
    }

    fn bound(&self) -> Result<CheckBound, String> {
        let bounds = [
            ("mustBe", &self.must_be),
            ("mustNotBe", &self.must_not_be),
            ("mustBeGreaterThan", &self.must_be_greater_than),
            ("mustBeGreaterOrEqualTo", &self.must_be_greater_or_equal_to),
            ("mustBeLessThan", &self.must_be_less_than),
            ("mustBeLessOrEqualTo", &self.must_be_less_or_equal_to),
            ("mustBeBetween", &self.must_be_between),
            ("mustNotBeBetween", &self.must_not_be_between),
        ];
        let mut written = bounds.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let (Some((name, value)), None) = (written.next(), written.next()) else {
            return Err("it needs one of mustBe, mustBeLessThan and the like".into());
        };
        let one = || number(value).ok_or_else(|| format!("`{name}` is a number"));
        let two = || pair(value).ok_or_else(|| format!("`{name}` is two numbers, the lower one first"));
        Ok(match name {
            "mustBe" => CheckBound::Is(one()?),
            "mustNotBe" => CheckBound::IsNot(one()?),
            "mustBeGreaterThan" => CheckBound::Above(one()?),
            "mustBeGreaterOrEqualTo" => CheckBound::AtLeast(one()?),
            "mustBeLessThan" => CheckBound::Below(one()?),
            "mustBeLessOrEqualTo" => CheckBound::AtMost(one()?),
            "mustBeBetween" => two().map(|(least, most)| CheckBound::Within(least, most))?,
            _ => two().map(|(least, most)| CheckBound::Outside(least, most))?,
        })
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

fn pair(value: &Value) -> Option<(f64, f64)> {
    let [least, most] = value.as_sequence()?.as_slice() else { return None };
    Some((number(least)?, number(most)?)).filter(|(least, most)| least <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rule: &str) -> Result<SqlCheck, String> {
        let rule: WrittenRule = yaml_serde::from_str(&format!("type: sql\nquery: SELECT 1\n{rule}")).expect("a rule");
        assert!(rule.is_sql());
        rule.sql_check("c".into())
    }

    #[test]
    fn a_number_is_held_against_its_bound() {
        for (written, good, bad) in [
            ("mustBe: 0", 0.0, 1.0),
            ("mustNotBe: 0", 1.0, 0.0),
            ("mustBeGreaterThan: 2", 2.5, 2.0),
            ("mustBeGreaterOrEqualTo: 2", 2.0, 1.9),
            ("mustBeLessThan: 2", 1.0, 2.0),
            ("mustBeLessOrEqualTo: 2", 2.0, 2.1),
            ("mustBeBetween: [1, 3]", 3.0, 3.5),
            ("mustNotBeBetween: [1, 3]", 0.5, 2.0),
        ] {
            let bound = read(written).expect(written).bound;
            assert!(bound.holds(good) && !bound.holds(bad), "{written}");
        }
        let within = CheckBound::Within(1.0, 3.0);
        assert_eq!((within.threshold(0.0), within.threshold(9.0)), (1.0, 3.0));
    }

    #[test]
    fn what_is_wrong_with_a_question_is_told() {
        for (written, reason) in [
            ("", "it needs one of mustBe"),
            ("mustBe: 0\nmustBeLessThan: 1", "it needs one of mustBe"),
            ("mustBe: none", "`mustBe` is a number"),
            ("mustBeBetween: [3, 1]", "`mustBeBetween` is two numbers"),
            ("mustBe: 0\nseverity: quarantine", "holds no rows back"),
            ("mustBe: 0\nseverity: high", "`high` is none of"),
        ] {
            let told = read(written).expect_err(written);
            assert!(told.contains(reason), "{written}: {told}");
        }
        let rule: WrittenRule =
            yaml_serde::from_str("type: sql\nquery: 'SELECT count(*) FROM ${table}'\nmustBe: 0").expect("a rule");
        assert!(rule.sql_check("c".into()).expect_err("no names").contains("nothing is put in"));
        assert_eq!(read("mustBe: 0").expect("a check").severity, RuleSeverity::Fail);
        assert_eq!(read("mustBe: 0\nseverity: warn").expect("a check").severity, RuleSeverity::Warn);
    }
}
