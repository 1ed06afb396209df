//! Segment's calls as CloudEvents: `track` by the names of Segment's
//! e-commerce specification, every other call as `segment.<call>`.

mod sent;

use serde_json::{Map, Value};

pub(super) use self::sent::as_sent;
use super::envelope::Envelope;
use crate::error::Error;

/// The kind of call that is meant where nothing says which.
pub(super) const TRACK: &str = "track";
/// The member of an `identify` call's data that has the customer's id.
const USER_ID: &str = "user_id";
/// Members that a call has and no CloudEvent: an attribute's name is in lower
/// case.
pub(super) const MARKS: [&str; 6] = ["event", "messageId", "anonymousId", "userId", "groupId", "previousId"];

/// One call: of this kind, where it does not say itself.
pub(super) fn read(mut call: Map<String, Value>, kind: &str) -> Result<Envelope, Error> {
    let kind = match call.shift_remove("type") {
        None | Some(Value::Null) => kind.to_owned(),
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Error::invalid("/type", "must be a string")),
    };
    let type_of_event = match kind.as_str() {
        TRACK => event_type(text(&call, "/event", "event")?),
        other => format!("segment.{other}"),
    };
    let context = call.shift_remove("context").unwrap_or_default();
    let library = context.pointer("/library/name").and_then(Value::as_str);
    let mut data = data(&mut call, &kind)?;
    rename(&type_of_event, &mut data);
    let user = present(&mut call, "userId");
    if let ("identify", Some(user)) = (kind.as_str(), &user) {
        // The subject may be an anonymous visitor; this is not.
        data.insert(USER_ID.into(), user.clone());
    }

    let attributes = [
        ("id", call.shift_remove("messageId")),
        ("source", Some(library.map_or("segment".into(), |name| format!("segment/{name}").into()))),
        ("type", Some(type_of_event.into())),
        ("time", call.shift_remove("timestamp").or_else(|| call.shift_remove("originalTimestamp"))),
        ("subject", user.or_else(|| present(&mut call, "anonymousId"))),
        ("clientip", context.get("ip").cloned()),
        ("sentat", call.shift_remove("sentAt")),
    ];
    let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Ok(Envelope { attributes, data: Some(data.into()) })
}

/// A call with one more text among its members; `None` where it has that member,
/// or is no JSON object. What is there stays as it is.
pub(super) fn with_member(call: &[u8], name: &str, value: &str) -> Option<String> {
    let call = std::str::from_utf8(call).ok()?.trim();
    let members =
        serde_json::from_str::<Map<String, Value>>(call).ok().filter(|members| !members.contains_key(name))?;
    let open = call.strip_suffix('}')?;
    let comma = if members.is_empty() { "" } else { "," };
    Some(format!("{open}{comma}{}:{}}}", Value::from(name), Value::from(value)))
}

/// What a call says, beside who it is about. What is known of a customer or a
/// group is `traits`, and a page's name stands beside its properties.
fn data(call: &mut Map<String, Value>, kind: &str) -> Result<Map<String, Value>, Error> {
    let (member, beside): (_, &[(&str, &str)]) = match kind {
        "identify" => ("traits", &[]),
        "group" => ("traits", &[("groupId", "group_id")]),
        "page" | "screen" => ("properties", &[("name", "name"), ("category", "category")]),
        "alias" => ("properties", &[("previousId", "previous_id")]),
        _ => ("properties", &[]),
    };
    let mut data = match call.shift_remove(member) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Error::invalid(format!("/{member}"), "must be an object")),
    };
    for (from, to) in beside {
        if let Some(value) = present(call, from) {
            data.entry(*to).or_insert(value);
        }
    }
    Ok(data)
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

/// Segment's property names to ours; what has no counterpart stays. `sent.rs`
/// has the way back.
fn rename(kind: &str, data: &mut Map<String, Value>) {
    match kind {
        "product.viewed" => identified(data),
        "cart.item_added" => priced(data),
        "order.placed" => items(data, priced),
        "order.refunded" => {
            rename_key(data, "total", "amount");
            items(data, priced);
        }
        // A cancelled order is so as a whole: its products are all that was in it.
        _ => {}
    }
}

fn items(data: &mut Map<String, Value>, as_ours: fn(&mut Map<String, Value>)) {
    rename_key(data, "products", "items");
    let items = data.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut).for_each(as_ours);
}

/// In Segment's specification a missing quantity is one.
fn priced(item: &mut Map<String, Value>) {
    identified(item);
    rename_key(item, "price", "unit_price");
    item.entry("quantity").or_insert_with(|| 1.into());
}

/// Segment's specification has both, and a product may have its `sku` alone.
fn identified(product: &mut Map<String, Value>) {
    let has = |name: &str| product.get(name).is_some_and(|value| !value.is_null() && *value != "");
    if !has("product_id") && has("sku") {
        let sku = product["sku"].clone();
        product.insert("product_id".into(), sku);
    }
}

fn rename_key(object: &mut Map<String, Value>, from: &str, to: &str) {
    if !object.contains_key(to)
        && let Some(value) = object.shift_remove(from)
    {
        object.insert(to.into(), value);
    }
}

#[cfg(test)]
mod tests;
