//! Where other engines find a field.

use tidemill_definitions::{Field, LineField, MetricDefinition, OrderField};

use super::PlanError;
use crate::SqlDialect;

/// The column that says of an order whether one of its lines could not be read: 1 or 0,
/// and null where it has none.
pub(super) const PART: &str = "order_part";

/// A field in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldSql {
    /// A text.
    Text(String),
    /// A text that may be meant as a number.
    Written(String),
    /// An exact amount.
    Amount(String),
}

/// The fields of a metric's rows.
pub(super) struct Fields<'m> {
    pub(super) dialect: SqlDialect,
    pub(super) metric: &'m MetricDefinition,
}

impl FieldSql {
    /// As a text.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(sql) | Self::Written(sql) | Self::Amount(sql) => sql,
        }
    }

    /// As an exact number; null where it is none.
    pub(super) fn amount(&self) -> String {
        match self {
            Self::Amount(sql) => sql.clone(),
            Self::Text(sql) | Self::Written(sql) => format!("TRY_CAST({sql} AS DECIMAL(38, 12))"),
        }
    }
}

impl Fields<'_> {
    fn is_of_lines(&self) -> bool {
        self.metric.each == Some(Field::Lines)
    }

    fn name(&self, name: &str) -> String {
        self.dialect.name(name)
    }

    /// What a field is.
    pub(super) fn of(&self, field: &Field) -> Result<FieldSql, PlanError> {
        let column = |name: &str| Ok(FieldSql::Text(self.name(name)));
        match field {
            Field::Data(path) if !self.is_of_lines() => self.member("data", path),
            Field::Item(path) => self.member("item_text", path),
            Field::Line(LineField::Product) => column("product"),
            Field::Line(line) => Ok(FieldSql::Amount(self.name(line.name()))),
            Field::Order(order) => self.order(*order),
            Field::Category if self.is_of_lines() => column("category"),
            Field::Category => self.of_item("category"),
            Field::Product(name) if !self.is_of_lines() => self.of_item(&format!("product.{name}")),
            Field::Customer(name) if !self.is_of_lines() => self.member("enriched", &["customer".into(), name.clone()]),
            Field::IpCountry if !self.is_of_lines() => column("ip_country"),
            Field::Country => column("country"),
            Field::Region => column("region"),
            Field::Currency => column("currency"),
            Field::Subject => column("subject"),
            Field::Source => column("source"),
            Field::Type => column("type"),
            Field::Id => column(if self.is_of_lines() { "event_id" } else { "id" }),
            Field::Lines | Field::Data(_) | Field::Product(_) | Field::Customer(_) | Field::IpCountry => {
                Err(PlanError::Field(format!("{field:?}")))
            }
        }
    }

    /// A member of a column of JSON.
    fn member(&self, column: &str, path: &[String]) -> Result<FieldSql, PlanError> {
        Ok(FieldSql::Written(self.dialect.json(&self.name(column), &json_path(path)?)))
    }

    /// What is known of the product of the item.
    fn of_item(&self, member: &str) -> Result<FieldSql, PlanError> {
        let path: Vec<String> = member.split('.').map(String::from).collect();
        let enriched = self.name("enriched");
        let rest = json_path(&path)?;
        let rest = rest.trim_start_matches('$');
        Ok(FieldSql::Written(match self.metric.each {
            Some(Field::Data(_)) => {
                let at = format!("'$.items[' || {} || ']{rest}'", self.dialect.whole_text(&self.name("at")));
                self.dialect.json_at(&enriched, &at)
            }
            _ => self.dialect.json(&enriched, &format!("$.items[0]{rest}")),
        }))
    }

    fn order(&self, order: OrderField) -> Result<FieldSql, PlanError> {
        if self.is_of_lines() {
            return match order {
                OrderField::Id => Ok(FieldSql::Text(self.name("order_id"))),
                _ => Err(PlanError::Field(format!("order.{}", order.name()))),
            };
        }
        let member = |name: &str| self.dialect.json(&self.name("enriched"), &format!("$.order.{name}"));
        let id = member("id");
        Ok(match order {
            OrderField::Id => FieldSql::Text(id),
            OrderField::Sum(line) => {
                let (sum, part) = (self.name(&format!("order_{}", line.name())), self.name(PART));
                FieldSql::Amount(format!("CASE WHEN {id} IS NULL THEN NULL WHEN {part} IS NULL THEN 0 ELSE {sum} END"))
            }
            OrderField::Shipping | OrderField::Tax | OrderField::Excess => {
                let name = order.name();
                let amount = format!("coalesce(CAST({} AS DECIMAL(38, 12)), 0)", member(name));
                let is_read = format!("{} IS NULL", member(&format!("{name}_unread")));
                FieldSql::Amount(format!("CASE WHEN {id} IS NOT NULL AND {is_read} THEN {amount} END"))
            }
        })
    }
}

/// A path of JSON; names that it cannot say are refused.
pub(super) fn json_path(path: &[String]) -> Result<String, PlanError> {
    let is_plain = |name: &String| name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    match path.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(PlanError::Field(name.clone())),
        None => Ok(format!("$.{}", path.join("."))),
    }
}
