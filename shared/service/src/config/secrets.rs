//! Which settings are secret.

use std::collections::BTreeSet;

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

/// How many levels of schemas within schemas are searched: a section, its key,
/// the forms of either and what they refer to.
const MAX_DEPTH: usize = 16;

/// The settings whose values are shown to nobody. The JSON Schema of the
/// settings calls them `writeOnly`. The type or its field says so with
/// `#[schemars(extend("writeOnly" = true))]`.
#[derive(Debug)]
pub struct Secrets(BTreeSet<Vec<String>>);

impl Secrets {
    /// The secret ones among the settings `T`.
    pub fn of<T: JsonSchema>() -> Self {
        let schema = schema_for!(T).to_value();
        let mut found = BTreeSet::new();
        collect(&schema, &schema, &mut Vec::new(), MAX_DEPTH, &mut found);
        Self(found)
    }

    /// Their paths: section, then key.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether the setting is secret.
    pub(super) fn contains(&self, path: &[String]) -> bool {
        self.0.contains(path)
    }

    /// Whether the setting is secret, is part of a secret one, or has a secret
    /// one in it. If a list was given for a whole section, a place in it may be
    /// any setting, and so counts.
    pub(super) fn touch(&self, path: &[String]) -> bool {
        let is_place = |key: &String| key.bytes().all(|byte| byte.is_ascii_digit());
        self.paths().any(|secret| {
            let common = secret.iter().zip(path).take_while(|(one, other)| one == other).count();
            common == secret.len() || path.get(common).is_none_or(is_place)
        })
    }
}

fn collect(schema: &Value, node: &Value, path: &mut Vec<String>, depth: usize, found: &mut BTreeSet<Vec<String>>) {
    if node["writeOnly"] == true {
        found.insert(path.clone());
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    if let Some(target) = node["$ref"].as_str().and_then(|pointer| schema.pointer(pointer.strip_prefix('#')?)) {
        collect(schema, target, path, depth, found);
    }
    for (name, property) in node["properties"].as_object().into_iter().flat_map(Map::iter) {
        path.push(name.clone());
        collect(schema, property, path, depth, found);
        path.pop();
    }
    for forms in ["oneOf", "anyOf", "allOf"] {
        node[forms].as_array().into_iter().flatten().for_each(|form| collect(schema, form, path, depth, found));
    }
}
