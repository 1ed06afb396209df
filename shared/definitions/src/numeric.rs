//! Which members a condition takes for numbers. Shops write numbers as texts
//! too (`"quantity": "2"`), and a text compares with no number.

use std::collections::BTreeMap;

use cel::{
    IdedExpr,
    common::ast::{ComprehensionExpr, Expr, LiteralValue, operators},
};

use crate::nesting::parts;

/// The place of an item in a list whose items are gone through.
const EACH: &str = "[]";
/// Operators that numbers have, and texts too.
const ORDER: [&str; 4] = [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];
const EQUALITY: [&str; 2] = [operators::EQUALS, operators::NOT_EQUALS];
/// Operators that only numbers have, and times, which are no members.
const ARITHMETIC: [&str; 5] =
    [operators::SUBSTRACT, operators::MULTIPLY, operators::DIVIDE, operators::MODULO, operators::NEGATE];
/// Functions whose answer is a number.
const COUNTING: [&str; 4] = ["size", "int", "uint", "double"];

/// Members that a condition uses as numbers, as a tree of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NumericMembers {
    is_number: bool,
    members: BTreeMap<String, NumericMembers>,
}

type Path = Vec<String>;

impl NumericMembers {
    /// Finds them: what is calculated with, or compared with a number, or put in
    /// an order with another member.
    pub(crate) fn of(expression: &IdedExpr) -> Self {
        let mut found = Self::default();
        found.search(expression, &BTreeMap::new());
        found
    }

    /// Whether a text at this place is meant as a number.
    pub(crate) const fn is_number(&self) -> bool {
        self.is_number
    }

    /// What holds for a member of this one.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        self.members.get(name)
    }

    /// What holds for the items of a list here.
    pub(crate) fn item(&self) -> Option<&Self> {
        self.member(EACH)
    }

    /// `items` has the lists that variables of macros go through.
    fn search(&mut self, expression: &IdedExpr, items: &BTreeMap<String, Path>) {
        match &expression.expr {
            Expr::Call(call) => {
                let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
                self.compare(&call.func_name, &operands, items);
                operands.into_iter().for_each(|operand| self.search(operand, items));
            }
            Expr::Select(select) => self.search(&select.operand, items),
            Expr::List(list) => list.elements.iter().for_each(|element| self.search(element, items)),
            Expr::Map(map) => {
                map.entries.iter().flat_map(|entry| parts(&entry.expr)).for_each(|part| self.search(part, items));
            }
            Expr::Struct(object) => {
                object.entries.iter().flat_map(|entry| parts(&entry.expr)).for_each(|part| self.search(part, items));
            }
            Expr::Comprehension(comprehension) => self.search_items(comprehension, items),
            _ => {}
        }
    }

    fn search_items(&mut self, of: &ComprehensionExpr, items: &BTreeMap<String, Path>) {
        self.search(&of.iter_range, items);
        let mut inner = items.clone();
        match path(&of.iter_range, items) {
            Some(mut list) => {
                list.push(EACH.into());
                inner.insert(of.iter_var.clone(), list);
            }
            None => drop(inner.remove(&of.iter_var)),
        }
        for part in [&of.accu_init, &of.loop_cond, &of.loop_step, &of.result] {
            self.search(part, &inner);
        }
    }

    fn compare(&mut self, operator: &str, operands: &[&IdedExpr], items: &BTreeMap<String, Path>) {
        let numbers = match operands {
            _ if ARITHMETIC.contains(&operator) => true,
            [one, other] if ORDER.contains(&operator) => !is_other(one) && !is_other(other),
            [one, other] if EQUALITY.contains(&operator) || operator == operators::ADD => {
                is_number(one) || is_number(other)
            }
            [_, list] if operator == operators::IN => {
                matches!(&list.expr, Expr::List(list) if list.elements.iter().any(is_number))
            }
            _ => false,
        };
        if numbers {
            operands.iter().for_each(|operand| self.mark(operand, items));
        }
    }

    fn mark(&mut self, operand: &IdedExpr, items: &BTreeMap<String, Path>) {
        if let Expr::Call(call) = &operand.expr
            && let (operators::CONDITIONAL, [_, one, other]) = (call.func_name.as_str(), call.args.as_slice())
        {
            self.mark(one, items);
            self.mark(other, items);
        }
        if let Some(path) = path(operand, items) {
            let mut place = self;
            for name in path {
                place = place.members.entry(name).or_default();
            }
            place.is_number = true;
        }
    }
}

/// The names on the way to a member; `None` of what is no member.
fn path(expression: &IdedExpr, items: &BTreeMap<String, Path>) -> Option<Path> {
    match &expression.expr {
        Expr::Ident(name) => Some(items.get(name).cloned().unwrap_or_else(|| vec![name.clone()])),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand, items)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [of, index] = call.args.as_slice() else { return None };
            let mut path = path(of, items)?;
            path.push(match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => name.inner().to_owned(),
                _ => EACH.into(),
            });
            Some(path)
        }
        _ => None,
    }
}

/// Whether the expression cannot be true or false whatever the members are.
pub(crate) fn is_never_a_condition(expression: &IdedExpr) -> bool {
    let is_true_or_false = matches!(&expression.expr, Expr::Literal(LiteralValue::Boolean(_)));
    let is_value = matches!(&expression.expr, Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Struct(_));
    is_number(expression) || is_value && !is_true_or_false
}

/// Whether the expression is a number whatever the members are.
fn is_number(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Literal(literal) => {
            matches!(literal, LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_))
        }
        Expr::Call(call) if call.func_name == operators::ADD => call.args.iter().any(is_number),
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.iter().skip(1).any(is_number),
        Expr::Call(call) => {
            ARITHMETIC.contains(&call.func_name.as_str()) || COUNTING.contains(&call.func_name.as_str())
        }
        _ => false,
    }
}

/// Whether the expression is no number whatever the members are.
fn is_other(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.iter().skip(1).any(is_other),
        Expr::Literal(_) | Expr::Call(_) => !is_number(expression) && path(expression, &BTreeMap::new()).is_none(),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Comprehension(_) => true,
        _ => false,
    }
}
