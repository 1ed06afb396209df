//! What an event's data must look like: JSON Schemas, by event type.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Value, value::RawValue};
use tidemill_domain::Amount;
use tidemill_events::personal::Members;
use tidemill_service::{FieldError, StartError};

use crate::{
    config::{SchemasConfig, UnknownTypes},
    error::{Error, clip},
    formats::is_json,
    normalise::Event,
};

/// Wrong places that are told of one event.
const MAX_ERRORS: usize = 10;
/// Marks a property that is about a person: it is masked where dead letters are
/// shown.
const PERSONAL: &str = "x-personal";
/// Bytes of names that every dead letter carries in a header.
const MAX_PERSONAL: usize = 4096;

/// The event types of a shop.
const SHOP: [(&str, &str); 6] = [
    ("product.viewed", include_str!("../schemas/product.viewed.json")),
    ("cart.item_added", include_str!("../schemas/cart.item_added.json")),
    ("order.placed", include_str!("../schemas/order.placed.json")),
    ("order.cancelled", include_str!("../schemas/order.cancelled.json")),
    ("order.refunded", include_str!("../schemas/order.refunded.json")),
    ("invoice.line", include_str!("../schemas/invoice.line.json")),
];

/// The registered schemas.
pub(crate) struct Schemas {
    by_type: HashMap<String, Validator>,
    personal: Members,
    unknown: UnknownTypes,
}

/// An event whose data is as its type's schema has it.
#[derive(Debug)]
pub(crate) struct ValidEvent(Event);

impl Schemas {
    /// The shop's schemas, and those of the configured folder over them.
    pub(crate) fn load(config: &SchemasConfig) -> Result<Self, StartError> {
        let (mut by_type, mut personal) = (HashMap::new(), BTreeSet::new());
        for (name, text) in SHOP {
            by_type.insert(name.to_owned(), compile(name, text, &mut personal)?);
        }
        for (name, text) in config.folder.as_deref().map(files).transpose()?.unwrap_or_default() {
            let schema = compile(&name, &text, &mut personal)?;
            by_type.insert(name, schema);
        }
        let personal = Members::new(personal);
        let bytes: usize = personal.more().iter().map(String::len).sum();
        if bytes > MAX_PERSONAL {
            return Err(StartError::new(format!(
                "the names that schemas mark with {PERSONAL} take {bytes} bytes; a dead letter has room for \
                 {MAX_PERSONAL}"
            )));
        }
        Ok(Self { by_type, personal, unknown: config.unknown })
    }

    /// Members that schemas mark as personal.
    pub(crate) fn personal(&self) -> &Members {
        &self.personal
    }

    /// The event, if its data is as its schema has it.
    pub(crate) fn validate(&self, event: Event) -> Result<ValidEvent, Error> {
        let Some(schema) = self.by_type.get(event.kind.as_str()) else {
            return match self.unknown {
                UnknownTypes::Accept => Ok(ValidEvent(event)),
                UnknownTypes::Reject => Err(Error::UnknownType(event.kind.to_string())),
            };
        };
        let Some(data) = event.data.as_ref().filter(|_| is_json(event.content_type())) else {
            let detail = if event.data.is_none() { "is required" } else { "must be JSON" };
            return Err(Error::SchemaViolation(vec![FieldError { pointer: "/data".into(), detail: detail.into() }]));
        };
        if schema.is_valid(data) {
            return Ok(ValidEvent(event));
        }
        // Without the values: they are the sender's, and of any length.
        let field_error = |error: ValidationError<'_>| FieldError {
            pointer: format!("/data{}", clip(error.instance_path().as_str())),
            detail: clip(&error.masked().to_string()),
        };
        Err(Error::SchemaViolation(schema.iter_errors(data).take(MAX_ERRORS).map(field_error).collect()))
    }
}

impl ValidEvent {
    pub(crate) fn into_event(self) -> Event {
        self.0
    }
}

/// The schemas of a folder: event types and texts.
fn files(folder: &Path) -> Result<Vec<(String, String)>, StartError> {
    let failed = |path: &Path, e: std::io::Error| StartError::new(format!("schemas.folder: {}: {e}", path.display()));
    let mut schemas = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            schemas.push((name, std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?));
        }
    }
    Ok(schemas)
}

