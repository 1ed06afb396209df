//! Segment's calls as CloudEvents: `track` by the names of Segment's
//! e-commerce specification, every other call as `segment.<call>`.

use serde_json::{Map, Value};

use crate::{error::Error, formats::Envelope};

/// One call.
pub(crate) fn read(mut call: Map<String, Value>) -> Result<Envelope, Error> {
    let kind = match call.get("type").map(Value::as_str) {
        None | Some(Some("track")) => event_type(text(&call, "/event", "event")?),
        Some(Some(other)) => format!("segment.{other}"),
        Some(None) => return Err(Error::invalid("/type", "must be a string")),
    };
    let context = call.shift_remove("context").unwrap_or_default();
    let library = context.pointer("/library/name").and_then(Value::as_str);
    let mut data = match call.shift_remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err(Error::invalid("/properties", "must be an object")),
    };
    rename(&kind, &mut data);

    let attributes = [
        ("id", call.shift_remove("messageId")),
        ("source", Some(library.map_or("segment".into(), |name| format!("segment/{name}").into()))),
        ("type", Some(kind.into())),
        ("time", call.shift_remove("timestamp").or_else(|| call.shift_remove("originalTimestamp"))),
        ("subject", present(&mut call, "userId").or_else(|| present(&mut call, "anonymousId"))),
        ("clientip", context.get("ip").cloned()),
    ];
    let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Ok(Envelope { attributes, data: Some(data.into()) })
}

fn text<'a>(call: &'a Map<String, Value>, pointer: &str, name: &str) -> Result<&'a str, Error> {
    match call.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(_) => Err(Error::invalid(pointer, "must be a text")),
        None => Err(Error::invalid(pointer, "is required")),
    }
}

fn present(call: &mut Map<String, Value>, name: &str) -> Option<Value> {
    call.shift_remove(name).filter(|value| !value.is_null() && *value != "")
}

/// A shop's event by its name in Segment's specification; any other name in
/// lower case with dots: `Signed Up` is `signed.up`.
fn event_type(name: &str) -> String {
    match name {
        "Product Viewed" => "product.viewed".into(),
        "Product Added" => "cart.item_added".into(),
        "Order Completed" => "order.placed".into(),
        "Order Cancelled" => "order.cancelled".into(),
        "Order Refunded" => "order.refunded".into(),
        other => other.split_whitespace().collect::<Vec<_>>().join(".").to_lowercase(),
    }
}

/// Segment's property names to ours; what has no counterpart stays.
fn rename(kind: &str, data: &mut Map<String, Value>) {
    match kind {
        "cart.item_added" => priced(data),
        "order.refunded" => rename_key(data, "total", "amount"),
        "order.placed" => {
            rename_key(data, "products", "items");
            let items = data.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten();
            items.filter_map(Value::as_object_mut).for_each(priced);
        }
        _ => {}
    }
}

/// In Segment's specification a missing quantity is one.
fn priced(item: &mut Map<String, Value>) {
    rename_key(item, "price", "unit_price");
    item.entry("quantity").or_insert_with(|| 1.into());
}

fn rename_key(object: &mut Map<String, Value>, from: &str, to: &str) {
    if !object.contains_key(to)
        && let Some(value) = object.shift_remove(from)
    {
        object.insert(to.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapped(call: Value) -> Result<(Value, Value), Error> {
        let Value::Object(call) = call else { panic!("an object") };
        read(call).map(|envelope| (envelope.attributes.into(), envelope.data.expect("data")))
    }

    #[test]
    fn an_order_is_an_order() {
        let (attributes, data) = mapped(json!({
            "type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "c-1", "anonymousId": "a-1",
            "timestamp": "2026-01-02T03:04:05Z",
            "context": {"ip": "192.0.2.1", "library": {"name": "analytics.js"}},
            "properties": {"order_id": "o-1", "currency": "EUR", "products": [
                {"product_id": "p-1", "price": 9.5, "quantity": 2}, {"product_id": "p-2", "price": 1},
            ]},
        }))
        .expect("mapped");
        assert_eq!(
            attributes,
            json!({"id": "m-1", "source": "segment/analytics.js", "type": "order.placed",
                "time": "2026-01-02T03:04:05Z", "subject": "c-1", "clientip": "192.0.2.1"})
        );
        assert_eq!(
            data,
            json!({"order_id": "o-1", "currency": "EUR", "items": [
                {"product_id": "p-1", "unit_price": 9.5, "quantity": 2},
                {"product_id": "p-2", "unit_price": 1, "quantity": 1},
            ]})
        );
    }

    #[test]
    fn names_have_types() {
        for (name, kind) in [
            ("Product Viewed", "product.viewed"),
            ("Product Added", "cart.item_added"),
            ("Order Cancelled", "order.cancelled"),
            ("Signed  Up", "signed.up"),
        ] {
            let (attributes, _) = mapped(json!({"event": name, "userId": "", "anonymousId": "a"})).expect(name);
            assert_eq!(attributes, json!({"source": "segment", "type": kind, "subject": "a"}));
        }
        let (refund, data) =
            mapped(json!({"event": "Order Refunded", "properties": {"order_id": "o", "total": "5.00"}}))
                .expect("a refund");
        assert_eq!((&refund["type"], data), (&json!("order.refunded"), json!({"order_id": "o", "amount": "5.00"})));
        assert_eq!(mapped(json!({"type": "identify"})).expect("a call").0["type"], "segment.identify");
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for (wrong, pointer) in [
            (json!({}), "/event"),
            (json!({"event": 3}), "/event"),
            (json!({"event": "a", "properties": []}), "/properties"),
            (json!({"type": 3}), "/type"),
        ] {
            assert_eq!(mapped(wrong).expect_err(pointer).pointer(), Some(pointer));
        }
    }
}
