//! What is refused before it is planned: planning has no limit of its own but the process's, and a question that
//! is too large for it is told so at once.

use std::ops::ControlFlow;

use deltalake::datafusion::{
    common::tree_node::TreeNodeRecursion,
    logical_expr::LogicalPlan,
    sql::{
        parser::Statement,
        sqlparser::{
            ast::{Expr, GroupByExpr, Select, TableFactor, Visit as _, Visitor},
            dialect::GenericDialect,
            keywords::Keyword,
            tokenizer::{Token, Tokenizer},
        },
    },
};

use crate::SqlError;

/// The most relations of a question.
pub(super) const MAX_RELATIONS: usize = 16;
/// The most grouping sets of a `GROUP BY`.
pub(super) const MAX_GROUPING_SETS: usize = 64;
/// The most columns of a `rollup`.
const MAX_ROLLUP: usize = 16;

/// The most operators of a question: a chain of them is as deep as it is long, and each
/// level of it takes room on the stack.
pub(super) const MAX_OPERATORS: usize = 500;

/// Refuses a text that is too deep to be read.
pub(super) fn check_text(sql: &str) -> Result<(), SqlError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| SqlError::Invalid(error.to_string()))?;
    if tokens.iter().filter(|token| is_operator(token)).count() > MAX_OPERATORS {
        return Err(SqlError::TooManyOperators(MAX_OPERATORS));
    }
    Ok(())
}

/// Whether a token may stand between two parts of one expression or query.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.keyword != Keyword::NoKeyword && word.quote_style.is_none() && !is_value(word.keyword)
        }
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        _ => true,
    }
}

const fn is_value(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::NULL | Keyword::TRUE | Keyword::FALSE)
}

/// Refuses a question that would take too much before the limits count.
pub(super) fn check(statement: &Statement) -> Result<(), SqlError> {
    let mut bounds = Bounds::default();
    let checked = match statement {
        Statement::Statement(statement) => statement.visit(&mut bounds),
        Statement::Explain(explain) => return check(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => return Ok(()),
    };
    match checked {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Refuses a plan of too many relations: those of a `WITH` are in it each time that they are named.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut relations = 0;
    plan.apply_with_subqueries(|node| {
        relations += usize::from(node.inputs().is_empty());
        Ok(if relations > MAX_RELATIONS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if relations > MAX_RELATIONS { Err(SqlError::TooManyRelations(MAX_RELATIONS)) } else { Ok(()) }
}

#[derive(Default)]
struct Bounds {
    relations: usize,
}

impl Visitor for Bounds {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        let GroupByExpr::Expressions(expressions, _) = &select.group_by else { return ControlFlow::Continue(()) };
        // Sets of several expressions are multiplied with each other.
        let sets = expressions.iter().map(grouping_sets).fold(1, usize::saturating_mul);
        if sets > MAX_GROUPING_SETS {
            return ControlFlow::Break(SqlError::TooManyGroupingSets(MAX_GROUPING_SETS));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        self.relations += usize::from(!matches!(factor, TableFactor::NestedJoin { .. }));
        if self.relations > MAX_RELATIONS {
            return ControlFlow::Break(SqlError::TooManyRelations(MAX_RELATIONS));
        }
        ControlFlow::Continue(())
    }
}

/// How many grouping sets an expression of a `GROUP BY` comes to.
fn grouping_sets(expression: &Expr) -> usize {
    match expression {
        Expr::Cube(columns) => u32::try_from(columns.len()).ok().and_then(|n| 2_usize.checked_pow(n)),
        Expr::Rollup(columns) => (columns.len() <= MAX_ROLLUP).then_some(columns.len() + 1),
        Expr::GroupingSets(sets) => Some(sets.len()),
        _ => Some(1),
    }
    .unwrap_or(usize::MAX)
}
