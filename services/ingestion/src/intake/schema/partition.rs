//! The member of an event's data that decides its partition.

use std::borrow::Cow;

use serde_json::Value;

use crate::intake::tree::{JsonKind, JsonRef};

/// Marks the property by whose text events of a type are partitioned, whoever
/// sends them.
const MARK: &str = "x-partition-key";

/// Where the member lies: the names that lead to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartitionMember(Vec<String>);

impl PartitionMember {
    /// The one that a schema marks; the error says what is wrong.
    pub(super) fn of(schema: &Value) -> Result<Option<Self>, String> {
        let mut members = Vec::new();
        properties(schema, &mut Vec::new(), &mut members);
        if marks(schema)? > members.len() {
            return Err(format!("{MARK} marks a property of data, or of an object in it, and nothing else"));
        }
        if let [one, other, ..] = &members[..] {
            let (one, other) = (one.join("."), other.join("."));
            return Err(format!("{MARK} marks two members, {one} and {other}: an event has one partition"));
        }
        Ok(members.pop().map(Self))
    }

    /// The same in the tree of data. `None` is a member that decides nothing.
    pub(super) fn text_in<'j>(&self, data: JsonRef<'j>) -> Option<Cow<'j, str>> {
        let member = self.0.iter().try_fold(data, |value, name| value.get(name))?;
        match member.kind() {
            // Whatever zeros it is spelt with.
            JsonKind::Fraction => self.text(&data.to_value()).map(Cow::Owned),
            JsonKind::Integer => Some(Cow::Borrowed(member.raw())),
            _ => member.text().filter(|text| !text.is_empty()),
        }
    }

    /// Its text in data: that of a string or a number.
    pub(super) fn text(&self, data: &Value) -> Option<String> {
        match self.0.iter().try_fold(data, |value, name| value.get(name))? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The marked properties of objects within objects.
fn properties(schema: &Value, path: &mut Vec<String>, marked: &mut Vec<Vec<String>>) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        if property.get(MARK) == Some(&Value::Bool(true)) {
            marked.push(path.clone());
        }
        properties(property, path, marked);
        path.pop();
    }
}

/// The marks in a schema, wherever they stand.
fn marks(schema: &Value) -> Result<usize, String> {
    match schema {
        Value::Object(members) => members.iter().try_fold(0, |sum, (name, member)| {
            Ok(sum
                + match (name.as_str(), member) {
                    (MARK, Value::Bool(is_marked)) => usize::from(*is_marked),
                    (MARK, _) => return Err(format!("{MARK} is true or false")),
                    // A property may be called as it likes.
                    ("properties", Value::Object(properties)) => sum_of(properties.values())?,
                    _ => marks(member)?,
                })
        }),
        Value::Array(items) => sum_of(items),
        _ => Ok(0),
    }
}

fn sum_of<'s>(schemas: impl IntoIterator<Item = &'s Value>) -> Result<usize, String> {
    schemas.into_iter().map(marks).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(schema: Value) -> Result<Option<String>, String> {
        PartitionMember::of(&schema).map(|member| member.map(|member| member.0.join(".")))
    }

    #[test]
    fn one_property_at_most_is_marked() {
        let mark = json!({"x-partition-key": true});
        for (schema, expected) in [
            (json!(true), Ok(None)),
            (json!({"properties": {"a": {"x-partition-key": false}, "x-partition-key": {"type": "string"}}}), Ok(None)),
            (json!({"properties": {"a": mark, "b": {}}}), Ok(Some("a"))),
            (json!({"properties": {"a": {"properties": {"b": mark}}}}), Ok(Some("a.b"))),
            (json!({"properties": {"a": mark, "b": {"properties": {"c": mark}}}}), Err("marks two members, a and b.c")),
            (json!({"properties": {"a": {"items": {"properties": {"b": mark}}}}}), Err("and nothing else")),
            (json!({"if": {"properties": {"b": mark}}}), Err("and nothing else")),
            (json!({"anyOf": [mark]}), Err("and nothing else")),
            (mark.clone(), Err("and nothing else")),
            (json!({"properties": {"a": {"x-partition-key": "yes"}}}), Err("is true or false")),
        ] {
            match (member(schema.clone()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{schema}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{schema}: {error}"),
                (other, _) => panic!("{schema}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_text_or_a_number_decides() {
        let member = PartitionMember(vec!["a".into(), "b".into()]);
        for (value, expected) in [
            (json!("o-1"), Some("o-1")),
            (json!(1001), Some("1001")),
            (json!(-1), Some("-1")),
            (json!(12.0), Some("12.0")),
            (json!(""), None),
            (json!(null), None),
            (json!({"c": 1}), None),
        ] {
            assert_eq!(member.text(&json!({"a": {"b": value}})).as_deref(), expected, "{value}");
        }
        assert_eq!(member.text(&json!({"a": "o-1"})), None);
    }
}