fn compile(name: &str, text: &str, personal: &mut BTreeSet<String>) -> Result<Validator, StartError> {
    let failed = |reason: String| StartError::new(format!("schema {name}.json: {reason}"));
    name.parse::<tidemill_domain::EventType>().map_err(|e| failed(format!("the file's name as an event type {e}")))?;
    let schema: Value = serde_json::from_str(text).map_err(|e| failed(e.to_string()))?;
    marked(&schema, personal);
    jsonschema::options()
        .offline()
        .with_keyword("decimal", |_, bounds, _| match Decimal::new(bounds) {
            Some(decimal) => Ok(Box::new(decimal)),
            None => Err(ValidationError::schema("decimal takes minimum or exclusiveMinimum, as texts")),
        })
        .build(&schema)
        .map_err(|e| failed(format!("{e} at {}", e.schema_path())))
}

/// Names of the properties that a schema marks as personal, wherever in it.
fn marked(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                let is_marked = |property: &Value| property.get(PERSONAL) == Some(&Value::Bool(true));
                names.extend(
                    properties.iter().filter(|(_, property)| is_marked(property)).map(|(name, _)| name.clone()),
                );
            }
            members.values().for_each(|member| marked(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| marked(item, names)),
        _ => {}
    }
}

/// The keyword `decimal`: a number, or a text that spells one, that Tidemill
/// can hold exactly (at most six decimals, below 10^15); `{"minimum": "0"}`
/// and `{"exclusiveMinimum": "0"}` bound it.
struct Decimal {
    minimum: Option<Amount>,
    exclusive_minimum: Option<Amount>,
}

impl Decimal {
    fn new(bounds: &Value) -> Option<Self> {
        let mut decimal = Self { minimum: None, exclusive_minimum: None };
        for (name, bound) in bounds.as_object()? {
            let bound = Some(bound.as_str()?.parse().ok()?);
            match name.as_str() {
                "minimum" => decimal.minimum = bound,
                "exclusiveMinimum" => decimal.exclusive_minimum = bound,
                _ => return None,
            }
        }
        Some(decimal)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let text = match value {
            Value::Number(number) => number.to_string(),
            // JSON's spelling of numbers, so that every stage reads the same.
            Value::String(text) if serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text) => {
                text.clone()
            }
            _ => return Err("is not a decimal number".into()),
        };
        let amount: Amount = text.parse().map_err(|e| format!("is {e}"))?;
        match (self.minimum, self.exclusive_minimum) {
            (Some(minimum), _) if amount < minimum => Err(format!("is less than {minimum}")),
            (_, Some(minimum)) if amount <= minimum => Err(format!("is not more than {minimum}")),
            _ => Ok(()),
        }
    }
}

