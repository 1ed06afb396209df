//! Fields: where in an event a dimension or measure finds its value.

mod order;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use order::{LineField, OrderField};

/// A place in an enriched event. Written as a dotted path:
///
/// | path | what |
/// | --- | --- |
/// | `data.x.y` | a member of the event's data |
/// | `item.x` | a member of the current item (with `each: data.…`) |
/// | `line.x` | an amount of the current line of an order (with `each: lines`) |
/// | `order.x` | the id or an amount of the order that the event places or changes |
/// | `category` | category of the current item's product |
/// | `product.x` | an attribute of the current item's product |
/// | `customer.x` | an attribute of the customer's profile |
/// | `region`, `country`, `ip_country` | where it happened |
/// | `currency` | the currency of the event's amounts |
/// | `subject`, `source`, `type`, `id` | the event's own attributes |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `data.…`
    Data(Vec<String>),
    /// `item.…`
    Item(Vec<String>),
    /// `lines`: those of an order, for `each` alone.
    Lines,
    /// `line.x`
    Line(LineField),
    /// `order.x`
    Order(OrderField),
    /// `category`
    Category,
    /// `product.x`
    Product(String),
    /// `customer.x`
    Customer(String),
    /// `region`
    Region,
    /// `country`
    Country,
    /// `ip_country`
    IpCountry,
    /// `currency`
    Currency,
    /// `subject`
    Subject,
    /// `source`
    Source,
    /// `type`
    Type,
    /// `id`
    Id,
}

impl Field {
    /// Reads a path; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('.').map(String::from).collect();
        if parts.iter().any(String::is_empty) {
            return Err(format!("`{text}` is not a field: a name is missing"));
        }
        let (root, rest) = parts.split_first().ok_or("a field needs a name")?;
        match (root.as_str(), rest) {
            ("data", [_, ..]) => Ok(Self::Data(rest.to_vec())),
            ("item", [_, ..]) => Ok(Self::Item(rest.to_vec())),
            ("lines", []) => Ok(Self::Lines),
            ("line", [name]) => LineField::parse(name).map(Self::Line),
            ("order", [name]) => OrderField::parse(name).map(Self::Order),
            ("product", [name]) => Ok(Self::Product(name.clone())),
            ("customer", [name]) => Ok(Self::Customer(name.clone())),
            ("category", []) => Ok(Self::Category),
            ("region", []) => Ok(Self::Region),
            ("country", []) => Ok(Self::Country),
            ("ip_country", []) => Ok(Self::IpCountry),
            ("currency", []) => Ok(Self::Currency),
            ("subject", []) => Ok(Self::Subject),
            ("source", []) => Ok(Self::Source),
            ("type", []) => Ok(Self::Type),
            ("id", []) => Ok(Self::Id),
            _ => Err(format!(
                "`{text}` is not a field; fields are data.…, item.…, line.x, order.x, category, product.x, \
                 customer.x, region, country, ip_country, currency, subject, source, type and id"
            )),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Data(rest) => format!("data.{}", rest.join(".")),
            Self::Item(rest) => format!("item.{}", rest.join(".")),
            Self::Lines => "lines".into(),
            Self::Line(field) => format!("line.{}", field.name()),
            Self::Order(field) => format!("order.{}", field.name()),
            Self::Product(name) => format!("product.{name}"),
            Self::Customer(name) => format!("customer.{name}"),
            Self::Category => "category".into(),
            Self::Region => "region".into(),
            Self::Country => "country".into(),
            Self::IpCountry => "ip_country".into(),
            Self::Currency => "currency".into(),
            Self::Subject => "subject".into(),
            Self::Source => "source".into(),
            Self::Type => "type".into(),
            Self::Id => "id".into(),
        }
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path())
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for path in [
            "data.a.b",
            "item.quantity",
            "lines",
            "line.net",
            "order.id",
            "category",
            "product.brand",
            "customer.segment",
            "region",
            "currency",
            "id",
        ] {
            assert_eq!(Field::parse(path).expect(path).path(), path);
        }
        for (wrong, reason) in [
            ("", "a name is missing"),
            ("data", "fields are data.…"),
            ("item", "fields are data.…"),
            ("data..x", "a name is missing"),
            ("region.x", "fields are data.…"),
            ("revenue", "fields are data.…"),
            ("line", "fields are data.…"),
            ("line.netto", "a line has product, quantity, gross"),
            ("order.gros", "an order has id, quantity, gross"),
        ] {
            let error = Field::parse(wrong).expect_err(wrong);
            assert!(error.starts_with(&format!("`{wrong}` is not a field")) && error.contains(reason), "{error}");
        }
    }
}
