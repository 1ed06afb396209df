//! Which members of a variable a condition names: the others need not be read.

use std::collections::BTreeSet;

use cel::{
    IdedExpr,
    common::ast::{Expr, LiteralValue, operators},
};

use crate::nesting::inner;

/// The members of `variable` that an expression names; `None` where it may look
/// at any.
pub(crate) fn members(variable: &str, expression: &IdedExpr) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    search(variable, expression, &mut found).then_some(found)
}

/// Answers whether the variable occurs nowhere but in front of a member's name.
fn search(variable: &str, expression: &IdedExpr, found: &mut BTreeSet<String>) -> bool {
    // A dot in front makes a name absolute.
    let is_it = |of: &IdedExpr| matches!(&of.expr, Expr::Ident(name) if name.trim_start_matches('.') == variable);
    if is_it(expression) {
        return false;
    }
    match &expression.expr {
        Expr::Select(select) if is_it(&select.operand) => {
            found.insert(select.field.clone());
            true
        }
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] if is_it(of) => {
                found.insert(name.inner().to_owned());
                true
            }
            _ => inner(expression).into_iter().all(|part| search(variable, part, found)),
        },
        _ => inner(expression).into_iter().all(|part| search(variable, part, found)),
    }
}

#[cfg(test)]
mod tests {
    use cel::Program;

    use super::*;

    #[test]
    fn only_members_that_are_named_are_needed() {
        for (text, expected) in [
            ("data.quantity > 0 && data.unit_price > 0", Some(&["quantity", "unit_price"][..])),
            ("data['a b'] == 1 || has(data.c) || data.d.e[0].f == 2", Some(&["a b", "c", "d"])),
            ("type == 'x'", Some(&[])),
            ("data.list.all(i, i.data > data.max)", Some(&["list", "max"])),
            ("size(data) > 1", None),
            ("data[type] == 1", None),
            ("data == item", None),
            ("'x' in data", None),
            ("data.all(name, data[name] == 1)", None),
            (".data == item || data.x == 1", None),
        ] {
            let program = Program::compile(text).expect(text);
            let expected: Option<BTreeSet<String>> = expected.map(|names| names.iter().map(|&n| n.into()).collect());
            assert_eq!(members("data", program.expression()), expected, "{text}");
        }
    }
}
