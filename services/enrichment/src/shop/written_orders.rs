//! The section `orders` of the definition.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidemill_definitions::Field;

use super::{
    fields::{check, member_paths},
    members::MemberPath,
    orders::{LineMember, OrderMember, OrderMembers, OrderPaths},
};
use crate::orders::StatementKind;

/// Types of events that are about orders at most.
const MAX_TYPES: usize = 32;

/// How events tell of orders, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenOrders {
    placed: Vec<String>,
    refunded: Vec<String>,
    cancelled: Vec<String>,
    id: Vec<Field>,
    discount: Vec<Field>,
    shipping: Vec<Field>,
    tax: Vec<Field>,
    amount: Vec<Field>,
    line: WrittenLine,
}

/// Of an item.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLine {
    quantity: Vec<Field>,
    price: Vec<Field>,
    discount: Vec<Field>,
    amount: Vec<Field>,
    #[serde(default)]
    sku: Vec<Field>,
}

/// The key that is wrong, and why.
type OrdersFault = (&'static str, String);

impl WrittenOrders {
    /// `items` and `products` are those of the events.
    pub(super) fn members(self, items: &[MemberPath], products: &[MemberPath]) -> Result<OrderMembers, OrdersFault> {
        let kinds = self.kinds()?;
        let of_data = |key, fields: &[Field]| names(key, fields, "data");
        let of_order = BTreeMap::from([
            (OrderMember::Id, of_data("id", &self.id)?),
            (OrderMember::Items, items.iter().filter_map(data).collect()),
            (OrderMember::Discount, of_data("discount", &self.discount)?),
            (OrderMember::Shipping, of_data("shipping", &self.shipping)?),
            (OrderMember::Tax, of_data("tax", &self.tax)?),
            (OrderMember::Amount, of_data("amount", &self.amount)?),
        ]);
        let of_item = |key, fields: &[Field]| names(key, fields, "item");
        let of_line = BTreeMap::from([
            (LineMember::Product, products.iter().filter_map(item).collect()),
            (LineMember::Sku, of_item("sku", &self.line.sku)?),
            (LineMember::Quantity, of_item("quantity", &self.line.quantity)?),
            (LineMember::Price, of_item("price", &self.line.price)?),
            (LineMember::Discount, of_item("discount", &self.line.discount)?),
            (LineMember::Amount, of_item("amount", &self.line.amount)?),
        ]);
        Ok(OrderMembers::new(kinds, OrderPaths { of_order, of_line }))
    }

    fn kinds(&self) -> Result<BTreeMap<String, StatementKind>, OrdersFault> {
        let mut kinds = BTreeMap::new();
        for (key, types, kind) in [
            ("placed", &self.placed, StatementKind::Placed),
            ("refunded", &self.refunded, StatementKind::Refunded),
            ("cancelled", &self.cancelled, StatementKind::Cancelled),
        ] {
            for name in types {
                if kinds.insert(name.clone(), kind).is_some() {
                    return Err((key, format!("`{name}` stands there twice")));
                }
            }
        }
        if kinds.len() > MAX_TYPES {
            return Err(("orders", format!("names more than {MAX_TYPES} types of events")));
        }
        Ok(kinds)
    }
}

fn names(key: &'static str, fields: &[Field], root: &str) -> Result<Vec<Vec<String>>, OrdersFault> {
    check(fields).map_err(|reason| (key, reason))?;
    let paths = member_paths(fields, &[root]).map_err(|reason| (key, reason))?;
    Ok(paths.iter().filter_map(|path| data(path).or_else(|| item(path))).collect())
}

fn data(path: &MemberPath) -> Option<Vec<String>> {
    match path {
        MemberPath::Data(names) => Some(names.clone()),
        MemberPath::Item(_) | MemberPath::Source | MemberPath::Subject => None,
    }
}

fn item(path: &MemberPath) -> Option<Vec<String>> {
    match path {
        MemberPath::Item(names) => Some(names.clone()),
        MemberPath::Data(_) | MemberPath::Source | MemberPath::Subject => None,
    }
}