impl<'i> Keyword<'i> for Decimal {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.check(value).map_err(ValidationError::custom)
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.check(value).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        formats::Envelope,
        normalise::{Defaults, normalise},
    };

    fn event(kind: &str, data: Option<Value>) -> Event {
        let defaults = Defaults { now: tidemill_domain::Timestamp::EPOCH, new_id: || "1".into(), clientip: None };
        let Value::Object(attributes) = json!({"source": "shop", "type": kind}) else { panic!("an object") };
        normalise(Envelope { attributes, data }, &defaults).expect("valid attributes")
    }

    fn check(kind: &str, data: Value) -> Result<(), Vec<(String, String)>> {
        let schemas = Schemas::load(&SchemasConfig::default()).expect("the shop's schemas");
        match schemas.validate(event(kind, Some(data))) {
            Ok(_) => Ok(()),
            Err(Error::SchemaViolation(errors)) => Err(errors.into_iter().map(|e| (e.pointer, e.detail)).collect()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn pointers(kind: &str, data: Value) -> Vec<String> {
        check(kind, data).expect_err(kind).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn what_schemas_mark_as_personal_is_known() {
        let folder = tidemill_testkit::tempdir();
        let schema = r#"{"properties": {"profile": {"items": {"properties": {
            "loyalty_no": {"x-personal": true}, "points": {"x-personal": false}}}}}}"#;
        std::fs::write(folder.path().join("profile.changed.json"), schema).expect("writes");
        let config = SchemasConfig { folder: Some(folder.path().into()), ..SchemasConfig::default() };
        let schemas = Schemas::load(&config).expect("right");
        assert_eq!(schemas.personal().more(), ["loyaltyno"]);
        assert!(schemas.personal().contains("email") && !schemas.personal().contains("points"));
        let many = (0..1000).map(|n| format!(r#""member{n}": {{"x-personal": true}}"#)).collect::<Vec<_>>().join(",");
        std::fs::write(folder.path().join("wide.json"), format!(r#"{{"properties": {{{many}}}}}"#)).expect("writes");
        assert!(Schemas::load(&config).is_err(), "a header has an end");
    }

    #[test]
    fn what_a_shop_sends_is_valid() {
        let item = json!({"product_id": "p-1", "quantity": 2, "unit_price": "9.99", "colour": "red"});
        for (kind, data) in [
            ("product.viewed", json!({"product_id": "p-1", "session_id": "s"})),
            ("cart.item_added", json!({"product_id": "p-1", "quantity": 1.5, "unit_price": 9.99, "currency": "EUR"})),
            (
                "order.placed",
                json!({"order_id": "o", "items": [item], "billing_country": "DE", "payment_method": "card"}),
            ),
            ("order.cancelled", json!({"order_id": "o", "reason": "late"})),
            ("order.refunded", json!({"order_id": "o", "amount": "0.10", "currency": "EUR"})),
            (
                "invoice.line",
                json!({"invoice": "C1", "stock_code": "D", "quantity": -80995, "unit_price": "-11062.06", "country": "EIRE"}),
            ),
        ] {
            assert_eq!(check(kind, data), Ok(()), "{kind}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let item =
            |quantity: Value, price: Value| json!({"product_id": "p", "quantity": quantity, "unit_price": price});
        let order = |items: Value| json!({"order_id": "o", "items": items});
        let place = |items: Value| pointers("order.placed", order(items));
        assert_eq!(place(json!([item(json!(1), json!(true))])), ["/data/items/0/unit_price"]);
        assert_eq!(place(json!([item(json!(0), json!(-1))])), ["/data/items/0/quantity", "/data/items/0/unit_price"]);
        assert_eq!(place(json!([item(json!(1), json!("1e-7"))])), ["/data/items/0/unit_price"]);
        assert_eq!(
            place(json!([item(json!(1e15), json!(" 1"))])),
            ["/data/items/0/quantity", "/data/items/0/unit_price"]
        );
        assert_eq!(place(json!([])), ["/data/items"]);
        assert_eq!(place(json!(vec![item(json!(1), json!(1)); 501])), ["/data/items"]);
        assert_eq!(pointers("order.placed", json!([])), ["/data"]);
        assert_eq!(pointers("product.viewed", json!({"product_id": ""})), ["/data/product_id"]);
        assert_eq!(pointers("cart.item_added", json!({"product_id": "p", "quantity": 1})), ["/data"]);
    }

    #[test]
    fn an_answer_never_repeats_the_senders_values() {
        let secret = "x".repeat(1000);
        let data = json!({"order_id": 3, "items": secret, "currency": secret});
        for (_, detail) in check("order.placed", data).expect_err("wrong") {
            assert!(!detail.contains("xx"), "{detail}");
        }
        let many = json!({"order_id": "o", "items": vec![json!({}); 100]});
        assert_eq!(check("order.placed", many).expect_err("wrong").len(), MAX_ERRORS);
    }

    #[test]
    fn a_type_without_a_schema_is_as_configured() {
        let schemas = |unknown| Schemas::load(&SchemasConfig { unknown, folder: None }).expect("schemas");
        let strange = || event("strange", None);
        let rejected = schemas(UnknownTypes::Reject).validate(strange()).expect_err("rejected");
        assert_eq!(rejected, Error::UnknownType("strange".into()));
        assert_eq!(schemas(UnknownTypes::Accept).validate(strange()).expect("accepted").into_event(), strange());
    }

    #[test]
    fn data_is_required_where_there_is_a_schema() {
        let schemas = Schemas::load(&SchemasConfig::default()).expect("schemas");
        assert_eq!(schemas.validate(event("order.placed", None)).expect_err("no data").pointer(), Some("/data"));
    }

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tidemill_testkit::tempdir();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
        write("sensor.read.json", r#"{"type": "object", "required": ["celsius"]}"#);
        write("product.viewed.json", "true");
        write("README.md", "not a schema");
        let config = SchemasConfig { folder: Some(folder.path().into()), unknown: UnknownTypes::Reject };
        let schemas = Schemas::load(&config).expect("schemas");
        assert!(schemas.validate(event("sensor.read", Some(json!({"celsius": 3})))).is_ok());
        assert!(schemas.validate(event("sensor.read", Some(json!({})))).is_err());
        assert!(schemas.validate(event("product.viewed", Some(json!({})))).is_ok());

        for (name, text) in [
            ("broken.json", "{"),
            ("broken.json", r#"{"type": "objekt"}"#),
            ("broken.json", r#"{"decimal": {"maximum": "3"}}"#),
            ("bad name.json", "true"),
        ] {
            write(name, text);
            let error = Schemas::load(&config).err().expect(text).to_string();
            assert!(error.contains(name), "{error}");
            std::fs::remove_file(folder.path().join(name)).expect("removes");
        }
    }
}
