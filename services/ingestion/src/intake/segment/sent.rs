//! The way back: what a call calls the places of the event that was made of it.

use serde_json::Value;

use crate::error::Error;

/// Members of data, and of items in it, with what they may have been in the call.
const MEMBERS: [(&str, &str); 4] =
    [("items", "products"), ("unit_price", "price"), ("amount", "total"), ("product_id", "sku")];
/// Members of data that stand beside the properties or traits of a call.
const BESIDE: [(&str, &str); 5] = [
    ("user_id", "userId"),
    ("group_id", "groupId"),
    ("previous_id", "previousId"),
    ("name", "name"),
    ("category", "category"),
];

/// An error about the event of a call, with the places of the call.
pub(in crate::intake) fn as_sent(call: &[u8], kind: &str, error: Error) -> Error {
    let Ok(call) = serde_json::from_slice::<Value>(call) else { return error };
    error.renamed(|pointer| place(&call, kind, pointer))
}

fn place(call: &Value, kind: &str, ours: &str) -> String {
    let has = |pointer: &str| call.pointer(pointer).is_some_and(|value| !value.is_null() && *value != "");
    let first = |one: &'static str, other: &'static str| if has(one) { one } else { other };
    match ours {
        "/id" => "/messageId".into(),
        "/time" => first("/timestamp", "/originalTimestamp").into(),
        "/subject" => first("/userId", "/anonymousId").into(),
        "/source" => "/context/library/name".into(),
        "/type" => first("/event", "/type").into(),
        _ => match ours.strip_prefix("/data") {
            Some(rest) => in_data(call, kind, rest),
            None => ours.into(),
        },
    }
}

/// The place of a member of data: under our name where the call has that, else
/// under Segment's.
fn in_data(call: &Value, kind: &str, rest: &str) -> String {
    let mut place = match call.get("type").and_then(Value::as_str).unwrap_or(kind) {
        "identify" | "group" => "/traits".to_owned(),
        _ => "/properties".to_owned(),
    };
    let has = |pointer: &str| call.pointer(pointer).is_some();
    for (depth, name) in rest.split('/').skip(1).enumerate() {
        let own = format!("{place}/{name}");
        let of =
            |names: &[(&str, &'static str)]| names.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
        let other = of(&MEMBERS).map(|theirs| format!("{place}/{theirs}"));
        let beside = of(&BESIDE).filter(|_| depth == 0).map(|theirs| format!("/{theirs}"));
        place = [other, beside].into_iter().flatten().find(|theirs| !has(&own) && has(theirs)).unwrap_or(own);
    }
    place
}
