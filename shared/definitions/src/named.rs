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

/// The names that an expression needs from without: those that a macro gives to the items of a list are its own.
pub(crate) fn free(expression: &IdedExpr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    gather(expression, &mut Vec::new(), &mut found);
    found
}

fn gather<'e>(expression: &'e IdedExpr, bound: &mut Vec<&'e str>, found: &mut BTreeSet<String>) {
    match &expression.expr {
        Expr::Ident(name) if !bound.contains(&name.as_str()) => {
            found.insert(name.clone());
        }
        Expr::Ident(_) => {}
        Expr::Comprehension(of) => {
            gather(&of.iter_range, bound, found);
            gather(&of.accu_init, bound, found);
            let outer = bound.len();
            bound.extend([of.iter_var.as_str(), of.accu_var.as_str()].into_iter().chain(of.iter_var2.as_deref()));
            [&of.loop_cond, &of.loop_step, &of.result].into_iter().for_each(|part| gather(part, bound, found));
            bound.truncate(outer);
        }
        _ => inner(expression).into_iter().for_each(|part| gather(part, bound, found)),
    }
}

#[cfg(test)]
mod tests {
    use cel::Program;

    use super::*;

    #[test]
    fn names_that_a_macro_gives_are_its_own() {
        for (text, expected) in [
            ("data.list.all(i, i.data > type)", &["data", "type"][..]),
            ("data.list.exists(i, i > 0) && i == 1", &["data", "i"]),
            ("data.a.all(i, data.b.all(k, i < k)) || region == 'x'", &["data", "region"]),
            ("data.list.map(i, i * 2) == [2] && has(product.brand)", &["data", "product"]),
        ] {
            let program = Program::compile(text).expect(text);
            assert_eq!(free(program.expression()), expected.iter().map(|&name| name.into()).collect(), "{text}");
        }
    }

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
