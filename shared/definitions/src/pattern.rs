//! Patterns that conditions match texts with. CEL's own function compiles its pattern in each call,
//! which takes a thousand times as long as most conditions.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use cel::{
    DeclarationError, Env, ExecutionError, IdedExpr, add_member_overload, add_overload,
    common::{
        ast::{Expr, LiteralValue},
        types::{CelBool, CelString},
    },
};
use regex::{Regex, RegexBuilder};

use crate::nesting;

/// What a compiled pattern may take. Its text is short, but `(a{1,1000}){1,1000}` is a million states.
const MOST_BYTES: usize = 4 << 20;
/// Patterns that are kept compiled: those that are written in definitions are far fewer.
const MOST_KEPT: usize = 256;

/// Patterns that were asked for; none where it cannot be used.
static KNOWN: LazyLock<RwLock<HashMap<String, Option<Regex>>>> = LazyLock::new(RwLock::default);

/// Adds `matches`, as a function and as a method of texts.
pub(crate) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    add_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>, id = "matches")?;
    add_member_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>)
}

fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    // What is wrong with it is not told: it may be a customer's.
    let wrong = || ExecutionError::FunctionError { function: "matches".into(), message: "no pattern".into() };
    compiled(pattern.inner()).map(|pattern| CelBool::from(pattern.is_match(text.inner()))).ok_or_else(wrong)
}

fn compiled(pattern: &str) -> Option<Regex> {
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return known.clone();
    }
    let made = compile(pattern).ok();
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    // They come from events where a condition says so, and no end to them.
    if known.len() >= MOST_KEPT {
        known.clear();
    }
    known.insert(pattern.to_owned(), made.clone());
    made
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(MOST_BYTES).dfa_size_limit(MOST_BYTES).build()
}

/// Refuses an expression with a pattern that cannot be used, as far as patterns are written in it.
pub(crate) fn check(expression: &IdedExpr) -> Result<(), String> {
    if let Expr::Call(call) = &expression.expr
        && call.func_name == "matches"
        && let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr)
    {
        let pattern = pattern.inner();
        match compile(pattern) {
            Ok(_) => {}
            Err(regex::Error::CompiledTooBig(_)) => {
                let reason = "it has more states than a condition may have: repeat less often, or within brackets once";
                return Err(format!("`{pattern}` cannot be matched: {reason}"));
            }
            Err(error) => return Err(format!("`{pattern}` is no pattern: {}", last_line(&error))),
        }
    }
    nesting::inner(expression).into_iter().try_for_each(check)
}

/// What the error says, without the drawing of where.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Instant};

    use serde_json::json;

    use crate::Condition;

    fn holds(text: &str, data: serde_json::Value) -> Result<bool, String> {
        Condition::compile(text)?.holds(&BTreeMap::from([("data".into(), data)]))
    }

    #[test]
    fn patterns_match_as_they_do_in_cel() {
        let data = json!({"a": "Tidemill 12", "p": "1+"});
        for (condition, expected) in [
            ("data.a.matches('^Tide')", true),
            ("matches(data.a, '[0-9]{2}$')", true),
            ("data.a.matches('^mill')", false),
            ("data.a.matches(data.p)", true),
            ("!data.a.matches('(?i)^tide')", false),
        ] {
            assert_eq!(holds(condition, data.clone()), Ok(expected), "{condition}");
        }
        for wrong in ["data.a.matches(data.p + '(')", "data.n.matches('1')"] {
            assert!(holds(wrong, data.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_where_it_is_written() {
        for (condition, told) in [
            ("data.a.matches('(a{1,1000}){1,1000}')", "`(a{1,1000}){1,1000}` cannot be matched: it has more states"),
            ("data.b || matches(data.a, 'a(')", "`a(` is no pattern: unclosed group"),
        ] {
            let refused = Condition::compile(condition).expect_err(condition);
            assert!(refused.starts_with(told), "{refused}");
        }
    }

    /// One that events bring along is compiled once, also if it cannot be used.
    #[test]
    fn a_pattern_is_compiled_once() {
        let condition = Condition::compile("data.a.matches(data.p)").expect("compiles");
        let large = json!({"a": "aaa", "p": "(b{1,1000}){1,1000}"});
        let variables = BTreeMap::from([("data".to_owned(), large)]);
        let asked = |times: u32| {
            let begun = Instant::now();
            (0..times).for_each(|_| assert!(condition.holds(&variables).is_err()));
            begun.elapsed()
        };
        let first = asked(1);
        let others = asked(100);
        assert!(others < first * 20, "{first:?}, and a hundred more {others:?}");
    }
}
