//! How deeply a condition nests. CEL reads and evaluates by recursion: what is
//! nested too deeply would fill a thread's stack and end the process.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};

/// The most brackets within each other.
const MAX_BRACKETS: usize = 16;
/// The most operations within each other: a sum of so many terms nests as deep.
const MAX_OPERATIONS: usize = 24;
/// The most macros, such as `all` or `exists`, within each other: each multiplies
/// what the inner ones cost.
const MAX_MACROS: usize = 2;

/// Refuses a text whose brackets nest too deeply, before it is parsed. Those in
/// quotes do not count.
pub(crate) fn check_text(text: &str) -> Result<(), String> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for character in text.chars() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        if depth > MAX_BRACKETS {
            return Err(format!("at most {MAX_BRACKETS} brackets may be within each other"));
        }
    }
    Ok(())
}

/// Refuses an expression whose operations or macros nest too deeply.
pub(crate) fn check(expression: &IdedExpr) -> Result<(), String> {
    let (operations, macros) = depth(expression);
    if operations > MAX_OPERATIONS {
        return Err(format!("at most {MAX_OPERATIONS} operations may be within each other, here are {operations}"));
    }
    if macros > MAX_MACROS {
        return Err(format!("at most {MAX_MACROS} macros may be within each other, here are {macros}"));
    }
    Ok(())
}

/// Operations, and macros among them, on the deepest way into an expression. The
/// parser's own limit, 96, bounds the recursion.
fn depth(expression: &IdedExpr) -> (usize, usize) {
    let is_macro = usize::from(matches!(expression.expr, Expr::Comprehension(_)));
    let deepest = inner(expression).into_iter().map(depth).fold((0, 0), |(a, b), (c, d)| (a.max(c), b.max(d)));
    (deepest.0 + 1, deepest.1 + is_macro)
}

/// The expressions right within one.
pub(crate) fn inner(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| parts(&entry.expr)).collect(),
        Expr::Struct(object) => object.entries.iter().flat_map(|entry| parts(&entry.expr)).collect(),
        Expr::Comprehension(of) => vec![&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result],
        _ => Vec::new(),
    }
}

pub(crate) fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
